"""What `check` found, as values that every format prints in its own way. Holds no content of any request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from gateway.documents import Problem
from gateway.domain.decision import PolicyId
from gateway.domain.tree import JsonObject

INVALID = "invalid-policy"
ADVICE = "policy-advice"
BROKEN = "guarantee-broken"
EMPTY = "guarantee-empty"
TOO_MANY = "too-many-situations"


def shown(text: str) -> str:
    """A policy's own words on one line; nothing in them can steer a terminal or end a block of a report."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


class Severity(StrEnum):
    """How bad. An ERROR is a file that cannot be used, or a guarantee that does not hold."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell about a place in a file. `code` is stable, `subject` names what it is about (a rule's id, an
    exception's, ``handling.LEVEL``) where there is such a thing, `related` are other places that belong to it, each
    with its part as the message. Line 0 of a problem means the file as a whole, which may not even be there."""

    code: str
    severity: Severity
    problem: Problem
    subject: str = ""
    related: tuple[Problem, ...] = ()

    @property
    def sentence(self) -> str:
        hint = f"; did you mean '{self.problem.suggestion}'?" if self.problem.suggestion else ""
        return f"{self.problem.message}{hint}"


@dataclass(frozen=True, slots=True)
class Responsible:
    """Something that had a say in a decision: `effect` is what it asked for, in words, `place` where it is written."""

    id: str
    effect: str
    why: str
    place: Problem | None

    @property
    def words(self) -> str:
        where = f"{self.place.file}:{self.place.line}  " if self.place else ""
        effect = f": {shown(self.effect)}" if self.effect else ""
        return f"{where}{self.id}{effect}{f'  ({shown(self.why)})' if self.why else ''}"


@dataclass(frozen=True, slots=True)
class CounterExample:
    """A situation in which a guarantee does not hold. `situation` and `decided` are sentences for people, `given` are
    the facts as a test file writes them, `permitted` the ids of the targets that it could go to."""

    situation: str
    given: JsonObject
    level: str
    action: str
    decided: str
    permitted: tuple[str, ...]
    responsible: tuple[Responsible, ...]

    def lines(self) -> Iterator[str]:
        yield f"Example: {shown(self.situation)}"
        yield f"Decided: {shown(self.decided)}"
        if self.responsible:
            yield "The lines responsible:"
            for part in self.responsible:
                yield f"  {part.words}"


@dataclass(frozen=True, slots=True)
class Proved:
    """What came of one guarantee. `situations` is how many it is about, every one of which was looked at; `broken` is
    in how many of them it does not hold, and `counter_example` the smallest of these."""

    say: str
    place: Problem
    situations: int
    broken: int
    counter_example: CounterExample | None

    @property
    def holds(self) -> bool:
        return self.counter_example is None

    def notice(self) -> Notice:
        """What to tell where it does not hold."""
        assert self.counter_example is not None
        places = [part.place for part in self.counter_example.responsible if part.place]
        lines = (f"Guarantee broken: {shown(self.say)}", *self.counter_example.lines())
        problem = replace(self.place, message="\n".join(lines))
        return Notice(BROKEN, Severity.ERROR, problem, self.say, tuple(places))


@dataclass(frozen=True, slots=True)
class FileReport:
    """One policy file. `policy` is None for a file that cannot be used; then `notices` says why.

    `targets` says in words which targets the analysis took, and `as_of` which day (UTC)."""

    file: str
    policy: PolicyId | None
    rules: int
    notices: tuple[Notice, ...]
    guarantees: tuple[Proved, ...]
    targets: str
    as_of: date

    def everything(self) -> Iterator[Notice]:
        """All that is to be mended, broken guarantees among it, in the order of the file."""
        yield from self.notices
        yield from (proved.notice() for proved in self.guarantees if not proved.holds)

    def count(self, severity: Severity) -> int:
        return sum(notice.severity is severity for notice in self.notices)

    @property
    def broken(self) -> int:
        return sum(not proved.holds for proved in self.guarantees)
