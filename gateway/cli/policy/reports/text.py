"""`check` for people: what is to be mended on standard error, what is proved and what is not on standard output."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import click

from gateway.cli.policy.reports.values import FileReport, Notice, Proved, Severity, shown

_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


def complaint(notice: Notice) -> str:
    """``file:line:column: message`` with the line and a caret below the place."""
    if not notice.problem.line:
        return f"{notice.problem.file}: {notice.sentence}"
    if notice.severity is Severity.ERROR:
        return notice.problem.render()
    marked = replace(notice.problem, message=f"{notice.severity.value}: {notice.problem.message}")
    return click.style(marked.render(), fg=_COLOURS[notice.severity])


def lines(report: FileReport) -> Iterator[str]:
    """What is well, and each guarantee. Nothing for a file that cannot be used."""
    if report.policy is None:
        return
    policy = report.policy
    named = f"policy {policy.name}, version {policy.version}"
    summary = f"{named}, {counted(report.rules, 'rule')}, hash {policy.short}"
    warnings = report.count(Severity.WARNING)
    good = f"ok, with {counted(warnings, 'warning')}" if warnings else "ok"
    usable = click.style(f"{good} — {summary}", fg="yellow" if warnings else "green")
    yield f"{report.file}: {summary if report.broken else usable}"
    yield f"  analysed with {report.targets}, for {report.as_of}"
    for proved in report.guarantees:
        yield from _proved(proved)
    if report.guarantees:
        held = len(report.guarantees) - report.broken
        yield f"  {counted(len(report.guarantees), 'guarantee')}: {held} proved, {report.broken} broken"


def _proved(proved: Proved) -> Iterator[str]:
    if proved.counter_example is None:
        every = "all" if proved.situations != 1 else "the"
        where = f"in {every} {counted(proved.situations, 'situation')}"
        yield f"  {click.style('✓ proved', fg='green')}  {shown(proved.say)} ({where})"
        return
    place = f"{proved.place.file}:{proved.place.line}"
    yield f"  {click.style('✗ BROKEN', fg='red', bold=True)}  {shown(proved.say)} ({place})"
    yield f"      Not so in {proved.broken:,} of {counted(proved.situations, 'situation')}; this is the simplest."
    for line in proved.counter_example.lines():
        yield f"      {line}"


def counted(number: int, word: str) -> str:
    """Such as ``1,234 situations``."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"
