"""Everything that may hold in a situation, as clauses: conditions that must all be met, and what is gained then.

An *or* inside a condition makes several clauses with the same gain. So each clause can be followed through one
dimension after the other, and is either still possible, met, or out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import TypeAlias

from gateway.domain.decision import Level
from gateway.policy.analysis.evidence import Need
from gateway.policy.schema import FACT_OF, Times, When

Names: TypeAlias = "tuple[tuple[str, frozenset[str]], ...]"
FLAGS = ("detector", "unreadable", "budget", "redaction_incomplete", "approved")


@dataclass(frozen=True, slots=True)
class Condition:
    """What a situation must be like; more than a rule's `when` can say. None is not looked at.

    `detector` is true for failed and `budget` for spent. `min_level` is what the caller asks for at least.
    """

    when: When = field(default_factory=When)
    detector: bool | None = None
    unreadable: bool | None = None
    budget: bool | None = None
    redaction_incomplete: bool | None = None
    approved: bool | None = None
    min_level: Level | None = None

    @property
    def flags(self) -> tuple[tuple[str, bool], ...]:
        """The flags that must be as said."""
        said = ((name, getattr(self, name)) for name in FLAGS)
        return tuple((name, value) for name, value in said if value is not None)


@dataclass(frozen=True, slots=True)
class Clause:
    """`names` pairs fields of the facts with what is accepted; `levels` says which levels are, of which machine (see
    `build`). A clause is out for everybody who is one of `lifted`."""

    names: Names = ()
    label: str = ""
    over_tokens: int | None = None
    times: Times | None = None
    need: Need = field(default_factory=Need)
    levels: tuple[tuple[int, frozenset[Level]], ...] = ()
    flags: tuple[tuple[str, bool], ...] = ()
    min_level: Level | None = None
    lifted: frozenset[Names] = frozenset()


def names_of(when: When) -> Names:
    return tuple(sorted((FACT_OF[condition], frozenset(names)) for condition, names in when.names))


def both(one: Names, other: Names) -> Names | None:
    """The names that both accept; None where that is nobody."""
    met = dict(one)
    for name, accepted in other:
        met[name] = met[name] & accepted if name in met else accepted
    return tuple(sorted(met.items())) if all(met.values()) else None


def clauses_of(when: When, needs: Iterable[Need], machine: int, base: Clause | None = None) -> list[Clause]:
    """The clauses of a condition; it holds where any of them does. `machine` is whose levels `when` speaks of."""
    start = replace(
        base or Clause(),
        names=names_of(when),
        over_tokens=when.over_tokens,
        times=when.times,
        levels=((machine, frozenset(when.levels)),) if when.levels else (),
    )
    labels: Sequence[str] = when.declared or ("",)
    return [replace(start, label=label, need=need) for label, need in product(labels, needs)]
