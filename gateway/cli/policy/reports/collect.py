"""From policy files to reports: reading, findings of the analysis, guarantees proved or broken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path

from gateway.cli.policy.common import PolicyTools
from gateway.cli.policy.reports.given import given
from gateway.cli.policy.reports.inputs import (
    TEST,
    Served,
    TestFile,
    read_known,
    read_test_file,
    served_by,
    test_file_of,
)
from gateway.cli.policy.reports.places import located, named, place_of, where
from gateway.cli.policy.reports.values import (
    ADVICE,
    EMPTY,
    INVALID,
    TOO_MANY,
    CounterExample,
    FileReport,
    Notice,
    Proved,
    Severity,
)
from gateway.cli.policy.reports.words import decided
from gateway.documents import DocumentError, Node, Problem
from gateway.domain.errors import ConfigurationError
from gateway.policy import CompiledPolicy, compile_policy
from gateway.policy.analysis.findings import analyse
from gateway.policy.analysis.guarantees import Proof, names_of, prove, read_guarantees
from gateway.policy.analysis.situations import TooManySituations
from gateway.policy.names import Surroundings
from gateway.policy.sources import read_policies, read_policy
from gateway.policy.written import Written

_SAID_BY_BOTH = ("looser-when-higher", "trial-ended", "exception-expired")

_ABOUT_TARGETS = ("no-target-left", "rule-without-effect-here", "label-of-no-target", "region-of-no-target")
"""Findings that say nothing where the targets are examples."""


@dataclass(frozen=True)
class Collector:
    """What `check` was told. `config` are the settings, where there are any; `as_of` None means `today`, and for the
    guarantees of a test file the day that stands in it."""

    tools: PolicyTools
    config: Path | None
    today: date
    as_of: date | None = None
    targets_file: Path | None = None
    guarantee_files: tuple[Path, ...] = ()
    known_file: Path | None = None

    def reports(self, files: Sequence[Path]) -> Iterator[FileReport]:
        """A report for each policy: a folder may hold several. What is wrong with a file is in its report."""
        seen: set[Path] = set()
        for file in files:
            try:
                policy = self._policy_of(file)
                if policy not in seen:
                    seen.add(policy)
                    yield from self._file(policy)
            except ConfigurationError as problem:
                notices = tuple(_invalid(problem, file))
                yield FileReport(str(file), None, 0, notices, (), "", self._day)

    @property
    def _day(self) -> date:
        return self.as_of or self.today

    @cached_property
    def _surroundings(self) -> Surroundings:
        if self.known_file is not None:
            known, channels = read_known(self.known_file)
        else:
            known, channels = self.tools.known_of(self.config) if self.config else ({}, None)
        return Surroundings(self.tools.detectable(), None, known, channels)

    def _policy_of(self, file: Path) -> Path:
        """A test file stands for the policy that it tests, so that it can be given beside it."""
        if file.stem.endswith(TEST) and (policy := read_test_file(file, self.tools).policy) is not None:
            return policy
        return file

    def _file(self, file: Path) -> Iterator[FileReport]:
        if not file.is_dir():
            written = read_policy(file, self._surroundings)
            yield self._report(str(file), written, _warnings(written), self._test_files([file]))
            return
        found = read_policies(file, self._surroundings)
        whose: dict[int, tuple[Written, list[str]]] = {}
        for tenant, written in found.policies.items():
            whose.setdefault(id(written), (written, []))[1].append(tenant or "everybody else")
        for number, (written, tenants) in enumerate(whose.values()):
            name = str(file) if len(whose) == 1 else f"{file} ({', '.join(tenants)})"
            more = self._test_files(sorted(map(Path, written.files)))
            yield self._report(name, written, found.warnings if number == 0 else (), more)

    def _test_files(self, policies: Sequence[Path]) -> tuple[TestFile, ...]:
        """Those beside these policy files, and those that were named."""
        beside = [tests for policy in policies if (tests := test_file_of(policy)) is not None]
        paths = [*beside, *self.guarantee_files]
        return tuple(read_test_file(path, self.tools) for path in dict.fromkeys(paths))

    def _report(
        self, name: str, written: Written, warnings: Sequence[Problem], tests: tuple[TestFile, ...]
    ) -> FileReport:
        policy = compile_policy(written.policy)
        served = self._served(tests)
        notices: list[Notice] = []
        proved: list[Proved] = []
        try:
            notices += self._findings(written, policy, served)
            for node, served_there, day in self._guarantees(written, tests, served):
                proved += self._proved(written, policy, node, served_there, day)
        except TooManySituations as problem:
            place = located(written.place(("section", "rules")), str(problem))
            notices.append(Notice(TOO_MANY, Severity.ERROR, place))
        notices += [_empty(each) for each in proved if each.situations == 0]
        notices += _advice(warnings, notices)
        notices.sort(key=lambda notice: notice.problem)
        rules = len(written.policy.rules)
        return FileReport(name, policy.id, rules, tuple(notices), tuple(proved), served.words, self._day)

    def _served(self, tests: Sequence[TestFile]) -> Served:
        """The targets to analyse with: those named, else those of the settings, else those of the test file."""
        named = self.targets_file or self.config
        if named is None and (given := next((test.served for test in tests if test.served), None)):
            return given
        return served_by(named, self.tools)

    def _guarantees(
        self, written: Written, tests: Sequence[TestFile], served: Served
    ) -> Iterator[tuple[Node, Served, date]]:
        """Each list of guarantees with the targets and the day to prove it for."""
        for node in written.guarantees:
            yield node, served, self._day
        for test in tests:
            if test.guarantees is not None:
                own = served if self.targets_file or test.served is None else test.served
                yield test.guarantees, own, self.as_of or test.as_of or self.today

    def _proved(
        self, written: Written, policy: CompiledPolicy, node: Node, served: Served, day: date
    ) -> Iterator[Proved]:
        guarantees = read_guarantees(node, names_of(written.policy))
        node.problems.check()
        for proof in prove(policy, guarantees, served.targets, day, models=served.models):
            assert proof.guarantee.place is not None
            place = located(proof.guarantee.place)
            yield Proved(
                proof.guarantee.say,
                place,
                proof.situations,
                proof.broken,
                _example(proof, written, policy, served, day),
            )

    def _findings(self, written: Written, policy: CompiledPolicy, served: Served) -> Iterator[Notice]:
        for finding in analyse(policy, served.targets, self._day, entities=self._surroundings.detectable):
            if served.examples and finding.code in _ABOUT_TARGETS:
                continue
            place = place_of(written, finding.subject, finding.message)
            problem = place or located(written.place(), finding.message)
            yield Notice(finding.code, Severity(finding.severity), problem, named(finding.subject))


def _example(
    proof: Proof, written: Written, policy: CompiledPolicy, served: Served, day: date
) -> CounterExample | None:
    found = proof.counter_example
    if found is None:
        return None
    return CounterExample(
        situation=found.situation,
        given=given(found.facts, day, [written.policy]),
        level=found.decision.level.word,
        action=found.decision.action.value,
        decided=decided(policy, found.decision, served.targets),
        permitted=tuple(sorted(found.decision.permitted)),
        responsible=where(written, found.responsible),
    )


def _warnings(written: Written) -> list[Problem]:
    """Those of the file and of every file that it extends."""
    return sorted({warning for node in written.places.values() for warning in node.problems.warnings})


def _advice(warnings: Sequence[Problem], notices: Sequence[Notice]) -> list[Notice]:
    """The warnings of reading, but for those that the analysis has found as well and says better."""
    known = {
        (each.problem.file, each.problem.line, each.problem.column) for each in notices if each.code in _SAID_BY_BOTH
    }
    return [
        Notice(ADVICE, Severity.WARNING, problem)
        for problem in warnings
        if (problem.file, problem.line, problem.column) not in known
    ]


def _empty(proved: Proved) -> Notice:
    message = f"no situation fits the guarantee '{proved.say}', so it promises nothing"
    return Notice(EMPTY, Severity.WARNING, replace(proved.place, message=message), proved.say)


def _invalid(problem: ConfigurationError, file: Path) -> Iterator[Notice]:
    if isinstance(problem, DocumentError):
        for each in problem.problems:
            yield Notice(INVALID, Severity.ERROR, each)
        return
    named, colon, message = str(problem).partition(": ")
    if not colon or "\n" in named:
        named, message = str(file), str(problem)
    yield Notice(INVALID, Severity.ERROR, Problem(named, 0, 0, message))
