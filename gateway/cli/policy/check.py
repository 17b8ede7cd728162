"""``bailiwick policy check``: everything that is wrong with policy files, and whether what they promise holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click

from gateway.cli.policy.common import FILE, GUARANTEE_BROKEN, INVALID_FILE, complaints, format_option, today, tools
from gateway.cli.policy.reports import data, github, sarif, text
from gateway.cli.policy.reports.collect import Collector
from gateway.cli.policy.reports.inputs import settings_file
from gateway.cli.policy.reports.values import FileReport, Severity

_FORMATS = ("text", "json", "sarif", "github")


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--targets", "targets_file", type=FILE, help="bailiwick.yaml, or a YAML list of targets.")
@click.option("--guarantees", "more", type=FILE, multiple=True, help="A test file whose guarantees must hold as well.")
@click.option("--known", type=FILE, help="A YAML file with the tenants, apps, groups and channels that there are.")
@click.option("--as-of", type=click.DateTime(["%Y-%m-%d"]), help="The day to decide on.  [default: today]")
@click.option("--strict", is_flag=True, help="Warnings fail as well, with exit code 3.")
@format_option(*_FORMATS)
@click.pass_context
def check(
    ctx: click.Context,
    /,
    files: tuple[Path, ...],
    targets_file: Path | None,
    more: tuple[Path, ...],
    known: Path | None,
    as_of: datetime | None,
    **how: object,
) -> None:
    """Say everything that is wrong with each policy FILE, at once, and prove its guarantees over all situations.

    Guarantees are those of the file itself, of the test file beside it (default_test.yaml beside default.yaml) and of
    --guarantees. A test file given as FILE means the policy that it tests.

    Exit codes: 0 all is well, perhaps with warnings; 3 a file is invalid; 5 a guarantee is broken.
    """
    collector = Collector(
        tools=tools(ctx),
        config=settings_file(ctx),
        today=today(),
        as_of=as_of.date() if as_of else None,
        targets_file=targets_file,
        guarantee_files=more,
        known_file=known,
    )
    with complaints(ctx):
        reports = tuple(collector.reports(files))
    strict = bool(how["strict"])
    code = _exit_code(reports, strict)
    match how["shape"]:
        case "json":
            click.echo(json.dumps(data.document(reports, code), indent=2, ensure_ascii=False))
        case "sarif":
            click.echo(json.dumps(sarif.log(reports), indent=2, ensure_ascii=False))
        case "github":
            for command in github.commands(reports):
                click.echo(command)
            for line in (line for report in reports for line in text.lines(report)):
                click.echo(line, err=True)  # for whoever reads the log of the step
        case _:
            _print(reports, strict)
    ctx.exit(code)


def _exit_code(reports: Sequence[FileReport], strict: bool) -> int:
    if any(report.count(Severity.ERROR) for report in reports):
        return INVALID_FILE
    if any(report.broken for report in reports):
        return GUARANTEE_BROKEN
    return INVALID_FILE if strict and any(report.count(Severity.WARNING) for report in reports) else 0


def _print(reports: Sequence[FileReport], strict: bool) -> None:
    """Results on standard output, what is to be mended on standard error."""
    for report in reports:
        for notice in report.notices:
            click.echo(text.complaint(notice), err=True)
        for line in text.lines(report):
            click.echo(line)
    errors = sum(report.count(Severity.ERROR) for report in reports)
    warnings = sum(report.count(Severity.WARNING) for report in reports)
    if errors:
        click.echo(click.style(text.counted(errors, "problem"), fg="red"), err=True)
    elif strict and warnings:
        message = f"{text.counted(warnings, 'warning')}, and --strict permits none"
        click.echo(click.style(message, fg="red"), err=True)
