"""Cutting a text into what a language model takes at once, at places that the text itself gives.

A paragraph that fits is one window; of a longer one each line is, of a longer line each sentence. These places are
the same wherever a long text was divided before, so what is found does not depend on that. Only a sentence that does
not fit is cut at white space, with as much around each part as a name may be long.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_BREAKS = (re.compile(r"\n[^\S\n]*\n\s*"), re.compile(r"\n"), re.compile(r"(?<=[.!?\u3002])[\"'\u201d\u2019)\]]*\s+"))


class Window(NamedTuple):
    """A stretch of a text from `start`; findings in it count when they begin at `first` or behind, and before `last`.
    All are places in the whole text."""

    start: int
    text: str
    first: int
    last: int


def windows(text: str, size: int) -> Iterator[Window]:
    """The windows of at most `size` characters, in order; together they own every place of the text once."""
    return _of(text, 0, len(text), size, 0)


def _of(text: str, start: int, end: int, size: int, level: int) -> Iterator[Window]:
    if level and end - start <= size:
        yield Window(start, text[start:end], start, end)
    elif level == len(_BREAKS):
        yield from _cut(text, start, end, size)
    else:
        begin = start
        for match in _BREAKS[level].finditer(text, start, end):
            yield from _of(text, begin, match.end(), size, level + 1)
            begin = match.end()
        if begin < end:
            yield from _of(text, begin, end, size, level + 1)


def _cut(text: str, start: int, end: int, size: int) -> Iterator[Window]:
    around = size // 5
    first = start
    while first < end:
        left = max(start, first - around)
        last, right = end, end
        if end - left > size:
            last = _word_start(text, first + 1, left + size - around)
            right = _word_start(text, last, left + size)
        if left > start:
            left = _next_word(text, left, first)
        yield Window(left, text[left:right], first, last)
        first = last


def _word_start(text: str, least: int, most: int) -> int:
    """The last place up to `most` where a word begins behind white space; `most` if there is none from `least` on."""
    for place in range(most, least - 1, -1):
        if text[place - 1].isspace():
            return place
    return most


def _next_word(text: str, place: int, most: int) -> int:
    """The first place from `place` on where a word begins behind white space; `place` if there is none up to `most`."""
    return next((at for at in range(place, most + 1) if text[at - 1].isspace()), place)
