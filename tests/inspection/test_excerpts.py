"""Excerpts hold every stretch that a pattern could match, with its surroundings."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.inspection.excerpts import Excerpts, Features, mail, runs, tokens


def test_features() -> None:
    """What gates look at: all digits, the longest number, the longest word."""
    features = Features("a 123 4567 abcdefgh")
    assert (features.digits, features.longest_number, features.longest_word) == (7, 4, 8)
    assert (Features("").digits, Features("").longest_number, Features("").longest_word) == (0, 0, 0)


def test_excerpts_are_wide_enough() -> None:
    """One character on each side is kept; words stay whole; neighbours become one."""
    assert runs(r"[0-9]{3,}")("ab123cd 456 7") == [(1, 6), (7, 12)]
    assert tokens("@")("x a@b y c@d") == [(1, 6), (7, 11)]
    assert mail("a@b@c d@e") == [(0, 9)]
    assert mail("x" * 1000 + "@y") == [(679, 1002)]


@given(st.lists(st.tuples(st.text("ab1 ", min_size=1, max_size=5), st.text("c", min_size=1, max_size=4)), min_size=1))
def test_offsets_map_back(pieces: list[tuple[str, str]]) -> None:
    """Each character of the excerpts is the same character of the original."""
    text = ""
    spans = []
    for kept, dropped in pieces:
        spans.append((len(text), len(text) + len(kept)))
        text += kept + dropped
    part = Excerpts(text, spans)
    for position, character in enumerate(part.text):
        if character != "\n":
            assert text[part.back(position)] == character
