"""Beginnings of conversations, taken over as one: the same result as if all had been inspected, at a turn's cost."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialects import openai_chat
from gateway.domain.finding import DetectorState, Inspection, Span
from gateway.domain.grammar import Grammar
from gateway.domain.ports import DetectorFailed
from gateway.inspection.cache import CachedDetector
from gateway.inspection.detector import PresidioDetector
from gateway.inspection.engine import Engine
from gateway.inspection.history import LOOK_BACK, HistoryInspector
from gateway.inspection.inspector import Inspector
from gateway.inspection.redact import Pseudonymiser
from support.conversation import conversation, request

pytestmark = pytest.mark.anyio

KEY = bytes(range(32))
GRAMMAR = Grammar(
    {("messages", "*", "role"): frozenset({"user", "assistant"})},
    frozenset({"model", "messages", "tools", "role", "content", "type", "text", "arguments"}),
    frozenset({"text"}),
)


class Xs:
    """A detector that finds every "x" and notes what it was asked."""

    entities = frozenset({"X"})

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.failure: DetectorFailed | None = None

    async def scan(self, texts: Sequence[str], timeout: float) -> list[list[Span]]:
        self.asked += texts
        if self.failure:
            raise self.failure
        return [
            [Span(i, min(i + 2, len(t)), "X", 40 + ord(t[i - 1]) % 50) for i, c in enumerate(t) if c == "x"]
            for t in texts
        ]

    async def aclose(self) -> None:
        """Nothing to close."""


def same(one: Inspection, other: Inspection) -> bool:
    """Equal but for the order of the findings."""
    return (
        sorted(map(repr, one.findings)) == sorted(map(repr, other.findings))
        and one.found == other.found
        and (one.detector, one.unreadable, one.leaves, one.characters)
        == (other.detector, other.unreadable, other.leaves, other.characters)
    )


def said(*texts: str) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text} for text in texts]}


async def test_only_new_turns_are_inspected() -> None:
    """What a request begins with is not even read again, and its findings are in the result."""
    detector = Xs()
    inspector = HistoryInspector(detector, key=KEY)
    first = ["ax", "b", "c", "dx"]
    await inspector.inspect(said(*first), GRAMMAR)
    detector.asked.clear()
    tree = said(*first, "e", "fx")
    result = await inspector.inspect(tree, GRAMMAR)
    assert detector.asked == ["m", "e", "fx"]
    assert inspector.taken_over == 4
    assert same(result, await Inspector(Xs()).inspect(tree, GRAMMAR))
    assert {finding.path[1] for finding in result.findings} == {0, 3, 5}


async def test_an_old_turn_that_was_changed_is_new() -> None:
    """A conversation that was edited is inspected from there on, and one step back is still known."""
    detector = Xs()
    inspector = HistoryInspector(detector, key=KEY)
    turns = [f"turn {number}" for number in range(20)]
    for length in (10, 12, 14):
        await inspector.inspect(said(*turns[:length]), GRAMMAR)
    for tree, asked in [
        (said(*turns[:13], "xx"), ["turn 12", "xx"]),
        (said("xx", *turns[1:15]), ["xx", *turns[1:15]]),
        (said(*turns[:14], *turns[:LOOK_BACK]), turns[:LOOK_BACK]),
        (said(*turns[:14], *turns[5 : 6 + LOOK_BACK]), turns[:14]),
        (said(*turns, *turns), turns),
    ]:
        detector.asked.clear()
        result = await inspector.inspect(tree, GRAMMAR)
        assert detector.asked == ["m", *asked]
        assert same(result, await Inspector(Xs()).inspect(tree, GRAMMAR))


async def test_a_failed_scan_is_not_remembered() -> None:
    """A request that was not wholly scanned is inspected anew; the next one does not stand on it."""
    detector = Xs()
    inspector = HistoryInspector(detector, key=KEY)
    tree = said("ax", "b", "c", "d")
    detector.failure = DetectorFailed("no")
    assert (await inspector.inspect(tree, GRAMMAR)).detector is DetectorState.FAILED
    assert inspector.failures == 1
    detector.failure = None
    detector.asked.clear()
    assert same(await inspector.inspect(tree, GRAMMAR), await Inspector(Xs()).inspect(tree, GRAMMAR))
    assert "ax" in detector.asked


async def test_one_wire_format_is_not_taken_for_another() -> None:
    """The same messages under another grammar have other leaves, and are inspected anew."""
    inspector = HistoryInspector(Xs(), key=KEY)
    other = Grammar({}, GRAMMAR.names, GRAMMAR.readable_parts)
    tree = said("ax", "b", "c", "d")
    for grammar in (GRAMMAR, other, GRAMMAR):
        assert same(await inspector.inspect(tree, grammar), await Inspector(Xs()).inspect(tree, grammar))


async def test_no_content_is_kept() -> None:
    """What is remembered has no text, no value, and no member name that a caller chose."""
    inspector = HistoryInspector(Xs(), key=KEY)
    canary = "Canaryx"
    tree: dict[str, Any] = said(f"I am {canary}", "b", "c", "d")
    tree["messages"].append({"role": "user", "content": "t", canary: {"deep": f"x {canary}"}})
    tree["messages"].append({"role": "user", "arguments": f'{{"{canary}": "{canary}"}}'})
    for _ in range(2):
        assert same(await inspector.inspect(tree, GRAMMAR), await Inspector(Xs()).inspect(tree, GRAMMAR))
    (kept,) = inspector._beginnings.values()
    assert kept.again == (4, 5)
    assert canary.casefold() not in repr(kept).casefold()


_TEXTS = st.sampled_from(["", "x", "ax", "Ax ", "plain", "%78", "y\ud800x", '{"k": "x"}', "data:image/png;base64,AAAA"])
_CONTENT = st.one_of(
    _TEXTS,
    st.lists(st.fixed_dictionaries({"type": st.sampled_from(["text", "image_url"]), "text": _TEXTS}), max_size=2),
    st.sampled_from([12345678, 2**70, 1.5, None, {"x": "ax"}]),
)
_MESSAGE = st.fixed_dictionaries({"role": st.sampled_from(["user", "x"])}, optional={"content": _CONTENT, "ax": _TEXTS})


@given(
    st.lists(st.tuples(st.integers(0, 12), st.lists(_MESSAGE, max_size=6), st.booleans()), max_size=8),
    st.integers(0, 4_000),
)
@settings(max_examples=80, deadline=None)
def test_remembered_is_as_inspected(steps: list[tuple[int, list[Any], bool]], limit: int) -> None:
    """However a conversation goes on, is cut, or changes, and however little may be kept, the result is the same."""

    async def run() -> None:
        inspector = HistoryInspector(CachedDetector(Xs(), key=KEY, version="1"), key=KEY, limit=limit)
        messages: list[Any] = []
        for keep, new, with_tools in steps:
            messages = messages[:keep] + new
            tree = {"model": "x", "messages": messages, **({"tools": messages[:5]} if with_tools else {})}
            assert same(await inspector.inspect(tree, GRAMMAR), await Inspector(Xs()).inspect(tree, GRAMMAR))
            assert inspector.size <= limit

    asyncio.run(run())


async def test_the_limit_is_in_bytes() -> None:
    """Memory stays below the limit, whatever is remembered."""
    limit = 1 << 18
    detector = Xs()
    inspector = HistoryInspector(detector, key=KEY, limit=limit)
    await inspector.inspect(said("w"), GRAMMAR)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(400):
            await inspector.inspect(said(*(f"{number}{place}x" for place in range(6))), GRAMMAR)
            detector.asked.clear()
        gc.collect()
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.4 * limit < used < 1.1 * limit


async def test_old_turns_are_still_masked(detector: PresidioDetector) -> None:
    """With the real detector: what the caches give is what there is without them, and no value of any turn is left."""
    inspector = HistoryInspector(CachedDetector(detector, key=KEY, version="1"), key=KEY)
    messages = conversation(12)
    for length in range(1, len(messages) + 1, 2):
        result = await inspector.inspect(request(messages[:length]), openai_chat.GRAMMAR)
    assert inspector.taken_over > 60
    tree = request(messages)
    plain = await Inspector(detector, timeout=10).inspect(tree, openai_chat.GRAMMAR)
    assert plain.detector is DetectorState.OK
    assert same(result, plain)
    redacted = Pseudonymiser(KEY).redact(tree, result.findings, "acme", openai_chat.GRAMMAR)
    assert redacted.tree == Pseudonymiser(KEY).redact(tree, plain.findings, "acme", openai_chat.GRAMMAR).tree
    left = repr(redacted.tree)
    assert all(f"customer{turn}@" not in left and f"555-{1000 + turn}" not in left for turn in range(12))


async def test_a_long_conversation_costs_one_turn() -> None:
    """From turn 49 on, each takes at most 1.2 times the processor time of a turn alone, with the real recognisers."""
    engine = Engine()
    engine.warm()

    class InPlace(Xs):
        """All work is in this process, where its time can be told."""

        async def scan(self, texts: Sequence[str], timeout: float) -> list[list[Span]]:
            return [engine.scan(text) for text in texts]

    def fresh() -> HistoryInspector:
        return HistoryInspector(CachedDetector(InPlace(), key=KEY, version="1"), key=KEY)

    async def cost(inspector: HistoryInspector, tree: dict[str, Any]) -> float:
        began = time.process_time()
        await inspector.inspect(tree, openai_chat.GRAMMAR)
        return time.process_time() - began

    messages = conversation(80)

    async def ratio() -> float:
        warm = fresh()
        whole = await cost(warm, request(messages[:95]))
        alone, added = [], []
        for length in range(97, len(messages) + 1, 2):  # 97 messages are 49 turns
            alone.append(await cost(fresh(), request(messages[length - 2 : length])))
            added.append(await cost(warm, request(messages[:length])))
        assert whole > 10 * min(alone)
        return min(added) / min(alone)

    gc.collect()
    gc.disable()  # it would walk over all that the other tests left behind
    try:
        best = await ratio()
        for _ in range(4):  # a busy machine must not decide
            if best > 1.2:
                best = min(best, await ratio())
    finally:
        gc.enable()
    assert best <= 1.2
