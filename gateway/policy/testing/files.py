"""Reading a test file (such as ``policy_test.yaml``), with everything that is wrong reported at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from gateway.documents import DocumentError, Node, Problem, read
from gateway.domain.decision import Facts
from gateway.domain.errors import ConfigurationError
from gateway.domain.target import Target
from gateway.policy.analysis.guarantees import Guarantee, names_of, read_guarantees
from gateway.policy.testing.expected import Expected, read_expected
from gateway.policy.testing.facts import GIVEN, Clock, given, read_clock
from gateway.policy.testing.matrix import combinations
from gateway.policy.testing.subject import Subject
from gateway.policy.testing.targets import TargetsOf, inline_targets
from gateway.policy.testing.vocabulary import Vocabulary

FILE = ("policy", "targets", "as_of", "zone", "guarantees", "tests")
TEST = ("name", "matrix", "given", "text", "targets", "expect")


@dataclass(frozen=True, slots=True)
class Case:
    """One test. `text`, where there is one, is scanned by the real detector and adds to what is given. `targets` are
    those of the file that could answer this request. `line` is where it stands; the cases of one matrix share it."""

    name: str
    line: int
    given: Facts
    text: str | None
    targets: tuple[Target, ...]
    expect: Expected


@dataclass(frozen=True, slots=True)
class TestFile:
    """`path` is the file itself, `policy` that of the policy that the tests are about. `as_of` is the day (UTC) of the
    fixed clock. `warnings` do not stop the tests from being run."""

    __test__ = False  # pytest would take the name for a test class

    path: Path
    policy: Path
    targets: tuple[Target, ...]
    as_of: date
    cases: tuple[Case, ...]
    guarantees: tuple[Guarantee, ...] = ()
    warnings: tuple[Problem, ...] = ()


def read_tests(
    path: Path,
    targets_of: TargetsOf,
    policy_of: Callable[[Path], Subject] | None = None,
    detectable: frozenset[str] | None = None,
) -> TestFile:
    """The test file at `path`; paths in it are relative to it.

    With `policy_of` the names in it are checked against the policy that it names, and with `detectable` (every entity
    that the detector can find) the entities that are given as found. Raises `DocumentError` or `ConfigurationError`
    with the problems of this file and of those that it names.
    """
    root = read(path)
    trouble: list[ConfigurationError] = []
    keys = {key.text() for key, _ in root.items(allow_empty=True) if key.kind == "text"}
    if {"data_types", "levels", "handling"} <= keys:
        root.fail(f"this is a policy; its tests stand in a file beside it, such as {path.stem}_test{path.suffix}")
        root.problems.check()
    promises = "guarantees" in keys
    needed = ("policy", "targets", "as_of")
    fields = root.mapping(FILE, needed if promises else (*needed, "tests"))
    named = fields["policy"].text()
    policy = path.parent / named
    targets = _targets(fields["targets"], path, targets_of, trouble)
    clock = read_clock(fields["as_of"], fields.get("zone"))
    vocabulary = Vocabulary(targets, detectable)
    subject = None
    if policy_of is not None and named and all(fields[key].present for key in needed):
        try:
            subject = policy_of(policy)
            vocabulary.learn(subject)
        except ConfigurationError as problem:
            trouble.append(problem)
    cases = tuple(_cases(fields["tests"], clock, vocabulary)) if "tests" in fields else ()
    names = names_of(subject.policy.source) if subject else None
    guarantees = read_guarantees(fields["guarantees"], names) if "guarantees" in fields else ()
    _check([*trouble, *([DocumentError(root.problems.found)] if root.problems.found else [])])
    return TestFile(path, policy, targets, clock.day, cases, guarantees, tuple(sorted(set(root.problems.warnings))))


def _targets(node: Node, path: Path, targets_of: TargetsOf, trouble: list[ConfigurationError]) -> tuple[Target, ...]:
    if node.kind == "list":
        return inline_targets(node)
    if name := node.text():
        try:
            return targets_of(path.parent / name)
        except ConfigurationError as problem:
            trouble.append(problem)
    return ()


def _check(trouble: list[ConfigurationError]) -> None:
    """Raise all of this as one error."""
    located = [problem for problem in trouble if isinstance(problem, DocumentError)]
    if len(located) == len(trouble):
        if located:
            raise DocumentError(problem for error in located for problem in error.problems)
        return
    raise ConfigurationError("\n".join(str(problem) for problem in trouble))


def _cases(node: Node, clock: Clock, vocabulary: Vocabulary) -> Iterator[Case]:
    names: set[str] = set()
    for item in node.sequence():
        fields = item.mapping(TEST, ("name", "expect"))
        name = fields["name"].text()
        if name and name in names:
            item.fail(f"two tests have the name '{name}'")
        names.add(name)
        targets = vocabulary.served(fields.get("targets"))
        expect = vocabulary.expand(read_expected(fields["expect"], vocabulary.check))
        common = fields["given"].mapping(GIVEN, allow_empty=True) if "given" in fields else {}
        taken = {**common, **({"text": fields["text"]} if "text" in fields else {})}
        for combination in combinations(fields.get("matrix"), (*GIVEN, "text"), taken):
            members = {**taken, **combination.fields}
            shown = f"{name} {combination.words}".strip()
            yield Case(shown, item.line, _facts(members, clock, vocabulary), _text(members), targets, expect)


def _facts(members: Mapping[str, Node], clock: Clock, vocabulary: Vocabulary) -> Facts:
    if "found" in members:
        vocabulary.check_found(members["found"])
    return given(members, clock)


def _text(members: Mapping[str, Node]) -> str | None:
    return members["text"].text() if "text" in members else None
