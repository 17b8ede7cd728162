"""A policy together with the place of each of its parts, so that two policies can be compared by their lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from gateway.documents import Node, Problem
from gateway.domain.decision import Level
from gateway.policy.join_limits import AMOUNTS
from gateway.policy.load import Loaded
from gateway.policy.load_limits import CEILING, LIMITS, SCOPE, WHOM
from gateway.policy.load_outcome import HANDLING
from gateway.policy.load_when import read_line, read_when
from gateway.policy.schema import Line, Policy, When

_COST = ("per_request", "per_app_per_day", "when_spent")


@dataclass(frozen=True, slots=True)
class Written:
    """`places` says where a part stands, by kind and id: ``rule``, ``exception``, ``data type``, ``section``,
    ``handling`` (``internal`` or ``internal.regions``), ``unsure``, ``line`` (`line_key`), ``limit``, ``ceiling`` and
    ``scope`` (`scope_key`). A node knows its file. `guarantees` are those of the file and of every file it extends, and
    `files` the names of all these, as messages show them.
    """

    policy: Policy
    places: Mapping[tuple[str, str], Node]
    guarantees: tuple[Node, ...] = ()
    files: frozenset[str] = frozenset()

    @property
    def file(self) -> str:
        """The name of the file, as messages show it."""
        return PurePath(self.places["file", ""].problems.file).name

    def place(self, *keys: tuple[str, str]) -> Node:
        """Where the first of these that is written stands; else the beginning of the file."""
        return next((self.places[key] for key in keys if key in self.places), self.places["file", ""])

    def says(self, kind: str, name: str) -> bool:
        return (kind, name) in self.places


def problem(place: Node, message: str) -> Problem:
    return place.problems.at(place.line, place.column, message)


def where(place: Node) -> str:
    """Such as ``base.yaml:22``."""
    return f"{PurePath(place.problems.file).name}:{place.line}"


def line_key(level: Level, line: Line) -> tuple[str, str]:
    return "line", f"{level.word} {line!r}"


def scope_key(who: When, amount: str = "") -> tuple[str, str]:
    return "scope", f"{who.names!r} {amount}".rstrip()


def written(loaded: Loaded) -> Written:
    """A file that was read, with a place for every single thing that it says."""
    places = dict(loaded.places)
    for level in Level:
        if ("handling", level.word) in places:
            for key, node in places["handling", level.word].mapping(HANDLING).items():
                places["handling", f"{level.word}.{key}"] = node
        if ("level", level.word) in places:
            for node in places["level", level.word].sequence():
                places.setdefault(line_key(level, read_line(node, loaded.names)), node)
    if ("section", "limits") in places:
        fields = places["section", "limits"].mapping(LIMITS)
        places |= {("limit", key): node for key, node in _amounts(fields).items()}
        if "ceiling" in fields:
            ceiling = _amounts(fields["ceiling"].mapping(CEILING))
            places |= {("ceiling", key): node for key, node in ceiling.items()}
        for node in fields["scopes"].sequence() if "scopes" in fields else []:
            members = node.mapping(SCOPE)
            who = read_when(members["for"], loaded.names, WHOM)
            places[scope_key(who)] = node
            places |= {scope_key(who, key): item for key, item in _amounts(members).items()}
    guarantees = (loaded.guarantees,) if loaded.guarantees is not None else ()
    return Written(loaded.policy, places, guarantees, frozenset({places["file", ""].problems.file}))


def _amounts(fields: dict[str, Node]) -> dict[str, Node]:
    found = fields["latency"].mapping(("first_token",)) if "latency" in fields else {}
    if "cost" in fields:
        found |= fields["cost"].mapping(_COST)
    return {key: found[key] for key in (*AMOUNTS, "when_spent") if key in found}
