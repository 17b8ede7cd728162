"""Which targets may receive what: each level against each target, as the evaluator decides it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date

from gateway.domain.decision import Decision, Facts, Gate, Level
from gateway.domain.finding import DetectorState
from gateway.domain.target import Target, Zone
from gateway.policy.compile import CompiledPolicy, compile_policy
from gateway.policy.evaluate import evaluate
from gateway.policy.render.page import Block, Sentences, Table
from gateway.policy.schema import Policy

_BY_NOBODY = Facts(
    tenant="",
    app="",
    group="",
    role="",
    user="",
    dialect="",
    model="",
    found=(),
    detector=DetectorState.OK,
    unreadable=False,
    prompt_tokens=0,
    as_of=date.max,
)


def receivers(policy: Policy, targets: Sequence[Target], as_of: date) -> Iterator[Block]:
    """What is said for each level alone, because rules can only take away from it."""
    floor = compile_policy(replace(policy, rules=(), waivers=()))
    columns = [_column(floor, level, targets, as_of) for level in Level]
    rows = tuple(
        (target.id, _place(target, as_of), *(column[place] for column in columns))
        for place, target in enumerate(targets)
    )
    head = ("Model", "Where it is", *(f"{level.word.capitalize()} requests" for level in Level))
    yield Sentences("Before any rule: rules can only take away from what is permitted here.")
    yield Table("What each model may receive", head, rows)


def _column(floor: CompiledPolicy, level: Level, targets: Sequence[Target], as_of: date) -> list[str]:
    facts = replace(_BY_NOBODY, min_level=level, as_of=as_of)
    decision = evaluate(floor, facts, targets)
    waits = decision.gate is Gate.REQUIRE_APPROVAL
    if waits:
        decision = evaluate(floor, replace(facts, approved=True), targets)
    return [_cell(decision, target, "after approval" if waits else "yes") for target in targets]


def _cell(decision: Decision, target: Target, yes: str) -> str:
    if target.id not in decision.permitted:
        return "no"
    return f"{yes}, with stand-ins" if decision.redact and target.zone is Zone.CLOUD else yes


def _place(target: Target, as_of: date) -> str:
    where = "our own machines" if target.zone is Zone.LOCAL else f"cloud, {target.region}"
    labels = ", ".join(sorted(target.labels_on(as_of)))
    return f"{where} ({labels})" if labels else where
