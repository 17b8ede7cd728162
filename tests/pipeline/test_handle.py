"""The way of one request: each error on it is recorded once, and nothing comes out of it but `GatewayError`."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from gateway.dialects import openai_chat
from gateway.domain.errors import BudgetSpent, Code, GatewayError
from gateway.domain.ports import DetectorFailed
from gateway.domain.record import RecordKind
from gateway.domain.request import Hints
from gateway.domain.target import Zone
from gateway.pipeline.guard import EgressRefused
from gateway.pipeline.handle import tightened, where
from gateway.pipeline.shapes import Redacted
from support.assembly import CALLER, Assembly, OpenPurse, RecordingProvider, a_target
from support.detectors import ListedDetector
from support.exposure import NAME
from support.playing import BLOCKING, FRUGAL

pytestmark = pytest.mark.anyio

CLOUD, HERE = a_target("cloud"), a_target("here", Zone.LOCAL, "on-premises")


async def test_a_defect_tells_nothing_outside_and_is_on_record() -> None:
    """Any exception of ours is internal_error with the type and place in the detail, and without its text."""

    class Broken:
        def redact(self, *texts: object) -> Redacted:
            raise KeyError(NAME)

    parts = Assembly(BLOCKING, {CLOUD: RecordingProvider()}, redactor=Broken())
    with pytest.raises(GatewayError) as caught:
        await parts.ask(f"Write to {NAME}")
    assert caught.value.code is Code.INTERNAL
    assert "KeyError" in caught.value.detail
    assert NAME not in f"{caught.value}{caught.value.detail}{caught.value.__cause__!r}"
    assert [(record.kind, record.error) for record in parts.log.records] == [(RecordKind.REFUSAL, "internal_error")]


async def test_a_detector_that_fails_makes_the_request_stay() -> None:
    """The failure is a fact for the policy: local only, with or without a finding."""
    detector = ListedDetector()
    detector.error = DetectorFailed("broken")
    cloud, local = RecordingProvider(), RecordingProvider()
    parts = Assembly(BLOCKING, {CLOUD: cloud, HERE: local}, detector=detector)
    await parts.ask("Hello")
    assert (len(cloud.calls), len(local.calls)) == (0, 1)
    assert parts.log.records[0].detector == "failed"


async def test_a_request_is_decided_at_most_three_times() -> None:
    """Money and redaction can each be news once; the same refusal again ends it."""
    parts = Assembly(FRUGAL, {CLOUD: RecordingProvider()}, ledger=OpenPurse(spent_out=True))
    with pytest.raises(GatewayError) as caught:
        await parts.ask("Hello")
    assert caught.value.code is Code.BUDGET_SPENT
    facts = parts.exchange.facts  # type: ignore[union-attr]
    assert facts is not None
    with pytest.raises(BudgetSpent):
        tightened(facts, BudgetSpent("s"))
    leaked = tightened(facts, EgressRefused("x", leak=True))
    assert leaked.redaction_incomplete
    with pytest.raises(EgressRefused):
        tightened(leaked, EgressRefused("x", leak=True))
    with pytest.raises(EgressRefused):
        tightened(facts, EgressRefused("not a leak"))


async def test_a_preview_leaves_no_trace() -> None:
    """It decides as `handle` would, and neither sends, reserves nor records."""
    provider = RecordingProvider()
    parts = Assembly(BLOCKING, {CLOUD: provider})
    body = ('{"model": "auto", "messages": [{"role": "user", "content": "' + NAME + '"}]}').encode()
    inspection, decision, plan = await parts.pipeline.preview(parts.pipeline.begin(CALLER, Hints(), openai_chat, body))
    assert [found.entity for found in inspection.found] == ["PERSON"]
    assert decision.redact
    assert [candidate.target.id for candidate in plan.candidates] == ["cloud"]
    assert (provider.calls, parts.log.records) == ([], [])


@pytest.mark.parametrize(("last", "answered"), [(date(2026, 9, 1), True), (date(2026, 8, 31), False)])
async def test_a_label_holds_through_its_last_day(last: date, answered: bool) -> None:
    """A target with a label that ends may be used on the last day, and not on the next, by the guard as well."""
    provider = RecordingProvider()
    policy = BLOCKING.replace("public: {action: allow}", "public: {action: allow, provider_must_have: [baa]}")
    parts = Assembly(policy, {replace(CLOUD, expiring=(("baa", last),)): provider})
    if answered:
        await parts.ask("Hello")
    else:
        with pytest.raises(GatewayError) as refused:
            await parts.ask("Hello")
        assert refused.value.code in (Code.BLOCKED, Code.NO_TARGET)
    assert len(provider.calls) == int(answered)


def test_a_defects_place_is_told_without_its_text() -> None:
    """The type and the innermost place."""
    with pytest.raises(ValueError, match=NAME) as caught:
        raise ValueError(NAME)
    assert where(caught.value).startswith("ValueError at ")
    assert NAME not in where(caught.value)
