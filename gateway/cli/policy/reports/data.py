"""`check` as JSON. Keys are documented in docs/policy-analysis.md and stay; new ones may be added."""

from __future__ import annotations

from gateway.cli.policy.reports.values import CounterExample, FileReport, Notice, Proved, Responsible
from gateway.documents import Problem
from gateway.domain.tree import Json, JsonObject

FORMAT = 1


def document(reports: tuple[FileReport, ...], exit_code: int) -> JsonObject:
    """The whole of it; `exit_code` is what the command ends with."""
    return {"format": FORMAT, "exit_code": exit_code, "files": [_file(report) for report in reports]}


def _file(report: FileReport) -> Json:
    policy = report.policy
    return {
        "file": report.file,
        "policy": None if policy is None else {"name": policy.name, "version": policy.version, "hash": policy.hash},
        "rules": report.rules,
        "targets": report.targets,
        "as_of": report.as_of.isoformat(),
        "problems": [_notice(notice) for notice in report.notices],
        "guarantees": [_proved(proved) for proved in report.guarantees],
    }


def _notice(notice: Notice) -> Json:
    return {
        "code": notice.code,
        "severity": notice.severity.value,
        "message": notice.problem.message,
        "suggestion": notice.problem.suggestion or None,
        "subject": notice.subject or None,
        **place(notice.problem),
        "related": [{"message": problem.message, **place(problem)} for problem in notice.related],
    }


def _proved(proved: Proved) -> Json:
    return {
        "say": proved.say,
        "holds": proved.holds,
        "situations": proved.situations,
        "broken": proved.broken,
        **place(proved.place),
        "counter_example": None if proved.counter_example is None else _example(proved.counter_example),
    }


def _example(example: CounterExample) -> Json:
    return {
        "situation": example.situation,
        "given": example.given,
        "level": example.level,
        "action": example.action,
        "decided": example.decided,
        "permitted": [*example.permitted],
        "because": [responsible(part) for part in example.responsible],
    }


def responsible(part: Responsible) -> Json:
    """A thing that had a say; its place is null where it is written in no file."""
    where: JsonObject = place(part.place) if part.place else {"file": None, "line": None, "column": None}
    return {"id": part.id, "effect": part.effect, "why": part.why or None, **where}


def place(problem: Problem) -> JsonObject:
    """Line and column are null for a file as a whole."""
    return {"file": problem.file, "line": problem.line or None, "column": problem.column or None}
