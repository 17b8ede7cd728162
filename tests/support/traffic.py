"""Audit records of varied made-up traffic, as a gateway with a given policy would have written them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.domain.decision import BudgetState, Decision, Facts, Level
from gateway.domain.finding import DetectorState, Found
from gateway.domain.money import NanoUsd, Price, Usage
from gateway.domain.record import AuditRecord, Label, RecordKind
from gateway.domain.target import Route, Target, Zone
from gateway.policy import CompiledPolicy, evaluate

START = datetime(2026, 9, 1, tzinfo=UTC)


def target(name: str, zone: Zone, region: str, price: tuple[str, str], labels: frozenset[str] = frozenset()) -> Target:
    """A target with a price in USD per million tokens, input and output."""
    return Target(
        id=name,
        zone=zone,
        region=region,
        labels=labels,
        provider="own" if zone is Zone.LOCAL else f"cloud-of-{region}",
        model=name,
        dialect="openai_chat",
        price=Price.per_million(*price),
        max_output_tokens=1000,
        context_tokens=100_000,
    )


LOCAL = target("local", Zone.LOCAL, "on-premises", ("0.10", "0.60"))
EU = target("eu", Zone.CLOUD, "EU", ("2.00", "8.00"), frozenset({"baa"}))
US = target("us", Zone.CLOUD, "US", ("1.00", "4.00"))
ALL = (LOCAL, EU, US)
ROUTES: Mapping[str, Route] = {
    "auto": Route("auto", ("local", "eu", "us")),
    "clouds": Route("clouds", ("eu", "us")),
    "listed": Route("listed", ("us", "eu", "local"), "listed"),
}


@dataclass
class Traffic:
    """Makes requests one after the other; `number` is that of the last one."""

    policy: CompiledPolicy
    rng: random.Random
    number: int = 0

    def records(self, requests: int) -> Iterator[AuditRecord]:
        """Of so many random requests: some refused, some tried twice, some without an end."""
        for _ in range(requests):
            yield from self.request(self._facts())

    def request(self, facts: Facts, to: str = "", **changes: Any) -> Iterator[AuditRecord]:
        """The records of one request with these facts, sent to the target `to`, by default a random permitted one."""
        served = served_by(facts.model)
        decision = evaluate(self.policy, facts, served)
        common = self.common(facts, decision) | changes
        permitted = [item for item in served if item.id in decision.permitted]
        if not permitted:
            yield _refusal(common, "refused", "blocked_by_policy")
            return
        chosen = next((item for item in served if item.id == to), None) or self.rng.choice(permitted)
        chance = 1.0 if to else self.rng.random()
        if chance < 0.02:
            yield _refusal(common, "cancelled")
        elif chance < 0.06 and len(permitted) > 1:
            yield from self.attempt(common, 1, permitted[-1], answered=False)
            yield from self.attempt(common, 2, permitted[0])
        elif chance < 0.08:
            yield from self.attempt(common, 1, chosen, answered=False)
            yield _refusal(common, "refused", "target_unavailable")
        elif chance < 0.09:
            yield next(iter(self.attempt(common, 1, chosen)))
        else:
            yield from self.attempt(common, 1, chosen)

    def common(self, facts: Facts, decision: Decision) -> dict[str, Any]:
        """What every record with facts of this request says."""
        self.number += 1
        at = int((datetime(facts.as_of.year, facts.as_of.month, facts.as_of.day, tzinfo=UTC)).timestamp() * 1_000_000)
        trial = decision.trial
        return {
            "at": at + facts.minute * 60_000_000 + self.number % 1000,
            "decision": Label(f"d{self.number:025x}"),
            "tenant": Label(facts.tenant),
            "app": Label(facts.app),
            "group": Label(facts.group),
            "role": Label(facts.role),
            "user": Label(facts.user),
            "dialect": Label(facts.dialect),
            "model": Label(facts.model),
            "body_bytes": 4 * facts.prompt_tokens + 100,
            "found": facts.found,
            "detector": Label(facts.detector.value),
            "unreadable": facts.unreadable,
            "prompt_tokens": facts.prompt_tokens,
            "as_of": facts.as_of,
            "budget": Label(facts.budget.value),
            "min_level": Label("" if facts.min_level is None else facts.min_level.word),
            "max_cost": facts.max_cost,
            "minute": facts.minute,
            "labels": tuple(Label(name) for name in facts.labels),
            "policy": Label(decision.policy.hash),
            "level": Label(decision.level.word),
            "action": Label(decision.action.value),
            "because": tuple(Label(reason.rule) for reason in decision.reasons),
            "would": tuple(Label(reason.rule) for reason in decision.would),
            "would_action": Label("" if trial is None else trial.action.value),
            "would_permitted": () if trial is None else tuple(Label(name) for name in sorted(trial.permitted)),
            "permitted": tuple(Label(verdict.target) for verdict in decision.targets if verdict.permitted),
        }

    def attempt(
        self, common: Mapping[str, Any], number: int, to: Target, *, answered: bool = True
    ) -> Iterator[AuditRecord]:
        """The intent and the outcome of one try."""
        where: dict[str, Any] = {"target": Label(to.id), "zone": Label(to.zone.value), "attempt": number}
        size = common["body_bytes"] + 7 * number
        yield AuditRecord(
            **{"kind": RecordKind.INTENT, "sent_bytes": size, "reserved": NanoUsd(3_000_000), **common, **where}
        )
        came: dict[str, Any] = {"outcome": Label("failed"), "error": Label("target_unavailable")}
        if answered:
            usage = Usage(common["prompt_tokens"], self.rng.randrange(1, 500))
            came = {
                "outcome": Label("completed"),
                "input_tokens": usage.input_tokens,
                "output_tokens": usage.output_tokens,
                "cost": to.price.cost(usage),
                "cost_basis": Label("usage"),
                "first_token_ms": self.rng.randrange(50, 4000),
            }
        at = common["at"] + 1_000_000
        yield AuditRecord(kind=RecordKind.OUTCOME, at=at, decision=common["decision"], **where, **came)

    def _facts(self) -> Facts:
        rng = self.rng
        names = rng.sample(("PERSON", "EMAIL_ADDRESS", "CREDIT_CARD", "MEDICATION", "US_SSN"), rng.randrange(4))
        day = START + timedelta(days=rng.randrange(30))
        return Facts(
            tenant=rng.choice(("acme", "lab")),
            app=rng.choice(("support-bot", "hr", "batch")),
            group=rng.choice(("default", "leads")),
            role="user",
            user="",
            dialect="openai_chat",
            model=rng.choice(("auto", "clouds", "listed")),
            found=tuple(sorted(Found(name, rng.choice((40, 55, 70, 100)), rng.choice((1, 2, 5, 9))) for name in names)),
            detector=rng.choice((*[DetectorState.OK] * 30, DetectorState.FAILED)),
            unreadable=rng.random() < 0.03,
            prompt_tokens=rng.choice((10, 999, 1000, 1001, 4000, 4001, 50_000)) + rng.randrange(2),
            as_of=day.date(),
            minute=rng.randrange(1440),
            budget=BudgetState.SPENT if rng.random() < 0.03 else BudgetState.OK,
            min_level=Level.CONFIDENTIAL if rng.random() < 0.05 else None,
            labels=("patient",) if rng.random() < 0.05 else (),
        )


def _refusal(common: Mapping[str, Any], outcome: str, error: str = "") -> AuditRecord:
    return AuditRecord(kind=RecordKind.REFUSAL, outcome=Label(outcome), error=Label(error), **common)


def served_by(model: str) -> Sequence[Target]:
    known = {item.id: item for item in ALL}
    return tuple(known[name] for name in ROUTES[model].targets)
