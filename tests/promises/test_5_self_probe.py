"""Promise 5: a self-probe keeps watch, and raises an alarm when something that must stay would leave, and only then."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

import gateway.compose.gateway as compose
import gateway.compose.inspection as inspection
from gateway.compose.upkeep import may_leave
from gateway.domain.decision import Decision, Facts
from gateway.domain.finding import Found
from gateway.domain.ports import DetectorFailed
from gateway.domain.target import Target
from gateway.policy import CompiledPolicy, compile_policy, evaluate, load
from support.detectors import ListedDetector
from support.evidence import records
from support.here import gateway_here
from support.live import DEFAULT_POLICY, Setup, cloud_target

BASE = DEFAULT_POLICY.read_text()


def _setup(folder: Path, policy: str) -> Setup:
    return Setup(folder, [cloud_target("cloud", "http://127.0.0.1:9/v1")], {"auto": "{targets: [cloud]}"}, policy)


def selfprobe_ok(metrics: str) -> float:
    return next(float(line.split()[1]) for line in metrics.splitlines() if line.startswith("bailiwick_selfprobe_ok "))


SECRET_TEXT = "Zanzibar 4711"

FAULTS: dict[str, tuple[Callable[[ListedDetector], Any], str]] = {
    "finds nothing": (lambda finder: setattr(finder, "blind", True), "did not find CREDIT_CARD"),
    "fails": (lambda finder: setattr(finder, "error", DetectorFailed("it is out")), "the detector is failed"),
    "breaks": (lambda finder: setattr(finder, "error", RuntimeError(SECRET_TEXT)), "the detector is failed"),
}


@pytest.mark.anyio
@pytest.mark.parametrize("fault", FAULTS)
async def test_the_probe_tells_when_the_detector_is_broken(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A detector that finds nothing or fails makes the gateway not ready, and is in the metric, the audit log and, as
    critical, in the log; when it works again, so is that."""
    monkeypatch.setattr("gateway.compose.upkeep.PROBE_EVERY", 0.05)
    break_it, words = FAULTS[fault]
    async with gateway_here(_setup(tmp_path, BASE), monkeypatch) as here:

        async def until(status: int) -> httpx.Response:
            with anyio.fail_after(5):
                while (answer := await here.client.get("/readyz")).status_code != status:  # noqa: ASYNC110
                    await anyio.sleep(0.02)
            return answer

        await until(200)
        assert selfprobe_ok((await here.client.get("/metrics")).text) == 1
        with caplog.at_level(logging.INFO):
            break_it(here.detector)
            told = (await until(503)).json()["problems"]["self_probe"]
            assert selfprobe_ok((await here.client.get("/metrics")).text) == 0
            here.detector.blind, here.detector.error = False, None
            await until(200)
            assert selfprobe_ok((await here.client.get("/metrics")).text) == 1
    assert words in told
    events = [r for r in records(tmp_path / "state") if r.event.startswith("self-probe")]
    assert [event.event for event in events] == ["self-probe failed", "self-probe well again"]
    assert words in events[0].error
    (critical,) = [line for line in caplog.records if line.levelno == logging.CRITICAL]
    assert critical.getMessage() == "self-probe failed"
    written = "".join([told, caplog.text, *(str(event) for event in events)])
    assert SECRET_TEXT not in written


@pytest.mark.anyio
async def test_the_probe_tells_when_the_start_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first probe runs before anybody is served: a gateway that begins blind is never ready."""
    finder = ListedDetector()
    finder.blind = True
    async with gateway_here(_setup(tmp_path, BASE), monkeypatch, finder) as here:
        assert (await here.client.get("/readyz")).status_code == 503


class _BrokenInspector:
    """Something between the detector and the decision that fails."""

    taken_over = 0

    def __init__(self, detector: object, timeout: float, **memory: object) -> None:
        pass

    async def inspect(self, tree: object, grammar: object) -> object:
        raise RuntimeError(SECRET_TEXT)


@pytest.mark.anyio
async def test_a_probe_that_breaks_is_a_probe_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect on the way of the probe is an alarm, with its kind and place and without its text."""
    monkeypatch.setattr(inspection, "HistoryInspector", _BrokenInspector)
    async with gateway_here(_setup(tmp_path, BASE), monkeypatch) as here:
        answer = await here.client.get("/readyz")
        assert selfprobe_ok((await here.client.get("/metrics")).text) == 0
    assert answer.status_code == 503
    assert answer.json()["problems"]["self_probe"].startswith("the probe failed: RuntimeError at ")
    assert SECRET_TEXT not in answer.text


def _lets_everything_go(policy: CompiledPolicy, facts: Facts, targets: Sequence[Target]) -> Decision:
    """An evaluator with the worst of faults."""
    return evaluate(policy, replace(facts, found=()), targets)


@pytest.mark.anyio
async def test_the_probe_tells_when_the_decision_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault between detector and decision that would let the probe leave is an alarm."""
    monkeypatch.setattr(compose, "evaluate", _lets_everything_go)
    async with gateway_here(_setup(tmp_path, BASE), monkeypatch) as here:
        answer = await here.client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["problems"]["self_probe"] == "the probe would leave in clear to cloud"


def _of(data_types: str, restricted: str, handling: str, mode: str = "enforce") -> str:
    return (
        f"schema: 1\npolicy: p\nversion: 1\nowner: o\nmode: {mode}\ndata_types: {{{data_types}}}\n"
        f"levels: {{restricted: [{{any_of: [{restricted}]}}]}}\n"
        f"handling: {{public: {{action: allow}}, internal: {{action: allow}}, confidential: {{action: allow}}, "
        f"restricted: {{action: {handling}}}}}\n"
    )


_CARDS = "cards: {detect: [CREDIT_CARD, US_SSN], confidence: 0.4}"
_PEOPLE = "people: {detect: [PERSON], confidence: 0.4}"
LIBERAL = {
    "restricted may leave": _of(_CARDS, "cards", "allow"),
    "restricted leaves with stand-ins": _of(_CARDS, "cards", "redact"),
    "restricted waits for approval": _of(_CARDS, "cards", "require_approval"),
    "cards are nothing to this policy": _of(_PEOPLE, "people", "local_only"),
    "cards are not among what is hidden": _of(_PEOPLE, "people", "redact"),
    "only recorded": _of(_CARDS, "cards", "local_only", mode="audit"),
}


@pytest.mark.anyio
@pytest.mark.parametrize("policy", LIBERAL)
async def test_no_false_alarm(policy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy that lets the probe's values go, or hides them, or does not know them, is no alarm."""
    async with gateway_here(_setup(tmp_path, LIBERAL[policy]), monkeypatch) as here:
        answer = await here.client.get("/readyz")
        assert selfprobe_ok((await here.client.get("/metrics")).text) == 1
    told = answer.json()
    assert (told["status"], told["problems"]) == ("ready", {})


def test_what_may_leave_is_read_from_the_policy() -> None:
    """The expectation that the probe is compared with follows level and handling, not the evaluator's join."""
    found = (Found("CREDIT_CARD", 100, 1), Found("US_SSN", 85, 1))
    expected = {
        name: name not in ("restricted leaves with stand-ins", "restricted waits for approval") for name in LIBERAL
    }
    assert {name: may_leave(compile_policy(load(text)[0]), found) for name, text in LIBERAL.items()} == expected
    assert not may_leave(compile_policy(load(BASE)[0]), found)
