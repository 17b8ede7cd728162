"""What a span, a log line or a metric label may hold: numbers, flags and labels. Anything else is replaced, not cut,
so that no part of a text that should not be here gets through."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, TypeAlias

Value: TypeAlias = "str | int | float | bool"

REDACTED: Final = "(redacted)"
LONGEST: Final = 128

_is_label = re.compile(rf"[A-Za-z0-9_.:/@+\- ]{{0,{LONGEST}}}", re.ASCII).fullmatch
_BIGGEST = 2**63  # the wire formats hold 64 bits, and one number too big would cost its whole batch


def clean(value: object) -> Value:
    """`value` if it is a flag, a 64-bit number or a label of at most 128 characters, otherwise ``(redacted)``."""
    if isinstance(value, str):
        return str(value) if _is_label(value) else REDACTED
    if isinstance(value, bool | float):
        return value
    if isinstance(value, int) and -_BIGGEST <= value < _BIGGEST:
        return int(value)
    return REDACTED


def joined(labels: Iterable[str]) -> str:
    """Several labels as one value, separated by spaces; those that do not fit are counted: ``a b +3``."""
    rest = list(labels)
    text = " ".join(rest)
    if len(text) <= LONGEST:
        return text
    kept: list[str] = []
    room = LONGEST - len(f" +{len(rest)}")
    for item in rest:
        room -= len(item) + 1
        if room < 0:
            break
        kept.append(item)
    return " ".join([*kept, f"+{len(rest) - len(kept)}"])
