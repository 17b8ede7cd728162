"""What is wrong with a file, and where."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from gateway.domain.errors import ConfigurationError

_SHOWN = 100


class Place(Protocol):
    """Anything with a place in a file; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Something wrong at a place. `line` and `column` count from 1; `suggestion` is what was probably meant."""

    file: str
    line: int
    column: int
    message: str
    suggestion: str = ""
    source_line: str = ""

    def render(self) -> str:
        """``file:line:column: message``, then the line with a caret below the place."""
        hint = f"; did you mean '{self.suggestion}'?" if self.suggestion else ""
        head = f"{self.file}:{self.line}:{self.column}: {self.message}{hint}"
        if not self.source_line:
            return head
        # A long line is shown from just before the place; every character takes one column, and none of them can
        # steer a terminal.
        start = max(0, self.column - 1 - _SHOWN // 2) if len(self.source_line) > _SHOWN else 0
        part = self.source_line[start : start + _SHOWN]
        shown = "".join(character if character.isprintable() else " " for character in part)
        return f"{head}\n    {shown}\n    {' ' * (self.column - 1 - start)}^"


class DocumentError(ConfigurationError):
    """A file cannot be used; `problems` holds everything that is wrong with it, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(problem.render() for problem in self.problems))


class Problems:
    """Collects the problems of one file, and the warnings (which do not stop it from being used)."""

    def __init__(self, file: str, text: str = "") -> None:
        self.file = file
        self.found: list[Problem] = []
        self.warnings: list[Problem] = []
        self._lines = text.split("\n")

    def at(self, line: int, column: int, message: str, suggestion: str = "") -> Problem:
        source = self._lines[line - 1].rstrip("\r") if 0 < line <= len(self._lines) else ""
        return Problem(self.file, line, column, message, suggestion, source)

    def add(self, place: Place, message: str, suggestion: str = "") -> None:
        self.found.append(self.at(place.line, place.column, message, suggestion))

    def warn(self, place: Place, message: str, suggestion: str = "") -> None:
        self.warnings.append(self.at(place.line, place.column, message, suggestion))

    def check(self) -> None:
        """Raise `DocumentError` if anything is wrong."""
        if self.found:
            raise DocumentError(self.found)


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that `word` was probably meant to be, or an empty text."""
    candidates = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(word.lower(), candidates, n=1, cutoff=0.6)
    return candidates[close[0]] if close else ""
