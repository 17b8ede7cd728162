"""The hash that names a policy: over what it means, not over how it is written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date
from enum import Enum
from functools import cache
from typing import Any

from gateway.domain.tree import Json
from gateway.policy.schema import SCHEMA, Policy


def policy_hash(policy: Policy) -> str:
    """SHA-256, hexadecimal, of the canonical JSON of the policy: sorted keys, no spaces, ASCII.

    Comments, layout, order of rules and the file's name do not change it; everything that a decision or an
    explanation can depend on does.
    """
    return hashlib.sha256(canonical(policy)).hexdigest()


def canonical(policy: Policy) -> bytes:
    """The canonical JSON itself: the text to archive if a hash is to be checked without this program."""
    meaning = {"schema": SCHEMA, "policy": _plain(policy)}
    return json.dumps(meaning, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def _plain(value: object) -> Json:
    kind = type(value)
    if kind is str or kind is int or kind is bool or kind is float or value is None:
        return value  # type: ignore[return-value]  # mypy does not narrow by the exact type
    if kind is tuple:
        return [_plain(item) for item in value]  # type: ignore[attr-defined]
    if is_dataclass(kind):
        return {
            name: _plain(item)
            for name, default, left_out in _members(kind)
            if (item := getattr(value, name)) != default or not left_out
        }
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    raise TypeError(f"a policy cannot hold a {kind.__name__}")


@cache
def _members(kind: Any) -> tuple[tuple[str, object, bool], ...]:
    """Name and default of each field, and whether it is left out at its default."""
    return tuple((field.name, field.default, "added" in field.metadata) for field in fields(kind))
