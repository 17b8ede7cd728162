"""JSON inside strings, such as the arguments of a tool call: read only where the leaves are the whole content."""

from __future__ import annotations

import json
import re

from gateway.domain.tree import Json

MAX_NESTING = 4
"""How many times JSON may be nested in a string in a string; a string deeper than that is plain text."""

MAX_DEPTH = 100
"""Levels of lists and objects that are walked."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_FLOAT_DIGITS = 17  # what a double can hold; more digits would vanish from the leaf and still be in the string


class _NotTheWholeContent(ValueError):
    """Parsing would lose something that is in the string."""


def parse(text: str) -> dict[str, Json] | list[Json] | None:
    """`text` as a JSON object or list, or None where it is not one or where its leaves would not be all of it.

    Not all of it are: objects with a member twice (parsers keep one), numbers of more digits than a double holds,
    and ``NaN``. Such a string is plain text to whoever asks.
    """
    if not text or text[-1] not in "}] \t\r\n":  # nearly every text
        return None
    inner = text.strip(" \t\r\n")
    if len(inner) < 2 or (inner[0] + inner[-1]) not in ("{}", "[]"):
        return None
    try:
        value = _DECODER.decode(inner)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, (dict, list)) and _shallow(value) else None


def serialise(value: Json) -> str:
    """JSON text of a value that `parse` gave, possibly changed since."""
    text = json.dumps(value, ensure_ascii=False)
    # A lone surrogate is legal as an escape only: as a character it could not be encoded as UTF-8.
    return json.dumps(value) if _SURROGATE.search(text) else text


def number_text(value: int | float) -> str:
    """A JSON number as text; a whole number of up to 21 digits is written without point and exponent."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    try:
        return repr(value)
    except ValueError:  # an integer beyond Python's limit for decimal output
        return hex(value) if isinstance(value, int) else ""


def _shallow(value: Json) -> bool:
    level: list[Json] = [value]
    for _ in range(MAX_DEPTH):
        following: list[Json] = []
        for item in level:
            if isinstance(item, dict):
                following.extend(item.values())
            elif isinstance(item, list):
                following.extend(item)
        if not following:
            return True
        level = following
    return False


def _members(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _NotTheWholeContent("a member occurs twice")
    return members


def _float(digits: str) -> float:
    if len(digits) > _FLOAT_DIGITS:
        raise _NotTheWholeContent("more digits than a double holds")
    return float(digits)


def _constant(name: str) -> Json:
    raise _NotTheWholeContent(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_float=_float, parse_constant=_constant)
