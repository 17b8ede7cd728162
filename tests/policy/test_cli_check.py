"""`bailiwick policy check`, through the real command on real files."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli.policy.check import check
from gateway.cli.policy.common import PolicyTools
from gateway.domain.finding import Found
from gateway.domain.target import Target
from gateway.policy import compile_policy, evaluate, load
from gateway.policy.testing.facts import read_facts
from gateway.policy.testing.targets import read_targets
from support.policies import AS_OF, TARGETS, document, rule

LIST = (
    "- {id: inside, zone: local, region: on-premises}\n"
    "- {id: cloud-eu, zone: cloud, region: EU, labels: [baa]}\n"
    "- {id: cloud-us, zone: cloud, region: US}\n"
)
HOLDS = {"say": "Cards stay inside", "when": {"contains": "payment data"}, "never": {"sent_to": "cloud"}}
PUBLIC = '"public": {'
FAILS = {"say": "Nothing goes to the US", "never": {"regions": ["US"]}}


def scan(texts: Sequence[str]) -> tuple[Found, ...]:
    return ()


def targets_of(path: Path) -> tuple[Target, ...]:
    assert path.name == "bailiwick.yaml"
    return TARGETS


def run(*arguments: str, tools: PolicyTools | None = None, color: bool = False) -> Result:
    return CliRunner().invoke(check, list(arguments), obj=tools or PolicyTools(scan, targets_of), color=color)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERM", "xterm")
    write("acme.yaml")
    Path("targets.yaml").write_text(LIST)


def write(name: str, **changes: Any) -> None:
    """A policy over many lines: JSON with indentation is YAML, and its places have lines of their own."""
    Path(name).write_text(json.dumps(document(**changes), indent=2))


def write_tests(name: str, *guarantees: dict[str, Any], **more: Any) -> None:
    content = {"policy": "acme.yaml", "as_of": "2026-09-01", "targets": "targets.yaml", **more}
    Path(name).write_text(json.dumps({**content, "guarantees": list(guarantees)}, indent=2))


def found(result: Result) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def line_of(file: str, text: str) -> int:
    """The line (from 1) of a file that holds this text."""
    return next(number for number, line in enumerate(Path(file).read_text().splitlines(), 1) if text in line)


def test_a_good_file_is_told_with_what_it_was_analysed_with() -> None:
    """Name, version, rules and hash; whose targets, and which day. Nothing on standard error, no colour when piped."""
    result = run("acme.yaml", "--targets", "targets.yaml", "--as-of", "2026-09-01")
    assert result.exit_code == 0
    first, second = result.stdout.splitlines()
    assert first.startswith("acme.yaml: ok — policy acme, version 7, 0 rules, hash ")
    assert second == "  analysed with the 3 targets of targets.yaml, for 2026-09-01"
    assert result.stderr == ""
    assert "\x1b" not in result.output


def test_a_terminal_gets_colours() -> None:
    """Green for what is well."""
    assert "\x1b[32m" in run("acme.yaml", color=True).stdout


def test_every_problem_of_every_file_is_told() -> None:
    """Two wrong files: all problems of both, each with its line, a caret and what was probably meant; exit code 3."""
    write("one.yaml", mode="enforec", owner=5)
    write("two.yaml", handling={"public": {"action": "allow"}, "restricted": {"action": "redactt"}})
    result = run("one.yaml", "two.yaml", "acme.yaml")
    assert result.exit_code == 3
    assert "did you mean 'enforce'?" in result.stderr
    assert "did you mean 'redact'?" in result.stderr
    assert f"one.yaml:{line_of('one.yaml', 'owner')}:" in result.stderr
    assert "missing keys 'internal', 'confidential'" in result.stderr
    assert "\n    " + " " * 10 + "^" in result.stderr
    assert result.stderr.endswith("4 problems\n")
    assert result.stdout.startswith("acme.yaml: ok")


def test_guarantees_of_the_policy_file_are_proved() -> None:
    """A guarantee at the top of the policy, with the number of situations; exit code 0."""
    write("acme.yaml", guarantees=[HOLDS])
    result = run("acme.yaml", "--targets", "targets.yaml")
    assert result.exit_code == 0
    assert "✓ proved  Cards stay inside (in all " in result.stdout
    assert "1 guarantee: 1 proved, 0 broken" in result.stdout


def test_guarantees_are_no_part_of_the_hash() -> None:
    """Writing down what one counts on does not make it another policy."""
    before = found(run("acme.yaml", "--format", "json"))["files"][0]["policy"]["hash"]
    write("acme.yaml", guarantees=[HOLDS])
    assert found(run("acme.yaml", "--format", "json"))["files"][0]["policy"]["hash"] == before


def test_a_broken_guarantee_shows_example_decision_and_lines() -> None:
    """The simplest situation, what was decided, where it could go, and the line that did it; exit code 5."""
    write("acme.yaml", guarantees=[HOLDS, FAILS])
    result = run("acme.yaml", "--targets", "targets.yaml", "--as-of", "2026-09-01")
    assert result.exit_code == 5
    place = line_of("acme.yaml", "Nothing goes to the US")
    lines = result.stdout.splitlines()
    (number,) = (at for at, line in enumerate(lines) if "BROKEN" in line)
    assert lines[number].startswith("  ✗ BROKEN  Nothing goes to the US (acme.yaml:")
    assert abs(int(lines[number].rsplit(":", 1)[1].rstrip(")")) - place) <= 1
    assert "nothing found" in lines[number + 2]
    assert "cloud-us" in lines[number + 3]
    assert lines[number + 4].strip() == "The lines responsible:"
    assert lines[number + 5].strip() == f"acme.yaml:{line_of('acme.yaml', PUBLIC)}  handling.public: allow"
    assert "2 guarantees: 1 proved, 1 broken" in result.stdout


def test_the_test_file_beside_the_policy_is_read_with_its_targets_and_day() -> None:
    """acme_test.yaml is found by its name; its own targets and clock hold for its guarantees, options come first."""
    write_tests("acme_test.yaml", FAILS, targets=[{"id": "in", "zone": "local", "region": "on-premises"}])
    assert run("acme.yaml").exit_code == 0
    result = run("acme.yaml", "--targets", "targets.yaml", "--format", "json")
    assert result.exit_code == 5
    (guarantee,) = found(result)["files"][0]["guarantees"]
    assert guarantee["file"] == "acme_test.yaml"
    assert guarantee["counter_example"]["permitted"] == ["cloud-eu", "cloud-us", "inside"]


def test_a_counter_example_reproduces() -> None:
    """The facts that JSON gives, decided by the policy itself, break the guarantee just as it says."""
    write("acme.yaml", guarantees=[FAILS, {"say": "Open", "when": {"app": "hr"}, "never": {"sent_to": "local"}}])
    result = run("acme.yaml", "--targets", "targets.yaml", "--as-of", AS_OF.isoformat(), "--format", "json")
    policy = compile_policy(load(Path("acme.yaml"))[0])
    targets = read_targets(Path("targets.yaml"))
    assert targets is not None
    examples = [each["counter_example"] for each in found(result)["files"][0]["guarantees"]]
    assert len(examples) == 2
    for example in examples:
        decision = evaluate(policy, read_facts(json.dumps(example["given"]), AS_OF), targets)
        assert sorted(decision.permitted) == example["permitted"]
        assert (decision.level.word, decision.action.value) == (example["level"], example["action"])
    assert "cloud-us" in examples[0]["permitted"]
    assert examples[1]["given"]["app"] == "hr"
    assert examples[1]["permitted"] == ["inside"]


def test_guarantees_of_another_file() -> None:
    """--guarantees names a file of the whole company; it needs nothing but guarantees."""
    Path("company.yaml").write_text(json.dumps({"guarantees": [FAILS]}))
    assert run("acme.yaml", "--targets", "targets.yaml").exit_code == 0
    assert run("acme.yaml", "--targets", "targets.yaml", "--guarantees", "company.yaml").exit_code == 5


def test_a_guarantee_with_a_mistake_is_an_invalid_file() -> None:
    """An unknown key and an unknown data type are told with the place in the test file; exit code 3."""
    wrong = {"say": "x", "when": {"contains": "payment dato"}, "never": {"send_to": "cloud"}}
    write_tests("acme_test.yaml", wrong)
    result = run("acme.yaml")
    assert result.exit_code == 3
    assert "did you mean 'sent_to'?" in result.stderr
    assert "did you mean 'payment data'?" in result.stderr
    assert f"acme_test.yaml:{line_of('acme_test.yaml', 'send_to')}:" in result.stderr


def test_a_guarantee_about_nothing_is_a_warning() -> None:
    """A promise whose conditions nothing fits is not sold as proved without a word."""
    nothing = {"say": "Void", "when": {"level": "public", "contains": "payment data"}, "never": {"sent_to": "cloud"}}
    write("acme.yaml", guarantees=[nothing])
    result = run("acme.yaml")
    assert result.exit_code == 0
    assert "warning: no situation fits the guarantee 'Void'" in result.stderr
    assert run("acme.yaml", "--strict").exit_code == 3


def test_a_test_file_stands_for_its_policy() -> None:
    """Given with its policy (as `policies/*.yaml` does) the policy is checked once."""
    write_tests("acme_test.yaml", HOLDS)
    result = run("acme.yaml", "acme_test.yaml", "--format", "json")
    assert [file["file"] for file in found(result)["files"]] == ["acme.yaml"]
    assert [file["file"] for file in found(run("acme_test.yaml", "--format", "json"))["files"]] == ["acme.yaml"]


def test_warnings_do_not_fail_unless_strict() -> None:
    """An audit-mode policy is a warning: exit code 0, with --strict 3 and a sentence why."""
    write("acme.yaml", mode="audit")
    result = run("acme.yaml")
    assert result.exit_code == 0
    assert "warning: the whole policy is in audit mode" in result.stderr
    strict = run("acme.yaml", "--strict")
    assert strict.exit_code == 3
    assert strict.stderr.rstrip().endswith("and --strict permits none")


def test_names_that_nobody_has() -> None:
    """--known gives the names that there are; a rule for an app that is none of them is a warning at its line."""
    write("acme.yaml", rules=[rule("hr", {"app": "hr-asistant"}, {"action": "block"})])
    Path("known.yaml").write_text("app: [hr-assistant, support-bot]\n")
    result = run("acme.yaml", "--known", "known.yaml")
    assert "there is no app 'hr-asistant', so this never holds; did you mean 'hr-assistant'?" in result.stderr
    assert f"acme.yaml:{line_of('acme.yaml', 'hr-asistant')}:" in result.stderr
    Path("known.yaml").write_text("apps: [hr-assistant]\n")
    wrong = run("acme.yaml", "--known", "known.yaml")
    assert wrong.exit_code == 3
    assert "unknown key 'apps'" in wrong.stderr


def test_the_settings_give_the_targets() -> None:
    """bailiwick.yaml in the folder is what the gateway has; without it, examples are said to be examples."""
    assert "example targets" in run("acme.yaml").stdout
    Path("bailiwick.yaml").write_text("schema: 1\n")
    assert "analysed with the 3 targets of bailiwick.yaml" in run("acme.yaml").stdout


def test_each_model_of_the_settings_is_proved_with_its_targets() -> None:
    """A promise that something is answered is not proved by a target that the model asked for cannot use."""
    inside = {level: {"action": "local_only"} for level in ("public", "internal", "confidential", "restricted")}
    answered = {"say": "Somebody answers", "when": {"unreadable": False}, "always": {"has_target": True}}
    write("acme.yaml", handling=inside, guarantees=[answered])
    Path("bailiwick.yaml").write_text("the targets and the models come from the tools")
    assert run("acme.yaml").exit_code == 0
    models = {"auto": TARGETS, "big": TARGETS[1:]}
    result = run("acme.yaml", tools=PolicyTools(scan, targets_of, models_of=lambda path: models))
    assert result.exit_code == 5
    assert "model 'big'" in result.stdout


def test_machine_formats_stand_alone_on_standard_output() -> None:
    """JSON and SARIF are one document also for an invalid file, and nothing else is printed; the exit code stays."""
    write("wrong.yaml", mode="enforec")
    for shape in ("json", "sarif"):
        result = run("wrong.yaml", "acme.yaml", "--format", shape)
        assert result.exit_code == 3
        assert result.stderr == ""
        json.loads(result.stdout)
    assert found(run("wrong.yaml", "--format", "json"))["exit_code"] == 3


def test_sarif_points_to_the_line() -> None:
    """The place in the log is the place in the file."""
    write("wrong.yaml", mode="enforec")
    (result,) = found(run("wrong.yaml", "--format", "sarif"))["runs"][0]["results"]
    physical = result["locations"][0]["physicalLocation"]
    assert physical["artifactLocation"]["uri"] == "wrong.yaml"
    assert physical["region"]["startLine"] == line_of("wrong.yaml", "enforec")
    assert (
        physical["region"]["startColumn"]
        == Path("wrong.yaml").read_text().splitlines()[physical["region"]["startLine"] - 1].index('"enforec"') + 1
    )


def test_github_annotates_the_line() -> None:
    """One workflow command for a broken guarantee, at the guarantee."""
    write("acme.yaml", guarantees=[FAILS])
    result = run("acme.yaml", "--targets", "targets.yaml", "--format", "github")
    assert result.exit_code == 5
    (line,) = result.stdout.splitlines()
    assert line.startswith("::error file=acme.yaml,line=")
    assert "title=Guarantee broken::Guarantee broken: Nothing goes to the US%0A" in line
    assert "1 guarantee: 0 proved, 1 broken" in result.stderr


def test_a_folder_of_files_is_checked_as_it_is_used() -> None:
    """For each tenant the policy that all files together make; ids that collide are told with both files."""
    os.mkdir("policies")
    write("policies/base.yaml", guarantees=[HOLDS])
    school = rule("no-ai", {"level": "confidential or higher"}, {"action": "block"})
    write("policies/school.yaml", policy="school", **{"for": {"tenant": "school-eu"}}, rules=[school])
    result = run("policies", "--targets", "targets.yaml", "--format", "json")
    assert result.exit_code == 0, result.output
    files = found(result)["files"]
    assert [file["file"] for file in files] == ["policies (everybody else)", "policies (school-eu)"]
    assert [file["rules"] for file in files] == [0, 1]
    assert all(file["guarantees"][0]["holds"] for file in files)
    write("policies/third.yaml", policy="third", rules=[school])
    clash = run("policies")
    assert clash.exit_code == 3
    assert "the id 'no-ai' is taken already" in clash.stderr


def test_test_files_in_a_folder_are_read_with_it() -> None:
    """What somebody counts on of a file must hold for every tenant that gets it, however the check is called."""
    os.mkdir("policies")
    write("policies/base.yaml")
    write("policies/school.yaml", policy="school", **{"for": {"tenant": "school-eu"}})
    targets = [{"id": "out", "zone": "cloud", "region": "US"}]
    write_tests("policies/base_test.yaml", FAILS, policy="base.yaml", targets=targets)
    result = run("policies", "--format", "json")
    assert result.exit_code == 5, result.output
    assert [len(file["guarantees"]) for file in found(result)["files"]] == [1, 1]


def test_what_a_policy_extends_is_analysed_with_it() -> None:
    """Lines of the parent are named with the parent's file."""
    write("base.yaml")
    Path("child.yaml").write_text(
        "schema: 1\npolicy: child\nversion: 1\nowner: dpo@acme.example\nextends: base.yaml\nguarantees:\n"
        "  - {say: Nothing goes to the US, never: {regions: [US]}}\n"
    )
    result = run("child.yaml", "--targets", "targets.yaml")
    assert result.exit_code == 5, result.output
    assert f"base.yaml:{line_of('base.yaml', PUBLIC)}  handling.public: allow" in result.stdout


