"""Which values of an enumeration fit what else the schema says. Pure.

Only for the values that a schema itself lists, and for what is said beside them. Source: JSON Schema 2020-12,
validation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from adapters.llama_cpp.schema_join import error

_IGNORED = frozenset(("pattern", "format", "uniqueItems", "multipleOf", "minProperties", "maxProperties"))
"""What is left to the model, or (a format) is no constraint."""

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: _is_number(value),
    "integer": lambda value: _is_number(value) and value == int(value),
}
_BOUNDS: dict[str, Callable[[Any, Any], bool]] = {
    "minLength": lambda value, bound: not isinstance(value, str) or len(value) >= bound,
    "maxLength": lambda value, bound: not isinstance(value, str) or len(value) <= bound,
    "minItems": lambda value, bound: not isinstance(value, list) or len(value) >= bound,
    "maxItems": lambda value, bound: not isinstance(value, list) or len(value) <= bound,
    "minimum": lambda value, bound: not _is_number(value) or value >= bound,
    "maximum": lambda value, bound: not _is_number(value) or value <= bound,
    "exclusiveMinimum": lambda value, bound: not _is_number(value) or value > bound,
    "exclusiveMaximum": lambda value, bound: not _is_number(value) or value < bound,
}


def admits(schema: dict[str, Any], value: Any, where: str) -> bool:
    """Does the value fit what stands beside the enumeration it is of? Raises `BadRequest` where that cannot be told."""
    for keyword, said in schema.items():
        if keyword == "type":
            kinds: Sequence[Any] = said if isinstance(said, list) else [said]
            if not all(kind in _TYPES for kind in kinds):
                raise error(f"{where}.type", "is not a type of JSON")
            if not any(_TYPES[kind](value) for kind in kinds):
                return False
        elif keyword == "const":
            if not _same(value, said):
                return False
        elif keyword in _BOUNDS:
            if not _is_number(said):
                raise error(f"{where}.{keyword}", "must be a number")
            if not _BOUNDS[keyword](value, said):
                return False
        elif keyword == "enum" or keyword in _IGNORED:
            continue
        elif isinstance(value, dict | list):
            raise error(f"{where}.{keyword}", "cannot be put together with an enumeration of objects or lists")
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(left: Any, right: Any) -> bool:
    """Equal as JSON, in which true is not 1."""
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)
