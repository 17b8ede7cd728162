"""Reading conditions: ``when`` of a rule, ``for`` of an exception, a limit or a file."""

from __future__ import annotations

import re
from functools import cache
from zoneinfo import available_timezones

from gateway.documents import Node, nearest
from gateway.domain.decision import Level
from gateway.domain.record import label
from gateway.policy.names import Names
from gateway.policy.schema import NAMED, Line, Times, When

WHEN = (*NAMED, "level", "contains", "prompt_tokens", "declared", "time")
LINE = ("any_of", "all_of", "at_least")
TIME = ("days", "hours", "zone")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LEVELS = {level.word: level for level in Level}
LABEL = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
"""A label that callers declare."""

_OR_HIGHER = re.compile(r"(\w+) or higher")
_OVER = re.compile(r"over ([0-9]{1,9})")
_HOURS = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9]) ?- ?([01][0-9]|2[0-4]):([0-5][0-9])")


@cache
def zones() -> frozenset[str]:
    """The names of the time zones that this machine knows; a look at the disk, once."""
    return frozenset(available_timezones())


def read_when(node: Node, names: Names, allowed: tuple[str, ...] = WHEN, *, must_exist: bool = False) -> When:
    """The conditions of a mapping, of the keys `allowed`. With `must_exist` a name that nobody has is an error."""
    return when_of(node.mapping(allowed), names, must_exist=must_exist)


def when_of(fields: dict[str, Node], names: Names, *, must_exist: bool = False) -> When:
    """The conditions among these members of a mapping; others are left alone."""
    contains: tuple[str, ...] = ()
    line = None
    if "contains" in fields:
        if fields["contains"].kind == "mapping":
            line = read_line(fields["contains"], names)
        else:
            contains = names.data_types(fields["contains"])
    return When(
        names=_names(fields, names, must_exist),
        levels=_levels(fields["level"]) if "level" in fields else (),
        contains=contains,
        over_tokens=_over(fields["prompt_tokens"]) if "prompt_tokens" in fields else None,
        line=line,
        declared=_declared(fields["declared"]) if "declared" in fields else (),
        times=_times(fields["time"]) if "time" in fields else None,
    )


def read_line(node: Node, names: Names) -> Line:
    """``any_of`` or ``all_of`` with ``at_least``: a line of a level, or what a rule's ``contains`` counts."""
    fields = node.mapping(LINE)
    if fields and ("any_of" in fields) == ("all_of" in fields):
        node.fail("a line needs either any_of or all_of")
    any_of = names.data_types(fields["any_of"]) if "any_of" in fields else ()
    all_of = names.data_types(fields["all_of"]) if "all_of" in fields else ()
    at_least = fields["at_least"].integer(1, 1_000_000) if "at_least" in fields else 1
    return Line(any_of, all_of, at_least)


def _names(fields: dict[str, Node], names: Names, must_exist: bool) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found = []
    for condition in NAMED:
        if condition in fields:
            accepted = fields[condition].located_texts()
            for place, name in accepted:
                # Audit records hold these as labels; a name that is no label could not be compared again later.
                if condition != "user" and label(name) != name:
                    place.fail(f"{condition} '{name}': use only letters, digits and _ . : / @ + - (at most 96)")
                else:
                    names.somebody(condition, place, name, must=must_exist)
            found.append((condition, tuple(sorted(name for _, name in accepted))))
    return tuple(found)


def _levels(node: Node) -> tuple[Level, ...]:
    if node.kind == "text" and (match := _OR_HIGHER.fullmatch(node.text())):
        if match[1] in LEVELS:
            return tuple(level for level in Level if level >= LEVELS[match[1]])
        close = nearest(match[1], LEVELS)
        node.fail(f"unknown level '{match[1]}'", f"{close} or higher" if close else "")
        return ()
    found = []
    for place, word in node.located_texts():
        if word in LEVELS:
            found.append(LEVELS[word])
        else:
            forms = [*LEVELS, *(f"{known} or higher" for known in LEVELS)]
            place.fail(f"unknown level '{word}'", nearest(word, forms))
    return tuple(sorted(found))


def _over(node: Node) -> int | None:
    match = _OVER.fullmatch(str(node.text())) if node.kind == "text" else None
    if match:
        return int(match[1])
    node.fail("expected a number of tokens such as 'over 4000'")
    return None


def _declared(node: Node) -> tuple[str, ...]:
    found = []
    for place, name in node.located_texts():
        if LABEL.fullmatch(name):
            found.append(name)
        else:
            place.fail(
                f"'{name}' is not a label: use small letters, digits, '_', '.' and '-' (at most 64)", name.lower()
            )
    return tuple(sorted(found))


def _times(node: Node) -> Times:
    fields = node.mapping(TIME, ("zone",))
    if fields and "days" not in fields and "hours" not in fields:
        node.fail("a time needs days or hours, or both")
    start, end = _hours(fields["hours"]) if "hours" in fields else (0, 24 * 60)
    zone = fields["zone"].text()
    if zone and zone not in zones():
        fields["zone"].fail(f"unknown time zone '{zone}'", nearest(zone, zones()))
        zone = "UTC"
    return Times(_days(fields["days"]) if "days" in fields else tuple(range(7)), start, end, zone or "UTC")


def _hours(node: Node) -> tuple[int, int]:
    match = _HOURS.fullmatch(node.text()) if node.kind == "text" else None
    if match:
        start, end = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
        if end <= 24 * 60 and start != end:
            return start, end
    node.fail('expected hours such as "08:00-18:00" or, over midnight, "22:00-06:00", in quotes')
    return 0, 24 * 60


def _days(node: Node) -> tuple[int, ...]:
    found: set[int] = set()
    for place, word in node.located_texts():
        first, dash, last = (part.strip().lower() for part in word.partition("-"))
        if first in DAYS and (last in DAYS or not dash):
            begin = DAYS.index(first)
            found.update((begin + step) % 7 for step in range((DAYS.index(last) - begin) % 7 + 1 if dash else 1))
        else:
            place.fail(
                f"'{word}' is not a day such as sat, or several such as mon-fri", nearest(word.lower()[:3], DAYS)
            )
    return tuple(sorted(found))
