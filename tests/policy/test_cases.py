from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gateway.documents import DocumentError
from gateway.domain.decision import Action, BudgetState, Level
from gateway.domain.finding import DetectorState, Found
from gateway.domain.money import usd
from gateway.domain.target import Target, Zone
from gateway.policy.cases import TestFile, read_facts, read_targets, read_tests
from gateway.policy.testing import Result, run_tests
from support.policies import AS_OF, TARGETS, compiled, document, rule

HEAD = """\
policy: policy.yaml
as_of: 2026-09-01
targets:
  - {id: local, zone: local, region: on-premises}
  - {id: cloud-eu, zone: cloud, region: EU, labels: [baa]}
"""


def no_settings(path: Path) -> tuple[Target, ...]:
    raise AssertionError(f"asked for {path}")


def parsed(folder: Path, text: str) -> TestFile:
    path = folder / "policy_test.yaml"
    path.write_text(text)
    return read_tests(path, no_settings)


def run(folder: Path, case: str, **changes: Any) -> Result:
    """The result of one test, in flow style, against the base policy with changes."""
    tests = parsed(folder, f"{HEAD}tests:\n  - {case}\n")
    (result,) = run_tests(compiled(document(**changes)), tests, lambda texts: (Found("CREDIT_CARD", 90, len(texts)),))
    return result


def test_facts_are_read_whole() -> None:
    """Every key of `given` arrives; what is not given is an ordinary request."""
    facts = read_facts(
        "{tenant: t, app: a, group: g, role: r, user: u, model: m,"
        " found: {PERSON: 2, MEDICATION: {count: 1, percent: 70}},"
        " detector: timed_out, unreadable: true, prompt_tokens: 5, budget: spent, redaction_incomplete: true,"
        " min_level: internal, max_cost: 0.01 USD, max_first_token: 500ms}",
        AS_OF,
    )
    assert (facts.tenant, facts.app, facts.group, facts.role, facts.user, facts.model) == ("t", "a", "g", "r", "u", "m")
    assert facts.found == (Found("MEDICATION", 70, 1), Found("PERSON", 100, 2))
    assert (facts.detector, facts.budget) == (DetectorState.TIMED_OUT, BudgetState.SPENT)
    assert (facts.unreadable, facts.redaction_incomplete, facts.prompt_tokens) == (True, True, 5)
    assert (facts.min_level, facts.max_cost, facts.max_first_token) == (Level.INTERNAL, usd("0.01"), 0.5)
    plain = read_facts("{}", AS_OF)
    assert (plain.found, plain.detector, plain.as_of) == ((), DetectorState.OK, AS_OF)


@pytest.mark.parametrize(
    "expect",
    [
        "level: restricted",
        "action: local_only",
        "sent_to: local",
        "targets: [local]",
        "because: handling.restricted",
        "redacted: false",
    ],
)
def test_what_is_expected_is_compared(tmp_path: Path, expect: str) -> None:
    """Each kind of expectation passes where it is met."""
    assert run(tmp_path, f"{{name: n, given: {{found: {{CREDIT_CARD: 1}}}}, expect: {{{expect}}}}}").passed


@pytest.mark.parametrize(
    ("expect", "what", "expected", "got"),
    [
        ("level: restricted", "level", "restricted", "public"),
        ("action: local_only", "action", "local_only", "allow"),
        ("sent_to: local", "sent_to", "local", "cloud"),
        ("sent_to: nobody", "sent_to", "nobody", "cloud"),
        ("targets: [local]", "targets", "local", "cloud-eu, local"),
        ("because: [handling.restricted]", "because", "handling.restricted", "handling.public"),
        ("redacted: true", "redacted", "true", "false"),
    ],
)
def test_what_is_not_met_fails(tmp_path: Path, expect: str, what: str, expected: str, got: str) -> None:
    """Each kind of expectation fails where it is not met, and says what was expected and what came."""
    (mismatch,) = run(tmp_path, f"{{name: n, expect: {{{expect}}}}}").mismatches
    assert (mismatch.what, mismatch.expected, mismatch.got) == (what, expected, got)


def test_nobody_receives_what_is_blocked(tmp_path: Path) -> None:
    """sent_to nobody, and an empty list of targets, are how a test says that nothing goes anywhere."""
    blocked = [rule("stop", {"app": "a"}, {"action": "block"})]
    case = "{name: n, given: {app: a}, expect: {sent_to: nobody, targets: [], because: [stop]}}"
    assert run(tmp_path, case, rules=blocked).passed


def test_a_text_goes_through_the_detector_and_adds_to_what_is_given(tmp_path: Path) -> None:
    """What the real detector finds in the text counts together with the facts that are given."""
    case = "{name: n, text: my card, given: {found: {PERSON: 1}}, expect: {level: restricted}}"
    result = run(tmp_path, case)
    assert result.passed
    assert result.decision.action is Action.LOCAL_ONLY


def test_targets_may_come_from_the_settings(tmp_path: Path) -> None:
    """A path in `targets` is relative to the test file and read by the settings' reader."""
    path = tmp_path / "policy_test.yaml"
    path.write_text(
        "policy: policies/acme.yaml\nas_of: 2026-09-01\ntargets: ../bailiwick.yaml\n"
        "tests:\n  - {name: n, expect: {level: public}}\n"
    )
    asked: list[Path] = []

    def targets_of(settings: Path) -> tuple[Target, ...]:
        asked.append(settings)
        return TARGETS

    tests = read_tests(path, targets_of)
    assert asked == [tmp_path / ".." / "bailiwick.yaml"]
    assert (tests.targets, tests.policy, tests.as_of) == (TARGETS, tmp_path / "policies/acme.yaml", date(2026, 9, 1))


def test_a_bad_test_file_is_told_all_that_is_wrong(tmp_path: Path) -> None:
    """Problems of a test file come at once too; a key of a later language is not silently skipped."""
    text = HEAD.replace("cloud-eu", "local") + (
        "guarantee: []\n"
        "tests:\n"
        "  - {name: n, given: {ap: x}, expect: {level: secret}}\n"
        "  - {name: n, expect: {send_to: local}}\n"
        "  - {name: m}\n"
    )
    with pytest.raises(DocumentError) as caught:
        parsed(tmp_path, text)
    assert [(problem.line, problem.message) for problem in caught.value.problems] == [
        (5, "two targets have the id 'local'"),
        (6, "unknown key 'guarantee'"),
        (8, "unknown key 'ap'"),
        (8, "'secret' is not one of public, internal, confidential, restricted"),
        (9, "two tests have the name 'n'"),
        (9, "unknown key 'send_to'"),
        (10, "missing key 'expect'"),
    ]


def test_a_list_of_targets_is_told_from_a_settings_file(tmp_path: Path) -> None:
    """A file that is a list holds targets; any other is left to the settings' reader."""
    path = tmp_path / "targets.yaml"
    path.write_text("- {id: a, zone: cloud, region: EU, labels: [baa]}\n")
    (target,) = read_targets(path) or ()
    assert (target.id, target.zone, target.region, target.labels) == ("a", Zone.CLOUD, "EU", {"baa"})
    path.write_text("schema: 1\n")
    assert read_targets(path) is None
