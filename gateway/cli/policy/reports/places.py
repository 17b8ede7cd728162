"""Where what had a say is written: from the subjects of the analysis to lines of files."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.cli.policy.reports.values import Responsible
from gateway.documents import Node, Problem
from gateway.policy.analysis import subjects
from gateway.policy.written import Written


def located(node: Node, message: str = "") -> Problem:
    """A place with words, to be shown with its line of the file."""
    return node.problems.at(node.line, node.column, message)


def place_of(written: Written, subject: subjects.Subject | None, message: str = "") -> Problem | None:
    """Where a subject is written, else the section that it belongs to; None for what is written in no file, such as a
    bound that the caller asked for."""
    if subject is None:
        return None
    kind, name = subject
    for key in (subject, ("section", _SECTIONS.get(kind, "")), ("section", name.partition(".")[0])):
        if key in written.places:
            return located(written.places[key], message)
    return None


def named(subject: subjects.Subject) -> str:
    """A subject as reasons name it: the id of a rule or an exception, or such as ``handling.restricted``."""
    kind, name = subject
    if kind in ("handling", "unsure", "level"):
        return f"{_SECTIONS[kind]}.{name}"
    return name


def where(written: Written, parts: Iterable[subjects.Responsible]) -> tuple[Responsible, ...]:
    """What had a say, each with its line."""
    return tuple(
        Responsible(part.id, part.effect, part.why, place_of(written, part.subject, f"{part.id}: {part.effect}"))
        for part in parts
    )


_SECTIONS = {
    "rule": "rules",
    "exception": "exceptions",
    "handling": "handling",
    "unsure": "if_unsure",
    "level": "levels",
    "data type": "data_types",
    "limit": "limits",
    "ceiling": "limits",
    "scope": "limits",
}
