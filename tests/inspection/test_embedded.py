"""JSON in strings is read only where nothing of the string would be lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inspection import embedded

VALUES = st.recursive(
    st.text(max_size=6) | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=10,
)


@given(st.lists(VALUES) | st.dictionaries(st.text(), VALUES))
def test_parse_and_serialise(value: Any) -> None:
    """What is parsed can be written again and is the same."""
    text = embedded.serialise(value)
    parsed = embedded.parse(text)
    assert parsed is None or parsed == value  # None: a number of more digits than can be kept
    text.encode()


def test_lone_surrogates_stay_escaped() -> None:
    """Half a surrogate pair, legal only as an escape, is written as one, so that the text can be encoded."""
    text = '{"a": "\\ud800"}'
    parsed = embedded.parse(text)
    assert parsed is not None
    assert json.loads(embedded.serialise(parsed)) == parsed
    embedded.serialise(parsed).encode()


@pytest.mark.parametrize("text", ["", "x", '"x"', "12", "{", "[1] [2]", "null", "{1}", "]"])
def test_other_texts_are_not_parsed(text: str) -> None:
    """Only whole objects and lists count: anything else is text."""
    assert embedded.parse(text) is None


@pytest.mark.parametrize(
    ("number", "text"),
    [(42, "42"), (4.242424242424242e15, "4242424242424242"), (0.5, "0.5"), (1e300, "1e+300"), (10**30, "1" + "0" * 30)],
)
def test_number_text(number: float, text: str) -> None:
    """Whole numbers are written in digits, as a person would write a card number."""
    assert embedded.number_text(number) == text
    assert embedded.number_text(10**5000).startswith("0x")
