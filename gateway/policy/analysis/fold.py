"""The enumeration itself: one dimension after the other, keeping apart only what can still be told apart.

A state is what is still possible (a mask of clauses), what was gained (a mask of bits) and how many kinds of each
group were found. Two situations in the same state will be decided alike, whatever follows, so only the one with the
fewest unusual facts is kept, and how many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

Fact: TypeAlias = "tuple[str, Any]"
Chain: TypeAlias = "tuple[Fact, Chain] | None"
State: TypeAlias = "tuple[int, int, int]"
"""Clauses still possible, what was gained, kinds found per group."""
Kept: TypeAlias = "tuple[int, int, Chain]"
"""Cost of the simplest situation, how many situations, and the unusual facts of the simplest, the last one first."""

GROUP_BITS = 16
"""For the number of kinds found of one group."""


class TooManySituations(Exception):
    """The policies tell more situations apart than were allowed; `str()` says what to do."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"the policies tell more than {most:,} situations apart, too many to look at each; "
            "rules that share their conditions make them fewer"
        )


@dataclass(frozen=True, slots=True)
class Option:
    """One value of a dimension: `out` are the clauses that it rules out. `cost` says how unusual it is, `times` for how
    many values it stands. `step` is added to the kinds found; `fact` is what to write down."""

    out: int
    gain: int = 0
    cost: int = 0
    times: int = 1
    step: int = 0
    fact: Fact | None = None


class Outcome(NamedTuple):
    """What becomes of a state: clauses that go, what is gained and lost, and the rest as in `Option`."""

    gone: int
    gain: int
    lost: int
    step: int
    cost: int
    times: int
    fact: Fact | None


class Fold:
    """`gains` are those of each clause by place; `asked` are clauses that something other than their gain depends on.
    With `must`, only states that get one of these bits are followed; with `unless`, none that has all of these.
    `drops` pairs bits with those that make no difference beside them."""

    def __init__(
        self,
        gains: tuple[int, ...],
        start: int,
        most: int,
        *,
        must: int = 0,
        unless: int = 0,
        asked: int = 0,
        drops: tuple[tuple[int, int], ...] = (),
    ) -> None:
        self._gains = gains
        self._most = most
        self._must = must
        self._unless = unless
        self._asked = asked
        self._drops = drops
        self._hopeful = sum(1 << place for place, gain in enumerate(gains) if gain & must)
        self._memo: dict[int, int] = {}
        self._settled: dict[int, tuple[int, int] | None] = {}
        self.states: dict[State, Kept] = {((1 << len(gains)) - 1, start, 0): (0, 1, None)}

    def settle(self, gained: int) -> tuple[int, int] | None:
        """What makes a difference of what was gained, and the clauses that could add nothing to it; None where nothing
        of interest can follow."""
        if gained not in self._settled:
            dropped = 0
            for bit, beside in self._drops:
                dropped |= beside if gained & bit else 0
            if self._unless and not self._unless & ~(gained | dropped):
                self._settled[gained] = None
                return None
            kept, useless = gained & ~dropped, 0
            for place, gain in enumerate(self._gains):
                useless |= 0 if gain & ~(kept | dropped) else 1 << place
            self._settled[gained] = kept, useless & ~self._asked
        return self._settled[gained]

    def gained(self, met: int) -> int:
        """What these clauses gain together."""
        if met not in self._memo:
            bits, rest = 0, met
            while rest:
                lowest = rest & -rest
                bits |= self._gains[lowest.bit_length() - 1]
                rest ^= lowest
            self._memo[met] = bits
        return self._memo[met]

    def through(self, options: Iterable[Option], relevant: int, done: int) -> None:
        """Take all states through a dimension. `relevant` are the clauses that any option rules out, or that are met
        when they survive; `done` are the latter."""
        listed = tuple(options)
        self.each(lambda alive, gained, found: alive & relevant, lambda seen: self.outcomes(seen, listed, done))

    def outcomes(self, seen: int, options: Iterable[Option], done: int) -> list[Outcome]:
        """What becomes of the clauses `seen`, alike outcomes as one."""
        found: dict[tuple[int, int, int], Outcome] = {}
        for option in options:
            met = seen & ~option.out & done
            gone, gain = seen & option.out | met, self.gained(met) | option.gain
            key = (gone, gain, option.step)
            new = Outcome(gone, gain, 0, option.step, option.cost, option.times, option.fact)
            old = found.get(key)
            if old is not None:
                new = (old if old.cost <= new.cost else new)._replace(times=old.times + new.times)
            found[key] = new
        return list(found.values())

    def each(self, seen_of: Callable[[int, int, int], Any], outcomes: Callable[[Any], list[Outcome]]) -> None:
        """Take all states through a dimension whose outcomes depend only on what `seen_of` tells of a state."""
        memo: dict[Any, list[Outcome]] = {}
        reached: dict[State, Kept] = {}
        must, hopeful, most, settled = self._must, self._hopeful, self._most, self._settled
        for (alive, gained, found), (cost, times, chain) in self.states.items():
            seen = seen_of(alive, gained, found)
            if seen not in memo:
                memo[seen] = outcomes(seen)
            for gone, gain, lost, step, more, count, fact in memo[seen]:
                total = gained & ~lost | gain
                if must and not (alive & ~gone & hopeful or total & must):
                    continue
                rest = settled[total] if total in settled else self.settle(total)
                if rest is None:
                    continue
                kept, useless = rest
                state = alive & ~gone & ~useless, kept, found + step
                there = reached.get(state)
                if there is None:
                    reached[state] = cost + more, times * count, chain if fact is None else (fact, chain)
                elif there[0] <= cost + more:
                    reached[state] = there[0], there[1] + times * count, there[2]
                else:
                    reached[state] = cost + more, there[1] + times * count, chain if fact is None else (fact, chain)
            if len(reached) > most:
                raise TooManySituations(most)
        self.states = reached
