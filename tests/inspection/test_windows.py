"""gateway.inspection.windows: every place of a text is read once, and where it is cut is the text's own affair."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from gateway.inspection.windows import windows

PARTS = ("Anna Kowalski", "a", "\n", "\n\n", " ", ". ", "! ", "\u3002", "word " * 9, "x" * 60, "\t", "(why?) ", "\r\n")
TEXTS = st.lists(st.sampled_from(PARTS), max_size=40).map("".join)


@given(TEXTS, st.integers(10, 80))
def test_every_place_is_owned_once(text: str, size: int) -> None:
    """No window is longer than asked for, each is what stands at its place, and they own the text without a gap."""
    owned = 0
    for window in windows(text, size):
        assert len(window.text) <= size
        assert text[window.start : window.start + len(window.text)] == window.text
        assert window.first == owned
        assert window.start <= window.first < window.last <= window.start + len(window.text)
        owned = window.last
    assert owned == len(text)


def test_words_are_not_cut() -> None:
    """A sentence that does not fit is cut at white space, and a name at a cut is whole in the window that owns it."""
    rng = random.Random(3)
    text = " ".join(rng.choice(("Anna Kowalski", "saw", "the", "reporting")) for _ in range(400))
    found = list(windows(text, 100))
    assert len(found) > 20
    names = 0
    for window in found:
        assert set(window.text.split()) <= {"Anna", "Kowalski", "saw", "the", "reporting"}
        at = window.text.find("Anna Kowalski")
        while at >= 0:
            names += window.first <= window.start + at < window.last
            at = window.text.find("Anna Kowalski", at + 1)
    assert names == text.count("Anna Kowalski")


def test_paragraphs_lines_and_sentences() -> None:
    """What fits stays together: the paragraph, else the line, else the sentence."""
    text = "One two.\nThree.\n\nA long line with more in it. And a second sentence.\nShort."
    assert [window.text for window in windows(text, 30)] == [
        "One two.\nThree.\n\n",
        "A long line with more in it. ",
        "And a second sentence.\n",
        "Short.",
    ]
    assert [window.text for window in windows(text, 200)] == [text[:17], text[17:]]


@given(TEXTS, TEXTS)
def test_places_do_not_depend_on_what_is_before(before: str, text: str) -> None:
    """Behind an empty line the windows are the same whatever stood before it."""
    alone = [(window.start, window.text) for window in windows("a\n\n" + "b" + text, 80)][1:]
    start = f"{before}a\n\n"
    behind = [w for w in windows(start + "b" + text, 80) if w.first >= len(start)]
    assert [(window.start - len(start) + 3, window.text) for window in behind] == alone
