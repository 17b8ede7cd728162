"""Tokens and the rows that describe them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inspection.tagger.features import ROWS, ROWS_PER_TOKEN, TOKEN, casing, rows
from gateway.inspection.tagger.lexicon import UNKNOWN


@given(st.text(max_size=200))
def test_tokens_are_the_whole_text(text: str) -> None:
    """Laid end to end, the tokens are the text, whatever characters are in it."""
    assert "".join(TOKEN.findall(text)) == text


@given(st.text(min_size=1, max_size=60))
def test_every_token_has_rows_of_the_table(piece: str) -> None:
    """Any token, of any script, is described by as many rows, all of them in the table."""
    described = rows(piece, UNKNOWN)
    assert len(described) == ROWS_PER_TOKEN
    assert all(0 <= row < ROWS for row in described)


@pytest.mark.parametrize("text", [" " * 200_000, "\n" * 200_000, "_" * 200_000, " \n" * 100_000, "a" * 200_000])
def test_tokens_take_linear_time(text: str) -> None:
    """Long runs of one character do not make the tokens slow."""
    began = time.process_time()
    TOKEN.findall(text)
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("word", "expected"), [("42", 0), ("anna", 1), ("Anna", 2), ("ANNA", 3), ("McAnna", 4), ("A", 5), ("É", 5), ("", 0)]
)
def test_casing(word: str, expected: int) -> None:
    """Lower case, Title, UPPER, miXed and a single capital are told apart."""
    assert casing(word) == expected


def test_the_same_word_in_other_places_is_another_token() -> None:
    """A word after a space, glued to another and at the beginning of a line differ."""
    assert len({tuple(rows(piece, UNKNOWN)) for piece in ("Anna", " Anna", "  Anna")}) == 3
