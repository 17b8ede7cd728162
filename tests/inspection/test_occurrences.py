"""One rule for where a value occurs, in redaction and in the egress guard."""

from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inspection.occurrences import Needle, leaks, occurrences


@pytest.mark.parametrize(
    ("value", "text", "count"),
    [
        ("Anna", "Anna and Anna's; annAnna, Annabel", 2),
        ("Anna", r"\nAnna \u0020Anna \u00e9Anna %20Anna", 3),
        ("Li", "List of Li", 1),
        ("Kowalski", "xKowalskix", 1),
        ("A1", "xA1x", 1),
        ("王小明", "我叫王小明。", 1),
        ("anna@x.com", "q=anna%40x.com", 1),
        ("a b", "q=a+b&r=a%20b", 2),
        ('say "hi"', r"{say \"hi\"} [say \\\"hi\\\"]", 2),
        ("Zoë K", r"Zo\u00eb K", 1),
        ("user", "user", 0),
        ("  ", "a  b", 0),
    ],
)
def test_occurrences(value: str, text: str, count: int) -> None:
    """Short names count as words of their own, also behind an escape; other values wherever their characters are."""
    assert len(occurrences(value, text)) == count


def test_values_are_not_shown() -> None:
    """What is searched for cannot get into a log by its repr."""
    assert "secret" not in repr(Needle("secret-value"))


VALUES = st.text(min_size=6, max_size=12).filter(lambda v: v.strip() and Needle(v).searchable)


@given(VALUES, st.text(max_size=5))
def test_leaks_finds_every_form(value: str, around: str) -> None:
    """A value is found in the bytes plainly, escaped for JSON in any style, twice escaped, and percent-encoded."""
    plain = around + value
    bodies = [
        json.dumps({"a": plain}).encode(),
        json.dumps({"a": {"b": [plain]}}, ensure_ascii=False).encode("utf-8", "surrogatepass"),
        json.dumps({plain: 1}).encode(),
        json.dumps({"a": json.dumps({"b": plain})}).encode(),
        json.dumps({"a": "x " + json.dumps({"b": plain}) + " y"}).encode(),
        json.dumps({"a": quote(value, safe="", errors="surrogatepass")}).encode(),
        json.dumps({"a": quote_plus(value, errors="surrogatepass")}).encode(),
    ]
    assert [leaks([value], body) for body in bodies] == [True] * len(bodies)


@given(st.sampled_from(["Anna", "Li", "Zoë"]), st.sampled_from(["", " ", "\n", "\t", '"', "x: "]))
def test_leaks_finds_short_names(value: str, before: str) -> None:
    """A short name is found at the start of a line or of a string, where its neighbour in the bytes is an escape."""
    assert leaks([value], json.dumps({"a": before + value}).encode())
    assert not leaks([value], json.dumps({"a": "x" + value + "x"}).encode())


def test_leaks_takes_escapes_for_what_they_are() -> None:
    """The letter of an escape and the characters after it are not a value."""
    assert not leaks(["n12345"], b'{"a": "x\\n12345"}')
    assert not leaks(["0041234"], b'{"a": "\\u0041234"}')
    assert leaks(["A234567"], b'{"a": "\\u0041234567"}')


def test_leaks_checks_what_is_not_json_as_it_is() -> None:
    """Bytes that are not JSON are not waved through."""
    assert leaks(["536-90-4399"], b"--- 536-90-4399")
    assert not leaks(["536-90-4399"], b"--- nothing")
    assert leaks(["4242424242424242"], b'{"n": 4242424242424242}')
