"""Texts are divided so that nothing is lost and nothing is found twice."""

from __future__ import annotations

import random
import re

import pytest

from gateway.domain.finding import Span
from gateway.inspection.batches import PIECE, REACH, batches


def scan(text: str) -> list[Span]:
    return [Span(m.start(), m.end(), "N", 50) for m in re.finditer(r"(?<!#)#+(?!#)", text)]


@pytest.mark.parametrize("processes", [1, 2, 5])
def test_pieces_find_what_the_whole_has(processes: int) -> None:
    """Findings of up to the reach, placed anywhere, also across borders, are reported once, where they are."""
    rng = random.Random(3)
    texts = ["", "##", "x" * 100]
    for _ in range(3):
        text = ""
        while len(text) < rng.randint(PIECE, 4 * PIECE):
            text += "." * rng.randint(1, REACH) + "#" * rng.randint(1, REACH - 2)
        texts.append(text)
    texts.append("." * (PIECE - REACH) + "#" * (REACH - 1) + ".")
    found: list[list[Span]] = [[] for _ in texts]
    for batch in batches(texts, processes):
        assert batch
        for piece in batch:
            assert len(piece.text) <= PIECE
            found[piece.index].extend(piece.owned(scan(piece.text)))
    assert found == [scan(text) for text in texts]


def test_small_texts_travel_together_and_are_shared_out() -> None:
    """Many small texts are few jobs, at least one for each process when there is enough to do."""
    assert len(batches(["x" * 100] * 20, 4)) == 1
    assert len(batches(["x" * 1000] * 40, 4)) >= 4
    assert batches([], 2) == []
