"""The record as bytes: canonical JSON, which is what the chain hashes and the store keeps, to the byte.

Canonical means: keys sorted, no spaces, UTF-8, and no field that has its default value, so that a field added
later changes no old record. `schema` numbers the meaning of the fields; adding a field does not change it.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import date
from operator import attrgetter
from typing import Any, Final

import orjson

from gateway.domain.finding import Found
from gateway.domain.record import AuditRecord, RecordKind

SCHEMA: Final = 1

_NAMES = tuple(field.name for field in fields(AuditRecord))
_DEFAULTS = tuple(field.default for field in fields(AuditRecord))  # MISSING for those that are always written
_VALUES = attrgetter(*_NAMES)
_FOUND = frozenset({"found", "hidden"})
_LISTS = frozenset(field.name for field in fields(AuditRecord) if field.default == ()) - _FOUND
_NUMBERS = frozenset(
    field.name for field in fields(AuditRecord) if field.type in ("int", "NanoUsd", "int | None", "NanoUsd | None")
)


def encode(record: AuditRecord) -> bytes:
    """The record's canonical bytes."""
    tree: dict[str, Any] = {
        name: value
        for name, value, default in zip(_NAMES, _VALUES(record), _DEFAULTS, strict=True)
        if value is not default and value != default
    }
    for name in _FOUND:
        if name in tree:
            tree[name] = [(found.entity, found.percent, found.distinct) for found in tree[name]]
    tree["schema"] = SCHEMA
    return orjson.dumps(tree, option=orjson.OPT_SORT_KEYS)  # which writes enums by value and dates as ISO 8601


def decode(body: bytes) -> AuditRecord:
    """The record of these bytes. Fields that a newer version wrote are left out. Raises `ValueError`."""
    tree = orjson.loads(body)
    if not isinstance(tree, dict):
        raise ValueError("not an audit record")
    known = {name: tree[name] for name in _NAMES if name in tree}
    try:
        known["kind"] = RecordKind(known["kind"])
        for name in _FOUND & known.keys():
            known[name] = tuple(_found(*item) for item in known[name])
        for name in _LISTS & known.keys():
            known[name] = tuple(known[name])
        if "as_of" in known:
            known["as_of"] = date.fromisoformat(known["as_of"])
        for name in _NUMBERS & known.keys():
            _check_number(known[name])
        return AuditRecord(**known)
    except (TypeError, KeyError) as error:  # a field is of another type, or missing
        raise ValueError("not an audit record") from error


def _found(entity: str, percent: int, distinct: int) -> Found:
    _check_number(percent)
    _check_number(distinct)
    return Found(entity, percent, distinct)


def _check_number(value: object) -> None:
    if not isinstance(value, int):
        raise TypeError("not a number")
