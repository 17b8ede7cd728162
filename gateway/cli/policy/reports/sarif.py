"""SARIF 2.1.0 (OASIS), which code scanning on GitHub, GitLab, Azure DevOps and most editors read."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import quote

from gateway import __version__
from gateway.cli.policy.reports.codes import CODES, title
from gateway.cli.policy.reports.values import FileReport, Notice, Severity
from gateway.documents import Problem
from gateway.domain.tree import Json, JsonObject

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}


def log(reports: tuple[FileReport, ...]) -> JsonObject:
    """The log file: one run, with a result for each problem, warning and broken guarantee."""
    notices = [notice for report in reports for notice in report.everything()]
    codes = sorted({notice.code for notice in notices})
    places = {code: place for place, code in enumerate(codes)}
    driver: JsonObject = {
        "name": "Bailiwick",
        "semanticVersion": __version__,
        "rules": [_rule(code) for code in codes],
    }
    run: JsonObject = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": True}],
        "results": [_result(notice, places[notice.code]) for notice in notices],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(code: str) -> Json:
    return {
        "id": code,
        "shortDescription": {"text": title(code)},
        "fullDescription": {"text": CODES[code].meaning},
        "help": {"text": CODES[code].mend},
        "defaultConfiguration": {"level": _LEVELS[CODES[code].severity]},
    }


def _result(notice: Notice, place: int) -> Json:
    result: JsonObject = {
        "ruleId": notice.code,
        "ruleIndex": place,
        "level": _LEVELS[notice.severity],
        "message": {"text": notice.sentence},
        "locations": [_location(notice.problem)],
        "partialFingerprints": {"bailiwickSubject/v1": _fingerprint(notice)},
    }
    if notice.related:
        result["relatedLocations"] = [
            {"id": number, **_location(problem), "message": {"text": problem.message}}
            for number, problem in enumerate(notice.related, start=1)
        ]
    return result


def _location(problem: Problem) -> JsonObject:
    physical: JsonObject = {"artifactLocation": {"uri": _uri(problem.file)}}
    if problem.line:
        region: JsonObject = {"startLine": problem.line, "startColumn": problem.column}
        if problem.source_line:
            region["snippet"] = {"text": problem.source_line}
        physical["region"] = region
    return {"physicalLocation": physical}


def _uri(file: str) -> str:
    """Relative as given, so that it is found from the top of a checkout; an absolute path is a ``file:`` URI."""
    path = Path(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())


def _fingerprint(notice: Notice) -> str:
    """The same as long as the same is said about the same thing, wherever in the file it stands."""
    subject = notice.subject or notice.problem.source_line.strip()
    about = "\n".join((notice.code, Path(notice.problem.file).as_posix(), subject, notice.problem.message))
    return hashlib.sha256(about.encode("utf-8", "surrogatepass")).hexdigest()[:32]
