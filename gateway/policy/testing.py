"""The table-test runner: cases in, results out. Nothing is sent anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from gateway.domain.decision import Decision
from gateway.domain.finding import Found
from gateway.domain.target import Target, Zone
from gateway.policy.cases import Case, Expected, TestFile
from gateway.policy.compile import CompiledPolicy
from gateway.policy.evaluate import evaluate

ScanTexts = Callable[[Sequence[str]], tuple[Found, ...]]
"""Everything found in these texts, by the real detector."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """`what` was expected to be `expected` and is `got`."""

    what: str
    expected: str
    got: str


@dataclass(frozen=True, slots=True)
class Result:
    case: Case
    decision: Decision
    mismatches: tuple[Mismatch, ...]

    @property
    def passed(self) -> bool:
        return not self.mismatches


def run_tests(policy: CompiledPolicy, tests: TestFile, scan_texts: ScanTexts) -> Iterator[Result]:
    """One result per case, in the order of the file. `scan_texts` is called only for cases with a text."""
    for case in tests.cases:
        facts = case.given
        if case.text is not None:
            facts = replace(facts, found=tuple(sorted((*facts.found, *scan_texts([case.text])))))
        decision = evaluate(policy, facts, tests.targets)
        yield Result(case, decision, tuple(_mismatches(case.expect, decision, tests.targets)))


def sent_to(decision: Decision, targets: Sequence[Target]) -> str:
    """``nobody``; ``local`` if local targets alone may receive the request; ``cloud`` if some cloud may as well."""
    permitted = decision.permitted
    zones = {target.zone for target in targets if target.id in permitted}
    if Zone.CLOUD in zones:
        return "cloud"
    return "local" if zones else "nobody"


def _mismatches(expect: Expected, decision: Decision, targets: Sequence[Target]) -> Iterator[Mismatch]:
    if expect.level is not None and decision.level is not expect.level:
        yield Mismatch("level", expect.level.word, decision.level.word)
    if expect.action is not None and decision.action is not expect.action:
        yield Mismatch("action", expect.action.value, decision.action.value)
    if expect.sent_to is not None and (got := sent_to(decision, targets)) != expect.sent_to:
        yield Mismatch("sent_to", expect.sent_to, got)
    if expect.targets is not None and decision.permitted != expect.targets:
        yield Mismatch("targets", _listed(expect.targets), _listed(decision.permitted))
    if expect.because is not None:
        rules = frozenset(reason.rule for reason in decision.reasons)
        if not expect.because <= rules:
            yield Mismatch("because", _listed(expect.because), _listed(rules))
    if expect.redacted is not None and bool(decision.redact) is not expect.redacted:
        yield Mismatch("redacted", _yes_no(expect.redacted), _yes_no(bool(decision.redact)))


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _yes_no(flag: bool) -> str:
    return "true" if flag else "false"
