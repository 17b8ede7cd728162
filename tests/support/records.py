"""Audit records for tests."""

from __future__ import annotations

from datetime import date
from typing import Any

from gateway.domain.finding import Found
from gateway.domain.money import NanoUsd
from gateway.domain.record import AuditRecord, Label, RecordKind

AT = 1_790_000_000_000_000


def intent(number: int = 1, attempt: int = 1) -> AuditRecord:
    """The record of a request that is about to be sent, as full as they come."""
    return AuditRecord(
        kind=RecordKind.INTENT,
        at=AT + number,
        decision=decision(number),
        tenant=Label("acme"),
        app=Label("support-bot"),
        group=Label("default"),
        role=Label("user"),
        key=Label("k3y000000000"),
        dialect=Label("openai_chat"),
        model=Label("gpt-5"),
        stream=True,
        body_bytes=2048,
        body_mac=Label("0f" * 16),
        found=(Found("EMAIL_ADDRESS", 100, 2), Found("PERSON", 85, 1)),
        detector=Label("ok"),
        prompt_tokens=512,
        as_of=date(2026, 11, 21),
        budget=Label("ok"),
        policy=Label("ab" * 32),
        level=Label("internal"),
        action=Label("redact"),
        because=(Label("handling.internal"), Label("mail-is-hidden")),
        permitted=(Label("local-qwen"), Label("gpt-5-eu")),
        target=Label("gpt-5-eu"),
        zone=Label("cloud"),
        attempt=attempt,
        sent_bytes=2100,
        sent_mac=Label("1e" * 16),
        hidden=(Found("EMAIL_ADDRESS", 100, 2),),
        reserved=NanoUsd(1_500_000),
        trace=Label("7c" * 16),
    )


def outcome(number: int = 1, attempt: int = 1, **more: Any) -> AuditRecord:
    """What became of `intent(number, attempt)`."""
    said: dict[str, Any] = {"outcome": Label("completed"), "cost": NanoUsd(1_234_567), "cost_basis": Label("usage")}
    return AuditRecord(
        kind=RecordKind.OUTCOME,
        at=AT + number,
        decision=decision(number),
        target=Label("gpt-5-eu"),
        zone=Label("cloud"),
        attempt=attempt,
        **said | more,
    )


def decision(number: int) -> Label:
    return Label(f"d{number:025x}")
