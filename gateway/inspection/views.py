"""Other ways to read a text, so that a value does not hide in its spelling; offsets map back to the original.

Three views exist, each of what the one before it gives: *decoded* (percent-encoding, backslash escapes, HTML character
references, base64, plus signs and underscores that stand for a space; also when one is inside another), *folded*
(without invisible characters, with plain forms in place of compatibility forms, digits of other scripts and letters
that only look Latin) and *joined* (what was torn apart by spaces, line ends or marks). A view is made only for texts
that contain such spellings.
"""

from __future__ import annotations

import html
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import unquote

from gateway.inspection import disguises

# Each alternative begins with one fixed character, so that the search skips all others.
_ENCODED = re.compile(
    r"%[0-9A-Fa-f]{2}(?:%[0-9A-Fa-f]{2})*"
    r"|\\\\*(?:u[0-9A-Fa-f]{4}(?:\\+u[0-9A-Fa-f]{4})*|x[0-9A-Fa-f]{2}(?:\\+x[0-9A-Fa-f]{2})*"
    r"|[nrtbf](?=[\w+(]))"  # a line break; else its letter would be taken for the first of the word behind
    r"|&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,10});"
    # In a URL: ?name=Anna+Kowalski, /people/Anna%20Kowalski
    r"|\+(?<=[^\W\d_]\+)(?=[^\W\d_])|=(?=[A-Z][^\W\d_]*(?:\+|%20)[A-Z])|/(?=[A-Z][^\W\d_]*(?:\+|%20)[A-Z])"
    # In file names, identifiers and emphasis: before capitalised words or a long number, and after a word or a number
    r"|__*(?:(?<=[^\W\d_]_)(?=[A-Z][a-zß-ÿ])|(?=[A-Z][a-zß-ÿ]+ [A-Z]|\+?[0-9][0-9 -]{6})"
    r"|(?<=[0-9-][0-9]{4}_)|(?<=[^\W_]_)(?!\w))"
)
_MARKERS = ("%", "\\", "&", "+", "_")  # an equals sign or a slash counts only before one of them
_ESCAPE_MARK = re.compile(r"\\+[ux]")
_ROUNDS = 4
"""How many times one spelling may be inside another: a link in a query of a link in a query."""
# A dash of another kind between digits is a separator; elsewhere it is punctuation and stays (group 1).
# The ranges left out of the last class are letters that have no other form: Latin, Cyrillic, Arabic, kana, Han, Hangul.
_UNUSUAL = re.compile(
    "(?<=[0-9])([\u2010-\u2015\u2212])(?=[0-9])"
    "|[^\x00-\x7f\u00c0-\u024f\u0400-\u04ff\u0620-\u064a\u2010-\u2027\u2212\u3001-\u30fe\u4e00-\u9fff\uac00-\ud7a3]"
)


class View:
    """A text with replacements: `text` is the reading, `back` finds an offset pair in the original.

    With `inner`, the text is itself the reading of a view, and offsets are traced back through both.
    """

    __slots__ = ("_inner", "_original", "_reading", "text")

    def __init__(self, text: str, replacements: Iterable[tuple[int, int, str]], inner: View | None = None) -> None:
        self._inner = inner
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
        start, end = self._offset(start, first=True), self._offset(end, first=False)
        return (start, end) if self._inner is None else self._inner.back(start, end)

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
    decoded: View | None = None
    reading = text
    for _ in range(_ROUNDS):
        changes = _encoded(reading)
        if not changes:
            break
        decoded = View(reading, changes, decoded)
        reading = decoded.text
    found = [] if decoded is None else [decoded]
    last = decoded
    if not reading.isascii():
        changes = [
            (m.start(), m.end(), new)
            for m in _UNUSUAL.finditer(reading)
            if (new := "-" if m.group(1) else _fold(m.group())) != m.group()
        ]
        changes = sorted(changes + disguises.lookalikes(reading))
        if changes:
            last = View(reading, changes, decoded)
            found.append(last)
            reading = last.text
    changes = disguises.torn(reading)
    if changes:
        found.append(View(reading, changes, last))
    return found


def _encoded(text: str) -> list[disguises.Change]:
    """What is encoded in the text, and what it stands for: nothing if all of it stands for itself."""
    changes = disguises.encoded(text)
    if changes:  # what else there is, is for the next round
        return changes
    if not any(map(text.__contains__, _MARKERS)):
        return []
    changes = [(m.start(), m.end(), _decode(m.group())) for m in _ENCODED.finditer(text)]
    return [] if all(text[start:end] == new for start, end, new in changes) else changes


def _decode(encoded: str) -> str:
    mark = encoded[0]
    if mark == "%":
        return unquote(encoded, errors="replace")
    if mark == "&":
        return html.unescape(encoded)
    if mark in "+_":
        return " "
    if mark in "=/":
        return mark + " "
    kind = encoded.lstrip("\\")[0]
    if kind not in "ux":
        return "\n" if kind in "nr" else " "
    units = bytes.fromhex(_ESCAPE_MARK.sub("", encoded))
    if kind == "u":
        return units.decode("utf-16-be", errors="replace")
    try:
        return units.decode()
    except UnicodeDecodeError:
        return units.decode("latin-1")


@lru_cache(4096)  # single characters only: no content is kept
def _fold(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cf" or "\ufe00" <= character <= "\ufe0f" or character in "\u034f\u115f\u1160\u3164\uffa0":
        return ""
    if category == "Nd":
        return str(unicodedata.decimal(character))
    plain = unicodedata.normalize("NFKC", character)
    return " " if plain.isspace() and plain != "\n" else plain
