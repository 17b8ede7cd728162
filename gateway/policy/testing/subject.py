"""The policy that is tested: its value, ready to decide, with the place of each of its parts and its guarantees."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from gateway.documents import DocumentError, Node
from gateway.policy.analysis.guarantees import Guarantee, names_of, read_guarantees
from gateway.policy.compile import CompiledPolicy, compile_policy
from gateway.policy.sources import read_policy
from gateway.policy.written import Written

Keys: TypeAlias = "tuple[tuple[str, str], ...]"
"""Where a part of a policy may stand, by kind and id as in `Written.places`; the most exact place first."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Subject:
    """`guarantees` are those in the policy's own file, and in those that it extends."""

    written: Written
    policy: CompiledPolicy
    guarantees: tuple[Guarantee, ...]

    def place(self, keys: Keys) -> Place:
        """Where the first of these that is written stands; else the beginning of the file."""
        return place_of(self.written.place(*keys))

    @property
    def region_sets(self) -> dict[str, frozenset[str]]:
        section = self.written.places.get(("section", "region_sets"))
        if section is None:
            return {}
        return {key.text(): frozenset(regions.text_or_list()) for key, regions in section.items()}


def read_subject(path: Path) -> Subject:
    """The policy in a file, with what it extends. Raises `DocumentError` or `ConfigurationError`."""
    written = read_policy(path)
    names = names_of(written.policy)
    found: list[Guarantee] = []
    for node in written.guarantees:
        found += read_guarantees(node, names)
    problems = [problem for node in written.guarantees for problem in node.problems.found]
    if problems:
        raise DocumentError(problems)
    return Subject(written, compile_policy(written.policy), tuple(found))


def place_of(node: Node) -> Place:
    return Place(node.problems.file, node.line)
