"""Counting the decimal digits of a text, in about a microsecond."""

from __future__ import annotations

import re

HIGH = re.compile("[\u0660-\U0010ffff]")
"""The characters among which the digits of other scripts are; the first of them is Arabic."""


def count_digits(text: str) -> int:
    """Decimal digits of any script."""
    count = text.count  # ten searches for one character each are faster than one for ten
    digits = (
        count("0") + count("1") + count("2") + count("3") + count("4")
        + count("5") + count("6") + count("7") + count("8") + count("9")
    )  # fmt: skip
    if not text.isascii():
        digits += sum(map(str.isdecimal, HIGH.findall(text)))
    return digits