def test_wrong_usage() -> None:
    """No file, or a format that there is not: exit code 2."""
    assert run().exit_code == 2
    assert run("acme.yaml", "--format", "xml").exit_code == 2
    assert run("acme.yaml", "--as-of", "tomorrow").exit_code == 2


FOR_X = {"app": "x"}
EXCEPTION = {
    "id": "EX-1",
    "lifts": "x-stays",
    "for": {"app": "x", "group": "leads"},
    "approved_by": "dpo@acme.example",
    "ticket": "RISK-1",
    "expires": "2099-12-31",
}
STAYS = rule("x-stays", FOR_X, {"action": "local_only"})
LEVELS = document()["levels"]
HANDLING = document()["handling"]
FOUND: dict[str, tuple[dict[str, Any], str, str]] = {
    "unreachable-rule": (
        {"rules": [rule("never", {"level": "public", "contains": "payment data"}, {"action": "block"})]},
        '"id": "never"',
        "rule 'never' never matches",
    ),
    "rule-without-effect": (
        {"rules": [rule("idle", {"contains": "payment data"}, {"action": "local_only"})]},
        '"id": "idle"',
        "rule 'idle' changes nothing",
    ),
    "rule-without-effect-here": (
        {"rules": [rule("later", FOR_X, {"regions": ["EU", "US"]})]},
        '"id": "later"',
        "with these targets",
    ),
    "trial-ended": (
        {"rules": [rule("trial", FOR_X, {"action": "block"}, mode="audit", until="2026-01-31")]},
        '"id": "trial"',
        "ended on 2026-01-31",
    ),
    "exception-expired": (
        {"rules": [STAYS], "exceptions": [{**EXCEPTION, "expires": "2026-01-31"}]},
        '"id": "EX-1"',
        "expired on 2026-01-31",
    ),
    "exception-without-effect": (
        {"rules": [STAYS], "exceptions": [{**EXCEPTION, "for": {"app": "y"}}]},
        '"id": "EX-1"',
        "exception 'EX-1' lifts nothing",
    ),
    "no-target-left": ({"targets": "clouds.yaml"}, '"restricted": {', "no target may receive this"),
    "level-never-produced": (
        {"levels": {**LEVELS, "confidential": [{"any_of": ["contact details"]}]}},
        '"internal": [',
        "nothing is ever internal",
    ),
    "looser-when-higher": (
        {"handling": {**HANDLING, "confidential": {"action": "allow"}}},
        '"confidential": {',
        "confidential data is handled more loosely than internal data",
    ),
    "label-of-no-target": (
        {"rules": [rule("agreed", FOR_X, {"provider_must_have": ["bba"]})]},
        '"id": "agreed"',
        "the label 'bba', which no target has",
    ),
    "region-of-no-target": ({"rules": [rule("far", FOR_X, {"regions": ["JP"]})]}, '"id": "far"', "where no target is"),
    "limit-without-effect": (
        {"limits": {"cost": {"per_request": "1 USD"}, "scopes": [{"for": FOR_X, "cost": {"per_request": "1 USD"}}]}},
        '"cost": {',
        "the limit for app x changes nothing",
    ),
}


