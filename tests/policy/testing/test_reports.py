from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias
from xml.etree import ElementTree

import pytest

from gateway.policy.analysis.guarantees import prove
from gateway.policy.testing import Subject, Suite, coverage, mutate, run
from gateway.policy.testing.junit import junit
from gateway.policy.testing.markdown import markdown
from gateway.policy.testing.report import FileReport, PolicyReport, as_json, shown
from support.policies import rule

Try: TypeAlias = Callable[..., tuple[Subject, Suite]]

RULES = [rule("inside", {"app": "hr"}, {"action": "local_only"})]
PROMISES = [
    {"say": "Cards stay", "when": {"level": "restricted"}, "never": {"sent_to": "cloud"}},
    {"say": "Nothing leaves", "never": {"sent_to": "cloud"}},
]
GOOD = {"name": "good", "given": {"app": "hr"}, "expect": {"sent_to": "local"}}
BAD = {"name": 'bad <b>|"ä"', "given": {"app": "hr"}, "expect": {"sent_to": "cloud", "level": "restricted"}}


def reported(given: Try, tests: list[dict[str, Any]], least: float | None = None, **head: Any) -> PolicyReport:
    subject, suite = given(tests, head, rules=RULES)
    results = tuple(run(subject.policy, suite.prepared))
    proofs = prove(subject.policy, suite.tests.guarantees, suite.tests.targets, suite.tests.as_of)
    file = FileReport(suite.tests, results, proofs, 1.5)
    measured = coverage(subject, suite.prepared)
    mutation = mutate(subject, [suite]) if not file.failed and not file.broken else None
    return PolicyReport(subject.policy, (file,), measured, mutation, least)


def test_junit_has_what_its_readers_look_for(given: Try) -> None:
    """Suites, cases with file and line, failures with a message, and counts that add up."""
    report = reported(given, [GOOD, BAD], guarantees=PROMISES)
    root = ElementTree.fromstring(junit([report]))
    assert root.tag == "testsuites"
    (suite,) = root
    cases = suite.findall("testcase")
    assert [case.get("name") for case in cases] == ["good", 'bad <b>|"ä"', "Cards stay", "Nothing leaves"]
    assert [case.find("failure") is not None for case in cases] == [False, True, False, True]
    for element in (root, suite):
        assert [element.get(name) for name in ("tests", "failures", "errors")] == ["4", "2", "0"]
        assert element.get("time") == "1.500"
    path = report.files[0].tests.path
    lines = path.read_text().splitlines()
    for case, word in zip(cases, ("good", "bad", "Cards stay", "Nothing leaves"), strict=True):
        near = "\n".join(lines[int(case.get("line", "0")) - 1 :][:3])
        assert (case.get("file"), word in near) == (str(path), True)
    failure = cases[1].find("failure")
    assert failure is not None
    assert failure.get("message") == "sent_to: expected cloud, got local; level: expected restricted, got public"
    assert "because of handling.public, inside" in (failure.text or "")
    broken = cases[3].find("failure")
    assert broken is not None
    assert "A request by anybody, nothing found." in (broken.text or "")
    assert {item.get("name") for item in suite.iter("property")} == {"policy", "version", "hash"}


def test_junit_can_be_parsed_whatever_a_file_is_called(given: Try) -> None:
    """A character that XML cannot hold, not even escaped, does not make the whole report unreadable."""
    report = reported(given, [BAD])
    (file,) = report.files
    odd = replace(file, tests=replace(file.tests, path=Path("a\x07&<b>_test.yaml")))
    root = ElementTree.fromstring(junit([replace(report, files=(odd,))]))
    assert root[0].get("name") == "a\ufffd&<b>_test.yaml"


def test_junit_shows_a_shortfall_as_a_failure(given: Try) -> None:
    """With a minimum, coverage and mutation score are tests of their own, and say what is missing."""
    root = ElementTree.fromstring(junit([reported(given, [GOOD], least=100.0)]))
    _, measures = root
    failures = measures.findall("testcase/failure")
    assert [case.get("name") for case in measures] == ["coverage of at least 100 %", "mutation score of at least 100 %"]
    assert len(failures) == 2
    assert "handling.restricted: no test of level restricted" in (failures[0].text or "")
    assert "limits: per_request doubled" in (failures[1].text or "")
    root = ElementTree.fromstring(junit([reported(given, [GOOD], least=1.0)]))
    assert root.findall(".//failure") == []
    assert len(ElementTree.fromstring(junit([reported(given, [GOOD])]))) == 1


def test_markdown_shows_failures_coverage_and_survivors(given: Try) -> None:
    """A summary that GitHub renders; no name in it can become a link, a table cell or markup."""
    text = markdown([reported(given, [GOOD, BAD], guarantees=PROMISES)])
    assert "## ❌ policy acme, version 7" in text
    assert "1 passed, 1 failed, 1 guarantee holds, 1 guarantee broken" in text
    assert '- ❌ **bad \\<b\\>\\|"ä"' in text
    assert "  - sent_to: expected cloud, got local" in text
    assert "- ❌ guarantee **Nothing leaves**" in text
    assert "| rule | 1 | 1 |" in text
    assert "Mutation score" not in text
    good = markdown([reported(given, [GOOD], least=99.0)])
    assert "### Mutation score" in good
    assert "| limits: per\\_request doubled |" in good
    assert "**coverage" in good
    assert "## ❌" in good
    table = [line for line in good.splitlines() if line.startswith("| ")]
    assert all(line.replace("\\|", "").count("|") in (4, 6) for line in table)
    assert "## ✅" in markdown([reported(given, [GOOD], least=1.0)])


def test_json_holds_the_same_numbers(given: Try) -> None:
    """Programs read counts, places and advice, never a text."""
    report = reported(given, [GOOD], least=100.0)
    (policy,) = json.loads(json.dumps(as_json([report])))["policies"]
    assert (policy["passed"], policy["failed"]) == (1, 0)
    assert policy["policy"] == {"name": "acme", "version": 7, "hash": report.policy.id.hash}
    assert policy["files"][0]["tests"][0]["passed"] is True
    assert policy["coverage"]["by_kind"]["rule"] == {"covered": 1, "total": 1}
    assert {"kind", "name", "file", "line", "missing"} == set(policy["coverage"]["uncovered"][0])
    assert policy["mutation"]["survivors"][0]["advice"].startswith("given: {")
    assert len(policy["shortfalls"]) == 2


@pytest.mark.parametrize(
    ("percent", "words"), [(100.0, "100 %"), (99.999, "99.9 %"), (99.94, "99.9 %"), (95.45, "95.5 %"), (0.0, "0 %")]
)
def test_only_all_is_called_100_percent(percent: float, words: str) -> None:
    """Nothing is rounded up to everything."""
    assert shown(percent) == words
