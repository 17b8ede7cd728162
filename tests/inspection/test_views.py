"""A value does not hide in its spelling, and what is found maps back to the original."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inspection.views import View, views


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ("to anna%40example.com now", "to anna@example.com now"),
        ("Zo%C3%AB", "Zoë"),
        (r"mail a\u0040b.org", "mail a@b.org"),
        ("a&#64;b&#x2e;org &amp; co", "a@b.org & co"),
        ("4242\u200b4242\u200d4242\u00ad4242", "4242424242424242"),
        ("\uff15\uff13\uff16-90-4399", "536-90-4399"),
        ("\u0665\u0663\u0666-90-4399", "536-90-4399"),
        ("536\u201190\u20134399", "536-90-4399"),
        ("4242\u00a04242", "4242 4242"),
        (r"b'Zo\xc3\xab' or b'Zo\xeb'", "b'Zoë' or b'Zoë'"),
        (r"in JSON in JSON: a\\u0040b.org", "in JSON in JSON: a@b.org"),
        (r"Customer:\nAnna\t4242\r\n+44", "Customer:\nAnna 4242\\r\n+44"),
        ("?name=Anna+Kowalski", "?name= Anna Kowalski"),
        ("/people/Anna%20Kowalski", "/people/ Anna Kowalski"),
        ("CV_Anna_Kowalski.pdf", "CV Anna Kowalski.pdf"),
        ("charge_4242424242424242_old", "charge 4242424242424242 old"),
        ("_Anna Kowalski_, _anna@b.org_", " Anna Kowalski , _anna@b.org "),
        ("__536-90-4399__", " 536-90-4399 _"),
    ],
)
def test_reading(text: str, reading: str) -> None:
    """Encoded, invisible and foreign spellings are read as the characters that they stand for."""
    assert [view.text for view in views(text)] == [reading]


@pytest.mark.parametrize(
    "text", ["plain", "100 % of it", "Zoë wrote \u2013 again \u2013 to José\u2026", "日本語の文", "AT&T", r"C:\users"]
)
def test_ordinary_texts_have_no_other_reading(text: str) -> None:
    """Ordinary text, in any language, is scanned once only."""
    assert views(text) == []


@pytest.mark.parametrize(
    ("text", "readings"),
    [
        ("?next=%2F%3Fm%3Da%2540b.org", ["?next=/?m=a@b.org"]),
        ("4242&#8203;4242", ["4242\u200b4242", "42424242"]),
        ("%EF%BC%95%EF%BC%93", ["\uff15\uff13", "53"]),
        (r"&quot;a\u0040b.org&quot;", ['"a@b.org"']),
    ],
)
def test_spellings_in_spellings(text: str, readings: list[str]) -> None:
    """What is encoded twice is decoded twice, and what that brings to light is folded."""
    found = views(text)
    assert [view.text for view in found] == readings
    assert all(view.back(0, len(view.text)) == (0, len(text)) for view in found)


def test_offsets_map_back_through_all_spellings() -> None:
    """A finding in a text that was decoded twice lies where the encoded value is."""
    text = "go to https%3A%2F%2Fx.org%2F%3Fm%3Danna%2540b.org%26y now"
    (view,) = views(text)
    start = view.text.index("anna@b.org")
    begin, end = view.back(start, start + len("anna@b.org"))
    assert text[begin:end] == "anna%2540b.org"


def test_offsets_map_back_to_whole_spellings() -> None:
    """A finding that touches a replaced spelling covers all of it in the original."""
    text = "x anna%40example.com y"
    (view,) = views(text)
    start = view.text.index("anna@example.com")
    begin, end = view.back(start, start + len("anna@example.com"))
    assert text[begin:end] == "anna%40example.com"


@given(
    st.lists(st.tuples(st.text("ab", max_size=3), st.text("XY", min_size=1, max_size=3), st.text("12", max_size=2))),
    st.data(),
)
def test_mapping_is_exact(pieces: list[tuple[str, str, str]], data: st.DataObject) -> None:
    """Any stretch of a reading maps to a stretch of the original that reads the same, replaced spellings whole."""
    original = ""
    reading: list[str] = []
    replacements = []
    for kept, old, new in pieces:
        original += kept
        reading.append(kept)
        replacements.append((len(original), len(original) + len(old), new))
        original += old
        reading.append(new)
    view = View(original, replacements)
    assert view.text == "".join(reading)
    if view.text:
        start = data.draw(st.integers(0, len(view.text) - 1))
        end = data.draw(st.integers(start + 1, len(view.text)))
        begin, stop = view.back(start, end)
        inside = [r for r in replacements if begin <= r[0] and r[1] <= stop]
        again = View(original[begin:stop], [(a - begin, b - begin, new) for a, b, new in inside])
        assert view.text[start:end] in again.text
