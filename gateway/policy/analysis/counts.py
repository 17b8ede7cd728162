"""Which conditions on counts can hold together: small systems of sums, solved exactly over whole numbers.

Values of one kind are counted together with others by some lines (``any_of`` with ``at_least``) and alone by others, so
not every combination of true and false lines exists. Bounds are narrowed as far as they go, then a range is halved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Bound: TypeAlias = "tuple[tuple[int, ...], int, int]"
"""The sum over these variables is at least the first number and at most the second."""


@dataclass(frozen=True, slots=True)
class Count:
    """True where the sum over `groups` is at least `least`."""

    groups: tuple[int, ...]
    least: int


def combinations(counts: Sequence[Count], present: Sequence[int]) -> Iterator[tuple[tuple[bool, ...], tuple[int, ...]]]:
    """Every combination of truth values that `counts` can have, each with small sums per group that give it.

    `present[group]` is how many kinds of values of the group were found, so its sum is at least that, and zero where
    nothing was found.
    """
    most = max((count.least for count in counts), default=0)
    ranges = [(low, max(low, most) if low else 0) for low in present]
    yield from _split(counts, (), ranges)


def _split(
    counts: Sequence[Count], bounds: tuple[Bound, ...], ranges: list[tuple[int, int]]
) -> Iterator[tuple[tuple[bool, ...], tuple[int, ...]]]:
    solution = solve(bounds, ranges)
    if solution is None:
        return
    if len(bounds) == len(counts):
        yield tuple(low > 0 for _, low, _ in bounds), solution
        return
    count = counts[len(bounds)]
    most = sum(high for _, high in ranges)
    yield from _split(counts, (*bounds, (count.groups, 0, count.least - 1)), ranges)
    yield from _split(counts, (*bounds, (count.groups, count.least, most)), ranges)


def solve(bounds: Sequence[Bound], ranges: Sequence[tuple[int, int]]) -> tuple[int, ...] | None:
    """Whole numbers within `ranges` that keep all `bounds`, small ones first; None where there are none."""
    narrowed = _narrow(bounds, list(ranges))
    if narrowed is None:
        return None
    lows = tuple(low for low, _ in narrowed)
    if all(sum(lows[group] for group in groups) >= least for groups, least, _ in bounds):
        return lows
    widest = max(range(len(narrowed)), key=lambda group: narrowed[group][1] - narrowed[group][0])
    low, high = narrowed[widest]
    middle = (low + high) // 2
    for half in ((low, middle), (middle + 1, high)):
        tried = [*narrowed[:widest], half, *narrowed[widest + 1 :]]
        if low < high and (found := solve(bounds, tried)) is not None:
            return found
    return None


def _narrow(bounds: Sequence[Bound], ranges: list[tuple[int, int]]) -> list[tuple[int, int]] | None:
    changed = True
    while changed:
        changed = False
        for groups, least, most in bounds:
            lows, highs = sum(ranges[group][0] for group in groups), sum(ranges[group][1] for group in groups)
            if lows > most or highs < least:
                return None
            for group in groups:
                low, high = ranges[group]
                tighter = max(low, least - (highs - high)), min(high, most - (lows - low))
                if tighter[0] > tighter[1]:
                    return None
                if tighter != (low, high):
                    ranges[group] = tighter
                    lows, highs, changed = lows + tighter[0] - low, highs + tighter[1] - high, True
    return ranges
