"""Text to tokens, and a token to the numbers of the rows of the embedding table that describe it.

Training and the gateway share this file: a model fits only the features that it was trained with (`VERSION`).
A token keeps the white space before it, so that tokens laid end to end are the text, and the same word at the
beginning of a line, after a space and within a compound are three different tokens.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Protocol
from zlib import crc32

VERSION = 1
"""Raised with every change of this file that changes a token or a row."""

LONGEST = 40
"""Characters of a token that are looked at; nothing longer is a word."""

TOKEN = re.compile(r"[^\S\n]*+(?:[^\W_]++|[^\w\s]|_|\n\s*+|\Z)")
"""Every character of a text is in exactly one match. Possessive, so that it is linear."""

CLUSTERS = 3072
VOCABULARY = 20_000
AFFIXES = 10_240
SHAPES = 1_024
_SIZES = (VOCABULARY, CLUSTERS, CLUSTERS, 3 * 64, 256, 256, 6 * 256, *(AFFIXES,) * 4, SHAPES, 32)
ROWS_PER_TOKEN = len(_SIZES)


def _offsets() -> tuple[tuple[int, ...], int]:
    starts: list[int] = []
    total = 0
    for position, size in enumerate(_SIZES):
        starts.append(starts[-1] if 8 <= position <= 10 else total)  # the affixes share one range
        total += 0 if 8 <= position <= 10 else size
    return tuple(starts), total


_START, ROWS = _offsets()


class Entry(Protocol):
    """What a lexicon knows of one word."""

    @property
    def vocabulary(self) -> int: ...
    @property
    def lower_cluster(self) -> int: ...
    @property
    def title_cluster(self) -> int: ...
    @property
    def use(self) -> int: ...
    @property
    def lists(self) -> int: ...


def casing(word: str) -> int:
    """0 no letters, 1 lower case, 2 Title, 3 UPPER, 4 miXed, 5 one capital."""
    if not any(map(str.isalpha, word)):
        return 0
    if word == word.lower():
        return 1
    if len(word) == 1:
        return 5
    if word == word.upper():
        return 3
    return 2 if word[0].isupper() and word[1:] == word[1:].lower() else 4


_RUN = re.compile(r"(.)\1{2,}")
_SHAPE = {**dict.fromkeys(range(0x30, 0x3A), "0")}


def _shape(word: str) -> str:
    marks = "".join("X" if c.isupper() else "x" if c.isalpha() else "0" if c.isdigit() else c for c in word)
    if len(marks) <= 4:
        return marks
    return _RUN.sub(r"\1\1", marks) + ("+" if len(marks) > 9 else "")


def normal(word: str) -> str:
    """Lower case without accents: the form that affixes are taken from."""
    lowered = word.lower()
    if lowered.isascii():
        return lowered
    return unicodedata.normalize("NFKD", lowered).encode("ascii", "ignore").decode() or lowered


def key(word: str) -> int:
    """The number under which the lexicon has a word."""
    return crc32(word.lower().encode("utf-8", "replace"))


def space(piece: str) -> int:
    """0 nothing before the word, 1 one space, 2 more, 3 the token is a line break."""
    bare = piece.lstrip()
    if not bare:
        return 3
    return min(len(piece) - len(bare), 2)


def rows(piece: str, entry: Entry) -> Sequence[int]:
    """The rows of the embedding table whose sum describes the token `piece`; as many for every token."""
    before = space(piece)
    word = piece.strip()[:LONGEST] or "\n" * min(piece.count("\n"), 2)
    form = casing(word)
    plain = normal(word)
    own, other = entry.lower_cluster, entry.title_cluster
    if form >= 2:
        own, other = other, own
    shape = _shape(word)
    here = (
        entry.vocabulary,
        own,
        other,
        own % 64 + 64 * (own // 1024),
        entry.use,
        entry.lists,
        entry.lists + 256 * form,
        crc32(b"p2" + plain[:3].encode("utf-8", "replace")) % AFFIXES,
        crc32(b"s2" + plain[-2:].encode("utf-8", "replace")) % AFFIXES,
        crc32(b"s3" + plain[-3:].encode("utf-8", "replace")) % AFFIXES,
        crc32(b"s4" + plain[-4:].encode("utf-8", "replace")) % AFFIXES,
        crc32(shape.encode("utf-8", "replace")) % SHAPES,
        before * 8 + form,
    )
    return [start + value for start, value in zip(_START, here, strict=True)]
