"""A test run as JUnit XML, as CI systems read it: a ``testsuite`` per file, a ``testcase`` per test and guarantee.

The format has no standard; this is the common core of what Jenkins, GitLab, GitHub actions and Azure read
(https://github.com/testmoapp/junitxml).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from gateway.policy.testing.report import FileReport, PolicyReport, shown
from gateway.policy.testing.wording import because, counter_example_lines

# Everything else cannot stand in XML 1.0, not even escaped (https://www.w3.org/TR/xml/#charsets).
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(reports: Sequence[PolicyReport]) -> str:
    """The whole document, with its declaration."""
    root = Element("testsuites", name="bailiwick policy test")
    for report in reports:
        for file in report.files:
            root.append(_suite(report, file))
        if report.least is not None and (report.coverage or report.mutation):
            root.append(_measures(report))
    _total(root)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(report: PolicyReport, file: FileReport) -> Element:
    path = str(file.tests.path)
    suite = Element("testsuite", name=_clean(path), file=_clean(path))
    properties = SubElement(suite, "properties")
    policy = report.policy.id
    for name, value in (("policy", policy.name), ("version", str(policy.version)), ("hash", policy.hash)):
        SubElement(properties, "property", name=name, value=_clean(value))
    for result in file.results:
        case = _case(suite, policy.name, result.case.name, path, result.case.line)
        if not result.passed:
            told = [f"{m.what}: expected {m.expected}, got {m.got}" for m in result.mismatches]
            lines = [f"{path}:{result.case.line}", *told, because(result.decision)]
            _fail(case, "; ".join(told), "mismatch", lines)
    for proof in file.proofs:
        place = proof.guarantee.place
        file_name, line = (place.problems.file, place.line) if place else (path, 1)
        case = _case(suite, f"{policy.name}.guarantees", proof.guarantee.say, file_name, line)
        if not proof.holds:
            lines = [f"{file_name}:{line}", *counter_example_lines(proof)]
            _fail(case, "the guarantee is broken", "guarantee", lines)
    suite.set("time", f"{file.seconds:.3f}")
    return _count(suite)


def _measures(report: PolicyReport) -> Element:
    """Coverage and mutation score as tests of their own, so that a shortfall shows where everything else does."""
    name = f"{report.policy.id.name}: coverage and mutation"
    suite = Element("testsuite", name=_clean(name))
    if report.coverage is not None:
        missing = [f"{item.place}: {item}: {item.missing}" for item in report.coverage.uncovered]
        _measure(suite, report, "coverage", report.coverage.percent, missing)
    if report.mutation is not None:
        left = [f"{left.place}: {left.mutant}: {left.advice}" for left in report.mutation.survivors]
        _measure(suite, report, "mutation score", report.mutation.percent, left)
    suite.set("time", "0.000")
    return _count(suite)


def _measure(suite: Element, report: PolicyReport, what: str, percent: float, lines: list[str]) -> None:
    least = report.least or 0.0
    case = _case(suite, report.policy.id.name, f"{what} of at least {shown(least)}")
    if percent < least:
        _fail(case, f"{what} {shown(percent)}", "shortfall", lines)


def _case(suite: Element, group: str, name: str, path: str = "", line: int = 0) -> Element:
    case = SubElement(suite, "testcase", classname=_clean(group), name=_clean(name), time="0.000")
    if path:
        case.set("file", _clean(path))
        case.set("line", str(line))
    return case


def _fail(case: Element, message: str, kind: str, lines: Sequence[str]) -> None:
    failure = SubElement(case, "failure", message=_clean(message), type=kind)
    failure.text = _clean("\n".join(lines))


def _count(suite: Element) -> Element:
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(sum(case.find("failure") is not None for case in cases)))
    suite.set("errors", "0")
    suite.set("skipped", "0")
    return suite


def _total(root: Element) -> None:
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    root.set("time", f"{sum(float(suite.get('time', '0')) for suite in root):.3f}")


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
