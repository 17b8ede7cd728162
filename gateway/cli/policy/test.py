"""``bailiwick policy test``: the examples in test files, what they cover, and what they would notice."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from time import perf_counter

import click
from rich.console import Console
from rich.progress import Progress

from gateway.cli.policy.common import FILE, GUARANTEE_BROKEN, TESTS_FAILED, complaints, format_option, tools
from gateway.documents import DocumentError
from gateway.domain.errors import ConfigurationError
from gateway.policy.analysis.guarantees import prove
from gateway.policy.analysis.situations import TooManySituations
from gateway.policy.testing import Subject, Suite, TestFile, coverage, mutate, prepare, read_subject, read_tests, run
from gateway.policy.testing.junit import junit
from gateway.policy.testing.markdown import markdown
from gateway.policy.testing.report import FileReport, PolicyReport, as_json, shown
from gateway.policy.testing.wording import because, counter_example_lines, guarantee_place, summary

_FORMATS = ("text", "markdown", "junit", "json")
_OUTPUT = click.Path(path_type=Path, dir_okay=False, writable=True)


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FILE)
@click.option("--coverage", "measure", is_flag=True, help="Say which parts of the policy no test covers.")
@click.option("--mutate", "mutants", is_flag=True, help="Drop or loosen one thing after the other: does a test notice?")
@click.option(
    "--min",
    "least",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="Fail if the coverage or the mutation score that is asked for is lower.",
)
@format_option(*_FORMATS)
@click.option("--junit", "junit_file", type=_OUTPUT, help="Write the results to this file, as JUnit XML.")
@click.option("--markdown", "markdown_file", type=_OUTPUT, help="Write the results to this file, as Markdown.")
@click.pass_context
def test(
    ctx: click.Context,
    /,
    files: tuple[Path, ...],
    measure: bool,
    mutants: bool,
    least: float | None,
    shape: str,
    **outputs: Path | None,
) -> None:
    """Run each test FILE (such as policies/default_test.yaml) against the policy that it names, and prove its
    guarantees over all situations.

    Exit codes: 0 all is well; 3 a file is invalid; 4 a test failed, or less than --min; 5 a guarantee is broken.
    """
    if least is not None and not (measure or mutants):
        raise click.UsageError("--min needs --coverage or --mutate.")
    with complaints(ctx):
        runner = _Runner(ctx, measure, mutants, least)
        try:
            reports = tuple(runner.reports(files))
        except TooManySituations as problem:
            raise click.ClickException(f"a guarantee cannot be proved: {problem}") from problem
    rendered: dict[str, Callable[[], str]] = {
        "markdown": lambda: markdown(reports),
        "junit": lambda: junit(reports),
        "json": lambda: json.dumps(as_json(reports), indent=2, ensure_ascii=False) + "\n",
    }
    for name in ("junit", "markdown"):
        if (path := outputs[f"{name}_file"]) is not None:
            _write(path, rendered[name]())
    if shape == "text":
        for line in _lines(reports):
            click.echo(line)
    else:
        click.echo(rendered[shape](), nl=False)
    if any(report.failed for report in reports):
        ctx.exit(TESTS_FAILED)
    if any(report.broken for report in reports):
        ctx.exit(GUARANTEE_BROKEN)
    if any(report.shortfalls for report in reports):
        ctx.exit(TESTS_FAILED)


class _Runner:
    def __init__(self, ctx: click.Context, measure: bool, mutants: bool, least: float | None) -> None:
        self._tools = tools(ctx)
        self._measure = measure
        self._mutants = mutants
        self._least = least
        self._subject_of = lru_cache(None)(read_subject)

    def reports(self, files: Sequence[Path]) -> Iterator[PolicyReport]:
        """One per policy, in the order in which the files name them."""
        by_policy: dict[Path, list[TestFile]] = {}
        for tests in self._read(files):
            by_policy.setdefault(tests.policy.resolve(), []).append(tests)
        for group in by_policy.values():
            yield self._report(group)

    def _read(self, files: Sequence[Path]) -> list[TestFile]:
        """All files, or everything that is wrong with any of them."""
        detectable = self._tools.detectable()
        read: list[TestFile] = []
        trouble: list[ConfigurationError] = []
        for path in dict.fromkeys(files):
            try:
                read.append(read_tests(path, self._tools.targets_of, self._subject_of, detectable))
            except ConfigurationError as problem:
                trouble.append(problem)
        located = [problem for problem in trouble if isinstance(problem, DocumentError)]
        if trouble and len(located) == len(trouble):
            raise DocumentError(problem for error in located for problem in error.problems)
        if trouble:
            raise ConfigurationError("\n".join(str(problem) for problem in trouble))
        for warning in dict.fromkeys(warning for tests in read for warning in tests.warnings):
            click.echo(
                click.style(replace(warning, message=f"warning: {warning.message}").render(), fg="yellow"), err=True
            )
        return read

    def _report(self, group: Sequence[TestFile]) -> PolicyReport:
        subject = self._subject_of(group[0].policy)
        suites, files = [], []
        for tests in group:
            suite, report = self._run(subject, tests)
            suites.append(suite)
            files.append(report)
        cases = [item for suite in suites for item in suite.prepared]
        measured = coverage(subject, cases) if self._measure else None
        mutation = None
        if self._mutants and not any(file.failed or file.broken for file in files):
            with _progress("mutants") as tick:
                mutation = mutate(subject, suites, tick)
        return PolicyReport(subject.policy, tuple(files), measured, mutation, self._least, self._mutants)

    def _run(self, subject: Subject, tests: TestFile) -> tuple[Suite, FileReport]:
        began = perf_counter()
        with _progress(f"testing {tests.path.name}") as tick:
            prepared = prepare(tests, self._tools.scan_texts, lambda: tick(len(tests.cases)))
        results = tuple(run(subject.policy, prepared))
        guarantees = (*subject.guarantees, *tests.guarantees)
        proofs = prove(subject.policy, guarantees, tests.targets, tests.as_of) if guarantees else ()
        return Suite(tests, prepared), FileReport(tests, results, proofs, perf_counter() - began)


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where that is a terminal."""
    progress = Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    with progress:
        task = progress.add_task(what, total=None)
        yield lambda total: progress.update(task, advance=1, total=total)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as problem:
        raise click.ClickException(f"{path}: cannot be written: {problem.strerror}") from problem


