"""Digits are counted in every script."""

from __future__ import annotations

import pytest

from gateway.inspection.digits import count_digits


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("", 0),
        ("none", 0),
        ("a1b22 0987654321", 13),
        ("\u0661\u0662 \uff13 \U0001d7ce 4", 5),
        ("\u00b2\u2460\u00bd", 0),
    ],
)
def test_count(text: str, digits: int) -> None:
    """Decimal digits only: neither superscripts nor fractions."""
    assert count_digits(text) == digits
