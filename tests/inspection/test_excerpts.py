"""Excerpts hold every stretch that a pattern could match, with its surroundings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inspection import excerpts
from gateway.inspection.excerpts import Excerpts, Features
from gateway.inspection.needs import Needs


@pytest.fixture(autouse=True)
def _every_text_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(excerpts, "SHORT", 0)


def test_features() -> None:
    """What gates look at: all digits, the longest word, the text in lower case at its length."""
    features = Features("a 123 \u0661\u0662 ABCdefgh")
    assert (features.digits, features.longest_word, features.lowered) == (5, 8, "a 123 \u0661\u0662 abcdefgh")
    assert (Features("").digits, Features("").longest_word) == (0, 0)
    assert Features("\u0130S\u212a\u017f\u0131").lowered == "isksi"
    assert Features("ab\x1ccd ef").longest_word >= 5


@pytest.mark.parametrize(
    ("needs", "lacks"),
    [
        (Needs(digits=3), False),
        (Needs(digits=4), True),
        (Needs(literals=("emp",)), False),
        (Needs(literals=("x", "y")), True),
        (Needs(least=50), True),
        (Needs(least=17, spaceless=True, margin=1), True),
        (Needs(), False),
    ],
)
def test_gates(needs: Needs, lacks: bool) -> None:
    """A text that lacks what a pattern needs is not searched."""
    assert Features("EMP 123 and so on").lack(needs) is lacks


FILLER = "filler words " * 30


@pytest.mark.parametrize(
    ("needs", "value"),
    [
        (Needs(digits=4, reach=8), "ab12-34cd"),
        (Needs(literals=("key", "pin"), reach=10), "a PIN here"),
        (Needs(literals=("@",), spaceless=True, margin=1), " x.y@z.org "),
        (Needs(least=20, spaceless=True, margin=1), " abcdefghijklmnopqrstuvw "),
    ],
)
def test_excerpts_are_wide_enough(needs: Needs, value: str) -> None:
    """What is needed is in an excerpt with all that a match can reach, and most of the text is in none."""
    text = FILLER + value + FILLER
    part = Features(text).excerpts(needs)
    assert part is not None
    assert value in part.text
    assert len(part.text) < 80
    assert text[part.back(part.text.index(value)) :].startswith(value)


def test_no_excerpts() -> None:
    """A text full of what is needed, or a pattern without bounds, is searched as a whole."""
    assert Features("12 34 " * 99).excerpts(Needs(digits=2, reach=9)) is None
    assert Features(FILLER + "1").excerpts(Needs(digits=1)) is None


def test_around() -> None:
    """The words around each at sign, of bounded length, neighbours as one."""
    assert Features("one two a@b three four c@d five").around("@").text == " a@b \n\n c@d "
    assert Features("x" * 1000 + "@y").around("@").text == "x" * 321 + "@y"
    assert Features("a@b@c d@e").around("@").text == "a@b@c d@e"
    assert Features("none").around("@").text == ""


@given(st.lists(st.tuples(st.text("ab1 ", min_size=1, max_size=5), st.text("c", min_size=1, max_size=4)), min_size=1))
def test_offsets_map_back(pieces: list[tuple[str, str]]) -> None:
    """Each character of the excerpts is the same character of the original."""
    text = ""
    stretches = []
    for kept, dropped in pieces:
        stretches.append((len(text), len(text) + len(kept)))
        text += kept + dropped
    part = Excerpts(text, stretches)
    for position, character in enumerate(part.text):
        if character != "\n":
            assert text[part.back(position)] == character
