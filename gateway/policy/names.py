"""What a policy may refer to while it is read: its own words, and the names that the platform knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TypeAlias

from gateway.documents import Node, nearest
from gateway.policy.schema import Policy

Places: TypeAlias = "dict[tuple[str, str], Node]"
"""Where things stand in a file, by kind and id."""


def _no_parent(node: Node) -> Policy | None:
    node.fail("a policy that extends another can only be read from its file")
    return None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known beside the file. `detectable` is every entity that the detector can find, `today` the day to judge
    expiry by, `known` the names that exist, by condition (tenant, app, group), and `channels` those that can be
    notified; what is None or missing is not checked. `parent_of` reads the policy that an ``extends`` names; it reports
    problems at that node and gives None then."""

    detectable: frozenset[str] | None = None
    today: date | None = None
    known: Mapping[str, frozenset[str]] = field(default_factory=dict)
    channels: frozenset[str] | None = None
    parent_of: Callable[[Node], Policy | None] = _no_parent


class Names:
    """What earlier parts of a file defined, for the later parts that refer to it."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings
        self.types: dict[str, Node | None] = {}
        self.region_sets: dict[str, tuple[str, ...]] = {}
        self.rules: dict[str, Node] = {}
        self.waivers: dict[str, Node] = {}
        self.places: Places = {}

    def data_types(self, node: Node) -> tuple[str, ...]:
        """Names of data types that are defined."""
        names = []
        for place, name in node.located_texts():
            if name in self.types:
                names.append(name)
            else:
                place.fail(f"unknown data type '{name}'", nearest(name, self.types))
        return tuple(sorted(names))

    def regions(self, node: Node) -> tuple[str, ...]:
        """Regions, with the sets among them written out."""
        found: set[str] = set()
        for name in node.text_or_list():
            found.update(self.region_sets.get(name, (name,)))
        return tuple(sorted(found))

    def somebody(self, condition: str, place: Node, name: str, *, must: bool = False) -> None:
        """Warn about a name that nobody has, or with `must` report it as wrong."""
        known = self.surroundings.known.get(condition)
        if known is None or name in known:
            return
        message = f"there is no {condition} '{name}'"
        if must:
            place.fail(message, nearest(name, known))
        else:
            place.problems.warn(place, f"{message}, so this never holds{_meant(name)}", nearest(name, known))


def _meant(name: str) -> str:
    """What to write instead, where somebody wrote a sentence or a wildcard."""
    if name.lower() in ("all", "any", "everybody", "everyone", "anybody"):
        return " (for everybody, leave the condition out)"
    if {"or", "and"} & set(name.lower().split()):
        return " (for several, write a list: [a, b])"
    return " (there is no 'not': a condition says for whom a rule is)" if name.lower().startswith("not ") else ""
