"""What is read in place of a disguise, where, and that looking for one never takes long."""

from __future__ import annotations

import time

import pytest

from gateway.inspection.disguises import encoded, lookalikes, torn
from gateway.inspection.views import views


def test_encoded() -> None:
    """Base64 of text is read as the text; of other bytes, and words that only look like it, as nothing."""
    assert encoded("see YW5uYUBleGFtcGxlLmNvbQ== now") == [(4, 28, "anna@example.com")]
    assert encoded("internationalization 4bf92f3577b34da6a3ce929d0e0e4736 AAAAAAAAAAAAAAAAAAAAAAAA") == []
    assert encoded("short YW5uYQ==") == []


def test_lookalikes() -> None:
    """Only in words that hold Latin letters."""
    assert lookalikes("p\u0430y \u043c\u0438\u0440") == [(1, 2, "a")]


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("to anna at example dot com, please", [(3, 26, "anna@example.com")]),
        ("look at it. A dot is there", []),
        ("1 2 3 4 5 6 7 8 9 0", [(0, 19, "1234567890")]),
        ("x1 2 3 4 5 6 7 8 9 0", []),
        ("12345678-\n  9", [(9, 12, "")]),
        ("1234**5678**9", [(4, 6, ""), (10, 12, "")]),
    ],
)
def test_torn(text: str, changes: list[tuple[int, int, str]]) -> None:
    """Words for signs, digits one by one, and breaks, each with what is to be read there."""
    assert torn(text) == changes


@pytest.mark.parametrize(
    "unit",
    [
        "a.a at dot ",
        "(at)",
        "a(at)",
        " dot dot at ",
        "0 ",
        "0 0-",
        "1234 1234\n",
        "@\n@",
        "**1",
        "`1`@",
        "A1b2C3d4",
        "p\u0430",
        "=",
        "\\u",
    ],
)
def test_hostile_texts_take_no_longer(unit: str) -> None:
    """Time grows with the length for texts made of nothing but beginnings of disguises."""
    text = unit * (60_000 // len(unit))
    started = time.process_time()
    views(text)
    assert time.process_time() - started < 1.5
