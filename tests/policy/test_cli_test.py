from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from gateway.cli.policy import policy
from gateway.cli.policy.common import PolicyTools
from gateway.domain.finding import Found
from gateway.domain.target import Target
from support.policies import TARGETS, document, rule

STAYS = "  - {say: Cards stay, when: {level: restricted}, never: {sent_to: cloud}}\n"
LEAVES = "  - {say: Nothing leaves, never: {sent_to: cloud}}\n"
GOOD = "  - {name: A card stays, given: {found: {CREDIT_CARD: 1}}, expect: {sent_to: local}}\n"
BAD = "  - {name: A card leaves, given: {found: {CREDIT_CARD: 1}}, expect: {sent_to: cloud}}\n"
TEXT = "  - {name: With the detector, text: my card is 4111, expect: {level: restricted}}\n"


def targets_of(path: Path) -> tuple[Target, ...]:
    return TARGETS


class Detector:
    """Knows one number, and counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: Sequence[str]) -> tuple[Found, ...]:
        self.asked += texts
        return (Found("CREDIT_CARD", 95, 1),) if any("4111" in text for text in texts) else ()


def command(*arguments: str, detector: Detector | None = None) -> Result:
    known = frozenset({"PERSON", "EMAIL_ADDRESS", "CREDIT_CARD", "MEDICATION"})
    tools = PolicyTools(detector or Detector(), targets_of, lambda: known)
    return CliRunner().invoke(policy, ["test", *arguments], obj=tools)


def write(name: str, tests: str = "", guarantees: str = "", policy_file: str = "acme.yaml") -> str:
    Path(name).write_text(
        f"policy: {policy_file}\nas_of: 2026-09-01\ntargets: bailiwick.yaml\n"
        + (f"guarantees:\n{guarantees}" if guarantees else "")
        + (f"tests:\n{tests}" if tests else "")
    )
    return name


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs in a folder of its own, with a policy of one rule."""
    monkeypatch.chdir(tmp_path)
    Path("acme.yaml").write_text(json.dumps(document(rules=[rule("inside", {"app": "hr"}, {"action": "local_only"})])))


def test_guarantees_are_proved_beside_the_tests() -> None:
    """A guarantee that holds is told like a test that passes."""
    result = command(write("acme_test.yaml", GOOD, STAYS))
    assert result.exit_code == 0
    assert result.stdout == (
        "✓ A card stays\n✓ guarantee: Cards stay\n1 passed, 0 failed, 1 guarantee holds — policy acme, version 7\n"
    )


def test_a_broken_guarantee_is_exit_code_5() -> None:
    """It is told with its line and the simplest situation in which it does not hold."""
    result = command(write("acme_test.yaml", GOOD, STAYS + LEAVES))
    assert result.exit_code == 5
    assert "✗ guarantee: Nothing leaves  (acme_test.yaml:6)\n" in result.stdout
    assert "    A request by anybody, nothing found.\n" in result.stdout
    assert "1 passed, 0 failed, 1 guarantee holds, 1 guarantee broken — policy acme" in result.stdout


def test_failed_tests_come_before_broken_guarantees() -> None:
    """Exit code 4 where both are wrong."""
    assert command(write("acme_test.yaml", BAD, LEAVES)).exit_code == 4


def test_the_guarantees_of_the_policy_itself_are_proved_too() -> None:
    """What the policy's own file promises is looked at with the targets of the tests."""
    promise = {"say": "Nothing leaves", "never": {"sent_to": "cloud"}}
    Path("acme.yaml").write_text(json.dumps(document(guarantees=[promise])))
    result = command(write("acme_test.yaml", GOOD))
    assert result.exit_code == 5
    assert "✗ guarantee: Nothing leaves  (acme.yaml:1)\n" in result.stdout


def test_several_files_at_once() -> None:
    """Files of one policy are counted and measured together, each under its name."""
    first = write("one_test.yaml", GOOD)
    second = write("two_test.yaml", "  - {name: HR stays, given: {app: hr}, expect: {sent_to: local}}\n")
    result = command(first, second, "--coverage")
    assert result.exit_code == 0
    assert result.stdout.startswith("one_test.yaml\n✓ A card stays\ntwo_test.yaml\n✓ HR stays\n2 passed, 0 failed — ")
    assert "rule 1/1" in result.stdout
    assert "rule 0/1" in command(first, "--coverage").stdout


