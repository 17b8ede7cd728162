"""Counting findings without keeping what was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from gateway.domain.finding import Found


def tally(items: Iterable[tuple[str, str, int]]) -> tuple[Found, ...]:
    """From (entity, value, percent): distinct values per entity, each counted once, at its best confidence.

    Values that differ only in case or in white space around them are one.
    """
    best: dict[tuple[str, str], int] = {}
    for entity, value, percent in items:
        key = (entity, value.strip().casefold())
        best[key] = max(percent, best.get(key, 0))
    if not best:  # most texts
        return ()
    counts = Counter((entity, percent) for (entity, _), percent in best.items())
    return tuple(sorted(Found(entity, percent, count) for (entity, percent), count in counts.items()))
