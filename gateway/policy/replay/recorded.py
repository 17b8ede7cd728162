"""A recorded decision, explained: why it was so, whether it still comes out so, what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.domain.decision import Decision
from gateway.domain.money import NanoUsd, in_usd
from gateway.domain.record import AuditRecord, RecordKind, label
from gateway.domain.target import Target
from gateway.domain.tree import Json, JsonObject
from gateway.policy.compile import CompiledPolicy
from gateway.policy.evaluate import evaluate
from gateway.policy.explain import Explanation, explain
from gateway.policy.recompute import CannotRecompute, facts_of


@dataclass(frozen=True, slots=True)
class Difference:
    """`what` is a member of the record, `recorded` and `now` what it says and what is computed from it, in words."""

    what: str
    recorded: str
    now: str


@dataclass(frozen=True, slots=True)
class DayBudget:
    """Nano-dollars of the app's budget of the decision's day, as the ledger says now."""

    spent: int
    reserved: int


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """`record` holds the facts, `records` is everything that was recorded of this decision, in order. `differences` is
    empty where the same decision comes out again. `other` says that another policy than the recorded one decided it
    here. `day` is None where no ledger can tell."""

    explanation: Explanation
    record: AuditRecord
    records: tuple[AuditRecord, ...]
    differences: tuple[Difference, ...]
    other: bool
    day: DayBudget | None

    def as_json(self) -> JsonObject:
        """The explanation of a decision, as everywhere, with ``found`` and ``record`` beside it. In ``record`` money is
        a decimal text in USD, times are milliseconds, sizes bytes."""
        record = self.record
        return {
            **self.explanation.as_json(),
            "found": [
                {"entity": found.entity, "percent": found.percent, "distinct": found.distinct} for found in record.found
            ],
            "record": {
                "decision": record.decision,
                "at": _time(record.at),
                "tenant": record.tenant,
                "app": record.app,
                "model": record.model,
                "comes_out_the_same": not self.differences,
                "differences": [
                    {"what": item.what, "recorded": item.recorded, "now": item.now} for item in self.differences
                ],
                "attempts": [self._attempt(intent) for intent in self._intents()],
                "refused": self._refusal(),
                "limits": self._limits(),
                "trial": _trial(self.explanation.decision),
            },
        }

    def as_lines(self) -> Iterator[str]:
        """Plain text without colour; the explanation first."""
        record = self.record
        who = "/".join(filter(None, (record.tenant, record.app)))
        yield f"Decision {record.decision}, {_time(record.at)}, {who}, model {record.model or 'unknown'}."
        if self.differences:
            other = "Another policy decides it here, and otherwise than was recorded:"
            yield other if self.other else "IT DOES NOT COME OUT THE SAME from its record and its policy:"
            for item in self.differences:
                yield f"  {item.what}: recorded {item.recorded or '(nothing)'}, now {item.now or '(nothing)'}"
            if not self.other:
                yield "The record was changed, or the targets of this model have changed since."
            yield "What follows is computed now."
        elif self.other:
            yield "Another policy decides it here, and the same as was recorded."
        else:
            yield "It comes out the same from its record and the policy of its hash."
        yield ""
        yield from self.explanation.as_lines()
        yield ""
        yield "What came of it:"
        yield from (f"  {line}" for line in self._came_of_it())
        if left := [*self._left()]:
            yield ""
            yield "Limits, and what was left of them:"
            yield from (f"  {line}" for line in left)
        trial = self.explanation.decision.trial
        if trial is not None:
            yield ""
            permitted = ", ".join(sorted(trial.permitted)) or "no target"
            yield f"If what is in audit mode were enforced: action {trial.action.value}, permitted {permitted}."

    def _intents(self) -> list[AuditRecord]:
        return [record for record in self.records if record.kind is RecordKind.INTENT]

    def _outcome(self, intent: AuditRecord) -> AuditRecord | None:
        outcomes = [
            record for record in self.records if record.kind is RecordKind.OUTCOME and record.attempt == intent.attempt
        ]
        return outcomes[-1] if outcomes else None

    def _attempt(self, intent: AuditRecord) -> Json:
        outcome = self._outcome(intent)
        return {
            "target": intent.target,
            "zone": intent.zone,
            "attempt": intent.attempt,
            "sent_bytes": intent.sent_bytes,
            "hidden": [{"entity": found.entity, "distinct": found.distinct} for found in intent.hidden],
            "reserved_usd": in_usd(intent.reserved),
            "outcome": None if outcome is None else outcome.outcome,
            "error": outcome.error or None if outcome is not None else None,
            "cost_usd": None if outcome is None else in_usd(outcome.cost),
            "cost_basis": outcome.cost_basis or None if outcome is not None else None,
            "input_tokens": None if outcome is None else outcome.input_tokens,
            "output_tokens": None if outcome is None else outcome.output_tokens,
            "first_token_ms": None if outcome is None else outcome.first_token_ms,
            "total_ms": None if outcome is None else outcome.total_ms,
        }

    def _refusal(self) -> Json:
        for record in self.records:
            if record.kind is RecordKind.REFUSAL:
                return {"outcome": record.outcome, "error": record.error or None}
        return None

    def _cost(self) -> int:
        return sum(record.cost for record in self.records if record.kind is RecordKind.OUTCOME)

    def _first_token(self) -> int | None:
        times = [record.first_token_ms for record in self.records if record.first_token_ms is not None]
        return times[-1] if times else None

    def _limits(self) -> Json:
        decision, day = self.explanation.decision, self.day
        reserved = [intent.reserved for intent in self._intents()]
        limits: JsonObject = {
            "cost_per_request_usd": None if decision.cost_cap is None else in_usd(decision.cost_cap),
            "reserved_usd": in_usd(NanoUsd(max(reserved))) if reserved else None,
            "cost_usd": in_usd(NanoUsd(self._cost())),
            "cost_per_app_per_day_usd": None if decision.day_limit is None else in_usd(decision.day_limit),
            "budget": self.record.budget or None,
            "day_spent_usd": None if day is None else in_usd(NanoUsd(day.spent)),
            "day_reserved_usd": None if day is None else in_usd(NanoUsd(day.reserved)),
            "first_token_limit_ms": None if decision.first_token is None else round(decision.first_token * 1000),
            "first_token_ms": self._first_token(),
        }
        return limits

    def _came_of_it(self) -> Iterator[str]:
        for intent in self._intents():
            outcome = self._outcome(intent)
            yield f"{intent.attempt}. {intent.target} ({intent.zone}): {_ended(outcome)}"
            hidden = ", ".join(f"{found.entity}: {found.distinct}" for found in intent.hidden)
            yield f"   {intent.sent_bytes:,} bytes for it{f', with stand-ins for {hidden}' if hidden else ''}."
        for record in self.records:
            if record.kind is RecordKind.REFUSAL:
                ended = "was refused" if record.outcome == "refused" else "was given up by the caller"
                yield f"The request {ended}{f' ({record.error})' if record.error else ''}."
        tried = {intent.target for intent in self._intents()}
        waiting = [name for name in self.record.permitted if name not in tried]
        if waiting:
            yield f"Permitted and not tried: {', '.join(waiting)}."

    def _left(self) -> Iterator[str]:
        decision, day = self.explanation.decision, self.day
        if decision.cost_cap is not None:
            yield _request_money(decision.cost_cap, [intent.reserved for intent in self._intents()], self._cost())
        if decision.day_limit is not None:
            yield _day_money(decision.day_limit, self.record.budget == "spent", day)
        if decision.first_token is not None:
            came = self._first_token()
            limit = decision.first_token * 1000
            if came is None:
                yield f"First token within {decision.first_token:g} s: none came, or it was not measured."
            else:
                late = f"{came - limit:,.0f} ms late" if came > limit else f"{limit - came:,.0f} ms left"
                yield f"First token within {decision.first_token:g} s: it came after {came:,} ms, {late}."


def explain_record(
    policy: CompiledPolicy,
    records: Sequence[AuditRecord],
    served: Sequence[Target],
    users: Mapping[str, str] | None = None,
    day: DayBudget | None = None,
) -> RecordedDecision:
    """Explain what was recorded of one decision. `policy` is the one that its record names, or another one to see what
    that would have decided; `served` are the targets of the model asked for; `users` as in `recompute`. Raises
    `CannotRecompute`."""
    record = facts_record(records)
    facts = facts_of(policy, record, users)
    decision = evaluate(policy, facts, served)
    return RecordedDecision(
        explanation=explain(policy, facts, decision),
        record=record,
        records=tuple(records),
        differences=tuple(_differences(record, decision)),
        other=record.policy not in (policy.id.hash, policy.id.short),
        day=day,
    )


def facts_record(records: Sequence[AuditRecord]) -> AuditRecord:
    """The record with the facts and the decision that counted in the end. Raises `CannotRecompute`."""
    for record in reversed(records):
        if record.detector and record.action and record.as_of is not None:
            return record
    name = records[0].decision if records else "unknown"
    raise CannotRecompute(f"decision {name}: no facts were recorded, because nothing was decided about it")


def _differences(record: AuditRecord, decision: Decision) -> Iterator[Difference]:
    trial = decision.trial
    now: dict[str, tuple[str, ...]] = {
        "level": (decision.level.word,),
        "action": (decision.action.value,),
        "because": tuple(label(reason.rule) for reason in decision.reasons),
        "would": tuple(label(reason.rule) for reason in decision.would),
        "permitted": tuple(label(verdict.target) for verdict in decision.targets if verdict.permitted),
    }
    said: dict[str, tuple[str, ...]] = {
        "level": (record.level,),
        "action": (record.action,),
        "because": record.because,
        "would": record.would,
        "permitted": record.permitted,
    }
    if trial is not None and record.would_action:  # which records of earlier versions do not have
        now["would_action"], said["would_action"] = (trial.action.value,), (record.would_action,)
        now["would_permitted"] = tuple(sorted(label(name) for name in trial.permitted))
        said["would_permitted"] = tuple(sorted(record.would_permitted))
    for name, computed in now.items():
        if computed != said[name]:
            yield Difference(name, ", ".join(said[name]), ", ".join(computed))


def _ended(outcome: AuditRecord | None) -> str:
    if outcome is None:
        return "no end is recorded"
    parts = [f"{outcome.outcome}{f' ({outcome.error})' if outcome.error else ''}"]
    if outcome.first_token_ms is not None:
        parts.append(f"first token after {outcome.first_token_ms:,} ms")
    if outcome.input_tokens or outcome.output_tokens:
        parts.append(f"{outcome.input_tokens:,} tokens in, {outcome.output_tokens:,} out")
    if outcome.cost or outcome.cost_basis in ("usage", "reserved"):
        parts.append(f"{in_usd(outcome.cost)} USD{' (as reserved)' if outcome.cost_basis == 'reserved' else ''}")
    return ", ".join(parts)


def _request_money(cap: NanoUsd, reserved: Sequence[int], cost: int) -> str:
    most = f"{in_usd(NanoUsd(max(reserved)))} USD were set aside, " if any(reserved) else ""
    left = f"{in_usd(NanoUsd(cap - cost))} USD left" if cost <= cap else f"{in_usd(NanoUsd(cost - cap))} USD over it"
    return f"{in_usd(cap)} USD for the request: {most}it cost {in_usd(NanoUsd(cost))} USD, {left}."


def _day_money(limit: NanoUsd, spent: bool, day: DayBudget | None) -> str:
    then = "it was spent then" if spent else "it was not spent then"
    if day is None:
        return f"{in_usd(limit)} USD for the app that day: {then}; the ledger cannot tell how much of it is used."
    used = NanoUsd(day.spent)
    left = NanoUsd(max(0, limit - day.spent - day.reserved))
    held = f", {in_usd(NanoUsd(day.reserved))} USD set aside" if day.reserved else ""
    return (
        f"{in_usd(limit)} USD for the app that day: {then}; now {in_usd(used)} USD of that day are spent{held}, "
        f"{in_usd(left)} USD left."
    )


def _trial(decision: Decision) -> Json:
    trial = decision.trial
    return None if trial is None else {"action": trial.action.value, "permitted": [*sorted(trial.permitted)]}


def _time(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
