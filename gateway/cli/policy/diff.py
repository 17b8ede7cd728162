"""``bailiwick policy diff``: what a new version of a policy decides otherwise, over all situations."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from pathlib import Path

import click

from gateway.cli.policy.common import FILE, INVALID_FILE, LOOSER, complaints, format_option, today, tools
from gateway.cli.policy.reports import changes
from gateway.cli.policy.reports.causes import lines
from gateway.cli.policy.reports.changes import DiffReport, Side, Version
from gateway.cli.policy.reports.given import given
from gateway.cli.policy.reports.inputs import Served, read_test_file, served_by, settings_file, test_file_of
from gateway.cli.policy.reports.values import Responsible
from gateway.cli.policy.reports.words import decided
from gateway.domain.decision import Decision
from gateway.domain.target import Target
from gateway.policy import compile_policy
from gateway.policy.analysis.changes import Change, Changes, compare
from gateway.policy.analysis.situations import TooManySituations
from gateway.policy.sources import read_policy
from gateway.policy.written import Written


@click.command()
@click.argument("old", type=FILE)
@click.argument("new", type=FILE)
@click.option("--targets", "targets_file", type=FILE, help="bailiwick.yaml, or a YAML list of targets.")
@click.option("--as-of", type=click.DateTime(["%Y-%m-%d"]), help="The day to decide on.  [default: today]")
@format_option("text", "json", "markdown")
@click.option(
    "--fail-on", type=click.Choice(["looser", "any"]), help="Exit code 6 if anything became looser, or changed at all."
)
@click.pass_context
def diff(
    ctx: click.Context,
    /,
    old: Path,
    new: Path,
    targets_file: Path | None,
    as_of: datetime | None,
    shape: str,
    fail_on: str | None,
) -> None:
    """Say what the policy NEW decides otherwise than the policy OLD: what became looser, stricter, or different.

    All situations are looked at, each group of changes has an example and the lines that made it.
    """
    with complaints(ctx):
        served = _served(ctx, targets_file, (new, old))
        was, now = read_policy(old), read_policy(new)
        day = as_of.date() if as_of else today()
        try:
            found = compare(compile_policy(was.policy), compile_policy(now.policy), served.targets, day)
        except TooManySituations as problem:
            click.echo(f"{new}: {problem}", err=True)
            ctx.exit(INVALID_FILE)
    report = _report((old, was), (new, now), found, served, day)
    failed = fail_on is not None and (found.loosens if fail_on == "looser" else found.changed > 0)
    _print(report, shape, LOOSER if failed else 0)
    ctx.exit(LOOSER if failed else 0)


def _served(ctx: click.Context, named: Path | None, policies: Iterable[Path]) -> Served:
    """The targets named, else those of the settings, else those of the test file beside one of the policies."""
    path = named or settings_file(ctx)
    if path is None:
        for policy in policies:
            beside = test_file_of(policy)
            if beside and (served := read_test_file(beside, tools(ctx)).served):
                return served
    return served_by(path, tools(ctx))


def _report(
    old: tuple[Path, Written], new: tuple[Path, Written], found: Changes, served: Served, day: date
) -> DiffReport:
    (old_file, was), (new_file, now) = old, new
    return DiffReport(
        old=Version(str(old_file), compile_policy(was.policy).id),
        new=Version(str(new_file), compile_policy(now.policy).id),
        targets=served.words,
        as_of=day,
        situations=found.situations,
        changes=tuple(_change(change, was, now, served.targets, day) for change in found.all),
    )


def _change(change: Change, was: Written, now: Written, targets: Sequence[Target], day: date) -> changes.Change:
    before = (line for cause in change.causes for line in lines(cause.id, cause.old, was, now, change.old))
    after = (line for cause in change.causes for line in lines(cause.id, cause.new, now, was, change.new))
    return changes.Change(
        kind=change.kind,
        causes=tuple(cause.id for cause in change.causes),
        differences=change.differences,
        count=change.situations,
        situation=change.situation,
        given=given(change.facts, day, [was.policy, now.policy]),
        before=_side(change.old, targets, was, before),
        after=_side(change.new, targets, now, after),
    )


def _side(decision: Decision, targets: Sequence[Target], written: Written, lines: Iterable[Responsible]) -> Side:
    return Side(
        level=decision.level.word,
        action=decision.action.value,
        decided=decided(compile_policy(written.policy), decision, targets),
        permitted=tuple(sorted(decision.permitted)),
        lines=tuple(lines),
    )


def _print(report: DiffReport, shape: str, code: int) -> None:
    if shape == "json":
        click.echo(json.dumps(changes.document(report, code), indent=2, ensure_ascii=False))
        return
    for line in changes.markdown(report) if shape == "markdown" else changes.lines(report):
        click.echo(line)
