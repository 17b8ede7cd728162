"""The parts of a text in which a recogniser can find anything at all.

Each of Presidio's patterns needs something rare (nine digits, two colons with hexadecimal digits between). An
excerpt is the longest stretch around it that a match could cover, with one character more on each side, so that
matching the excerpts finds exactly what matching the whole text would.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

Span: TypeAlias = "tuple[int, int]"
Finder: TypeAlias = "Callable[[str], list[Span]]"

_GAP = "\n\n"  # no pattern matches across it, and it is no word character
_MAIL_REACH = 320  # characters each side of an at sign: no address is longer (RFC 5321)
_TOKEN_LIMIT = 2000


class Excerpts:
    """Excerpts joined to one text; `back` gives the offset in the original of an offset in it."""

    __slots__ = ("_originals", "_starts", "text")

    def __init__(self, text: str, spans: Iterable[Span]) -> None:
        pieces: list[str] = []
        self._starts: list[int] = []
        self._originals: list[int] = []
        position = 0
        for start, end in spans:
            self._starts.append(position)
            self._originals.append(start)
            pieces.append(text[start:end])
            position += end - start + len(_GAP)
        self.text = _GAP.join(pieces)

    def back(self, position: int) -> int:
        index = bisect_right(self._starts, position) - 1
        return self._originals[index] + position - self._starts[index]


def runs(pattern: str, *, digits: int = 0) -> Finder:
    """Excerpts are the matches of a pattern for the longest runs, those with at least `digits` digits."""
    compiled = re.compile(pattern)

    def find(text: str) -> list[Span]:
        return _widened(
            text,
            (
                match.span()
                for match in compiled.finditer(text)
                if digits == 0 or sum(map(str.isdigit, match.group())) >= digits
            ),
        )

    return find


def tokens(anchor: str, reach: int = _TOKEN_LIMIT) -> Finder:
    """Excerpts are the stretches without white space around an anchor, at most `reach` characters to each side."""
    compiled = re.compile(anchor)

    def find(text: str) -> list[Span]:
        return _widened(text, _around(text, (match.span() for match in compiled.finditer(text)), reach))

    return find


def mail(text: str) -> list[Span]:
    """Around each at sign."""
    return _widened(text, _around(text, (match.span() for match in _AT.finditer(text)), _MAIL_REACH))


_AT = re.compile("@")
_SPACE = re.compile(r"\s")


def _around(text: str, anchors: Iterable[Span], reach: int) -> Iterator[Span]:
    done = 0
    for first, last in anchors:
        if last <= done:
            continue
        start = first
        floor = max(done, first - reach)
        while start > floor and not text[start - 1].isspace():
            start -= 1
        space = _SPACE.search(text, last, min(len(text), last + reach))
        done = space.start() if space else min(len(text), last + reach)
        yield start, done


def _widened(text: str, spans: Iterable[Span]) -> list[Span]:
    """One character more on each side; excerpts that meet become one."""
    found: list[Span] = []
    for start, end in spans:
        start, end = max(0, start - 1), min(len(text), end + 1)
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


class Features:
    """What is counted once for a text, to tell which recognisers can find nothing in it."""

    __slots__ = ("_longest", "digits", "longest_number", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        groups: list[str] = _DIGITS.findall(text)
        self.digits: int = sum(map(len, groups))
        self.longest_number: int = max(map(len, groups), default=0)
        self._longest = -1

    @property
    def longest_word(self) -> int:
        """Characters of the longest stretch without white space."""
        if self._longest < 0:
            self._longest = max(map(len, self.text.split()), default=0)
        return self._longest


_DIGITS = re.compile(r"[0-9]+")
_DIGIT_RUN = r"[0-9](?:[ .-]?\d)*+"

Gate: TypeAlias = "Callable[[Features], bool]"

FINDERS: dict[str, tuple[Gate, Finder]] = {
    "UsSsnRecognizer": (lambda f: f.digits >= 9, runs(_DIGIT_RUN, digits=9)),
    "UsItinRecognizer": (lambda f: "9" in f.text, runs(r"\d(?:[ -]?\d)*+", digits=9)),
    "UsPassportRecognizer": (lambda f: f.longest_number >= 8, runs(r"[^\W\d_]?[0-9]{8,}+")),
    "UsBankRecognizer": (lambda f: f.longest_number >= 8, runs(r"[0-9]{8,}+")),
    "NhsNumberRecognizer": (lambda f: f.digits >= 10, runs(r"[0-9](?:[ -]?[0-9])*+", digits=10)),
    "UkNinoRecognizer": (
        lambda f: f.digits >= 6,
        runs(r"[^\W\d_]{2}[ ]?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[a-dA-D]"),
    ),
    "IbanRecognizer": (
        lambda f: f.digits >= 2,
        runs(r"[A-Z0-9]*[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9])*+", digits=2),
    ),
    "CryptoRecognizer": (lambda f: f.longest_word >= 26, runs(r"[^\W_]{26,}+")),
    "IpRecognizer": (
        lambda f: (f.digits >= 4 and f.text.count(".") >= 3) or f.text.count(":") >= 2,
        tokens(r"[0-9]\.[0-9]{1,3}\.[0-9]|:[0-9A-Fa-f]{0,4}:"),
    ),
    "MacAddressRecognizer": (
        lambda f: f.text.count(":") >= 5 or f.text.count("-") >= 5 or f.text.count(".") >= 2,
        tokens(r"[:-][0-9A-Fa-f]{2}[:-]|\.[0-9A-Fa-f]{4}\."),
    ),
    "MailRecognizer": (lambda f: "@" in f.text, mail),
}
"""By the name of Presidio's recogniser: can it find anything at all, and where. One that is not here is given
the whole text of every text."""
