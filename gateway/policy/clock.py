"""Is it that time of the week? From the facts' own day and minute, never from a clock."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from gateway.policy.schema import Times

MINUTES = 1440
"""Of a day."""


@lru_cache(4096)  # requests of the same minute come in thousands
def within(times: Times, day: date, minute: int) -> bool:
    """Does this minute of this day (UTC) lie in `times`?"""
    there = on_clocks(ZoneInfo(times.zone), day, minute)
    weekday, now = there.weekday(), there.hour * 60 + there.minute
    if times.start < times.end:
        return weekday in times.days and times.start <= now < times.end
    return (weekday in times.days and now >= times.start) or ((weekday - 1) % 7 in times.days and now < times.end)


def on_clocks(zone: ZoneInfo, day: date, minute: int = 0) -> datetime:
    """This minute of this day (UTC) on the clocks of a zone; on those of UTC where the calendar ends."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    try:
        return (midnight + timedelta(minutes=minute)).astimezone(zone)
    except OverflowError:
        return midnight + timedelta(minutes=min(minute, MINUTES - 1))
