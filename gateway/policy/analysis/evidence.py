"""What can be found in a request, reduced to what policies can tell apart.

An entity found with some confidence counts for some data types. All that count for the same ones are one *kind*. How
many values of a kind there are matters only where a line counts them together with others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TypeAlias

from gateway.domain.decision import Level
from gateway.domain.finding import Found
from gateway.policy.analysis.counts import Count
from gateway.policy.compile import CompiledPolicy
from gateway.policy.schema import DataType, Line, When

TypeKey: TypeAlias = "tuple[tuple[str, ...], int]"
"""A data type by what it means: its entities and the least percent."""


@dataclass(frozen=True, slots=True)
class Need:
    """One way in which a condition on data holds: all these kinds are found, all these counts are reached."""

    kinds: frozenset[int] = frozenset()
    counts: frozenset[int] = frozenset()


ANYTHING: tuple[Need, ...] = (Need(),)


def type_key(kind: DataType) -> TypeKey:
    return kind.detect, kind.percent


@dataclass(slots=True)
class Evidence:
    """`samples` holds a finding of each kind; `groups` the kinds that are always counted together; `counts` what is
    counted, over places in `groups`."""

    samples: tuple[Found, ...]
    types: dict[TypeKey, frozenset[int]]
    counts: list[Count] = field(default_factory=list)
    groups: list[frozenset[int]] = field(default_factory=list)
    _sums: dict[tuple[frozenset[int], int], int] = field(default_factory=dict)

    @classmethod
    def of(
        cls, policies: Sequence[CompiledPolicy], conditions: Sequence[tuple[int, When]], entities: frozenset[str] | None
    ) -> Evidence:
        """The kinds that these policies tell apart; `conditions` are pairs of a policy's place and a condition that
        uses its data types. Only `entities` are ever found; None means all."""
        used: set[TypeKey] = set()
        for place, policy in enumerate(policies):
            lines = [line for _, level in policy.source.levels for line in level]
            whens = [rule.when for rule in policy.source.rules] + [when for of, when in conditions if of == place]
            names = set(_named(lines, whens))
            used |= {type_key(kind) for kind in policy.source.data_types if kind.name in names}
        kinds = _kinds(used, entities)
        types = {key: frozenset(place for place, held in enumerate(kinds) if key in held) for key in used}
        return cls(tuple(kinds.values()), types)

    def needs(self, policy: CompiledPolicy, when: When) -> tuple[Need, ...]:
        """The ways in which the data conditions of `when` hold."""
        types = {kind.name: self.types.get(type_key(kind), frozenset()) for kind in policy.source.data_types}
        contains = ANYTHING
        if when.contains:
            kinds = frozenset().union(*(types[name] for name in when.contains))
            contains = tuple(Need(frozenset({kind})) for kind in sorted(kinds))
        line = ANYTHING if when.line is None else self.line(policy, when.line)
        return tuple(
            dict.fromkeys(
                Need(one.kinds | other.kinds, one.counts | other.counts) for one, other in product(contains, line)
            )
        )

    def line(self, policy: CompiledPolicy, line: Line) -> tuple[Need, ...]:
        """The ways in which a line is true."""
        types = {kind.name: self.types.get(type_key(kind), frozenset()) for kind in policy.source.data_types}
        if line.at_least > 1:
            parts = [frozenset().union(*(types[name] for name in line.any_of))] if line.any_of else []
            parts += [types[name] for name in line.all_of]
            return (Need(counts=frozenset(self._sum(part, line.at_least) for part in parts)),) if all(parts) else ()
        if line.any_of:
            kinds = frozenset().union(*(types[name] for name in line.any_of))
            return tuple(Need(frozenset({kind})) for kind in sorted(kinds))
        ways = {frozenset(way) for way in product(*(sorted(types[name]) for name in line.all_of))}
        # A way that needs more than another adds nothing.
        return tuple(Need(way) for way in sorted(ways, key=sorted) if not any(other < way for other in ways))

    def _sum(self, kinds: frozenset[int], least: int) -> int:
        return self._sums.setdefault((kinds, least), len(self._sums))

    def close(self) -> None:
        """To be called when all conditions have been asked for: groups the kinds that are counted alike."""
        summed: dict[int, set[frozenset[int]]] = {}
        for kinds, _ in self._sums:
            for kind in kinds:
                summed.setdefault(kind, set()).add(kinds)
        together: dict[frozenset[frozenset[int]], set[int]] = {}
        for kind, sums in summed.items():
            together.setdefault(frozenset(sums), set()).add(kind)
        self.groups = [frozenset(group) for group in together.values()]
        self.counts = [
            Count(tuple(place for place, group in enumerate(self.groups) if group <= kinds), least)
            for kinds, least in self._sums
        ]


def _named(lines: Iterable[Line], whens: Iterable[When]) -> Iterator[str]:
    whens = tuple(whens)
    for line in (*lines, *(when.line for when in whens if when.line is not None)):
        yield from line.any_of
        yield from line.all_of
    for when in whens:
        yield from when.contains


def _kinds(types: set[TypeKey], entities: frozenset[str] | None) -> dict[frozenset[TypeKey], Found]:
    """Each set of data types that one finding can count for, with the surest and first such finding."""
    found: dict[frozenset[TypeKey], Found] = {}
    named = sorted({entity for detect, _ in types for entity in detect if entities is None or entity in entities})
    for entity in named:
        holding = [key for key in types if entity in key[0]]
        for percent in sorted({100, *(least for _, least in holding)}, reverse=True):
            held = frozenset(key for key in holding if percent >= key[1])
            if held:
                found.setdefault(held, Found(entity, percent, 1))
    return found


def level_needs(evidence: Evidence, policy: CompiledPolicy) -> list[tuple[Level, tuple[Need, ...]]]:
    """The ways in which each level of a policy is reached."""
    return [(level, evidence.line(policy, line)) for level, lines in policy.source.levels for line in lines]
