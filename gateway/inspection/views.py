"""Other ways to read a text, so that a value does not hide in its spelling; offsets map back to the original.

Two views exist: *decoded* (percent-encoding, ``\\uXXXX`` escapes, HTML character references) and *folded* (invisible
characters removed, digits of other scripts and compatibility forms replaced by their plain forms). A view is made
only for texts that contain such spellings.
"""

from __future__ import annotations

import html
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import unquote

_ENCODED = re.compile(
    r"(?:%[0-9A-Fa-f]{2})+"
    r"|\\u[0-9A-Fa-f]{4}(?:\\u[0-9A-Fa-f]{4})*"
    r"|&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,10});"
)
# A dash of another kind between digits is a separator; elsewhere it is punctuation and stays (group 1).
# The ranges left out of the last class are letters that have no other form: Latin, Cyrillic, Arabic, kana, Han, Hangul.
_UNUSUAL = re.compile(
    "(?<=[0-9])([\u2010-\u2015\u2212])(?=[0-9])"
    "|[^\x00-\x7f\u00c0-\u024f\u0400-\u04ff\u0620-\u064a\u2010-\u2027\u2212\u3001-\u30fe\u4e00-\u9fff\uac00-\ud7a3]"
)


class View:
    """A text with replacements: `text` is the reading, `back` finds an offset pair in the original."""

    __slots__ = ("_original", "_reading", "_sizes", "text")

    def __init__(self, text: str, replacements: Iterable[tuple[int, int, str]]) -> None:
        pieces: list[str] = []
        self._reading: list[int] = []  # where each replacement starts and ends in the reading
        self._original: list[int] = []
        last = position = 0
        for start, end, new in replacements:
            piece = text[last:start]
            position += len(piece)
            pieces += (piece, new)
            self._reading += (position, position + len(new))
            self._original += (start, end)
            position += len(new)
            last = end
        pieces.append(text[last:])
        self.text = "".join(pieces)

    def back(self, start: int, end: int) -> tuple[int, int]:
        """The stretch of the original that a stretch of the reading stands for; a touched replacement is whole."""
        return self._offset(start, first=True), self._offset(end, first=False)

    def _offset(self, position: int, *, first: bool) -> int:
        marks = self._reading
        index = bisect_right(marks, position if first else position - 1)
        if index % 2:  # inside a replacement
            return self._original[index - 1 if first else index]
        if index == 0:
            return position
        return self._original[index - 1] + position - marks[index - 1]


def views(text: str) -> list[View]:
    """The readings of `text` that differ from it; usually none."""
    found = []
    if ("%" in text or "\\u" in text or "&" in text) and (matches := list(_ENCODED.finditer(text))):
        decoded = View(text, [(m.start(), m.end(), _decode(m.group())) for m in matches])
        if decoded.text != text:
            found.append(decoded)
    if not text.isascii():
        changes = [
            (m.start(), m.end(), new)
            for m in _UNUSUAL.finditer(text)
            if (new := "-" if m.group(1) else _fold(m.group())) != m.group()
        ]
        if changes:
            found.append(View(text, changes))
    return found


def _decode(encoded: str) -> str:
    if encoded[0] == "%":
        return unquote(encoded, errors="replace")
    if encoded[0] == "\\":
        units = bytes.fromhex(encoded.replace("\\u", ""))
        return units.decode("utf-16-be", errors="replace")
    return html.unescape(encoded)


@lru_cache(4096)  # single characters only: no content is kept
def _fold(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cf" or "\ufe00" <= character <= "\ufe0f" or character in "\u034f\u115f\u1160\u3164\uffa0":
        return ""
    if category == "Nd":
        return str(unicodedata.decimal(character))
    plain = unicodedata.normalize("NFKC", character)
    return " " if plain.isspace() and plain != "\n" else plain
