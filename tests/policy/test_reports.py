"""The formats of `check`, from values to what programs and people read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.policy.reports import data, github, sarif, text
from gateway.cli.policy.reports.codes import CODES
from gateway.cli.policy.reports.given import given
from gateway.cli.policy.reports.values import (
    ADVICE,
    BROKEN,
    INVALID,
    CounterExample,
    FileReport,
    Notice,
    Proved,
    Responsible,
    Severity,
)
from gateway.documents import Problem
from gateway.domain.decision import BudgetState, Level, PolicyId
from gateway.domain.finding import DetectorState, Found
from gateway.policy.analysis import findings
from gateway.policy.analysis.expectations import KEYS
from gateway.policy.analysis.guarantees import GUARANTEE, SITUATION
from gateway.policy.testing.facts import read_facts
from support.policies import AS_OF, compiled, facts, rule

DAY = date(2026, 11, 21)
LINE = "    then: {action: redactt}"
WRONG = Notice(INVALID, Severity.ERROR, Problem("acme.yaml", 7, 19, "'redactt' is no action", "redact", LINE))
ADVISED = Notice(ADVICE, Severity.WARNING, Problem("acme.yaml", 3, 1, "100% audit: nothing, is enforced"), "mode")
BY = Responsible("handling.public", "allow", "", Problem("acme.yaml", 5, 12, "handling.public: allow"))
EXAMPLE = CounterExample(
    situation="a request by app hr; nothing was found.",
    given={"app": "hr"},
    level="public",
    action="allow",
    decided="level public, action allow; may go to cloud-us (cloud, US).",
    permitted=("cloud-us",),
    responsible=(BY,),
)
PLACE = Problem("acme_test.yaml", 4, 5, "", "", "  - say: Nothing leaves")


def report(*notices: Notice, guarantees: tuple[Proved, ...] = (), usable: bool = True) -> FileReport:
    policy = PolicyId("acme", 7, "ab" * 32) if usable else None
    return FileReport("acme.yaml", policy, 2, notices, guarantees, "the 2 targets of targets.yaml", DAY)


HELD = Proved("Cards stay", PLACE, 1234, 0, None)
NOT_HELD = Proved("Nothing leaves", PLACE, 480, 12, EXAMPLE)


def test_github_commands_are_escaped_as_documented() -> None:
    """Percent signs and line ends in messages; also colons and commas in properties."""
    odd = Notice(ADVICE, Severity.WARNING, Problem("a,b:c%.yaml", 3, 1, "100% sure:\r\nyes, no"))
    assert list(github.commands((report(odd),))) == [
        "::warning file=a%2Cb%3Ac%25.yaml,line=3,col=1,title=Probably not meant::100%25 sure:%0D%0Ayes, no"
    ]


def test_github_has_one_command_for_each_thing_to_mend() -> None:
    """Errors, warnings and broken guarantees; what is proved needs no annotation."""
    lines = list(github.commands((report(WRONG, ADVISED, guarantees=(HELD, NOT_HELD)),)))
    assert [line.split(" ", 1)[0] for line in lines] == ["::error", "::warning", "::error"]
    assert lines[0].endswith("::'redactt' is no action; did you mean 'redact'?")
    assert "file=acme_test.yaml,line=4,col=5,title=Guarantee broken::Guarantee broken: Nothing leaves%0A" in lines[2]
    assert all("\n" not in line for line in lines)


def test_a_file_that_is_not_there_has_no_line() -> None:
    """No format invents a place in a file that could not be opened."""
    gone = report(Notice(INVALID, Severity.ERROR, Problem("gone.yaml", 0, 0, "cannot be read")), usable=False)
    assert list(github.commands((gone,))) == ["::error file=gone.yaml,title=Invalid policy::cannot be read"]
    physical = sarif.log((gone,))["runs"][0]["results"][0]["locations"][0]["physicalLocation"]  # type: ignore[index,call-overload]
    assert physical == {"artifactLocation": {"uri": "gone.yaml"}}
    problem = json.loads(json.dumps(data.document((gone,), 3)))["files"][0]["problems"][0]
    assert (problem["line"], problem["column"]) == (None, None)
    assert text.complaint(gone.notices[0]) == "gone.yaml: cannot be read"


def logged(*reports: FileReport) -> dict[str, Any]:
    log: dict[str, Any] = json.loads(json.dumps(sarif.log(reports)))
    return log


def test_sarif_has_the_structure_that_the_format_demands() -> None:
    """What SARIF 2.1.0 requires and code scanning reads: version, tool, rules that results point to, regions from 1."""
    log = logged(report(WRONG, ADVISED, guarantees=(HELD, NOT_HELD)), report(WRONG))
    assert set(log) == {"$schema", "version", "runs"}
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("/sarif-schema-2.1.0.json")
    (run,) = log["runs"]
    assert set(run) == {"tool", "columnKind", "invocations", "results"}
    assert run["columnKind"] in ("utf16CodeUnits", "unicodeCodePoints")
    assert run["invocations"] == [{"executionSuccessful": True}]
    driver = run["tool"]["driver"]
    assert driver["name"] == "Bailiwick"
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", driver["semanticVersion"])
    rules = [each["id"] for each in driver["rules"]]
    assert len(rules) == len(set(rules))
    for each in driver["rules"]:
        assert each["shortDescription"]["text"]
        assert each["fullDescription"]["text"]
        assert each["help"]["text"]
        assert each["defaultConfiguration"]["level"] in ("note", "warning", "error")
    assert len(run["results"]) == 4
    for result in run["results"]:
        assert result["ruleId"] == rules[result["ruleIndex"]]
        assert result["level"] in ("note", "warning", "error")
        assert result["message"]["text"]
        assert all(re.fullmatch(r"[0-9a-f]+", digest) for digest in result["partialFingerprints"].values())
        for location in (*result["locations"], *result.get("relatedLocations", ())):
            physical = location["physicalLocation"]
            assert not physical["artifactLocation"]["uri"].startswith("/")
            assert physical["region"]["startLine"] >= 1
            assert physical["region"]["startColumn"] >= 1


def test_sarif_shows_a_broken_guarantee_with_the_lines_responsible() -> None:
    """The result stands at the guarantee, and the lines that had a say are its related locations."""
    (result,) = logged(report(guarantees=(NOT_HELD,)))["runs"][0]["results"]
    assert (result["ruleId"], result["level"]) == (BROKEN, "error")
    assert result["locations"][0]["physicalLocation"]["region"]["startLine"] == 4
    (related,) = result["relatedLocations"]
    assert related["physicalLocation"]["artifactLocation"]["uri"] == "acme.yaml"
    assert related["physicalLocation"]["region"]["startLine"] == 5
    assert related["message"]["text"] == "handling.public: allow"


def test_sarif_fingerprints_stay_when_lines_move() -> None:
    """The same finding further down is the same alert; one about something else is another."""

    def fingerprint(line: int, subject: str) -> str:
        moved = Notice(ADVICE, Severity.WARNING, Problem("acme.yaml", line, 1, "never applies"), subject)
        digest: str = logged(report(moved))["runs"][0]["results"][0]["partialFingerprints"]["bailiwickSubject/v1"]
        return digest

    assert fingerprint(3, "one") == fingerprint(30, "one")
    assert fingerprint(3, "one") != fingerprint(3, "two")


def test_sarif_paths_are_uris(tmp_path: Path) -> None:
    """Blanks are escaped; an absolute path is a file URI."""
    spaced = Notice(ADVICE, Severity.WARNING, Problem("my policies/a#b.yaml", 1, 1, "x"))
    absolute = Notice(ADVICE, Severity.WARNING, Problem(str(tmp_path / "a.yaml"), 1, 1, "x"))
    uris = [
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        for result in logged(report(spaced, absolute))["runs"][0]["results"]
    ]
    assert uris == ["my%20policies/a%23b.yaml", (tmp_path / "a.yaml").as_uri()]


def test_json_has_the_documented_keys() -> None:
    """Every key that JSON has is named in the documentation, so nobody removes one unnoticed."""
    document = data.document((report(WRONG, ADVISED, guarantees=(HELD, NOT_HELD)),), 3)
    described = (Path(__file__).parents[2] / "docs" / "policy-analysis.md").read_text("utf-8")
    keys = set(_keys(document)) - {"app"}  # a fact, as in tests
    assert sorted(key for key in keys if f"`{key}`" not in described) == []
    assert document["exit_code"] == 3
    file = json.loads(json.dumps(document))["files"][0]
    assert [problem["severity"] for problem in file["problems"]] == ["error", "warning"]
    assert [proved["holds"] for proved in file["guarantees"]] == [True, False]
    assert file["guarantees"][1]["counter_example"]["given"] == {"app": "hr"}
    assert file["guarantees"][1]["counter_example"]["because"][0]["line"] == 5


def _keys(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield key
            yield from _keys(value)
    elif isinstance(tree, list):
        for item in tree:
            yield from _keys(item)


def test_text_shows_the_line_and_a_caret() -> None:
    """File, line and column, what is wrong, what was probably meant, and a caret below the place."""
    assert text.complaint(WRONG) == (
        f"acme.yaml:7:19: 'redactt' is no action; did you mean 'redact'?\n    {LINE}\n    {' ' * 18}^"
    )
    assert "warning: 100% audit" in text.complaint(ADVISED)


def test_text_says_proved_or_broken() -> None:
    """Each guarantee with how many situations were looked at; a broken one with an example and the lines."""
    lines = "\n".join(text.lines(report(guarantees=(HELD, NOT_HELD))))
    plain = re.sub(r"\x1b\[[0-9;]*m", "", lines)
    assert plain == (
        "acme.yaml: policy acme, version 7, 2 rules, hash abababababab\n"
        "  analysed with the 2 targets of targets.yaml, for 2026-11-21\n"
        "  ✓ proved  Cards stay (in all 1,234 situations)\n"
        "  ✗ BROKEN  Nothing leaves (acme_test.yaml:4)\n"
        "      Not so in 12 of 480 situations; this is the simplest.\n"
        "      Example: a request by app hr; nothing was found.\n"
        "      Decided: level public, action allow; may go to cloud-us (cloud, US).\n"
        "      The lines responsible:\n"
        "        acme.yaml:5  handling.public: allow\n"
        "  2 guarantees: 1 proved, 1 broken"
    )


def test_text_says_nothing_good_of_a_file_that_cannot_be_used() -> None:
    """There is no summary line that somebody could take for a good sign."""
    assert list(text.lines(report(WRONG, usable=False))) == []


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_is_documented(code: str) -> None:
    """docs/policy-analysis.md has each code, so that whoever meets one in a log finds what it means."""
    described = (Path(__file__).parents[2] / "docs" / "policy-analysis.md").read_text("utf-8")
    assert f"`{code}`" in described


def test_every_finding_has_a_title_and_a_meaning() -> None:
    """No code of the analysis is unknown to the formats."""
    folder = Path(findings.__file__).parent
    codes = {
        code for file in folder.glob("*.py") for code in re.findall(r'Finding\("([a-z-]+)"', file.read_text("utf-8"))
    }
    assert len(codes) >= 10
    assert codes <= set(CODES)


def test_every_key_of_a_guarantee_is_documented() -> None:
    """Whoever writes a guarantee finds each key that there is."""
    described = (Path(__file__).parents[2] / "docs" / "policy-analysis.md").read_text("utf-8")
    keys = (*KEYS, *GUARANTEE, *SITUATION)
    assert sorted(key for key in keys if f"`{key}`" not in described) == []


def test_an_example_is_given_as_a_test_writes_it() -> None:
    """What is ordinary is left out; everything else is read back from a test as it was."""
    assert given(facts(app="", dialect="", model="", prompt_tokens=0), AS_OF, ()) == {}
    unusual = facts(
        tenant="acme",
        app="hr",
        dialect="openai_chat",
        model="",
        found=(Found("PERSON", 60, 5), Found("US_SSN", 100, 1)),
        detector=DetectorState.FAILED,
        unreadable=True,
        redaction_incomplete=True,
        budget=BudgetState.SPENT,
        prompt_tokens=4001,
        labels=("patient",),
        min_level=Level.INTERNAL,
        history_level=Level.RESTRICTED,
        approved=True,
        as_of=date(2026, 9, 5),
        minute=61,
    )
    assert given(unusual, AS_OF, ()) == {
        "tenant": "acme",
        "app": "hr",
        "api": "openai_chat",
        "found": {"PERSON": {"count": 5, "percent": 60}, "US_SSN": 1},
        "detector": "failed",
        "budget": "spent",
        "unreadable": True,
        "redaction_incomplete": True,
        "approved": True,
        "prompt_tokens": 4001,
        "min_level": "internal",
        "history_level": "restricted",
        "declared": ["patient"],
        "at": "2026-09-05T01:01+00:00",
    }
    assert read_facts(json.dumps(given(unusual, AS_OF, ())), AS_OF) == unusual


def test_the_time_is_given_where_a_policy_looks_at_it() -> None:
    """A test without a time takes place at noon, so midnight must be said."""
    night = rule("night", {"time": {"hours": "22:00-06:00", "zone": "UTC"}}, {"action": "block"})
    policy = compiled(rules=[night]).source
    assert given(facts(app="", dialect="", model="", prompt_tokens=0), AS_OF, [policy]) == {
        "at": "2026-09-01T00:00+00:00"
    }


def test_a_policys_own_words_cannot_steer_a_terminal() -> None:
    """Escape sequences and line ends in a guarantee's sentence or a rule's reason are blanks."""
    by = Responsible("r", "block", "fine\x1b[2J\nok — all proved", PLACE)
    evil = Proved("Safe\x1b[31m\n✓ proved", PLACE, 2, 1, replace(EXAMPLE, responsible=(by,)))
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in text.lines(report(guarantees=(evil,)))]
    assert not any("\x1b" in line or "\n" in line for line in lines)
    assert not any(line.strip().startswith(("✓", "ok")) for line in lines)
