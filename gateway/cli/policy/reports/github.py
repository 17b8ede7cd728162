"""GitHub workflow commands: each line becomes an annotation beside the line of the file that it is about.

The form is that of https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands, and what is
escaped is what GitHub's own toolkit escapes: in messages ``%`` and line ends, in properties ``:`` and ``,`` as well.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.cli.policy.reports.codes import title
from gateway.cli.policy.reports.values import FileReport, Notice, Severity

_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}
_DATA = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_PROPERTY = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A", ":": "%3A", ",": "%2C"})


def commands(reports: tuple[FileReport, ...]) -> Iterator[str]:
    """One command for each problem, warning and broken guarantee."""
    for report in reports:
        for notice in report.everything():
            yield _command(notice)


def _command(notice: Notice) -> str:
    problem = notice.problem
    properties = {"file": problem.file.replace("\\", "/")}
    if problem.line:
        properties |= {"line": str(problem.line), "col": str(problem.column)}
    properties["title"] = title(notice.code)
    written = ",".join(f"{key}={value.translate(_PROPERTY)}" for key, value in properties.items())
    return f"::{_COMMANDS[notice.severity]} {written}::{notice.sentence.translate(_DATA)}"
