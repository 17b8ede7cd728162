"""Counting distinct values."""

from __future__ import annotations

from gateway.domain.finding import Found
from gateway.inspection.tally import tally


def test_distinct_values_at_their_best() -> None:
    """The same value counts once, in any case, at its best confidence; other entities count for themselves."""
    items = [("PERSON", "Anna", 60), ("PERSON", " anna ", 85), ("PERSON", "Ben", 60), ("LOCATION", "Anna", 60)]
    assert tally(items) == (Found("LOCATION", 60, 1), Found("PERSON", 60, 1), Found("PERSON", 85, 1))
    assert tally([]) == ()
