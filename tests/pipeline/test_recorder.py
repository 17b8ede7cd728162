"""Audit lines of an exchange: everything that recomputes and reconciles, and no content."""

from __future__ import annotations

import dataclasses
import json

import pytest

from gateway.audit.codec import encode
from gateway.audit.mac import LogMac
from gateway.domain.errors import Code, GatewayError
from gateway.domain.finding import Found
from gateway.domain.record import RecordKind
from gateway.pipeline.recorder import Recorder
from support.assembly import KEY, Assembly, MemoryLog, a_target
from support.clock import FakeClock
from support.exposure import EMAIL, NAME
from support.playing import BLOCKING, Playing, whole

pytestmark = pytest.mark.anyio

CLOUD = a_target("cloud")


async def test_an_intent_says_what_is_sent_where_and_why() -> None:
    """Who, what was found and hidden, the decision and its reasons, the size and keyed hash of the very bytes."""
    provider = Playing(whole())
    parts = Assembly(BLOCKING, {CLOUD: provider})
    await parts.ask(f"Write to {NAME}", user="employee-7")
    intent = parts.log.records[0]
    sent = provider.calls[0].body
    mac = LogMac(KEY).label
    assert (intent.kind, intent.target, intent.zone, intent.attempt) == (RecordKind.INTENT, "cloud", "cloud", 1)
    assert (intent.sent_bytes, intent.sent_mac) == (len(sent), mac(sent))
    assert (intent.tenant, intent.app, intent.key, intent.user) == ("acme", "support-bot", "k3y", mac(b"employee-7"))
    assert intent.found == intent.hidden == (Found("PERSON", 100, 1),)
    assert (intent.level, intent.action, intent.because) == ("internal", "redact", ("handling.internal",))
    assert intent.permitted == ("cloud",)
    assert intent.reserved > 0
    assert intent.trace == parts.exchange.trace.id  # type: ignore[union-attr]


async def test_an_outcome_says_what_came_of_it() -> None:
    """Tokens, cost, times, and how many values were put back."""
    provider = Playing(whole())
    parts = Assembly(BLOCKING, {CLOUD: provider})
    await parts.ask("Hello")
    outcome = parts.log.records[1]
    assert (outcome.decision, outcome.attempt) == (parts.log.records[0].decision, 1)
    assert (outcome.input_tokens, outcome.output_tokens, outcome.cached_input_tokens) == (10, 5, 0)
    assert outcome.first_token_ms is not None
    assert outcome.total_ms is not None


async def test_a_refusal_says_why_nothing_was_sent() -> None:
    """With facts and decision where it came so far; with the model's name only where it is a configured one."""
    parts = Assembly(BLOCKING, {CLOUD: Playing()})
    for fields, error in (({"model": NAME}, "model_not_found"), ({"messages": 1}, "invalid_request")):
        with pytest.raises(GatewayError):
            await parts.ask("Hello", **fields)
        refusal = parts.log.records[-1]
        assert (refusal.kind, refusal.outcome, refusal.error) == (RecordKind.REFUSAL, "refused", error)
        assert refusal.model in ("", "unknown")
        assert refusal.body_bytes > 0


async def test_no_record_holds_content() -> None:
    """Neither the text nor what was found in it, in any field of any record of any kind."""
    parts = Assembly(BLOCKING, {CLOUD: Playing(whole(f"Dear {NAME}"), GatewayError(Code.INTERNAL, "x"))})
    await parts.ask(f"Write to {NAME} at {EMAIL}", user=EMAIL)
    with pytest.raises(GatewayError):
        await parts.ask(f"Write to {NAME} at {EMAIL}", model=EMAIL)
    written = b"".join(encode(record) for record in parts.log.records).decode()
    for content in (NAME, "Kowalski", EMAIL, "Dear"):
        assert content not in written
    assert json.dumps([dataclasses.asdict(record) for record in parts.log.records], default=str).count(NAME) == 0


async def test_events_are_labels() -> None:
    """Whatever a caller of `event` hands in is cut to the alphabet of labels."""
    log = MemoryLog()
    Recorder(log, FakeClock(), LogMac(KEY).label, lambda name: True).event("policy loaded", "ab" * 32, "v1\nx=«y»")
    (event,) = log.records
    assert (event.kind, event.event, event.policy) == (RecordKind.EVENT, "policy loaded", "ab" * 32)
    assert event.error == "v1-x--y-"
