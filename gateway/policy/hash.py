"""The hash that names a policy: over what it means, not over how it is written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date
from enum import Enum

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
    if is_dataclass(value):
        return {
            field.name: _plain(item)
            for field in fields(value)
            if (item := getattr(value, field.name)) != field.default or "added" not in field.metadata
        }
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a policy cannot hold a {type(value).__name__}")
