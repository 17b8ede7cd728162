"""What `diff` found, as values, and its three formats: text, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import click

from gateway.cli.policy.reports import data
from gateway.cli.policy.reports.text import counted
from gateway.cli.policy.reports.values import Responsible, shown
from gateway.domain.decision import PolicyId
from gateway.domain.tree import Json, JsonObject

KINDS = ("looser", "mixed", "stricter", "other")
"""What loosens comes first; ``mixed`` is looser in one way and stricter in another."""

_HEADS = {"looser": "LOOSER", "mixed": "LOOSER AND STRICTER", "stricter": "Stricter", "other": "Otherwise different"}
_COUNTED = {"looser": "looser", "mixed": "looser and stricter", "stricter": "stricter", "other": "otherwise different"}
_COLOURS = {"looser": "red", "mixed": "red", "stricter": "green", "other": "yellow"}


@dataclass(frozen=True, slots=True)
class Side:
    """What one of the two policies decided. `lines` are those of its file that made the difference."""

    level: str
    action: str
    decided: str
    permitted: tuple[str, ...]
    lines: tuple[Responsible, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """Situations that changed for the same causes (ids of rules, exceptions and sections). `count` is how many; the
    simplest is the example: in words, as the ``given`` of a test, and what is different in it."""

    kind: str
    causes: tuple[str, ...]
    differences: tuple[str, ...]
    count: int
    situation: str
    given: JsonObject
    before: Side
    after: Side

    @property
    def what(self) -> str:
        return f"{'; '.join(self.differences)} (because of {', '.join(self.causes)})"


@dataclass(frozen=True, slots=True)
class Version:
    file: str
    policy: PolicyId

    @property
    def words(self) -> str:
        return f"{self.file} (policy {self.policy.name}, version {self.policy.version}, hash {self.policy.short})"


@dataclass(frozen=True, slots=True)
class DiffReport:
    """`situations` is how many were looked at, with which `targets` (in words) and for which day."""

    old: Version
    new: Version
    targets: str
    as_of: date
    situations: int
    changes: tuple[Change, ...]

    @property
    def loosens(self) -> bool:
        return bool(self.of("looser") or self.of("mixed"))

    def of(self, kind: str) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.kind == kind)

    def count(self, kind: str) -> int:
        return sum(change.count for change in self.of(kind))


def lines(report: DiffReport) -> Iterator[str]:
    """For a terminal."""
    yield f"{report.old.words} → {report.new.words}"
    yield f"compared with {report.targets}, for {report.as_of}"
    if not report.changes:
        yield click.style(_nothing(report), fg="green")
        return
    for kind in KINDS:
        for change in report.of(kind):
            yield ""
            head = f"{_HEADS[kind]} in {counted(change.count, 'situation')}"
            yield f"{click.style(head, fg=_COLOURS[kind], bold=True)}: {shown(change.what)}"
            yield from (f"  {line}" for line in _example(change))
    yield ""
    yield _summary(report)


def markdown(report: DiffReport) -> Iterator[str]:
    """For a comment on a pull request."""
    yield f"### Policy {_plain(report.new.policy.name)}: what changes"
    yield ""
    yield f"`{report.old.file}` version {report.old.policy.version} (`{report.old.policy.short}`) → "
    yield f"`{report.new.file}` version {report.new.policy.version} (`{report.new.policy.short}`), "
    yield f"compared with {_plain(report.targets)}, for {report.as_of}."
    yield ""
    if not report.changes:
        yield _nothing(report)
        return
    yield "| | what | situations |"
    yield "|---|---|---:|"
    for kind in KINDS:
        for change in report.of(kind):
            yield f"| {_HEADS[kind]} | {_plain(change.what)} | {change.count:,} |"
    yield ""
    yield _summary(report)
    for kind in KINDS:
        for change in report.of(kind):
            yield ""
            yield f"<details><summary>{_HEADS[kind]}: {_plain(change.what)}</summary>"
            yield ""
            yield "~~~~text"
            yield from _example(change)
            yield "~~~~"
            yield "</details>"


def document(report: DiffReport, exit_code: int) -> JsonObject:
    """As JSON; the keys are documented in docs/policy-analysis.md and stay."""
    return {
        "format": data.FORMAT,
        "exit_code": exit_code,
        "old": _version(report.old),
        "new": _version(report.new),
        "targets": report.targets,
        "as_of": report.as_of.isoformat(),
        "situations": report.situations,
        "counts": {kind: report.count(kind) for kind in KINDS},
        "changes": [_change(change) for kind in KINDS for change in report.of(kind)],
    }


def _nothing(report: DiffReport) -> str:
    return f"No decision changes in any of the {counted(report.situations, 'situation')}."


def _summary(report: DiffReport) -> str:
    parts = [f"{report.count(kind):,} {_COUNTED[kind]}" for kind in KINDS]
    return f"Of {counted(report.situations, 'situation')}: {', '.join(parts)}."


def _example(change: Change) -> Iterator[str]:
    yield f"Example: {shown(change.situation)}"
    yield f"Before:  {shown(change.before.decided)}"
    yield f"After:   {shown(change.after.decided)}"
    for words, side in (("before", change.before), ("after", change.after)):
        for part in side.lines:
            yield f"  {words:<6}  {part.words}"


def _version(version: Version) -> Json:
    policy = version.policy
    return {"file": version.file, "name": policy.name, "version": policy.version, "hash": policy.hash}


def _change(change: Change) -> Json:
    return {
        "kind": change.kind,
        "causes": [*change.causes],
        "differences": [*change.differences],
        "situations": change.count,
        "situation": change.situation,
        "given": change.given,
        "before": _side(change.before),
        "after": _side(change.after),
    }


def _side(side: Side) -> Json:
    return {
        "level": side.level,
        "action": side.action,
        "decided": side.decided,
        "permitted": [*side.permitted],
        "because": [data.responsible(part) for part in side.lines],
    }


def _plain(text: str) -> str:
    """Text that Markdown takes as it is: a policy's own words must not become links or tags."""
    escaped = "".join(f"\\{character}" if character in "\\`*_[]<>#|~!" else character for character in text)
    return shown(escaped)
