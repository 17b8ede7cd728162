"""The JSON tree of a request or an answer, and paths into it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = "dict[str, Json]"


class Embedded(Enum):
    """A step *into* a string: the text at this point is itself JSON, and the steps after it go on inside."""

    JSON = "json"


@dataclass(frozen=True, slots=True)
class KeyOf:
    """A last step that means the *name* of a member, not its value."""

    name: str


Step: TypeAlias = "str | int | Embedded | KeyOf"
Path: TypeAlias = "tuple[Step, ...]"
"""From the root to a leaf: member names, list positions, `Embedded.JSON` where a string is parsed as JSON."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One text to inspect: a string, a number as written in JSON, or a member's name."""

    path: Path
    text: str