@pytest.mark.parametrize("code", sorted(FOUND))
def test_findings_stand_at_their_line(code: str) -> None:
    """Each kind of finding, in a policy that has it: once, with its code, its sentence and the line it is about."""
    changes, line, sentence = FOUND[code]
    changes = dict(changes)
    Path("clouds.yaml").write_text("".join(LIST.splitlines(keepends=True)[1:]))
    targets = changes.pop("targets", "targets.yaml")
    write("found.yaml", **changes)
    result = run("found.yaml", "--targets", targets, "--as-of", "2026-09-01", "--format", "json")
    assert result.exit_code == 0, result.output
    every = found(result)["files"][0]["problems"]
    problems = [problem for problem in every if problem["code"] == code]
    assert problems, result.stdout
    assert sentence in problems[0]["message"]
    assert abs(problems[0]["line"] - line_of("found.yaml", line)) <= 1
    assert problems[0]["severity"] in ("warning", "note")
    assert [problem["code"] for problem in every if problem["line"] == problems[0]["line"]] == [code]


def test_the_settings_say_which_names_exist() -> None:
    """Without --known, a name that the settings file does not know is a warning."""
    write("acme.yaml", rules=[rule("r", {"app": "supprt-bot"}, {"action": "local_only"})])
    Path("bailiwick.yaml").write_text("the targets and the names come from the tools")
    known = {"app": frozenset({"support-bot"})}
    said = run("acme.yaml", tools=PolicyTools(scan, targets_of, known_of=lambda path: (known, None)))
    assert "warning: there is no app 'supprt-bot', so this never holds; did you mean 'support-bot'?" in said.stderr
    assert "ok, with 1 warning — policy acme" in said.stdout
