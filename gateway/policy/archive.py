"""The archive: every policy that was ever in force, under its hash, so that its decisions can be recomputed.

A policy that was joined from several files stands in none of them, so what is kept is the canonical JSON of the policy
itself, from which the hash is made: ``<hash>.json``. The files that it was read from, with their comments, are kept in
``sources/<hash>`` for people; no program reads them. Archives of earlier versions hold the one source file as
``<hash>.yaml``, and are read as well.
"""

from __future__ import annotations

import hashlib
import json
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import date
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from gateway.documents import contents
from gateway.domain.errors import ConfigurationError
from gateway.domain.files import write_whole
from gateway.policy.compile import CompiledPolicy, compile_policy
from gateway.policy.hash import canonical, policy_hash
from gateway.policy.load import load
from gateway.policy.schema import SCHEMA, Policy


def keep(folder: Path, policy: CompiledPolicy, sources: Mapping[str, bytes]) -> Path:
    """Archive a policy and the files it was made of, by their names; durable when this returns, as records are. Raises
    `ConfigurationError`."""
    kept = folder / f"{policy.id.hash}.json"
    try:
        if kept.exists() and hashlib.sha256(kept.read_bytes()).hexdigest() == policy.id.hash:
            return kept
        for parent in (folder.parent, folder):
            parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, source in sources.items():
            _write(folder / "sources" / kept.stem / name, source)
        _write(kept, canonical(policy.source))
    except OSError as problem:
        raise ConfigurationError(f"{kept}: cannot be written: {problem.strerror}") from problem
    return kept


def load_archived(folder: Path, policy: str) -> CompiledPolicy:
    """The archived policy of this hash (hexadecimal, all 64 digits). Raises `ConfigurationError` when there is none,
    or when it is not what its hash says."""
    kept = folder / f"{policy}.json"
    if kept.exists():
        found = decoded(contents(kept), str(kept))
    else:
        kept = folder / f"{policy}.yaml"
        if not kept.exists():
            raise ConfigurationError(f"{folder}: holds no policy of the hash {policy}")
        found, _ = load(kept)
    if policy_hash(found) != policy:
        raise ConfigurationError(f"{kept}: has been changed: it is not the policy of this hash any more")
    return compile_policy(found)


def decoded(data: bytes, name: str = "policy") -> Policy:
    """From canonical JSON back to the policy. Raises `ConfigurationError`."""
    try:
        meaning = json.loads(data)
        if meaning["schema"] != SCHEMA:
            raise ValueError(f"schema {meaning['schema']}")
        policy = _decoded(Policy, meaning["policy"])
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        raise ConfigurationError(f"{name}: is not an archived policy: {type(problem).__name__}") from problem
    assert isinstance(policy, Policy)
    return policy


def _decoded(kind: Any, value: Any) -> Any:
    """A JSON value as a value of this type: a dataclass, a tuple, an enum, a date, an optional, or JSON's own."""
    if isinstance(kind, type) and is_dataclass(kind):
        return _dataclass(kind, value)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        (kind,) = (option for option in arguments if option is not types.NoneType)
        return _decoded(kind, value)
    if origin is tuple:
        items = _expect(list, value)
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_decoded(arguments[0], item) for item in items)
        return tuple(_decoded(kind, item) for kind, item in zip(arguments, items, strict=True))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind[_expect(str, value).upper()]
    if kind is date:
        return date.fromisoformat(_expect(str, value))
    if kind is float:
        return float(_expect((int, float), value))
    return _expect(getattr(kind, "__supertype__", kind), value)


def _dataclass(kind: type, value: Any) -> Any:
    hints = _hints(kind)
    given = _expect(dict, value)
    if given.keys() - hints.keys():
        raise ValueError("unknown fields")
    left_out = {field.name for field in fields(kind) if "added" in field.metadata and field.default is not MISSING}
    if hints.keys() - given.keys() - left_out:
        raise ValueError("missing fields")
    return kind(**{name: _decoded(hints[name], item) for name, item in given.items()})


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _expect(kind: Any, value: Any) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError("a value of another type")
    return value


def _write(path: Path, data: bytes) -> None:
    """The whole file or none of it, on the disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, data)
