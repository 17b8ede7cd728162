"""Moments of a year that stand for all of them: every combination of time conditions that comes about, once.

Whether a condition holds depends on the weekday and the minute on the clocks of its zone alone. So between two changes
of those clocks every week is like the next, and one week after each change tells all.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from gateway.policy.clock import MINUTES, on_clocks, within
from gateway.policy.schema import Times

YEAR = 366
_WEEK = 8  # days; a change at noon leaves half a day over


@lru_cache(64)
def moments(conditions: tuple[Times, ...], since: date) -> tuple[tuple[tuple[bool, ...], date, int], ...]:
    """Each combination of truth values that comes about in the year from `since`, with the first (day, minute), both
    UTC, at which it does. The combination of the very first minute comes first."""
    first: dict[tuple[bool, ...], tuple[date, int]] = {}
    for day in _days(conditions, since):
        for minute in _minutes(conditions, day):
            held = tuple(within(times, day, minute) for times in conditions)
            first.setdefault(held, (day, minute))
    return tuple((held, day, minute) for held, (day, minute) in first.items())


def _days(conditions: tuple[Times, ...], since: date) -> list[date]:
    zones = [ZoneInfo(name) for name in sorted({times.zone for times in conditions})]
    year = min(YEAR, (date.max - since).days)  # after that there are no days
    wanted = set(range(min(_WEEK, year + 1)))
    before = _offsets(zones, since)
    for day in range(1, year + 1):
        now = _offsets(zones, since + timedelta(days=day))
        if now != before:  # the clocks changed during the day before
            wanted.update(range(max(0, day - 2), min(year, day + _WEEK)))
            before = now
    return [since + timedelta(days=day) for day in sorted(wanted)]


def _offsets(zones: list[ZoneInfo], day: date) -> tuple[timedelta | None, ...]:
    return tuple(on_clocks(zone, day).utcoffset() for zone in zones)


def _minutes(conditions: tuple[Times, ...], day: date) -> list[int]:
    """The minutes (UTC) of a day at which anything may change; what holds at one of them holds until the next."""
    found = {0}
    for times in set(conditions):
        offsets = list(_day_offsets(ZoneInfo(times.zone), day))
        for at, _ in offsets[1:]:
            found.add(at)
        for _, offset in offsets:
            found.update((wall - offset) % MINUTES for wall in (0, times.start, times.end))
    return sorted(found)


def _day_offsets(zone: ZoneInfo, day: date) -> Iterator[tuple[int, int]]:
    """(first minute, offset in minutes) of each stretch of the day with the same offset."""
    last: int | None = None
    for quarter in range(0, MINUTES + 1, 15):  # clocks change at full quarters of an hour
        offset = on_clocks(zone, day, quarter).utcoffset()
        minutes = int((offset or timedelta()).total_seconds() // 60)
        if minutes != last:
            yield min(quarter, MINUTES - 1), minutes
            last = minutes
