"""Moments that stand for a year, against every quarter of an hour of it."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from gateway.policy.analysis.moments import moments
from gateway.policy.clock import within
from gateway.policy.schema import Times

AS_OF = date(2026, 9, 1)
EVERY = tuple(range(7))
WEEKEND = Times((5, 6), 0, 1440, "Europe/Berlin")
NIGHT = Times(EVERY, 22 * 60, 6 * 60, "America/New_York")
OFFICE = Times((0, 1, 2, 3, 4), 8 * 60, 18 * 60, "Asia/Kolkata")
# Eight in London is nine in Berlin all the year, but three or four in New York: for two weeks in spring it differs.
LONDON = Times(EVERY, 8 * 60, 9 * 60, "Europe/London")
SPRING = Times(EVERY, 4 * 60, 5 * 60, "America/New_York")


@pytest.mark.parametrize("conditions", [(WEEKEND,), (NIGHT, OFFICE, WEEKEND), (LONDON, SPRING)])
def test_every_combination_of_a_year(conditions: tuple[Times, ...]) -> None:
    """Each combination that comes about within a year is there, with a moment at which it does, and no other is."""
    found = moments(conditions, AS_OF)
    days = [AS_OF + timedelta(days=day) for day in range(366)]
    real = {tuple(within(times, day, minute) for times in conditions) for day in days for minute in range(0, 1440, 30)}
    assert {held for held, _, _ in found} == real
    for held, day, minute in found:
        assert held == tuple(within(times, day, minute) for times in conditions)


def test_what_only_two_weeks_of_spring_have() -> None:
    """Clocks change on different days; what only the days between have is found."""
    found = {held: day for held, day, _ in moments((LONDON, SPRING), AS_OF)}
    assert set(found) == {(False, False), (True, False), (False, True), (True, True)}
    assert found[True, True] in {date(2026, 10, day) for day in range(25, 32)} | {date(2027, 3, 14)}


def test_no_conditions() -> None:
    """One moment is enough: the first."""
    assert moments((), AS_OF) == (((), AS_OF, 0),)


@pytest.mark.parametrize("since", [date.min, date.max, date.max - timedelta(days=3)])
def test_where_the_calendar_ends(since: date) -> None:
    """A trial until the end of time is no reason to fail."""
    for held, day, minute in moments((NIGHT, OFFICE, WEEKEND), since):
        assert held == tuple(within(times, day, minute) for times in (NIGHT, OFFICE, WEEKEND))
