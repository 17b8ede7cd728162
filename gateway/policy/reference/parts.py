"""What schemas are made of: mappings with a sentence on each key, lists, and the values that keys may have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from gateway.domain.decision import Action, Level
from gateway.domain.tree import JsonObject
from gateway.policy.load_when import DAYS

Keys: TypeAlias = "dict[str, JsonObject]"
"""The schema of each key of a mapping."""
DIALECT = "https://json-schema.org/draft/2020-12/schema"
LEVELS = tuple(level.word for level in Level)
ACTIONS = tuple(action.value for action in Action)

TEXT: JsonObject = {"type": "string", "pattern": r"\S"}
NAME: JsonObject = {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}$"}
ID: JsonObject = {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9_\-]{0,63}$"}
WHO_NAME: JsonObject = {"type": "string", "pattern": r"^[A-Za-z0-9_.:/@+\-]{1,96}$"}
LABEL: JsonObject = {"type": "string", "pattern": r"^[a-z0-9][a-z0-9_.\-]{0,63}$"}
# Letters of every script, written so that Python's and JavaScript's expressions mean the same by it.
TYPE_NAME: JsonObject = {
    "type": "string",
    "pattern": r"^[0-9A-Za-z_\u00a1-\uffff][0-9A-Za-z_\u00a1-\uffff /&+\-]{0,63}$",
}
MONEY: JsonObject = {"type": "string", "pattern": r"^[0-9]{1,9}(\.[0-9]{1,9})? ?USD$", "examples": ["0.05 USD"]}
DURATION: JsonObject = {
    "type": "string",
    "pattern": r"^(?=.*[1-9])[0-9]{1,9}(\.[0-9]{1,6})? ?(ms|s|m|h)$",
    "examples": ["500ms", "2s", "24h"],
}
DAY: JsonObject = {"type": "string", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "examples": ["2026-12-31"]}
HOURS: JsonObject = {
    "type": "string",
    "pattern": r"^([01][0-9]|2[0-3]):[0-5][0-9] ?- ?([01][0-9]|2[0-4]):[0-5][0-9]$",
    "examples": ["08:00-18:00", "22:00-06:00"],
}
ZONE: JsonObject = {
    "type": "string",
    "pattern": r"^[A-Za-z0-9_+\-]+(/[A-Za-z0-9_+\-]+)*$",
    "examples": ["Europe/Berlin"],
}
FLAG: JsonObject = {"type": "boolean"}

_ANY_CASE = "|".join("".join(f"[{letter.upper()}{letter}]" for letter in day) for day in DAYS)
WEEKDAY: JsonObject = {
    "type": "string",
    "pattern": rf"^({_ANY_CASE})( *- *({_ANY_CASE}))?$",
    "examples": ["sat", "mon-fri"],
}


def words(allowed: Sequence[str]) -> JsonObject:
    return {"enum": [*allowed]}


def whole(least: int, most: int | None = None) -> JsonObject:
    number: JsonObject = {"type": "integer", "minimum": least}
    return number if most is None else {**number, "maximum": most}


def some(item: JsonObject, least: int = 1) -> JsonObject:
    """A list, nothing in it twice."""
    return {"type": "array", "items": item, "minItems": least, "uniqueItems": True}


def one_or_some(item: JsonObject, least: int = 1) -> JsonObject:
    """A single one, or a list."""
    return {"anyOf": [item, some(item, least)]}


def sequence(item: JsonObject, least: int = 1) -> JsonObject:
    return {"type": "array", "items": item, "minItems": least}


def said(value: JsonObject, description: str) -> JsonObject:
    """A value with the sentence that an editor shows."""
    return {**value, "description": description}


def mapping(
    properties: Mapping[str, JsonObject], required: Sequence[str] = (), least: int = 1, more: JsonObject | None = None
) -> JsonObject:
    """A mapping with these keys and no others; `more` is what else must hold of it."""
    made: JsonObject = {"type": "object", "properties": {**properties}, "additionalProperties": False}
    if required:
        made["required"] = [*required]
    elif least:
        made["minProperties"] = least
    return {**made, **(more or {})}


def needs(condition: JsonObject, key: str) -> JsonObject:
    """A mapping in which `condition` holds of the properties must have this key; without it, it must not."""
    return {
        "if": {"properties": condition, "required": [*condition]},
        "then": {"required": [key]},
        "else": {"properties": {key: False}},
    }


def schema(title: str, description: str, body: JsonObject) -> JsonObject:
    return {"$schema": DIALECT, "title": title, "description": description, **body}
