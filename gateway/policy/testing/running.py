"""The table-test runner: cases in, results out. Nothing is sent anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from gateway.domain.decision import Decision, Facts
from gateway.domain.finding import Found
from gateway.domain.target import Target
from gateway.policy.compile import CompiledPolicy
from gateway.policy.evaluate import evaluate
from gateway.policy.testing.expected import Mismatch, Seen, met, mismatches
from gateway.policy.testing.files import Case, TestFile

ScanTexts = Callable[[Sequence[str]], tuple[Found, ...]]
"""Everything found in these texts, by the real detector."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A case with all its facts, those of its text included. Deciding needs no detector from here on, so it can be done
    again and again."""

    case: Case
    facts: Facts

    @property
    def targets(self) -> tuple[Target, ...]:
        return self.case.targets

    def passes(self, policy: CompiledPolicy) -> bool:
        seen = Seen(policy, evaluate(policy, self.facts, self.targets), self.targets)
        return met(self.case.expect, seen)


@dataclass(frozen=True, slots=True)
class Result:
    case: Case
    decision: Decision
    mismatches: tuple[Mismatch, ...]

    @property
    def passed(self) -> bool:
        return not self.mismatches


def prepare(tests: TestFile, scan_texts: ScanTexts, on_case: Callable[[], None] = lambda: None) -> tuple[Prepared, ...]:
    """Every case, in the order of the file. `scan_texts` is called once for each different text; `on_case` is called
    after each case."""
    scanned: dict[str, tuple[Found, ...]] = {}
    prepared = []
    for case in tests.cases:
        facts = case.given
        if case.text is not None:
            if case.text not in scanned:
                scanned[case.text] = scan_texts([case.text])
            facts = replace(facts, found=tuple(sorted((*facts.found, *scanned[case.text]))))
        prepared.append(Prepared(case, facts))
        on_case()
    return tuple(prepared)


def run(policy: CompiledPolicy, prepared: Sequence[Prepared]) -> Iterator[Result]:
    """One result per case, in their order."""
    for item in prepared:
        decision = evaluate(policy, item.facts, item.targets)
        seen = Seen(policy, decision, item.targets)
        yield Result(item.case, decision, tuple(mismatches(item.case.expect, seen)))


def run_tests(policy: CompiledPolicy, tests: TestFile, scan_texts: ScanTexts) -> Iterator[Result]:
    """One result per case, in the order of the file. `scan_texts` is called only for cases with a text."""
    return run(policy, prepare(tests, scan_texts))
