"""From a policy file, or a folder of them, to the policy of each tenant: reading, ``extends``, joining."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.documents import DocumentError, Node, Problem, nearest
from gateway.domain.errors import ConfigurationError
from gateway.policy.extend import extended
from gateway.policy.files import PolicyFiles, beside
from gateway.policy.join import EVERYBODY, File, joined
from gateway.policy.load import load_file
from gateway.policy.names import Surroundings
from gateway.policy.schema import Policy
from gateway.policy.written import Written, written

_DEEPEST = 16
"""Files that extend one another."""


@dataclass(frozen=True, slots=True)
class PolicySet:
    """`policies` holds the policy of each tenant that a file names and, under `EVERYBODY`, that of all other callers.
    `used` are the names of the files that had a say; a path of one file without ``extends`` has that one."""

    policies: Mapping[str, Written]
    warnings: tuple[Problem, ...]
    used: frozenset[str]

    @property
    def everybody(self) -> Written:
        return self.policies[EVERYBODY]


def read_policies(source: Path | PolicyFiles, surroundings: Surroundings | None = None) -> PolicySet:
    """The policies in a file or a folder. Raises `DocumentError` with everything that is wrong with all files, or
    `ConfigurationError` where there is no file to read."""
    files = PolicyFiles(source) if isinstance(source, Path) else source
    if not files.names:
        raise ConfigurationError(f"{files.path}: the folder holds no policy: no file whose name ends in .yaml")
    reader = _Reader(files, surroundings or Surroundings())
    found = [file for name in files.names if (file := reader.file(name)) is not None]
    if reader.problems:
        raise DocumentError(reader.problems)
    policies, problems = joined(found)
    if problems:
        raise DocumentError(problems)
    return PolicySet(policies, tuple(sorted(set(reader.warnings))), frozenset(reader.used))


def read_policy(path: Path, surroundings: Surroundings | None = None) -> Written:
    """One policy file, with what it extends; whom it is ``for`` makes no difference. Raises as `read_policies`."""
    files = PolicyFiles(path)
    if files.is_folder:
        raise ConfigurationError(f"{path}: is a folder, not a policy file")
    reader = _Reader(files, surroundings or Surroundings())
    found = reader.file(path.name)
    if found is None or reader.problems:
        raise DocumentError(reader.problems)
    return found.written


class _Reader:
    """Reads each file once, parents before children."""

    def __init__(self, files: PolicyFiles, surroundings: Surroundings) -> None:
        self._files = files
        self._surroundings = surroundings
        self._done: dict[str, File | None] = {}
        self._open: list[str] = []
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.used: set[str] = set()

    def file(self, name: str) -> File | None:
        """None where something is wrong with it, which is then among the problems."""
        if name not in self._done:
            self._open.append(name)
            try:
                self._done[name] = self._read(name)
            finally:
                self._open.pop()
        return self._done[name]

    def _read(self, name: str) -> File | None:
        shown = self._files.shown(name)
        above: list[File] = []

        def parent_of(node: Node) -> Policy | None:
            parent = self._parent(name, node)
            if parent is None:
                return None
            above.append(parent)
            return parent.written.policy

        try:
            data = self._files.data(name)
        except ConfigurationError as problem:
            if len(self._files.names) == 1 and len(self._open) == 1:
                raise
            self.problems.append(Problem(shown, 1, 1, str(problem).removeprefix(f"{shown}: ")))
            return None
        self.used.add(name)
        try:
            loaded = load_file(data, shown, replace(self._surroundings, parent_of=parent_of))
        except DocumentError as error:
            # Without its parent nothing that a file takes over is known, and so half of it would be called unknown.
            orphan = [problem for problem in error.problems if _NO_PARENT in problem.message]
            self.problems += orphan or error.problems
            return None
        self.warnings += loaded.warnings
        mine = written(loaded)
        if not above:
            return File(name, mine)
        result, problems = extended(above[0].written, mine)
        self.problems += problems
        return None if problems else File(name, result, above[0].above | {above[0].name})

    def _parent(self, name: str, node: Node) -> File | None:
        wanted = node.text()
        parent = beside(name, wanted) if wanted else None
        if parent is None:
            if wanted:
                node.fail(f"'{wanted}' leads out of the policy's folder{_NO_PARENT}: name a file in it")
            return None
        if parent in self._open:
            circle = " extends ".join([*self._open[self._open.index(parent) :], parent])
            node.fail(f"files extend one another in a circle{_NO_PARENT}: {circle}")
            return None
        if len(self._open) >= _DEEPEST:
            node.fail(f"more than {_DEEPEST} files extend one another{_NO_PARENT}")
            return None
        try:
            self._files.data(parent)
        except ConfigurationError as problem:
            reason = str(problem).removeprefix(f"{self._files.shown(parent)}: ")
            node.fail(f"'{wanted}' {reason}{_NO_PARENT}", nearest(wanted, self._files.names))
            return None
        found = self.file(parent)
        if found is None:
            node.fail(f"'{wanted}' is not valid{_NO_PARENT}; mend it first")
        return found


_NO_PARENT = ", so what this file extends is unknown"
