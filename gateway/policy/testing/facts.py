"""What people write down about a request (``given``), read into facts on a fixed clock."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import TypeVar
from zoneinfo import ZoneInfo

from gateway.documents import Node, nearest, parse
from gateway.domain.decision import BudgetState, Facts, Level
from gateway.domain.finding import DetectorState, Found
from gateway.policy.load_when import LABEL, zones

WHO = ("tenant", "app", "group", "role", "user", "api", "dialect", "model")
_SITUATION = ("found", "detector", "unreadable", "prompt_tokens", "budget", "redaction_incomplete", "declared")
_MORE = ("history_level", "approved", "at", "time", "min_level", "max_cost", "max_first_token")
GIVEN = (*WHO, *_SITUATION, *_MORE)
LEVELS = {level.word: level for level in Level}
_MOMENT = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2})(Z|[+-]\d{2}:\d{2})?")
_TIME = re.compile(r"\d{2}:\d{2}")
_NOON = time(12)
_Word = TypeVar("_Word", DetectorState, BudgetState)


@dataclass(frozen=True, slots=True)
class Clock:
    """A fixed moment. `day` and `minute` (of that day) are UTC; `zone` is where times without one are told."""

    day: date
    minute: int
    zone: ZoneInfo

    @classmethod
    def at(cls, moment: datetime, zone: ZoneInfo) -> Clock:
        there = moment.astimezone(UTC)
        return cls(there.date(), there.hour * 60 + there.minute, zone)

    def at_time(self, told: time) -> Clock:
        """That time on this clock's day, both in its zone."""
        now = datetime(self.day.year, self.day.month, self.day.day, self.minute // 60, self.minute % 60, tzinfo=UTC)
        return Clock.at(datetime.combine(now.astimezone(self.zone).date(), told, self.zone), self.zone)


def read_clock(as_of: Node, zone: Node | None) -> Clock:
    """The clock of a test file. A day alone means noon of it: an ordinary request comes at an ordinary time."""
    where = ZoneInfo("UTC")
    if zone is not None and (name := zone.text()):
        known = zones()
        if name in known:
            where = ZoneInfo(name)
        else:
            zone.fail(f"unknown time zone '{name}'", nearest(name, known))
    if as_of.kind == "text" and len(as_of.text()) > len("2026-09-01"):
        return _moment(as_of, where)
    day = as_of.date()
    # A day that could not be read is the last there is, which a zone could push over the edge.
    return Clock(day, 0, where) if day == date.max else Clock.at(datetime.combine(day, _NOON, where), where)


def read_facts(text: str, as_of: date, name: str = "facts", minute: int = 0) -> Facts:
    """Facts from YAML or JSON with the keys of ``given``; `minute` is of the day `as_of` (UTC). Raises
    `DocumentError`."""
    root = parse(text, name)
    facts = given(root.mapping(GIVEN, allow_empty=True), Clock(as_of, minute, ZoneInfo("UTC")))
    root.problems.check()
    return facts


def given(fields: Mapping[str, Node], clock: Clock) -> Facts:
    """Facts from the members of ``given``; what is not given is an ordinary request by nobody in particular."""
    who = {key: fields[key].text() if key in fields else "" for key in WHO}
    if "api" in fields and "dialect" in fields:
        fields["dialect"].fail("'dialect' is another word for 'api': give one of them")
    now = _now(fields, clock)
    return Facts(
        tenant=who["tenant"],
        app=who["app"],
        group=who["group"],
        role=who["role"],
        user=who["user"],
        dialect=who["api"] or who["dialect"],
        model=who["model"],
        found=_found(fields["found"]) if "found" in fields else (),
        detector=_word(fields.get("detector"), DetectorState.OK),
        unreadable=_flag(fields.get("unreadable")),
        prompt_tokens=fields["prompt_tokens"].integer(0) if "prompt_tokens" in fields else 0,
        as_of=now.day,
        budget=_word(fields.get("budget"), BudgetState.OK),
        redaction_incomplete=_flag(fields.get("redaction_incomplete")),
        min_level=read_level(fields["min_level"]) if "min_level" in fields else None,
        max_cost=fields["max_cost"].money() if "max_cost" in fields else None,
        max_first_token=fields["max_first_token"].seconds() if "max_first_token" in fields else None,
        minute=now.minute,
        labels=_labels(fields["declared"]) if "declared" in fields else (),
        history_level=read_level(fields["history_level"]) if "history_level" in fields else None,
        approved=_flag(fields.get("approved")),
    )


def read_level(node: Node) -> Level:
    return LEVELS[node.one_of(LEVELS)]


def _flag(node: Node | None) -> bool:
    return node is not None and node.boolean()


def _word(node: Node | None, default: _Word) -> _Word:
    words = {word.value: word for word in type(default)}
    return default if node is None else words[node.one_of(words)]


def _now(fields: Mapping[str, Node], clock: Clock) -> Clock:
    if "at" in fields and "time" in fields:
        fields["time"].fail("'at' has a time already: give one of them")
    if "at" in fields:
        return _moment(fields["at"], clock.zone)
    if "time" not in fields:
        return clock
    node = fields["time"]
    text = node.text() if node.kind == "text" else ""
    try:
        if _TIME.fullmatch(text):
            return clock.at_time(time.fromisoformat(text))
    except ValueError:
        pass  # such as 25:00
    node.fail("expected a time of the day such as '22:30'")
    return clock


def _moment(node: Node, zone: ZoneInfo) -> Clock:
    match = _MOMENT.fullmatch(node.text()) if node.kind == "text" else None
    try:
        if match:
            moment = datetime.fromisoformat(f"{match[1]}T{match[2]}{match[3] or ''}")
            return Clock.at(moment if match[3] else moment.replace(tzinfo=zone), zone)
    except (ValueError, OverflowError):
        pass  # a day or a time that does not exist
    node.fail("expected a moment such as 2026-09-01T22:30 or 2026-09-01T22:30+02:00")
    return Clock(date.min, 0, zone)


def _labels(node: Node) -> tuple[str, ...]:
    for place, name in (listed := node.located_texts(allow_empty=True)):
        if not LABEL.fullmatch(name):
            place.fail(f"'{name}' is not a label: use small letters, digits, '_', '.' and '-'", name.lower())
    return tuple(sorted(name for _, name in listed))


def _found(node: Node) -> tuple[Found, ...]:
    """``{CREDIT_CARD: 1}`` (a number of distinct values, found for certain) or with ``{count: 1, percent: 60}``."""
    found = []
    for key, value in node.items(allow_empty=True):
        count, percent = 0, 100
        if value.kind == "mapping":
            fields = value.mapping(("count", "percent"), ("count", "percent"))
            count, percent = fields["count"].integer(0), fields["percent"].integer(0, 100)
        else:
            count = value.integer(0)
        found.append(Found(key.identifier(), percent, count))
    return tuple(sorted(found))
