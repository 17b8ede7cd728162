from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.policy import policy
from gateway.cli.policy.common import PolicyTools
from gateway.domain.finding import Found
from gateway.domain.ports import DetectorFailed
from gateway.domain.target import Target
from support.policies import TARGETS, document, rule

GOLDEN = Path(__file__).parent / "golden"
LIST = "- {id: inside, zone: local, region: on-premises}\n- {id: outside, zone: cloud, region: US}\n"


def scan(texts: Sequence[str]) -> tuple[Found, ...]:
    """A detector that knows one number."""
    return (Found("CREDIT_CARD", 95, 1),) if any("4111" in text for text in texts) else ()


def targets_of(path: Path) -> tuple[Target, ...]:
    assert path.name == "bailiwick.yaml"
    return TARGETS


def run(*arguments: str, stdin: str = "", tools: PolicyTools | None = None) -> Result:
    return CliRunner().invoke(policy, list(arguments), input=stdin, obj=tools or PolicyTools(scan, targets_of))


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs in a folder of its own, with a good policy and a list of targets."""
    monkeypatch.chdir(tmp_path)
    trial = rule("trial", {"app": "batch"}, {"action": "block"}, mode="audit", until="2199-01-01")
    Path("acme.yaml").write_text(json.dumps(document(rules=[trial])))
    Path("targets.yaml").write_text(LIST)


def test_check_says_that_a_file_is_well() -> None:
    """One line with name, version, rules and hash; exit code 0; plain text when piped."""
    result = run("check", "acme.yaml")
    assert result.exit_code == 0
    assert result.stdout.startswith("acme.yaml: ok — policy acme, version 7, 1 rule, hash ")
    assert "\x1b" not in result.output
    assert result.stderr == ""


def test_check_tells_every_problem_at_once() -> None:
    """The problems of the golden file, word for word, on standard error; exit code 3."""
    text = (GOLDEN / "rules.yaml").read_text("utf-8")
    Path("rules.yaml").write_text(text, "utf-8")
    result = run("check", "rules.yaml")
    assert result.exit_code == 3
    assert result.stdout == ""
    expected = (GOLDEN / "rules.txt").read_text("utf-8")
    assert result.stderr == f"{expected}{expected.count('rules.yaml:')} problems\n"


def test_check_shows_warnings_with_their_place() -> None:
    """Warnings do not fail the check, but are shown, also for what the detector cannot find."""
    Path("audit.yaml").write_text(json.dumps(document(mode="audit")))
    every = frozenset({"PERSON", "EMAIL_ADDRESS", "CREDIT_CARD"})
    result = run("check", "audit.yaml", tools=PolicyTools(scan, targets_of, lambda: every))
    assert result.exit_code == 0
    assert "warning: the whole policy is in audit mode" in result.stderr
    assert "warning: no detector finds 'MEDICATION'" in result.stderr
    assert "audit.yaml:1:" in result.stderr


def test_a_missing_file_is_an_invalid_file() -> None:
    """A path that leads nowhere is told in one line; exit code 3."""
    result = run("check", "gone.yaml")
    assert (result.exit_code, result.stderr) == (3, "gone.yaml: cannot be read: No such file or directory\n1 problem\n")


def test_wrong_usage() -> None:
    """A forgotten argument or an unknown option is exit code 2."""
    assert run("check").exit_code == 2
    assert run("explain", "acme.yaml", "--speed").exit_code == 2


def write_tests(second: str) -> None:
    Path("acme_test.yaml").write_text(
        "policy: acme.yaml\nas_of: 2026-09-01\ntargets: targets.yaml/../bailiwick.yaml\ntests:\n"
        "  - {name: A card stays, given: {found: {CREDIT_CARD: 1}}, expect: {sent_to: local}}\n"
        f"  - {{name: With the detector, text: my card is 4111, expect: {{level: {second}}}}}\n"
    )


def test_test_passes() -> None:
    """One line per test that passes, and a summary; exit code 0."""
    write_tests("restricted")
    result = run("test", "acme_test.yaml")
    assert result.stdout == "✓ A card stays\n✓ With the detector\n2 passed, 0 failed — policy acme, version 7\n"
    assert result.exit_code == 0


def test_test_fails() -> None:
    """A test that fails says where it stands, what was expected, what came and because of what; exit code 4."""
    write_tests("public")
    result = run("test", "acme_test.yaml")
    assert result.exit_code == 4
    assert result.stdout == (
        "✓ A card stays\n"
        "✗ With the detector  (acme_test.yaml:6)\n"
        "    level: expected public, got restricted\n"
        "    because of handling.restricted\n"
        "1 passed, 1 failed — policy acme, version 7\n"
    )


def test_a_name_over_several_lines_writes_none_of_its_own() -> None:
    """Whoever writes a test file must not write results, or commands to the service that runs the tests."""
    write_tests("public")
    text = Path("acme_test.yaml").read_text().replace("With the detector", '"With\\n::error::the\\n✓ detector"')
    guarantee = '{"say": "A\\n✓ promise", "always": {"has_target": true}}'
    Path("acme_test.yaml").write_text(f"{text.rstrip()}\nguarantees: [{guarantee}]\n")
    lines = run("test", "acme_test.yaml").stdout.splitlines()
    assert [line for line in lines if "detector" in line] == [
        "✗ With ::error::the ✓ detector  (acme_test.yaml:6)",
    ], lines
    assert not [line for line in lines if line == "✓ promise"]


def test_test_needs_a_valid_file() -> None:
    """A policy file given as a test file is told so; exit code 3."""
    result = run("test", "acme.yaml")
    assert result.exit_code == 3
    assert "this is a policy; its tests stand in a file beside it, such as acme_test.yaml" in result.stderr
    assert "1 problem" in result.stderr


def test_a_detector_that_fails_is_no_passed_test() -> None:
    """If the text cannot be scanned, the command fails instead of going on as if nothing had been found."""

    def broken(texts: Sequence[str]) -> tuple[Found, ...]:
        raise DetectorFailed("worker died")

    write_tests("public")
    result = run("test", "acme_test.yaml", tools=PolicyTools(broken, targets_of))
    assert result.exit_code == 1
    assert "the detector did not finish: worker died" in result.stderr


def test_explain_reads_like_a_report() -> None:
    """Level and why, rules, targets with reasons; from facts alone, without any detector."""
    result = run("explain", "acme.yaml", "--facts", "{found: {CREDIT_CARD: 1}}", "--targets", "targets.yaml")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[:2] == ["Level restricted, because found payment data (CREDIT_CARD: 1).", "Action local_only."]
    assert "  permitted  inside" in lines
    reason = "is in the cloud, and restricted data may only go to local targets (handling.restricted)"
    assert f"  rejected   outside  {reason}" in lines


def test_explain_scans_a_text_and_takes_the_caller_from_options() -> None:
    """--text goes through the detector, '-' reads it from standard input, and options name the caller."""
    shared = ("explain", "acme.yaml", "--app", "batch", "--as-of", "2026-09-01", "--targets", "targets.yaml", "--json")
    data = json.loads(run(*shared, "--text", "4111").stdout)
    assert (data["level"], [entry["id"] for entry in data["would"]]) == ("restricted", ["trial"])
    assert json.loads(run(*shared, "--text", "-", stdin="4111\n").stdout)["level"] == "restricted"
    assert json.loads(run(*shared, "--text", "-", stdin="hello\n").stdout)["level"] == "public"


def test_explain_takes_facts_from_a_file_and_targets_from_the_settings() -> None:
    """@FILE reads the facts; bailiwick.yaml in the folder gives the targets, as it does for the gateway."""
    Path("facts.json").write_text('{"app": "batch", "found": {"MEDICATION": 1}}')
    Path("bailiwick.yaml").write_text("schema: 1\n")
    data = json.loads(run("explain", "acme.yaml", "--facts", "@facts.json", "--json").stdout)
    assert [target["id"] for target in data["targets"]] == [target.id for target in TARGETS]
    assert data["level"] == "confidential"
    assert run("explain", "acme.yaml", "--facts", "@gone.json").exit_code == 3
    assert run("explain", "acme.yaml", "--facts", "{found: 5}").exit_code == 3


def test_explain_without_targets_says_that_they_are_examples() -> None:
    """Nobody takes made-up targets for their own."""
    result = run("explain", "acme.yaml")
    assert "examples" in result.stderr
    assert "cloud-eu" in result.stdout


def test_explain_reads_what_a_policy_extends() -> None:
    """As the gateway does: a policy that says only what is stricter is a whole one."""
    Path("child.yaml").write_text("schema: 1\npolicy: child\nversion: 1\nowner: o\nextends: acme.yaml\nnote: x\n")
    assert run("explain", "child.yaml", "--facts", "{found: {CREDIT_CARD: 1}}").exit_code == 3
    Path("child.yaml").write_text("schema: 1\npolicy: child\nversion: 1\nowner: o\nextends: acme.yaml\n")
    result = run("explain", "child.yaml", "--facts", "{found: {CREDIT_CARD: 1}}")
    assert result.exit_code == 0, result.output
