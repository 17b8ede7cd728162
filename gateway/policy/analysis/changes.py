"""What a new version of a policy changes: over all situations, what is looser, stricter or different otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from gateway.domain.decision import Decision, Facts
from gateway.domain.target import Target
from gateway.policy.analysis.causes import Causes
from gateway.policy.analysis.differences import Difference, difference
from gateway.policy.analysis.fold import TooManySituations
from gateway.policy.analysis.situations import MOST, Decider, Problem, Situation, View
from gateway.policy.analysis.subjects import Subject, subject_of
from gateway.policy.analysis.words import decided, situation
from gateway.policy.compile import CompiledPolicy

_CAUSES_APART = 200_000
"""Situations up to which each changed rule is told apart, so that every cause is listed by itself."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that differs: its id and, for each policy in which it has a say, its place in that file."""

    id: str
    old: Subject | None
    new: Subject | None


@dataclass(frozen=True, slots=True)
class Change:
    """All situations that change for the same causes and in the same direction; one that changes in several respects,
    such as where it may go and what it may cost, may be among several. `kind` is ``looser``, ``stricter``,
    ``mixed`` or ``other``. The example is the simplest of them, `situation`, `was` and `now` say it in sentences, and
    `differences` what is different in it. `situations` is how many combinations of distinguishable values there are."""

    kind: str
    causes: tuple[Cause, ...]
    differences: tuple[str, ...]
    facts: Facts
    situation: str
    old: Decision
    new: Decision
    was: str
    now: str
    situations: int


@dataclass(frozen=True, slots=True)
class Changes:
    """Each tuple has what changes most situations first. `situations` counts all, `changed` those that differ."""

    looser: tuple[Change, ...]
    stricter: tuple[Change, ...]
    mixed: tuple[Change, ...]
    other: tuple[Change, ...]
    situations: int
    changed: int

    @property
    def all(self) -> tuple[Change, ...]:
        return (*self.looser, *self.mixed, *self.stricter, *self.other)

    @property
    def loosens(self) -> bool:
        """Is anything looser, whatever else is stricter?"""
        return bool(self.looser or self.mixed)


def compare(
    old: CompiledPolicy,
    new: CompiledPolicy,
    targets: Sequence[Target],
    as_of: date,
    *,
    entities: frozenset[str] | None = None,
    most: int = MOST,
) -> Changes:
    """What `new` decides otherwise than `old` over all situations there are on the day `as_of`, with these targets.

    Only `entities` are ever found; None means all. Raises `TooManySituations` where there would be more than `most`.
    """
    return _Comparing(old, new, targets, as_of).run(entities, most)


@dataclass(slots=True)
class _Group:
    simplest: tuple[int, str]
    facts: Facts
    old: Decision
    new: Decision
    difference: Difference
    count: int = 0


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two decisions, kept so that no others can have their ids, and what is different."""

    old: Decision
    new: Decision
    differences: dict[str, Difference]


class _Comparing:
    """Goes through all situations and groups those that change."""

    def __init__(self, old: CompiledPolicy, new: CompiledPolicy, targets: Sequence[Target], as_of: date) -> None:
        self._policies = old, new
        self._as_of = as_of
        self._decide = Decider(old, targets, as_of), Decider(new, targets, as_of)
        self._causes = Causes(old, new)
        self._pairs: dict[tuple[int, int], _Pair] = {}
        self._groups: dict[tuple[str, frozenset[str]], _Group] = {}

    def run(self, entities: frozenset[str] | None, most: int) -> Changes:
        apart = self._causes.apart
        problem = Problem(self._policies, (), lambda place, name: name in apart, reasons=False, entities=entities)
        try:
            found = list(View(problem, self._as_of, most=min(most, _CAUSES_APART)))
        except TooManySituations:
            found = list(View(replace(problem, shown=lambda place, name: False), self._as_of, most=most))
        total = changed = 0
        for one in found:
            total += one.stands_for
            changed += one.stands_for if self._look(one) else 0
        return self._result(total, changed)

    def _look(self, one: Situation) -> bool:
        """Does anything change? Then add it to its groups."""
        old, new = self._decide[0](one.facts), self._decide[1](one.facts)
        key = id(old), id(new)
        if key not in self._pairs:
            self._pairs[key] = _Pair(old, new, difference(old, new, self._decide[1].targets))
        pair = self._pairs[key]
        for facet, what in pair.differences.items():
            causes = self._causes.of(facet, one.facts, old, new)
            size = one.cost, repr(one.facts)
            group = self._groups.get((what.kind, causes))
            if group is None:
                group = self._groups[what.kind, causes] = _Group(size, one.facts, pair.old, pair.new, what)
            elif size < group.simplest:
                group.simplest, group.facts, group.difference = size, one.facts, what
                group.old, group.new = pair.old, pair.new
            group.count += one.stands_for
        return bool(pair.differences)

    def _result(self, total: int, changed: int) -> Changes:
        made = [self._change(kind, causes, group) for (kind, causes), group in self._groups.items()]
        made.sort(key=lambda change: (-change.situations, [cause.id for cause in change.causes]))
        looser, stricter, mixed, other = (
            tuple(change for change in made if change.kind == kind) for kind in ("looser", "stricter", "mixed", "other")
        )
        return Changes(looser, stricter, mixed, other, total, changed)

    def _change(self, kind: str, causes: frozenset[str], group: _Group) -> Change:
        old, new = self._policies
        return Change(
            kind=kind,
            causes=tuple(Cause(name, subject_of(old, name), subject_of(new, name)) for name in sorted(causes)),
            differences=group.difference.words,
            facts=group.facts,
            situation=situation(group.facts, self._as_of),
            old=group.old,
            new=group.new,
            was=decided(group.old),
            now=decided(group.new),
            situations=group.count,
        )