def test_every_problem_of_every_file_at_once() -> None:
    """Whoever names two wrong files is told what is wrong with both; exit code 3, and nothing is run."""
    first = write("one_test.yaml", "  - {name: a, expect: {because: [insde]}}\n")
    second = write("two_test.yaml", "  - {name: b, expect: {levle: public}}\n")
    result = command(first, second)
    assert result.exit_code == 3
    assert "one_test.yaml:5:34: unknown rule 'insde'; did you mean 'inside'?" in result.stderr
    assert "two_test.yaml:5:24: unknown key 'levle'; did you mean 'level'?" in result.stderr
    assert "2 problems" in result.stderr
    assert result.stdout == ""


def test_a_warning_does_not_stop_the_tests() -> None:
    """What the detector cannot find is pointed out on standard error."""
    result = command(write("acme_test.yaml", "  - {name: a, given: {found: {PERSN: 1}}, expect: {level: public}}\n"))
    assert result.exit_code == 0
    assert "warning: no detector finds 'PERSN', so this never happens; did you mean 'PERSON'?" in result.stderr


def test_coverage_says_what_is_missing_and_where() -> None:
    """A line of counts, then each part that no test covers with its place."""
    result = command(write("acme_test.yaml", GOOD), "--coverage")
    assert result.exit_code == 0
    assert "Coverage " in result.stdout
    assert "handling 1/4" in result.stdout
    assert "  acme.yaml:1  rule inside " in result.stdout
    assert "no test in which it matches" in result.stdout


def test_too_little_coverage_is_exit_code_4() -> None:
    """--min makes it a condition, and says by how much it is missed."""
    name = write("acme_test.yaml", GOOD)
    assert command(name, "--coverage", "--min", "10").exit_code == 0
    result = command(name, "--coverage", "--min", "99.5")
    assert result.exit_code == 4
    assert "% is below 99.5 %" in result.stdout


def test_mutants_are_made_and_survivors_told() -> None:
    """The score, each survivor with its place and a test that would notice it; --min 100 is missed."""
    name = write("acme_test.yaml", GOOD)
    result = command(name, "--mutate")
    assert result.exit_code == 0
    assert "Mutation score " in result.stdout
    assert (
        "  acme.yaml:1  rule inside: dropped\n      given: {app: hr}, expect: {action: local_only}\n" in result.stdout
    )
    assert command(name, "--mutate", "--min", "100").exit_code == 4


def test_no_mutants_are_made_of_a_policy_whose_tests_fail() -> None:
    """Tests that fail anyway would notice everything."""
    result = command(write("acme_test.yaml", BAD), "--mutate")
    assert result.exit_code == 4
    assert "Mutation score" not in result.stdout
    assert "no mutants were made: the tests have to pass and the guarantees to hold first" in result.stdout


def test_a_text_is_searched_once_however_many_mutants_there_are() -> None:
    """The detector is slow; mutants are decided from what it found."""
    detector = Detector()
    result = command(write("acme_test.yaml", TEXT), "--mutate", "--coverage", detector=detector)
    assert result.exit_code == 0
    assert detector.asked == ["my card is 4111"]


def test_a_tested_text_is_in_no_report() -> None:
    """No form of the output repeats the text, passed or failed."""
    name = write("acme_test.yaml", TEXT.replace("restricted", "public"))
    for shape in ("text", "markdown", "junit", "json"):
        result = command(name, "--coverage", "--format", shape)
        assert result.exit_code == 4
        assert "With the detector" in result.output
        assert "4111" not in result.output


def test_reports_are_written_beside_the_output() -> None:
    """--junit and --markdown write files, whatever is printed."""
    result = command(write("acme_test.yaml", GOOD), "--junit", "out.xml", "--markdown", "out.md")
    assert result.stdout.startswith("✓ A card stays\n")
    assert ElementTree.parse("out.xml").getroot().get("tests") == "1"
    assert Path("out.md").read_text("utf-8").startswith("## ✅ policy acme, version 7\n")


def test_formats_for_programs() -> None:
    """What --format prints is the whole of standard output, and can be read as such."""
    name = write("acme_test.yaml", GOOD)
    assert json.loads(command(name, "--format", "json").stdout)["policies"][0]["passed"] == 1
    assert ElementTree.fromstring(command(name, "--format", "junit").stdout).tag == "testsuites"
    assert command(name, "--format", "markdown").stdout.startswith("## ✅")


def test_a_file_that_cannot_be_written_is_told() -> None:
    """A wrong path for a report is an error of its own, not a traceback."""
    result = command(write("acme_test.yaml", GOOD), "--junit", "no/such/folder.xml")
    assert result.exit_code == 1
    assert "no/such/folder.xml: cannot be written: No such file or directory" in result.stderr


def test_usage() -> None:
    """A minimum of nothing, a percentage that is none, and no file at all are wrong usage."""
    name = write("acme_test.yaml", GOOD)
    for arguments in ((name, "--min", "90"), (name, "--coverage", "--min", "101"), ()):
        assert command(*arguments).exit_code == 2
