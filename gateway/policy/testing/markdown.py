"""A test run as GitHub-flavoured Markdown, for a job's summary or a comment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from gateway.policy.testing.coverage import Coverage
from gateway.policy.testing.mutation import Left, Mutation
from gateway.policy.testing.report import FileReport, PolicyReport, shown
from gateway.policy.testing.wording import because, counter_example_lines, guarantee_place, summary

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~])")


def markdown(reports: Sequence[PolicyReport]) -> str:
    """The whole text, one section a policy."""
    return "\n".join(line for report in reports for line in _policy(report))


def _policy(report: PolicyReport) -> Iterator[str]:
    good = not (report.failed or report.broken or report.shortfalls)
    yield f"## {'✅' if good else '❌'} {_safe(report.title)}"
    yield ""
    yield f"{summary(report)}. Hash `{report.policy.id.short}`."
    yield ""
    yield "| file | tests | failed | guarantees | broken |"
    yield "|---|---:|---:|---:|---:|"
    for file in report.files:
        counts = (len(file.results), file.failed, len(file.proofs), file.broken)
        yield f"| {_safe(str(file.tests.path))} | {' | '.join(map(str, counts))} |"
    yield ""
    for file in report.files:
        yield from _failures(file)
    if report.coverage is not None:
        yield from _coverage(report.coverage)
    if report.mutation is not None:
        yield from _mutation(report.mutation)
    for shortfall in report.shortfalls:
        yield f"**{shortfall}**"
        yield ""


def _failures(file: FileReport) -> Iterator[str]:
    for result in file.results:
        if not result.passed:
            yield f"- ❌ **{_safe(result.case.name)}** ({_safe(str(file.tests.path))}:{result.case.line})"
            for miss in result.mismatches:
                yield f"  - {miss.what}: expected {_safe(miss.expected)}, got {_safe(miss.got)}"
            yield f"  - {_safe(because(result.decision))}"
    for proof in file.proofs:
        if not proof.holds:
            yield f"- ❌ guarantee **{_safe(proof.guarantee.say)}** ({_safe(guarantee_place(proof))})"
            yield from (f"  - {_safe(line)}" for line in counter_example_lines(proof))
    if file.failed or file.broken:
        yield ""


def _coverage(coverage: Coverage) -> Iterator[str]:
    yield f"### Coverage {shown(coverage.percent)}"
    yield ""
    yield "| part | covered | of |"
    yield "|---|---:|---:|"
    for kind, (covered, total) in coverage.by_kind().items():
        yield f"| {kind} | {covered} | {total} |"
    yield ""
    if coverage.uncovered:
        yield "| not covered | where | what is missing |"
        yield "|---|---|---|"
        for item in coverage.uncovered:
            yield f"| {_safe(str(item))} | {_safe(str(item.place))} | {_safe(item.missing)} |"
        yield ""


def _mutation(mutation: Mutation) -> Iterator[str]:
    yield f"### Mutation score {shown(mutation.percent)}"
    yield ""
    total = mutation.killed + len(mutation.survivors)
    unlike = f"{len(mutation.equivalent)} more change no decision with these targets"
    yield f"{mutation.killed} of {total} mutants were noticed; {unlike}."
    yield ""
    if mutation.survivors:
        yield "| nobody noticed | where | a test that would |"
        yield "|---|---|---|"
        yield from (_left(left) for left in mutation.survivors)
        yield ""
    if mutation.equivalent:
        yield "<details><summary>Changes that make no difference</summary>"
        yield ""
        yield from (f"- {_safe(str(left.place))}: {_safe(str(left.mutant))}" for left in mutation.equivalent)
        yield ""
        yield "</details>"
        yield ""


def _left(left: Left) -> str:
    return f"| {_safe(str(left.mutant))} | {_safe(str(left.place))} | {_safe(left.advice)} |"


def _safe(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
