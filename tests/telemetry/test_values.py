"""Values: numbers, flags and labels pass; nothing else does."""

from __future__ import annotations

from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.values import LONGEST, REDACTED, clean, joined


class Word(StrEnum):
    YES = "yes"


@pytest.mark.parametrize("value", ["support-bot", "openai/gpt-4o-mini", "", "a" * 128, 0, -1, 2**63 - 1, 1.5, True])
def test_labels_numbers_and_flags_pass_unchanged(value: object) -> None:
    """What an operator configures or a program counts is shown as it is."""
    assert clean(value) == value
    assert type(clean(value)) is type(value)


@pytest.mark.parametrize("value", ["a\nb", "Grüße", "a" * 129, "x=1", '{"a":1}', b"x", None, ["a"], 2**63, object()])
def test_anything_else_is_replaced_whole(value: object) -> None:
    """No part of a text that is no label gets through, and no number that the wire format cannot hold."""
    assert clean(value) == REDACTED


def test_words_of_an_enumeration_become_plain_strings() -> None:
    """A serialiser meets plain types only."""
    assert type(clean(Word.YES)) is str


@given(st.lists(st.text("abc-", min_size=1, max_size=60), max_size=40))
def test_joined_labels_always_fit_and_none_is_lost_silently(labels: list[str]) -> None:
    """However many rules had a say, the value is a label, and those left out are counted."""
    text = joined(labels)
    assert clean(text) == text
    assert len(text) <= LONGEST
    shown = text.split()
    left_out = int(shown.pop()[1:]) if shown and shown[-1].startswith("+") else 0
    assert shown == labels[: len(shown)]
    assert len(shown) + left_out == len(labels)
