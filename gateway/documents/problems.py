"""What is wrong with a file, and where."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from gateway.documents.characters import odd
from gateway.domain.errors import ConfigurationError

_SHOWN = 100
_MOST = 100
"""Problems that are told one by one: who mends these has mended the rest, or most of it."""
_LONG = re.compile(r"(?<![^\s(])'([^'\n]{60})[^'\n]{20,}'(?!\w)")
_QUOTED = re.compile(r"'([^'\n]+)'")
_BREAK = re.compile(r"\r\n|\r|\n")


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
        head = _safe(f"{self.file}:{self.line}:{self.column}: {self.message}{hint}")
        if not self.source_line:
            return head
        # A long line is shown from just before the place; every character takes one column.
        start = max(0, self.column - 1 - _SHOWN // 2) if len(self.source_line) > _SHOWN else 0
        part = self.source_line[start : start + _SHOWN]
        return f"{head}\n    {_safe(part)}\n    {' ' * (self.column - 1 - start)}^"


class DocumentError(ConfigurationError):
    """A file cannot be used; `problems` holds everything that is wrong with it, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        more = len(self.problems) - _MOST
        rest = [f"and {more} more {'problem' if more == 1 else 'problems'} in this file"] if more > 0 else []
        super().__init__("\n".join([*(problem.render() for problem in self.problems[:_MOST]), *rest]))


class Problems:
    """Collects the problems of one file, and the warnings (which do not stop it from being used)."""

    def __init__(self, file: str, text: str = "") -> None:
        self.file = file
        self.found: list[Problem] = []
        self.warnings: list[Problem] = []
        self._lines = _BREAK.split(text)

    def at(self, line: int, column: int, message: str, suggestion: str = "") -> Problem:
        source = self._lines[line - 1] if 0 < line <= len(self._lines) else ""
        words = _LONG.sub(r"'\1…'", message)
        if suggestion.isascii() and suggestion and (quoted := _QUOTED.search(message)) and (note := odd(quoted[1])):
            words = f"{words} ({note})"  # the two may look the same
        return Problem(self.file, line, column, words, suggestion, source)

    def add(self, place: Place, message: str, suggestion: str = "") -> None:
        self.found.append(self.at(place.line, place.column, message, suggestion))

    def warn(self, place: Place, message: str, suggestion: str = "") -> None:
        self.warnings.append(self.at(place.line, place.column, message, suggestion))

    def check(self) -> None:
        """Raise `DocumentError` if anything is wrong."""
        if self.found:
            raise DocumentError(self.found)


def _safe(text: str) -> str:
    """Nothing in it can steer a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that `word` was probably meant to be, or an empty text."""
    candidates = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(word.lower(), candidates, n=1, cutoff=0.6)
    if close:
        return candidates[close[0]]
    longer = [candidate for candidate in candidates if word and word.lower() in re.split("[ _-]", candidate)]
    return candidates[longer[0]] if len(longer) == 1 else ""
