"""Several JSON schemas that hold at the same time, as one. Pure.

What `allOf`, a reference with something beside it, and alternatives with something beside them mean. What cannot be put
together without a loss is an error, never ignored. Source: JSON Schema 2020-12, core (applicators) and validation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from adapters.llama_cpp.failures import BadRequest

MAX_DEPTH = 48
Schema: TypeAlias = "dict[str, Any]"
Find: TypeAlias = "Callable[[Any, str], Any]"

_ANNOTATIONS = """
title description default examples example deprecated readOnly writeOnly discriminator nullable contentMediaType
contentEncoding $schema $id $comment $defs definitions
"""
ANNOTATIONS = frozenset(_ANNOTATIONS.split())
"""Keywords that say nothing about which values are valid."""

_LARGEST = ("minLength", "minItems", "minProperties", "minimum", "exclusiveMinimum")
_SMALLEST = ("maxLength", "maxItems", "maxProperties", "maximum", "exclusiveMaximum")


class Impossible(BadRequest):
    """No value fits all of the schemas; an alternative that is impossible is none."""


def error(where: str, what: str) -> BadRequest:
    """The schema is at fault at this place."""
    return BadRequest(f"'{where}' {what}.", where[:200], "invalid_schema")


def impossible(where: str, what: str) -> Impossible:
    return Impossible(f"'{where}' {what}.", where[:200], "invalid_schema")


def constraints(schema: Schema) -> Schema:
    """The keywords that say which values are valid."""
    return {key: value for key, value in schema.items() if key not in ANNOTATIONS}


def flat(schema: Any, where: str, find: Find, depth: int = 0) -> Any:
    """The schema without `allOf`, and with a reference only where it is alone. `find` gives what a reference points to.
    Raises `BadRequest`."""
    if not isinstance(schema, dict):
        return schema
    if depth > MAX_DEPTH:
        raise error(where, f"is nested more than {MAX_DEPTH} deep")
    rest = constraints(schema)
    if "allOf" not in rest and not ("$ref" in rest and len(rest) > 1):
        return rest
    if rest.keys() == {"allOf"} and isinstance(rest["allOf"], list) and len(rest["allOf"]) == 1:
        return flat(rest["allOf"][0], f"{where}.allOf[0]", find, depth + 1)  # a reference in it stays one
    parts: list[tuple[Any, str]] = []
    if "$ref" in rest:
        parts.append((find(rest.pop("$ref"), where), f"{where}.$ref"))
    every = rest.pop("allOf", [])
    if not isinstance(every, list) or (not every and not parts):
        raise error(f"{where}.allOf", "must be a list with at least one schema")
    parts += [(part, f"{where}.allOf[{at}]") for at, part in enumerate(every)]
    joined: Any = rest
    for part, here in parts:
        while isinstance(part, dict) and constraints(part).keys() == {"$ref"}:
            depth += 1
            if depth > MAX_DEPTH:
                raise error(here, "refers only to itself")
            part = find(part["$ref"], here)
        joined = both(joined, flat(part, here, find, depth + 1), here)
    return joined


def both(left: Any, right: Any, where: str) -> Any:
    """The schema of what fits both, which are flat. Raises `BadRequest`."""
    for one, other in ((left, right), (right, left)):
        if one is True or one == {}:
            return other
        if one is False:
            return False
    if not isinstance(left, dict) or not isinstance(right, dict):
        raise error(where, "must be an object")
    joined = {**left, **{key: value for key, value in right.items() if key not in left}}
    if {"properties", "additionalProperties"} & left.keys() and {"properties", "additionalProperties"} & right.keys():
        joined |= _members(left, right)
    for key in left.keys() & right.keys() - {"properties", "additionalProperties"}:
        if left[key] != right[key]:
            joined[key] = _met(key, left[key], right[key], f"{where}.{key}")
    if ("prefixItems" in left) != ("prefixItems" in right) and "items" in (right if "prefixItems" in left else left):
        raise error(where, "has items beside another part's prefixItems")
    return joined


def _members(left: Schema, right: Schema) -> Schema:
    """The members of both. One that only one of them names has to be what the other allows of any other member."""
    mine, theirs = left.get("properties", {}), right.get("properties", {})
    if not isinstance(mine, dict) or not isinstance(theirs, dict):
        return {}  # the compiler says which of them is at fault
    my_rest, their_rest = left.get("additionalProperties", True), right.get("additionalProperties", True)
    members = {
        name: _all_of(mine.get(name, my_rest), theirs.get(name, their_rest)) for name in dict.fromkeys([*mine, *theirs])
    }
    joined: Schema = {"properties": members}
    if "additionalProperties" in left or "additionalProperties" in right:
        joined["additionalProperties"] = _all_of(my_rest, their_rest)
    return joined


def _all_of(left: Any, right: Any) -> Any:
    if left is True or left == right:
        return right
    if right is True:
        return left
    return False if left is False or right is False else {"allOf": [left, right]}


def _met(key: str, left: Any, right: Any, where: str) -> Any:
    """The value of a keyword that says what both of its values say."""
    if key in _LARGEST + _SMALLEST and isinstance(left, int | float) and isinstance(right, int | float):
        return max(left, right) if key in _LARGEST else min(left, right)
    if key == "required" and isinstance(left, list) and isinstance(right, list):
        return list(dict.fromkeys([*left, *right]))
    if key == "type":
        return _types(left, right, where)
    if key == "enum" and isinstance(left, list) and isinstance(right, list):
        shared = [value for value in left if any(value == other and type(value) is type(other) for other in right)]
        if not shared:
            raise impossible(where, "has no value in common with another part")
        return shared
    if key == "items":
        return _all_of(left, right)
    if key == "const":
        raise impossible(where, "contradicts another part")
    raise error(where, "cannot be put together with that of another part")


def _types(left: Any, right: Any, where: str) -> Any:
    mine, theirs = (one if isinstance(one, list) else [one] for one in (left, right))
    shared = [kind for kind in mine if kind in theirs or (kind == "integer" and "number" in theirs)]
    shared += [kind for kind in theirs if kind == "integer" and "number" in mine and kind not in shared]
    if not shared:
        raise impossible(where, "contradicts another part")
    return shared[0] if len(shared) == 1 else shared
