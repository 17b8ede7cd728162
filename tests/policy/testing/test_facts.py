from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from gateway.documents import DocumentError, parse
from gateway.domain.decision import Facts, Level
from gateway.policy.testing.facts import GIVEN, Clock, given, read_clock, read_facts
from support.policies import AS_OF


def clock(head: str) -> Clock:
    root = parse(head, "file")
    fields = root.mapping(("as_of", "zone"), ("as_of",))
    found = read_clock(fields["as_of"], fields.get("zone"))
    root.problems.check()
    return found


def at(head: str, facts: str) -> tuple[str, int]:
    """Day and minute (UTC) of these facts in a file with this head."""
    root = parse(facts, "facts")
    found = given(root.mapping(GIVEN, allow_empty=True), clock(head))
    root.problems.check()
    return str(found.as_of), found.minute


def problems(text: str) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        read_facts(text, AS_OF)
    return [problem.message for problem in caught.value.problems]


def test_what_a_caller_and_a_conversation_add() -> None:
    """Declared labels, the level of the conversation so far, an approval, and the API's name arrive."""
    facts = read_facts("{api: openai_chat, declared: [vip, patient], history_level: restricted, approved: true}", AS_OF)
    assert (facts.dialect, facts.labels) == ("openai_chat", ("patient", "vip"))
    assert (facts.history_level, facts.approved) == (Level.RESTRICTED, True)
    assert read_facts("{dialect: openai_chat}", AS_OF).dialect == "openai_chat"


def test_every_field_of_the_facts_can_be_given() -> None:
    """No field of the facts is out of a test's reach: giving everything leaves no field at its ordinary value."""
    told = (
        "{tenant: t, app: a, group: g, role: r, user: u, api: p, model: m, found: {PERSON: 1}, detector: failed,"
        " unreadable: true, prompt_tokens: 5, budget: spent, redaction_incomplete: true, declared: [x],"
        " history_level: internal, approved: true, at: 2026-10-01T08:00Z, min_level: internal, max_cost: 1 USD,"
        " max_first_token: 1s}"
    )
    everything, nothing = read_facts(told, AS_OF), read_facts("{}", AS_OF)
    assert [name for name in Facts.__slots__ if getattr(everything, name) == getattr(nothing, name)] == []


@pytest.mark.parametrize(
    ("head", "facts", "expected"),
    [
        ("as_of: 2026-09-01", "{}", ("2026-09-01", 12 * 60)),
        ("{as_of: 2026-09-01, zone: Europe/Berlin}", "{}", ("2026-09-01", 10 * 60)),
        ("as_of: 2026-09-01T22:30+02:00", "{}", ("2026-09-01", 20 * 60 + 30)),
        ("as_of: 2026-09-01T22:30Z", "{}", ("2026-09-01", 22 * 60 + 30)),
        ("{as_of: 2026-09-01T00:30, zone: Europe/Berlin}", "{}", ("2026-08-31", 22 * 60 + 30)),
        ("{as_of: 2026-09-01, zone: Europe/Berlin}", '{time: "22:30"}', ("2026-09-01", 20 * 60 + 30)),
        ("{as_of: 2026-09-01, zone: Europe/Berlin}", '{time: "00:30"}', ("2026-08-31", 22 * 60 + 30)),
        ("{as_of: 2026-01-10, zone: Europe/Berlin}", '{time: "22:30"}', ("2026-01-10", 21 * 60 + 30)),
        ("{as_of: 2026-09-01, zone: Europe/Berlin}", "{at: 2026-12-24T18:00}", ("2026-12-24", 17 * 60)),
        ("{as_of: 2026-09-01, zone: Europe/Berlin}", "{at: 2026-12-24T18:00-05:00}", ("2026-12-24", 23 * 60)),
    ],
)
def test_the_clock_is_fixed_and_has_a_zone(head: str, facts: str, expected: tuple[str, int]) -> None:
    """Days and times are told in the file's zone (summer and winter), and facts hold them in UTC."""
    assert at(head, facts) == expected


def test_a_time_keeps_to_the_day_of_the_file() -> None:
    """`time` is a time of the file's day as it is in its zone, also where UTC has another day."""
    late = Clock(date(2026, 8, 31), 23 * 60, ZoneInfo("Europe/Berlin"))  # 01:00 on 1 September in Berlin
    root = parse('{time: "23:00"}', "facts")
    found = given(root.mapping(GIVEN), late)
    assert (found.as_of, found.minute) == (date(2026, 9, 1), 21 * 60)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{api: a, dialect: b}", "'dialect' is another word for 'api': give one of them"),
        ('{at: 2026-09-01T08:00Z, time: "08:00"}', "'at' has a time already: give one of them"),
        ('{time: "25:00"}', "expected a time of the day such as '22:30'"),
        ("{time: 22}", "expected a time of the day such as '22:30'"),
        ("{at: 2026-02-30T08:00Z}", "expected a moment such as 2026-09-01T22:30 or 2026-09-01T22:30+02:00"),
        ("{at: 0001-01-01T00:00+05:00}", "expected a moment such as 2026-09-01T22:30 or 2026-09-01T22:30+02:00"),
        (
            "{declared: [A B]}",
            "'A B' is not a label: use small letters, digits, '_', '.' and '-'",
        ),
        ("{history_level: secret}", "'secret' is not one of public, internal, confidential, restricted"),
    ],
)
def test_what_cannot_be_is_told(text: str, message: str) -> None:
    """Contradictions and moments that do not exist are errors, not guesses."""
    assert problems(text) == [message]


def test_an_unknown_zone_is_told_with_the_one_that_was_meant() -> None:
    """A slip in a zone's name would move every time in the file."""
    with pytest.raises(DocumentError, match="unknown time zone 'Europe/Berlinn'; did you mean 'Europe/Berlin'"):
        clock("{as_of: 2026-09-01, zone: Europe/Berlinn}")


@pytest.mark.parametrize("as_of", ["2026-02-30", "yesterday", "9999-12-31", "2026-09-01T25:00", "5"])
def test_a_day_that_does_not_exist_is_an_error(as_of: str) -> None:
    """Whatever stands for the day, it is a day or an error with a place."""
    if as_of == "9999-12-31":
        assert clock(f"{{as_of: {as_of}, zone: Pacific/Kiritimati}}").day == date.max
    else:
        with pytest.raises(DocumentError):
            clock(f"{{as_of: {as_of}, zone: Pacific/Kiritimati}}")
