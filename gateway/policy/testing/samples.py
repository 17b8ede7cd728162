"""A few requests on which a mutant should make a difference, if it makes one at all: tried before every situation is
looked at, which takes far longer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date

from gateway.domain.decision import BudgetState, Facts, Level
from gateway.domain.finding import DetectorState, Found
from gateway.policy.analysis.moments import moments
from gateway.policy.schema import FACT_OF, DataType, Line, Policy, When
from gateway.policy.testing.mutants import Mutant


def ordinary(day: date) -> Facts:
    """A request by nobody in particular in which nothing was found."""
    return Facts("", "", "", "", "", "", "", (), DetectorState.OK, False, 0, day)


def samples(policy: Policy, mutant: Mutant, day: date) -> Iterator[Facts]:
    """Requests on that day that have to do with what was changed; `policy` is the original."""
    nothing = ordinary(day)
    match mutant.kind:
        case "rule" | "exception":
            yield from _of_rule(policy, mutant, nothing)
        case "handling":
            yield replace(nothing, min_level=mutant.level)
        case "limit":
            yield nothing
            yield replace(nothing, budget=BudgetState.SPENT)
            for scope in policy.limits.scopes:
                yield from meeting(scope.who, policy, nothing)
        case "if_unsure":
            yield replace(nothing, detector=DetectorState.FAILED)
            yield replace(nothing, unreadable=True)
            yield replace(nothing, redaction_incomplete=True)
        case "data type":
            for kind, changed in zip(policy.data_types, mutant.policy.data_types, strict=True):
                if kind != changed:
                    gone = tuple(entity for entity in kind.detect if entity not in changed.detect)
                    yield from _of_type(replace(kind, detect=gone or kind.detect), policy, nothing)
        case _:
            yield nothing
            for _, lines in policy.levels:
                yield from (replace(nothing, found=found) for line in lines for found in _meeting_line(line, policy))


def meeting(when: When, policy: Policy, base: Facts) -> Iterator[Facts]:
    """Requests that meet a condition, each way of it once; fewer where conditions contradict one another."""
    ways: list[list[dict[str, object]]] = []
    ways += [[{FACT_OF[condition]: name} for name in accepted] for condition, accepted in when.names]
    if when.levels and Level.PUBLIC not in when.levels:
        ways.append([{"min_level": level} for level in when.levels])
    if when.contains:
        ways.append([{"found": found} for name in when.contains for found in _meeting_line(_any(name), policy)])
    elif when.line is not None:
        ways.append([{"found": found} for found in _meeting_line(when.line, policy)])
    if when.over_tokens is not None:
        ways.append([{"prompt_tokens": when.over_tokens + 1}])
    if when.declared:
        ways.append([{"labels": (name,)} for name in when.declared])
    if when.times is not None:
        held = [(day, minute) for (holds,), day, minute in moments((when.times,), base.as_of) if holds]
        ways.append([{"as_of": day, "minute": minute} for day, minute in held])
    if not all(ways):
        return
    first = {key: value for way in ways for key, value in way[0].items()}
    yield replace(base, **first)  # type: ignore[arg-type]  # the keys are fields of the facts
    for way in ways:
        for other in way[1:]:
            yield replace(base, **{**first, **other})  # type: ignore[arg-type]  # as above


def _of_rule(policy: Policy, mutant: Mutant, nothing: Facts) -> Iterator[Facts]:
    for rule in policy.rules:
        if rule.id == mutant.rule:
            yield from meeting(rule.when, policy, nothing)
            for waiver in policy.waivers:
                if waiver.lifts == rule.id:
                    for facts in meeting(waiver.who, policy, nothing):
                        yield from meeting(rule.when, policy, facts)


def _of_type(kind: DataType, policy: Policy, nothing: Facts) -> Iterator[Facts]:
    """Each entity alone, and with what makes a line true together with it."""
    lines = [line for _, level in policy.levels for line in level if kind.name in line.all_of]
    for percent in (100, kind.percent):
        for entity in kind.detect:
            yield replace(nothing, found=(Found(entity, percent, 1),))
            for line in lines:
                rest = replace(line, all_of=tuple(name for name in line.all_of if name != kind.name))
                for found in _meeting_line(rest, policy):
                    yield replace(nothing, found=tuple(sorted({*found, Found(entity, percent, line.at_least)})))


def _meeting_line(line: Line, policy: Policy) -> Iterator[tuple[Found, ...]]:
    """Findings that make a line true: for ``any_of`` one way for each data type."""
    entities = {kind.name: kind.detect[0] for kind in policy.data_types if kind.detect}
    if line.any_of:
        for name in line.any_of:
            yield (Found(entities[name], 100, line.at_least),)
    else:
        yield tuple(sorted({Found(entities[name], 100, line.at_least) for name in line.all_of}))


def _any(name: str) -> Line:
    return Line((name,), (), 1)
