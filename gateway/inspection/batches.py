"""Dividing texts among processes: small ones together, long ones in overlapping pieces.

Each offset of a long text is owned by exactly one piece, and a finding is taken from the piece that owns its
start. Pieces overlap so far that the owner sees `REACH` characters to either side: a finding of up to that length,
and the words before it, are whole in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.domain.finding import Span

REACH = 4_000
PIECE = 40_000
_SMALLEST = 4_000


@dataclass(frozen=True, slots=True, repr=False)
class Piece:
    """A stretch of one of the texts, beginning at `offset`; it owns the offsets from `first` up to `last`."""

    index: int
    offset: int
    text: str
    first: int
    last: int

    def owned(self, spans: Sequence[Span]) -> Iterator[Span]:
        """The findings in this piece that are this piece's to report, at their place in the whole text."""
        for span in spans:
            start = span.start + self.offset
            if self.first <= start < self.last:
                yield Span(start, span.end + self.offset, span.entity, span.percent)


def batches(texts: Sequence[str], processes: int) -> list[list[Piece]]:
    """All of the texts in pieces, in batches of about equal size, at least one for each process if it is worth it."""
    total = sum(map(len, texts))
    size = min(PIECE, max(_SMALLEST, -(-total // processes)))
    found: list[list[Piece]] = []
    room = 0
    for index, text in enumerate(texts):
        for piece in _pieces(index, text) if text else ():
            if room < len(piece.text):
                found.append([])
                room = size
            found[-1].append(piece)
            room -= len(piece.text)
    return found


def _pieces(index: int, text: str) -> Iterator[Piece]:
    if len(text) <= PIECE:
        yield Piece(index, 0, text, 0, len(text))
        return
    first = 0
    while first < len(text):
        offset = max(0, first - REACH)
        end = offset + PIECE
        last = len(text) if end >= len(text) else end - REACH
        yield Piece(index, offset, text[offset:end], first, last)
        first = last
