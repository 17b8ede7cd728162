"""`bailiwick policy diff`, through the real command on real files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli.policy.common import PolicyTools
from gateway.cli.policy.diff import diff
from gateway.domain.finding import Found
from gateway.domain.target import Target
from gateway.policy import compile_policy, evaluate, load
from gateway.policy.testing.facts import read_facts
from support.policies import AS_OF, TARGETS, document, rule

LIST = (
    "- {id: local, zone: local, region: on-premises}\n"
    "- {id: cloud-eu, zone: cloud, region: EU, labels: [baa]}\n"
    "- {id: cloud-us, zone: cloud, region: US}\n"
)
BLOCKED = rule("hr", {"app": "hr-assistant"}, {"action": "block"}, why="Works council\n  agreement")
HANDLING = document()["handling"]
RESTRICTED = '"restricted": {'


def scan(texts: Sequence[str]) -> tuple[Found, ...]:
    return ()


def targets_of(path: Path) -> tuple[Target, ...]:
    return TARGETS


def run(*arguments: str, color: bool = False) -> Result:
    shared = ("--targets", "targets.yaml", "--as-of", AS_OF.isoformat())
    return CliRunner().invoke(diff, [*arguments, *shared], obj=PolicyTools(scan, targets_of), color=color)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERM", "xterm")
    write("old.yaml")
    Path("targets.yaml").write_text(LIST)


def write(name: str, **changes: Any) -> None:
    Path(name).write_text(json.dumps(document(**changes), indent=2))


def line_of(file: str, text: str) -> int:
    return next(number for number, line in enumerate(Path(file).read_text().splitlines(), 1) if text in line)


def compared(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*arguments, "--format", "json").stdout)
    return found


def test_the_same_policy_changes_nothing() -> None:
    """Also with another version, owner and order: one sentence with the number of situations, exit code 0."""
    write("new.yaml", version=8, owner="somebody@else.example")
    result = run("old.yaml", "new.yaml", "--fail-on", "any")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1].startswith("No decision changes in any of the ")
    assert result.stdout.splitlines()[-1].endswith(" situations.")
    assert result.stderr == ""


def test_what_became_looser_is_told_with_its_lines() -> None:
    """Restricted data may leave: how many situations, one in words, before and after, and the line in both files."""
    write("new.yaml", handling={**HANDLING, "restricted": {"action": "redact", "regions": ["EU"]}})
    result = run("old.yaml", "new.yaml")
    assert result.exit_code == 0
    assert "LOOSER in " in result.stdout
    assert "may also go to cloud-eu" in result.stdout
    before, after = (line_of(file, RESTRICTED) for file in ("old.yaml", "new.yaml"))
    assert f"before  old.yaml:{before}  handling.restricted: local_only\n" in result.stdout
    assert f"after   new.yaml:{after}  handling.restricted: redact; regions EU\n" in result.stdout
    assert "Stricter" not in result.stdout


def test_fail_on() -> None:
    """--fail-on looser ends with 6 only if something became looser; any with 6 if anything changed."""
    write("stricter.yaml", rules=[BLOCKED])
    assert run("old.yaml", "stricter.yaml", "--fail-on", "looser").exit_code == 0
    assert run("old.yaml", "stricter.yaml", "--fail-on", "any").exit_code == 6
    assert run("stricter.yaml", "old.yaml", "--fail-on", "looser").exit_code == 6
    assert run("stricter.yaml", "old.yaml").exit_code == 0


def test_a_rule_that_went_is_shown_where_it_was() -> None:
    """The line in the old file; the new one has none."""
    write("with.yaml", rules=[BLOCKED])
    result = run("with.yaml", "old.yaml")
    assert f"with.yaml:{line_of('with.yaml', 'hr')}  hr: block  (Works council agreement)" in result.stdout
    assert "after   old.yaml" not in result.stdout


def test_lines_of_levels_are_those_that_differ() -> None:
    """A list of people begins at three instead of five: that line of each file, in words."""
    levels = document()["levels"]
    levels["confidential"][1]["at_least"] = 3
    write("new.yaml", levels=levels)
    result = run("old.yaml", "new.yaml")
    assert "levels: confidential with at least 5 different values of contact details" in result.stdout
    assert "levels: confidential with at least 3 different values of contact details" in result.stdout


def test_json_can_be_recomputed() -> None:
    """Each example, decided again by both policies, gives what JSON says was and is decided."""
    write("new.yaml", rules=[BLOCKED], handling={**HANDLING, "restricted": {"action": "redact", "regions": ["EU"]}})
    found = compared("old.yaml", "new.yaml")
    assert found["counts"]["looser"] > 0
    assert found["counts"]["stricter"] > 0
    assert sum(change["situations"] for change in found["changes"]) == sum(found["counts"].values())
    for change in found["changes"]:
        for side, file in (("before", "old.yaml"), ("after", "new.yaml")):
            policy = compile_policy(load(Path(file))[0])
            decision = evaluate(policy, read_facts(json.dumps(change["given"]), AS_OF), TARGETS)
            assert decision.action.value == change[side]["action"]
            assert decision.level.word == change[side]["level"]
            assert sorted(decision.permitted) == change[side]["permitted"]


def test_json_has_the_documented_keys() -> None:
    """Every key stands in the documentation."""
    write("new.yaml", rules=[BLOCKED])
    found = compared("old.yaml", "new.yaml")
    described = (Path(__file__).parents[2] / "docs" / "policy-analysis.md").read_text("utf-8")
    keys = {*found, *found["changes"][0], *found["changes"][0]["before"], *found["old"]}
    assert sorted(key for key in keys if f"`{key}`" not in described) == []
    assert found["exit_code"] == 0
    assert compared("old.yaml", "new.yaml", "--fail-on", "any")["exit_code"] == 6


def test_markdown_is_a_comment_for_a_pull_request() -> None:
    """A table and an example to open; what a policy says cannot become a link or a tag, or end the block."""
    evil = rule("hr", {"app": "hr-assistant"}, {"action": "block"}, why="```\n~~~~\n<img src=x> [a](b)")
    write("new.yaml", policy="acme", rules=[evil])
    result = run("old.yaml", "new.yaml", "--format", "markdown")
    lines = result.stdout.splitlines()
    assert lines[0] == "### Policy acme: what changes"
    assert "| | what | situations |" in lines
    assert sum(line.startswith("~~~~") for line in lines) == 2 * result.stdout.count("<details>")
    assert "<img" in result.stdout.split("~~~~text")[1]
    assert "<img" not in result.stdout.split("~~~~text")[0]


def test_targets_of_the_test_file_beside() -> None:
    """Without --targets and settings, those of the test file beside the new policy, else examples, which is said."""
    write("new.yaml")
    arguments = ["old.yaml", "new.yaml"]
    tools = PolicyTools(scan, targets_of)
    assert "example targets" in CliRunner().invoke(diff, arguments, obj=tools).stdout
    Path("new_test.yaml").write_text("policy: new.yaml\ntargets: targets.yaml\nas_of: 2026-09-01\n")
    assert "with the 3 targets of targets.yaml" in CliRunner().invoke(diff, arguments, obj=tools).stdout


def test_an_invalid_file_is_told_as_by_check() -> None:
    """Place, line and caret on standard error, nothing on standard output; exit code 3, and 2 for wrong usage."""
    write("new.yaml", mode="enforec")
    result = run("old.yaml", "new.yaml")
    assert result.exit_code == 3
    assert result.stdout == ""
    assert "did you mean 'enforce'?" in result.stderr
    assert run("old.yaml", "gone.yaml").exit_code == 3
    assert run("old.yaml").exit_code == 2


def test_colours_on_a_terminal_only() -> None:
    """Red for what is looser, nothing when piped."""
    write("with.yaml", rules=[BLOCKED])
    assert "\x1b[31m" in run("with.yaml", "old.yaml", color=True).stdout
    assert "\x1b" not in run("with.yaml", "old.yaml").stdout
