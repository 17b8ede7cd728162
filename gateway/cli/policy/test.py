"""``bailiwick policy test``: the examples in a test file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from gateway.cli.policy.common import FILE, TESTS_FAILED, complaints, loaded, named, tools
from gateway.policy.cases import read_tests
from gateway.policy.testing import Result, run_tests


@click.command()
@click.argument("file", type=FILE)
@click.pass_context
def test(ctx: click.Context, file: Path) -> None:
    """Run a test FILE (such as policies/default_test.yaml) against the policy that it names."""
    with complaints(ctx):
        tests = read_tests(file, tools(ctx).targets_of)
        compiled = loaded(tests.policy)
        failed = 0
        for result in run_tests(compiled, tests, tools(ctx).scan_texts):
            failed += not result.passed
            for line in _result_lines(result, file):
                click.echo(line)
        summary = f"{len(tests.cases) - failed} passed, {failed} failed"
        click.echo(f"{click.style(summary, fg='red' if failed else 'green')} — {named(compiled)}")
        if failed:
            ctx.exit(TESTS_FAILED)


def _result_lines(result: Result, file: Path) -> Iterator[str]:
    if result.passed:
        yield f"{click.style('✓', fg='green')} {result.case.name}"
        return
    yield f"{click.style('✗', fg='red')} {result.case.name}  ({file}:{result.case.line})"
    for mismatch in result.mismatches:
        yield f"    {mismatch.what}: expected {mismatch.expected}, got {mismatch.got}"
    if all(mismatch.what != "because" for mismatch in result.mismatches):
        yield f"    because of {', '.join(reason.rule for reason in result.decision.reasons)}"
