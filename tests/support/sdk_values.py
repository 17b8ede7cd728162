"""Values for every field of a typed API, made from its type hints, so that a field of tomorrow is tried as well."""

from __future__ import annotations

import collections.abc
import types
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints

from typing_extensions import is_typeddict

_LISTS = (list, collections.abc.Iterable, collections.abc.Sequence)
_SCALARS: dict[object, Any] = {str: "some text", int: 1, float: 0.5, bool: True, object: {"free": ["form", 1]}}


def values(hint: Any, without: Sequence[str] = ()) -> Iterator[Any]:
    """Values of this type that use every alternative in it at least once. A member of a typed dictionary is always
    there; alternatives whose ``type`` is in `without` are left out."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in _SCALARS:
        yield _SCALARS[hint]
    elif hint is type(None):
        yield None
    elif origin is Literal:
        yield from arguments
    elif origin in (Union, types.UnionType):
        for argument in arguments:
            yield from values(argument, without)
    elif origin in (Required, NotRequired):
        yield from values(arguments[0], without)
    elif origin is dict:
        yield from ({"some key": value} for value in values(arguments[1], without))
    elif origin in _LISTS:
        yield list(values(arguments[0], without))
    elif is_typeddict(hint):
        yield from _dictionaries(hint, without)
    else:
        raise TypeError(f"no value is known for {hint}")


def _dictionaries(hint: Any, without: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One with every member's first value, and one more for each further value of a member."""
    members = {name: list(values(kind, without)) for name, kind in get_type_hints(hint).items()}
    if any(kind in without for kind in members.get("type", ())) or not all(members.values()):
        return
    first = {name: found[0] for name, found in members.items()}
    yield first
    for name, found in members.items():
        yield from ({**first, name: value} for value in found[1:])
