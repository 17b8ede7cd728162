"""From an exchange to its records: audit lines, metrics, the end of the trace. Reads everything, holds no content."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from gateway.domain.decision import Decision, Facts, Trial
from gateway.domain.errors import GatewayError
from gateway.domain.finding import Inspection
from gateway.domain.money import Usage
from gateway.domain.ports import AuditLog, Clock
from gateway.domain.record import UNKNOWN, AuditRecord, Label, RecordKind, label
from gateway.pipeline.exchange import Attempt, Exchange, Spending

Mac = Callable[[bytes], str]


class Recorder:
    """Writes what happened to the audit log. `mac` is a keyed hash (hex); `knows_model` tells a configured model name
    from one that a caller made up, which could hold anything and is therefore recorded as ``unknown``."""

    def __init__(self, audit: AuditLog, clock: Clock, mac: Mac, knows_model: Callable[[str], bool]) -> None:
        self._audit = audit
        self._clock = clock
        self._mac = mac
        self._knows_model = knows_model

    def intent(self, exchange: Exchange, attempt: Attempt) -> AuditRecord:
        """What is about to be sent where, and the facts and the decision that permit it."""
        target = attempt.candidate.target
        return AuditRecord(
            kind=RecordKind.INTENT,
            target=label(target.id),
            zone=Label(target.zone.value),
            attempt=attempt.number,
            sent_bytes=len(attempt.body),
            sent_mac=Label(self._mac(attempt.body)),
            hidden=attempt.hidden,
            reserved=attempt.reservation.amount,
            **self._who(exchange),
            **self._why(exchange),
        )

    def attempt_failed(
        self, exchange: Exchange, attempt: Attempt, error: GatewayError | None, spending: Spending
    ) -> None:
        """One try came to nothing; another may follow. Without an error the client left while it waited."""
        self._audit.submit(
            AuditRecord(
                kind=RecordKind.OUTCOME,
                at=self._now(),
                decision=Label(exchange.id),
                target=label(attempt.candidate.target.id),
                zone=Label(attempt.candidate.target.zone.value),
                attempt=attempt.number,
                outcome=Label("failed" if error else "cancelled"),
                error=Label(error.code.value) if error else Label(""),
                cost=spending.cost,
                cost_basis=Label(spending.basis),
                total_ms=_milliseconds(self._clock.monotonic() - attempt.began),
                trace=Label(exchange.trace.id),
            )
        )

    def finished(
        self, exchange: Exchange, attempt: Attempt, outcome: str, error: GatewayError | None, spending: Spending
    ) -> None:
        """The exchange is over. `outcome` is ``completed``, ``cancelled`` (the client left), ``broken`` (in the middle
        of a stream) or ``failed``. The cost is this attempt's own: those before it have records of their own, and a sum
        must count nothing twice."""
        usage = attempt.usage or Usage(0, 0)
        first = attempt.first_event
        self._audit.submit(
            AuditRecord(
                kind=RecordKind.OUTCOME,
                at=self._now(),
                decision=Label(exchange.id),
                target=label(attempt.candidate.target.id),
                zone=Label(attempt.candidate.target.zone.value),
                attempt=attempt.number,
                outcome=Label(outcome),
                error=Label(error.code.value) if error else Label(""),
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                cached_input_tokens=usage.cached_input_tokens,
                cost=spending.cost,
                cost_basis=Label(spending.basis),
                restored=exchange.restored,
                masked=exchange.masked,
                first_token_ms=None if first is None else _milliseconds(first - attempt.began),
                total_ms=_milliseconds(self._clock.monotonic() - exchange.began),
                trace=Label(exchange.trace.id),
            )
        )

    def refused(self, exchange: Exchange, error: GatewayError | None) -> None:
        """The request went nowhere (or its last attempt failed, whose own record precedes this one). Without an error
        the client left."""
        self._audit.submit(
            AuditRecord(
                kind=RecordKind.REFUSAL,
                outcome=Label("refused" if error else "cancelled"),
                error=Label(error.code.value) if error else Label(""),
                total_ms=_milliseconds(self._clock.monotonic() - exchange.began),
                **self._who(exchange),
                **self._why(exchange),
            )
        )

    def event(self, name: str, policy: str = "", detail: str = "", *, target: str = "", model: str = "") -> None:
        """Something that happened to the gateway itself, or to the `model` of a `target`. All are labels."""
        self._audit.submit(
            AuditRecord(
                kind=RecordKind.EVENT,
                at=self._now(),
                decision=Label(""),
                event=label(name),
                policy=label(policy),
                target=label(target),
                model=label(model),
                error=label(detail),
            )
        )

    def _now(self) -> int:
        return _microseconds(self._clock.now())

    def _who(self, exchange: Exchange) -> dict[str, Any]:
        caller, request, user = exchange.caller, exchange.request, exchange.user
        model = request.model if request else ""
        return {
            "at": self._now(),
            "decision": Label(exchange.id),
            "tenant": Label(caller.tenant),
            "app": Label(caller.app),
            "group": Label(caller.group),
            "role": Label(caller.role),
            "key": Label(caller.key),
            "user": Label(self._mac(user.encode())) if user else Label(""),
            "dialect": Label(exchange.dialect.DIALECT),
            "model": label(model) if not model or self._knows_model(model) else UNKNOWN,
            "stream": bool(request and request.stream),
            "body_bytes": len(exchange.body),
            "body_mac": Label(self._mac(exchange.body)),
            "trace": Label(exchange.trace.id),
            "approval": label(exchange.approval),
        }

    def _why(self, exchange: Exchange) -> dict[str, Any]:
        return {**_facts(exchange.facts, exchange.inspection), **_decision(exchange.decision)}


def _facts(facts: Facts | None, inspection: Inspection | None) -> dict[str, Any]:
    if facts is None or inspection is None:
        return {}
    return {
        "found": facts.found,
        "detector": Label(facts.detector.value),
        "unreadable": facts.unreadable,
        "prompt_tokens": facts.prompt_tokens,
        "as_of": facts.as_of,
        "budget": Label(facts.budget.value),
        "redaction_incomplete": facts.redaction_incomplete,
        "min_level": Label(facts.min_level.word) if facts.min_level is not None else Label(""),
        "max_cost": facts.max_cost,
        "max_first_token_ms": None if facts.max_first_token is None else _milliseconds(facts.max_first_token),
        "minute": facts.minute,
        "labels": tuple(map(label, facts.labels)),
        "history_level": Label(facts.history_level.word) if facts.history_level is not None else Label(""),
    }


def _decision(decision: Decision | None) -> dict[str, Any]:
    if decision is None:
        return {}
    return {
        "policy": Label(decision.policy.hash),
        "level": Label(decision.level.word),
        "action": Label(decision.action.value),
        "because": tuple(label(reason.rule) for reason in decision.reasons),
        "would": tuple(label(reason.rule) for reason in decision.would),
        "permitted": tuple(label(verdict.target) for verdict in decision.targets if verdict.permitted),
        **(_obligations(decision) if decision.obliges else {}),
        **(_trial(decision.trial) if decision.trial is not None else {}),
    }


def _obligations(decision: Decision) -> dict[str, Any]:
    return {
        "notified": tuple(map(label, decision.notify)),
        "retain_days": decision.retain_days,
        "log_content": Label(decision.log_content.name.lower()) if decision.log_content else Label(""),
    }


def _trial(trial: Trial) -> dict[str, Any]:
    return {
        "would_action": Label(trial.action.value),
        "would_permitted": tuple(label(name) for name in sorted(trial.permitted)),
    }


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _microseconds(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp() * 1_000_000)
