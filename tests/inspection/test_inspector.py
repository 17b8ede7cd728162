"""Inspection of whole requests."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gateway.domain.finding import DetectorState, Found, Span
from gateway.domain.grammar import Grammar
from gateway.domain.ports import DetectorFailed
from gateway.inspection.detector import PresidioDetector
from gateway.inspection.inspector import Inspector

pytestmark = pytest.mark.anyio

GRAMMAR = Grammar(
    {
        ("messages", "*", "role"): frozenset({"user"}),
        ("messages", "*", "content", "*", "type"): frozenset({"text"}),
    },
    frozenset({"messages", "role", "content", "type", "text"}),
    frozenset({"text"}),
)


class Scripted:
    """A detector that finds every "x", or fails as told; it notes what it was asked."""

    entities = frozenset({"X"})

    def __init__(self, failure: Exception | None = None, drop: int = 0) -> None:
        self.asked: list[str] = []
        self._failure = failure
        self._drop = drop

    async def scan(self, texts: Sequence[str], timeout: float) -> list[list[Span]]:
        self.asked = list(texts)
        if self._failure:
            raise self._failure
        spans = [[Span(i, i + 1, "X", 60) for i, c in enumerate(text) if c == "x"] for text in texts]
        return spans[: len(spans) - self._drop]

    async def aclose(self) -> None: ...


async def test_with_the_real_detector(detector: PresidioDetector) -> None:
    """A request in chat form: what is found, where, how often, and what could not be read."""
    tree = {
        "messages": [
            {"role": "user", "content": "My SSN is 536-90-4399."},
            {"role": "user", "content": "Again: My SSN is 536-90-4399."},
            {"role": "536-90-4399", "content": [{"type": "image_url"}, {"type": "text", "text": "hi"}]},
        ]
    }
    result = await Inspector(detector).inspect(tree, GRAMMAR)
    assert result.detector is DetectorState.OK
    assert result.found == (Found("US_SSN", 85, 1),)
    assert [finding.path for finding in result.findings] == [
        ("messages", 0, "content"),
        ("messages", 1, "content"),
        ("messages", 2, "role"),
    ]
    assert (result.unreadable, result.leaves) == (1, 5)


async def test_identical_texts_are_scanned_once() -> None:
    """A text that occurs a hundred times costs as much as one, and is found everywhere."""
    scripted = Scripted()
    result = await Inspector(scripted).inspect({"messages": [{"content": "axb"}] * 100}, GRAMMAR)
    assert scripted.asked == ["axb"]
    assert len(result.findings) == 100
    assert result.found == (Found("X", 60, 1),)


@pytest.mark.parametrize(
    ("failure", "state"),
    [
        (DetectorFailed("x", timed_out=True), DetectorState.TIMED_OUT),
        (DetectorFailed("x"), DetectorState.FAILED),
        (RuntimeError("x"), DetectorState.FAILED),
        (None, DetectorState.FAILED),
    ],
)
async def test_trouble_is_a_state(failure: Exception | None, state: DetectorState) -> None:
    """A detector that fails, takes too long, breaks, or answers too little makes the request unsure, never raises."""
    inspector = Inspector(Scripted(failure, drop=0 if failure else 1))
    result = await inspector.inspect({"messages": [{"content": "x"}]}, GRAMMAR)
    assert (result.detector, result.findings, inspector.failures) == (state, (), 1)
    assert result.leaves == 1
