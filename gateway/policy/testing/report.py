"""The results of a test run as values, and as data for programs: names and numbers, never a text that was tested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.domain.tree import Json, JsonObject
from gateway.policy.analysis.guarantees import Proof
from gateway.policy.compile import CompiledPolicy
from gateway.policy.testing.coverage import Coverage
from gateway.policy.testing.files import TestFile
from gateway.policy.testing.mutation import Left, Mutation
from gateway.policy.testing.running import Result


@dataclass(frozen=True, slots=True)
class FileReport:
    """One test file. `seconds` is how long its tests took, the detector's work included."""

    tests: TestFile
    results: tuple[Result, ...]
    proofs: tuple[Proof, ...]
    seconds: float

    @property
    def failed(self) -> int:
        return sum(not result.passed for result in self.results)

    @property
    def broken(self) -> int:
        return sum(not proof.holds for proof in self.proofs)


@dataclass(frozen=True, slots=True)
class PolicyReport:
    """All test files of one policy, with what they cover together. `least` is the percentage asked for, `mutated` says
    whether mutants were asked for; there are none of a policy whose tests fail."""

    policy: CompiledPolicy
    files: tuple[FileReport, ...]
    coverage: Coverage | None = None
    mutation: Mutation | None = None
    least: float | None = None
    mutated: bool = False

    @property
    def passed(self) -> int:
        return sum(len(file.results) - file.failed for file in self.files)

    @property
    def failed(self) -> int:
        return sum(file.failed for file in self.files)

    @property
    def holding(self) -> int:
        return sum(len(file.proofs) - file.broken for file in self.files)

    @property
    def broken(self) -> int:
        return sum(file.broken for file in self.files)

    @property
    def shortfalls(self) -> tuple[str, ...]:
        """What was asked for and not reached, in words."""
        if self.mutated and self.mutation is None:
            return ("no mutants were made: the tests have to pass and the guarantees to hold first",)
        if self.least is None:
            return ()
        measured = (("coverage", self.coverage), ("mutation score", self.mutation))
        return tuple(
            f"{name} {shown(value.percent)} is below {shown(self.least)}"
            for name, value in measured
            if value is not None and value.percent < self.least
        )

    @property
    def title(self) -> str:
        return f"policy {self.policy.id.name}, version {self.policy.id.version}"


def shown(percent: float) -> str:
    """A percentage for people; 100 % is said of nothing less."""
    if 99.95 <= percent < 100:
        return "99.9 %"
    return f"{percent:.1f}".removesuffix(".0") + " %"


def as_json(reports: Sequence[PolicyReport]) -> JsonObject:
    """Every field keeps its name and unit in all versions of this schema; shares are in percent."""
    return {"schema": 1, "policies": [_policy(report) for report in reports]}


def _policy(report: PolicyReport) -> Json:
    policy = report.policy.id
    return {
        "policy": {"name": policy.name, "version": policy.version, "hash": policy.hash},
        "passed": report.passed,
        "failed": report.failed,
        "files": [_file(file) for file in report.files],
        "coverage": _coverage(report.coverage) if report.coverage else None,
        "mutation": _mutation(report.mutation) if report.mutation else None,
        "shortfalls": list(report.shortfalls),
    }


def _file(file: FileReport) -> Json:
    return {
        "file": str(file.tests.path),
        "seconds": round(file.seconds, 3),
        "tests": [_result(result) for result in file.results],
        "guarantees": [_proof(proof) for proof in file.proofs],
    }


def _result(result: Result) -> Json:
    return {
        "name": result.case.name,
        "line": result.case.line,
        "passed": result.passed,
        "mismatches": [{"what": m.what, "expected": m.expected, "got": m.got} for m in result.mismatches],
        "because": [reason.rule for reason in result.decision.reasons],
    }


def _proof(proof: Proof) -> Json:
    example = proof.counter_example
    place = proof.guarantee.place
    return {
        "say": proof.guarantee.say,
        "file": place.problems.file if place else None,
        "line": place.line if place else None,
        "holds": proof.holds,
        "counter_example": None if example is None else {"situation": example.situation, "decided": example.decided},
    }


def _coverage(coverage: Coverage) -> Json:
    return {
        "percent": round(coverage.percent, 2),
        "by_kind": {kind: {"covered": done, "total": total} for kind, (done, total) in coverage.by_kind().items()},
        "uncovered": [
            {
                "kind": item.kind,
                "name": item.name,
                "file": item.place.file,
                "line": item.place.line,
                "missing": item.missing,
            }
            for item in coverage.uncovered
        ],
    }


def _mutation(mutation: Mutation) -> Json:
    return {
        "percent": round(mutation.percent, 2),
        "killed": mutation.killed,
        "survivors": [_left(left) for left in mutation.survivors],
        "equivalent": [_left(left) for left in mutation.equivalent],
    }


def _left(left: Left) -> Json:
    return {
        "kind": left.mutant.kind,
        "name": left.mutant.name,
        "change": left.mutant.change,
        "file": left.place.file,
        "line": left.place.line,
        "advice": left.advice,
    }
