"""The lines of two policies that made a difference, for what is more than one rule: levels, data types, limits."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.cli.policy.reports.places import located, place_of
from gateway.cli.policy.reports.values import Responsible
from gateway.domain.decision import Decision
from gateway.policy.analysis.subjects import Subject
from gateway.policy.render import phrases
from gateway.policy.written import Written, line_key

_AMOUNTS = ("first_token", "per_request", "per_app_per_day", "when_spent")


def lines(
    name: str, subject: Subject | None, mine: Written, other: Written, decision: Decision
) -> Iterator[Responsible]:
    """The lines of `mine` for the cause `name`; of a whole section, those that `other` does not have like that."""
    found = [*_differing(subject, mine, other)]
    if found:
        yield from found
        return
    reason = next((each for each in (*decision.reasons, *decision.would) if each.rule == name), None)
    place = place_of(mine, subject)
    if reason is not None:
        yield Responsible(name, reason.effect, reason.why, place)
    elif place is not None and subject is not None and subject[0] != "section":
        yield Responsible(name, "", "", place)


def _differing(subject: Subject | None, mine: Written, other: Written) -> Iterator[Responsible]:
    if subject == ("section", "levels"):
        theirs = {(level, line) for level, group in other.policy.levels for line in group}
        for level, group in mine.policy.levels:
            for line in group:
                if (level, line) not in theirs:
                    place = located(mine.place(line_key(level, line), ("level", level.word)))
                    yield Responsible("levels", f"{level.word} with {phrases.line(line)}", "", place)
    elif subject == ("section", "data_types"):
        known = set(other.policy.data_types)
        for kind in mine.policy.data_types:
            if kind not in known:
                place = located(mine.place(("data type", kind.name)))
                words = f"{kind.name} is {', '.join(kind.detect)} from {kind.percent} %"
                yield Responsible("data_types", words, "", place)
    elif subject == ("section", "limits"):
        for key in _AMOUNTS:
            if getattr(mine.policy.limits, key) != getattr(other.policy.limits, key) and mine.says("limit", key):
                yield Responsible("limits", key, "", located(mine.place(("limit", key))))
