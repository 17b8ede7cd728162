"""Is there any situation at all in which a test could tell two policies apart?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from gateway.domain.decision import Decision, Facts
from gateway.domain.target import Target
from gateway.policy.analysis.situations import (
    Condition,
    Decider,
    Problem,
    Situation,
    TooManySituations,
    View,
)
from gateway.policy.compile import CompiledPolicy
from gateway.policy.evaluate import evaluate
from gateway.policy.schema import When
from gateway.policy.testing.expected import Seen, observed
from gateway.policy.testing.mutants import Mutant
from gateway.policy.testing.samples import samples

MOST = 200_000
"""Situations that are looked at for one pair of policies."""


@dataclass(frozen=True, slots=True)
class Difference:
    """`facts` are of the simplest situation in which two policies decide differently. None with `sure` means that there
    is none, None without that there were too many to look at."""

    facts: Facts | None
    sure: bool = True


def difference(
    one: CompiledPolicy, mutant: Mutant, other: CompiledPolicy, targets: Sequence[Target], days: Sequence[date]
) -> Difference:
    """Whether a policy and this mutant of it, compiled as `other`, decide differently on one of these days."""
    for day in days:
        for facts in samples(one.source, mutant, day):
            first, second = (Seen(policy, evaluate(policy, facts, targets), targets) for policy in (one, other))
            if observed(first) != observed(second):
                return Difference(facts)
    sure = True
    for day in days:
        try:
            simplest = _simplest(one, mutant, other, targets, day)
        except TooManySituations:
            sure = False
        else:
            if simplest is not None:
                return Difference(simplest)
    return Difference(None, sure)


def _simplest(
    one: CompiledPolicy, mutant: Mutant, other: CompiledPolicy, targets: Sequence[Target], day: date
) -> Facts | None:
    deciders = [Decider(policy, targets, day) for policy in (one, other)]
    # Decisions are kept beside their ids, so that no other decision can get the same id while this goes on.
    known: dict[tuple[int, int], tuple[bool, Decision, Decision]] = {}
    simplest: Situation | None = None
    for situation in _situations(one, mutant, other, day):
        first, second = (decide(situation.facts) for decide in deciders)
        key = id(first), id(second)
        if key not in known:
            differs = observed(Seen(one, first, targets)) != observed(Seen(other, second, targets))
            known[key] = differs, first, second
        if known[key][0] and (simplest is None or situation.cost < simplest.cost):
            simplest = situation
    return simplest.facts if simplest else None


def _situations(one: CompiledPolicy, mutant: Mutant, other: CompiledPolicy, day: date) -> View:
    """The situations that the change could have to do with; what cannot differ in the others need not be looked at."""
    when = None
    if mutant.rule is not None:
        when = next(rule.when for rule in one.source.rules if rule.id == mutant.rule)
    elif mutant.level is not None:
        when = When(levels=(mutant.level,))
    conditions = () if when is None else ((0, Condition(when)),)
    names = mutant.rule, mutant.name
    problem = Problem((one, other), conditions, lambda place, name: name in names, reasons=False, exact=True)
    return View(problem, day, most=MOST, only=0 if conditions else None)
