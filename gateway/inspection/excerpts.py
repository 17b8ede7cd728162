"""The parts of a text in which a pattern can match at all.

What a pattern needs (`needs.py`) is counted or searched for once in a text, for all patterns. In a long text the
patterns then see only excerpts: the stretches around what they need, as far as a match can reach and look. Matching
the excerpts finds exactly what matching the whole text would.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from gateway.inspection.digits import HIGH, count_digits
from gateway.inspection.needs import Needs

Stretch: TypeAlias = "tuple[int, int]"
_Positions: TypeAlias = "NDArray[np.intp]"

SHORT = 2_000
"""Characters of a text that is always searched whole: dividing it would cost more."""

_WHOLE = 0.6  # share of a text from which excerpts are no gain
_LONG_WORD = 16  # characters of a word that is rare in prose
_GAP = "\n\n"
_SPACE = re.compile(r"\s")
_MAIL_REACH = 320  # characters each side of an at sign: no address is longer (RFC 5321)
# Letters that `regex` takes for "i", "k" and "s" where case does not count, and `str.lower` does not.
_FOLDED = {"\u0130": "i", "\u0131": "i", "\u017f": "s", "\u212a": "k"}
_NOT_ASCII_SPACE = np.array([0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000])


class Excerpts:
    """Excerpts joined to one text; `back` gives the offset in the original of an offset in it."""

    __slots__ = ("_originals", "_starts", "text")

    def __init__(self, text: str, stretches: Iterable[Stretch]) -> None:
        pieces: list[str] = []
        self._starts: list[int] = []
        self._originals: list[int] = []
        position = 0
        for start, end in stretches:
            self._starts.append(position)
            self._originals.append(start)
            pieces.append(text[start:end])
            position += end - start + len(_GAP)
        self.text = _GAP.join(pieces)

    def back(self, position: int) -> int:
        index = bisect_right(self._starts, position) - 1
        return self._originals[index] + position - self._starts[index]


class Features:
    """One text and what is counted or searched for in it, each once."""

    __slots__ = ("_codes", "_digit_positions", "_excerpts", "_longest", "_lowered", "_words", "digits", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.digits = count_digits(text)
        """Decimal digits, of any script."""
        self._longest = -1
        self._lowered: str | None = None
        self._codes: NDArray[np.uint32] | None = None
        self._digit_positions: _Positions | None = None
        self._words: tuple[_Positions, _Positions] | None = None
        self._excerpts: dict[object, Excerpts | None] = {}

    @property
    def lowered(self) -> str:
        """The text in lower case, of the same length, with the letters plain that match "i", "k" and "s"."""
        if self._lowered is None:
            text = self.text
            if not text.isascii():
                for letter, plain in _FOLDED.items():  # a search for each is quicker than one look at every letter
                    text = text.replace(letter, plain)
            self._lowered = text.lower()
        return self._lowered

    @property
    def longest_word(self) -> int:
        """Characters of the longest stretch without white space, or more."""
        if self._longest < 0:
            # `regex` does not take these separators for white space, as `split` does
            splits = any(map(self.text.__contains__, "\x1c\x1d\x1e\x1f"))
            self._longest = len(self.text) if splits else max(map(len, self.text.split()), default=0)
        return self._longest

    def lack(self, needs: Needs) -> bool:
        """Can nothing in the text match a pattern with these needs?"""
        if self.digits < needs.digits or len(self.text) < needs.least:
            return True
        if needs.literals:
            lowered = self.lowered
            for literal in needs.literals:
                if literal in lowered:
                    break
            else:
                return True
        return needs.spaceless and needs.least >= _LONG_WORD and self.longest_word < needs.least

    def excerpts(self, needs: Needs) -> Excerpts | None:
        """Where a pattern with these needs can match; None stands for the whole text."""
        if len(self.text) <= SHORT:
            return None
        words = needs.spaceless and needs.margin is not None
        key: object
        if words and needs.least >= _LONG_WORD:
            key = ("words", needs.least, needs.margin)
        elif needs.reach is not None and (needs.digits or needs.literals):
            key = ("near", needs.digits or needs.literals, _rounded(needs.reach))
        elif words and needs.literals:
            key = ("words", needs.literals, needs.margin)
        else:
            return None
        if key not in self._excerpts:
            if key[0] == "words":
                starts, ends = self._words_with(needs)
                assert needs.margin is not None
                starts, ends = starts - needs.margin, ends + needs.margin
            else:
                starts, ends = self._near(needs)
            self._excerpts[key] = self._cut(starts, ends)
        return self._excerpts[key]

    def around(self, character: str, reach: int = _MAIL_REACH) -> Excerpts:
        """The words around each occurrence of a character, at most `reach` characters to each side."""
        text = self.text
        found: list[Stretch] = []
        start = end = 0
        place = text.find(character)
        while place >= 0:
            if place >= end:
                before = text[max(end, place - reach) : place]
                start = place
                if before and not before[-1].isspace():
                    start -= len(before.rsplit(None, 1)[-1])
                after = _SPACE.search(text, place, place + reach)
                end = after.start() if after else min(len(text), place + reach)
                if found and start - 1 <= found[-1][1]:
                    start = found.pop()[0] + 1
                found.append((max(0, start - 1), min(len(text), end + 1)))
            place = text.find(character, max(end, place + 1))
        return Excerpts(text, found)

    def _near(self, needs: Needs) -> tuple[_Positions, _Positions]:
        assert needs.reach is not None
        reach = _rounded(needs.reach)
        if needs.digits:
            places = self._digits()
            first, last = places[: len(places) - needs.digits + 1], places[needs.digits - 1 :]
            close = last - first < reach
            return last[close] - reach, first[close] + reach + 1
        places = np.unique(np.concatenate([self._find(literal) for literal in needs.literals]))
        return places - reach, places + reach + 1

    def _words_with(self, needs: Needs) -> tuple[_Positions, _Positions]:
        if needs.least >= _LONG_WORD:
            starts, ends = self._all_words()
            long = ends - starts >= needs.least
            return starts[long], ends[long]
        return self._words_at(np.unique(np.concatenate([self._find(literal) for literal in needs.literals])))

    def _words_at(self, places: _Positions) -> tuple[_Positions, _Positions]:
        starts, ends = self._all_words()
        index = np.searchsorted(starts, places, side="right") - 1
        return starts[index], ends[index]

    def _cut(self, starts: _Positions, ends: _Positions) -> Excerpts | None:
        if int(np.sum(ends - starts)) > 4 * len(self.text):
            return None
        joined = self._joined(starts, ends)
        return None if len(joined.text) > _WHOLE * len(self.text) else joined

    def _joined(self, starts: _Positions, ends: _Positions) -> Excerpts:
        """Stretches in ascending order, those that meet as one."""
        starts, ends = np.maximum(starts, 0), np.minimum(ends, len(self.text))
        if len(starts) > 1:
            apart = starts[1:] > ends[:-1]
            starts = starts[np.concatenate(([True], apart))]
            ends = ends[np.concatenate((apart, [True]))]
        return Excerpts(self.text, zip(starts.tolist(), ends.tolist(), strict=True))

    def _find(self, literal: str) -> _Positions:
        lowered = self.lowered
        found = []
        place = lowered.find(literal)
        while place >= 0:
            found.append(place)
            place = lowered.find(literal, place + 1)
        return np.array(found, dtype=np.intp)

    def _points(self) -> NDArray[np.uint32]:
        if self._codes is None:
            self._codes = np.frombuffer(self.text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        return self._codes

    def _digits(self) -> _Positions:
        if self._digit_positions is None:
            places = np.flatnonzero(self._points() - np.uint32(48) < 10)
            if not self.text.isascii():
                foreign = [m.start() for m in HIGH.finditer(self.text) if m.group().isdecimal()]
                if foreign:
                    places = np.sort(np.concatenate((places, np.array(foreign, dtype=np.intp))))
            self._digit_positions = places
        return self._digit_positions

    def _all_words(self) -> tuple[_Positions, _Positions]:
        """Where each word starts and ends, with white space as `regex` has it."""
        if self._words is None:
            codes = self._points()
            space = (codes == 32) | (codes - np.uint32(9) < 5)
            if not self.text.isascii():
                space |= np.isin(codes, _NOT_ASCII_SPACE)
            edges = np.flatnonzero(np.diff(np.concatenate(([True], space, [True]))))
            self._words = edges[::2], edges[1::2]
        return self._words


def _rounded(reach: int) -> int:
    """A little more, so that patterns of about the same length share their excerpts."""
    return -(-(reach + 1) // 8) * 8
