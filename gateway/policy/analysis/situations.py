"""All situations that policies can tell apart, completely, each with the simplest facts that make it.

Whoever is not named is anybody else; entities that count for the same data types are one kind; of counts, sizes and
times only what makes a difference to some condition is kept. Situations that nothing can tell apart any more are
joined on the way, so what is left to look at stays small, and nothing is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date

from gateway.domain.decision import Decision, Facts
from gateway.domain.target import Target
from gateway.policy.analysis.build import FOREVER, Build, Problem, build
from gateway.policy.analysis.clauses import Condition
from gateway.policy.analysis.enumerate import enumerate_states
from gateway.policy.analysis.fold import TooManySituations
from gateway.policy.analysis.marks import Bits, Lens, Marks
from gateway.policy.compile import CompiledPolicy
from gateway.policy.effects import Effect
from gateway.policy.evaluate import evaluate
from gateway.policy.schema import When

__all__ = [
    "MOST",
    "Condition",
    "Decider",
    "Lens",
    "Problem",
    "Situation",
    "TooManySituations",
    "View",
    "frozen",
    "situations",
]

MOST = 2_000_000


@dataclass(frozen=True, slots=True)
class Situation:
    """`facts` are the simplest of this situation: the fewest that are not as in an ordinary, empty request. `cost` is
    about ten for each of these. `stands_for` is how many combinations of distinguishable values lead here, `holds`
    which conditions do. Equal `key`s (of one enumeration) mean an equal decision by each policy."""

    facts: Facts
    cost: int
    stands_for: int
    holds: tuple[bool, ...]
    key: int


def situations(
    policies: Sequence[CompiledPolicy],
    conditions: Sequence[When | Condition] = (),
    *,
    as_of: date,
    most: int = MOST,
    entities: frozenset[str] | None = None,
) -> Iterator[Situation]:
    """Every situation that these policies and conditions tell apart by their reasons, on the day `as_of`.

    Exceptions and trials that end later count as lasting, and those that have ended as gone. `conditions` use the
    data types and levels of the first policy. Only `entities` are ever found; None means all. Raises
    `TooManySituations` where there would be more than `most`.
    """
    asked = tuple((0, one if isinstance(one, Condition) else Condition(one)) for one in conditions)
    yield from View(Problem(tuple(policies), asked, entities=entities), as_of, most=most)


class View:
    """An enumeration. With `only`, just the situations in which that condition holds (a place in `conditions`), or in
    which that rule or exception of the first policy, which must be shown, has a say. With `beyond`, just those in which
    the first policy does not ask for all that this effect does."""

    def __init__(
        self,
        problem: Problem,
        as_of: date,
        *,
        most: int = MOST,
        only: int | str | None = None,
        beyond: Effect | None = None,
    ) -> None:
        policies = tuple(frozen(policy, as_of) for policy in problem.policies)
        lens = problem.lens
        if beyond is not None:
            lens = replace(lens, kinds=Marks(Bits(), 0, policies[0], lens).kinds(beyond))
        self.as_of = as_of
        self.build: Build = build(replace(problem, policies=policies, lens=lens))
        self._most = most
        self._unless = 0 if beyond is None else self.build.effect(0, beyond)
        self._must = 0
        if only is not None:
            self._must = self.build.rule(0, only) if isinstance(only, str) else self.build.held(only)

    def __iter__(self) -> Iterator[Situation]:
        held = [self.build.held(number) for number in range(len(self.build.problem.conditions))]
        for gained, kept, facts in enumerate_states(self.build, self.as_of, self._most, self._must, self._unless):
            yield Situation(facts, kept[0], kept[1], tuple(bool(gained & bit) for bit in held), gained)


class Decider:
    """Decides about situations as of one day. Some need another time of the week, so they are on another day;
    exceptions, trials and labels are then still those of the day `as_of`. `settled` are the targets of that day."""

    def __init__(self, policy: CompiledPolicy, targets: Sequence[Target], as_of: date) -> None:
        self._policy = policy
        self._as_of = as_of
        self._frozen = frozen(policy, as_of)
        self.targets = tuple(targets)
        self.settled = tuple(
            replace(target, labels=target.labels_on(as_of), expiring=()) if target.expiring else target
            for target in self.targets
        )

    def __call__(self, facts: Facts) -> Decision:
        if facts.as_of == self._as_of:
            return evaluate(self._policy, facts, self.targets)
        return evaluate(self._frozen, facts, self.settled)


def frozen(policy: CompiledPolicy, day: date) -> CompiledPolicy:
    """The policy as it is on this day, on every day: what ends later lasts, what has ended is gone."""
    if all(rule.until is None for rule in policy.rules) and not policy.waivers:
        return policy
    rules = [
        rule if rule.until is None else replace(rule, until=None if day <= rule.until else date.min)
        for rule in policy.rules
    ]
    waivers = [replace(waiver, expires=FOREVER if day <= waiver.expires else date.min) for waiver in policy.waivers]
    return replace(policy, rules=tuple(rules), waivers=tuple(waivers), memo={})