def _lines(reports: Sequence[PolicyReport]) -> Iterator[str]:
    several = sum(len(report.files) for report in reports) > 1
    for report in reports:
        for file in report.files:
            if several:
                yield click.style(str(file.tests.path), bold=True)
            yield from _file_lines(file)
        bad = bool(report.failed or report.broken)
        yield f"{click.style(summary(report), fg='red' if bad else 'green')} — {report.title}"
        yield from _coverage_lines(report)
        yield from _mutation_lines(report)
        for shortfall in report.shortfalls:
            yield click.style(shortfall, fg="red")


def _file_lines(file: FileReport) -> Iterator[str]:
    for result in file.results:
        if result.passed:
            yield f"{_mark(True)} {_in_one_line(result.case.name)}"
            continue
        yield f"{_mark(False)} {_in_one_line(result.case.name)}  ({file.tests.path}:{result.case.line})"
        for mismatch in result.mismatches:
            yield f"    {mismatch.what}: expected {mismatch.expected}, got {mismatch.got}"
        if all(mismatch.what != "because" for mismatch in result.mismatches):
            yield f"    {because(result.decision)}"
    for proof in file.proofs:
        place = "" if proof.holds else f"  ({guarantee_place(proof)})"
        yield f"{_mark(proof.holds)} guarantee: {_in_one_line(proof.guarantee.say)}{place}"
        if not proof.holds:
            yield from (f"    {line}" for line in counter_example_lines(proof))


def _coverage_lines(report: PolicyReport) -> Iterator[str]:
    if report.coverage is None:
        return
    yield ""
    counts = ", ".join(f"{kind} {done}/{total}" for kind, (done, total) in report.coverage.by_kind().items())
    yield f"{_percent('Coverage', report.coverage.percent)}: {counts}"
    rows = [(str(item.place), str(item), item.missing) for item in report.coverage.uncovered]
    yield from _table(rows)


def _mutation_lines(report: PolicyReport) -> Iterator[str]:
    mutation = report.mutation
    if mutation is None:
        return
    total = mutation.killed + len(mutation.survivors)
    yield ""
    yield f"{_percent('Mutation score', mutation.percent)}: {mutation.killed} of {total} mutants noticed"
    for left in mutation.survivors:
        yield f"  {left.place}  {left.mutant}"
        yield f"      {left.advice}"
    if mutation.equivalent:
        yield "Not counted, because they change no decision in any situation with these targets:"
        for left in mutation.equivalent:
            yield f"  {left.place}  {left.mutant}"


def _table(rows: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(2)]
    for place, what, missing in rows:
        yield f"  {place:<{widths[0]}}  {what:<{widths[1]}}  {missing}"


def _percent(what: str, percent: float) -> str:
    return click.style(f"{what} {shown(percent)}", fg="green" if percent == 100 else "yellow")


def _mark(good: bool) -> str:
    return click.style("✓", fg="green") if good else click.style("✗", fg="red")


def _in_one_line(text: str) -> str:
    """A name over several lines could else write lines of its own: results, or commands to whoever reads the log."""
    return " ".join(text.split())
