"""Single things of a policy in words: amounts, days, conditions, and what is done with a request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from gateway.domain.decision import Action
from gateway.domain.money import NanoUsd, in_usd
from gateway.policy.schema import Approval, Line, Outcome, Times, When

_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"))
_WHOLE_DAY = 24 * 60
# How a condition on a name reads after "Requests", for one name and for several.
_OF = {
    "tenant": ("of the tenant", "of the tenants"),
    "app": ("of the app", "of the apps"),
    "group": ("by the group", "by the groups"),
    "role": ("with the role", "with the roles"),
    "user": ("by the user", "by the users"),
    "model": ("for the model", "for the models"),
    "api": ("over the API", "over the APIs"),
}


def listed(words: Iterable[str], last: str = "and") -> str:
    """Such as ``a, b and c``."""
    *others, final = words
    return f"{', '.join(others)} {last} {final}" if others else final


def quoted(text: str) -> str:
    return f"“{text}”"


def day(value: date) -> str:
    """Such as ``31 December 2026``: no reader takes the month for the day."""
    return f"{value.day} {_MONTHS[value.month - 1]} {value.year}"


def money(amount: NanoUsd) -> str:
    return f"{in_usd(amount)} USD"


def duration(seconds: float) -> str:
    """Exact, in the largest unit that makes a whole number: ``24 hours``, ``90 seconds``, ``0.5 seconds``."""
    for size, unit in _UNITS:
        if seconds >= size and seconds % size == 0 and (unit != "day" or seconds > size):
            return count(int(seconds // size), unit)
    whole = int(seconds)
    return count(whole, "second") if seconds == whole else f"{seconds!r} seconds"


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def line(value: Line) -> str:
    """What must be in a request for the line to be true, to follow *contains*."""
    if value.all_of:
        if value.at_least == 1:
            first, *others = value.all_of
            return f"{first} together with {listed(others)}" if others else first
        each = f"each of {listed(value.all_of)}" if len(value.all_of) > 1 else value.all_of[0]
        return f"at least {value.at_least:,} different values of {each}"
    if value.at_least == 1:
        return listed(value.any_of, "or")
    total = "a total of at least" if len(value.any_of) > 1 else "at least"
    return f"{total} {value.at_least:,} different values of {listed(value.any_of, 'or')}"


def whom(who: When) -> str:
    """For whom a limit is: ``Requests of the app x``, without the first word."""
    return listed(_named(who))


def requests(when: When) -> str:
    """The requests that a condition speaks of, as the subject of a sentence."""
    named = _named(when)
    those = []
    if when.levels:
        those.append(f"that are {listed([level.word for level in sorted(when.levels)], 'or')}")
    if when.contains:
        those.append(f"that contain {listed(when.contains, 'or')}")
    if when.line:
        those.append(f"that contain {line(when.line)}")
    if when.declared:
        those.append(f"that the caller declared as {listed(when.declared, 'or')}")
    if when.over_tokens is not None:
        those.append(f"whose prompt is longer than {when.over_tokens:,} tokens")
    if when.times:
        those.append(f"that arrive {_time(when.times)}")
    if not named and not those:
        return "All requests"
    if len(named) + len(those) > 2 and named and those:
        return f"Requests {', '.join(named)}, {' and '.join(those)},"
    return f"Requests {' '.join([part for part in (', '.join(named), ' and '.join(those)) if part])}"


def clauses(outcome: Outcome) -> list[str]:
    """What is done with requests, each to follow *they*; empty where nothing is asked for."""
    said = _movement(outcome)
    if outcome.regions is not None:
        said.append(_regions(outcome.regions))
    if outcome.provider_must_have:
        labels = "label" if len(outcome.provider_must_have) == 1 else "labels"
        said.append(f"may go to clouds only where the provider has the {labels} {listed(outcome.provider_must_have)}")
    if outcome.cost_per_request is not None:
        said.append(f"may cost at most {money(outcome.cost_per_request)} each")
    if outcome.first_token is not None:
        said.append(f"are to get the beginning of their answer within {duration(outcome.first_token)}")
    if outcome.hide_in_answers:
        hidden = listed(outcome.hide_in_answers, "or")
        said.append(f"get answers in which every value of {hidden} is replaced by its kind")
    if outcome.notify:
        channel = "channel" if len(outcome.notify) == 1 else "channels"
        said.append(f"are reported to the {channel} {listed(outcome.notify)}")
    if outcome.retain_days is not None:
        said.append(f"leave nothing that is kept for more than {count(outcome.retain_days, 'day')}")
    if outcome.log_content:
        said.append(_LOGGED[outcome.log_content])
    return said


_LOGGED = {
    "never": "never have their content kept in a log",
    "encrypted": "may have their content kept in a log only in encrypted form",
}


def _movement(outcome: Outcome) -> list[str]:
    """Where requests may go at all, and how."""
    if outcome.action is Action.BLOCK:
        said = ["are refused"]
    elif outcome.action is Action.REQUIRE_APPROVAL:
        said = [f"wait until {_approved(outcome.approval)}"]
    elif outcome.action is Action.LOCAL_ONLY:
        said = ["stay on our own machines"]
    else:
        said = []
    if outcome.redact is None:
        said.append("reach clouds only with stand-ins in place of every value of every kind of data of this policy")
    elif outcome.redact:
        said.append(f"reach clouds only with stand-ins in place of every value of {listed(outcome.redact, 'or')}")
    return said


def _approved(approval: Approval | None) -> str:
    if approval is None:
        return "they are approved, which nobody may do, so they are refused"
    groups = "group" if len(approval.approvers) == 1 else "groups"
    held = duration(approval.seconds)
    return f"a member of the {groups} {listed(approval.approvers, 'or')} has approved them, which holds for {held}"


def _regions(regions: Sequence[str]) -> str:
    if not regions:  # what is left where a file and the one that it extends have no region in common
        return "may go to no cloud, because no region is left"
    return f"may go to clouds only in the {'region' if len(regions) == 1 else 'regions'} {listed(regions, 'or')}"


def _named(who: When) -> list[str]:
    return [f"{_OF[name][len(accepted) > 1]} {listed(accepted, 'or')}" for name, accepted in who.names]


def _time(times: Times) -> str:
    days = "" if len(times.days) == len(_WEEKDAYS) else _days(times.days)
    if (times.start, times.end) == (0, _WHOLE_DAY):
        return f"{days or 'on any day'} ({times.zone} time)"
    overnight = " of the next day" if times.start >= times.end else ""
    hours = f"from {_clock(times.start)} until {_clock(times.end)}{overnight}"
    return f"{hours} ({times.zone} time){f', beginning {days}' if days and overnight else f' {days}' if days else ''}"


def _days(days: Sequence[int]) -> str:
    """``on days from Monday to Friday`` for three days or more in a row, otherwise each by its name."""
    if len(days) > 2 and tuple(days) == tuple(range(days[0], days[-1] + 1)):
        return f"on days from {_WEEKDAYS[days[0]]} to {_WEEKDAYS[days[-1]]}"
    return f"on a {listed([_WEEKDAYS[number] for number in days], 'or')}"


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
