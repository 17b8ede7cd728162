"""Mutation testing: does any test or guarantee notice when one thing in the policy is dropped or loosened?

A mutant that no test and no guarantee notices survives. One that changes no decision in any situation could not be
noticed by anybody, so it does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gateway.domain.decision import Decision
from gateway.domain.target import Target
from gateway.policy.analysis.guarantees import Guarantee, prove
from gateway.policy.compile import CompiledPolicy, compile_policy
from gateway.policy.evaluate import evaluate
from gateway.policy.testing.advice import noticing
from gateway.policy.testing.equivalence import difference
from gateway.policy.testing.files import TestFile
from gateway.policy.testing.mutants import Mutant, mutants
from gateway.policy.testing.running import Prepared
from gateway.policy.testing.subject import Place, Subject


@dataclass(frozen=True, slots=True)
class Suite:
    """A test file, and its cases ready to be decided."""

    tests: TestFile
    prepared: tuple[Prepared, ...]


@dataclass(frozen=True, slots=True)
class Left:
    """A mutant that was not noticed. `advice` says what would notice it."""

    mutant: Mutant
    place: Place
    advice: str


@dataclass(frozen=True, slots=True)
class Mutation:
    """`killed` counts the mutants that were noticed. `equivalent` are those that change no decision."""

    killed: int
    survivors: tuple[Left, ...]
    equivalent: tuple[Left, ...]

    @property
    def percent(self) -> float:
        """Of the mutants that count, those that were noticed; 100 where there are none."""
        total = self.killed + len(self.survivors)
        return 100 * self.killed / total if total else 100.0


@dataclass(frozen=True, slots=True)
class _Verdict:
    differs: bool
    advice: str


def mutate(
    subject: Subject,
    suites: Sequence[Suite],
    on_mutant: Callable[[int], None] = lambda total: None,
) -> Mutation:
    """Try every mutant on these suites, all of whose tests have to pass and whose guarantees have to hold.

    `on_mutant` is told the number of all mutants after each of them.
    """
    policy = subject.policy
    cases = [item for suite in suites for item in suite.prepared]
    decisions = [evaluate(policy, item.facts, item.targets) for item in cases]
    touched = _Touched(cases, decisions)
    killed = 0
    survivors: list[Left] = []
    equivalent: list[Left] = []
    every = tuple(mutants(policy.source))
    for mutant in every:
        changed = compile_policy(mutant.policy, policy.id.hash)
        if _noticed(changed, touched.by(mutant), subject.guarantees, suites):
            killed += 1
        else:
            verdict = _tell_apart(policy, changed, mutant, suites)
            left = Left(mutant, subject.place(mutant.keys), verdict.advice)
            (survivors if verdict.differs else equivalent).append(left)
        on_mutant(len(every))
    return Mutation(killed, tuple(survivors), tuple(equivalent))


def _noticed(
    policy: CompiledPolicy, cases: Iterable[Prepared], own: tuple[Guarantee, ...], suites: Sequence[Suite]
) -> bool:
    if not all(item.passes(policy) for item in cases):
        return True
    return any(
        not proof.holds
        for suite in suites
        if (guarantees := (*own, *suite.tests.guarantees))
        for proof in prove(policy, guarantees, suite.tests.targets, suite.tests.as_of)
    )


def _served(suite: Suite) -> dict[tuple[Target, ...], None]:
    """All targets of a file, and each choice among them that a test makes."""
    return dict.fromkeys((suite.tests.targets, *(item.targets for item in suite.prepared)))


def _tell_apart(policy: CompiledPolicy, changed: CompiledPolicy, mutant: Mutant, suites: Sequence[Suite]) -> _Verdict:
    """Whether a mutant that nothing noticed makes a difference, and the test that would have noticed it."""
    sure = True
    for tests, targets in [(suite.tests, served) for suite in suites for served in _served(suite)]:
        days = tuple(dict.fromkeys((tests.as_of, *mutant.days)))
        found = difference(policy, mutant, changed, targets, days)
        if found.facts is not None:
            advice = noticing(policy, changed, found.facts, targets, tests.as_of)
            only = f"targets: [{', '.join(target.id for target in targets)}], " if targets != tests.targets else ""
            return _Verdict(True, f"{only}{advice}")
        sure = sure and found.sure
    if sure:
        return _Verdict(False, "it changes no decision in any situation with these targets")
    return _Verdict(True, "there are too many situations to look for a test that would notice it")


class _Touched:
    """Which cases a mutant can touch at all: a rule that is loosened makes no difference where it did not match."""

    def __init__(self, cases: Sequence[Prepared], decisions: Sequence[Decision]) -> None:
        self._cases = cases
        self._decisions = decisions
        self._said = [frozenset(said.rule for said in (*made.reasons, *made.would)) for made in decisions]

    def by(self, mutant: Mutant) -> list[Prepared]:
        if mutant.level is not None:
            pairs = zip(self._cases, self._decisions, strict=True)
            return [item for item, made in pairs if made.level is mutant.level]
        if mutant.rule is None:
            return list(self._cases)
        names = {mutant.rule, *(w.id for w in mutant.policy.waivers if w.lifts == mutant.rule)}
        if mutant.kind == "exception":
            names.add(mutant.name)  # the exception itself, which a mutant may have dropped
        return [item for item, said in zip(self._cases, self._said, strict=True) if names & said]
