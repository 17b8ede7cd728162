from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from gateway.policy.testing import Subject, Suite, coverage
from support.policies import rule

Try: TypeAlias = Callable[..., tuple[Subject, Suite]]

ANY = {"level": "public"}
RULES = [
    rule("inside", {"app": "hr"}, {"action": "local_only"}),
    rule("trial", {"app": "pilot"}, {"action": "block"}, mode="audit", until="2026-12-31"),
]
WAIVER = {
    "id": "EX-1",
    "lifts": "inside",
    "for": {"app": "hr", "group": "leads"},
    "approved_by": "dpo",
    "ticket": "R-1",
    "expires": "2026-09-30",
}
LIMITS = {
    "latency": {"first_token": "2s"},
    "cost": {"per_request": "0.05 USD", "per_app_per_day": "20 USD", "when_spent": "local_only"},
    "scopes": [{"for": {"app": "batch"}, "cost": {"per_app_per_day": "50 USD"}}],
    "ceiling": {"cost": {"per_request": "1 USD"}},
}


def uncovered(subject: Subject, suite: Suite) -> dict[str, str]:
    return {str(item): item.missing for item in coverage(subject, suite.prepared).uncovered}


def facts(**values: Any) -> dict[str, Any]:
    return {"given": values, "expect": ANY}


def test_what_no_test_touches_is_listed_with_its_line(given: Try) -> None:
    """One test that finds nothing covers the handling of public and the limits in force; everything else is named."""
    subject, suite = given([facts()], rules=RULES, exceptions=[WAIVER], limits=LIMITS)
    found = coverage(subject, suite.prepared)
    assert [str(item) for item in found.items if item.covered] == [
        "handling.public",
        "limits: first_token",
        "limits: per_request",
        "limits: per_app_per_day",
    ]
    missing = uncovered(subject, suite)
    assert missing["rule inside"] == "no test in which it matches"
    assert missing["rule trial"] == "no test in which it matches"
    assert missing["exception EX-1"] == "no test in which it lifts inside"
    assert missing["limits for app batch: per_app_per_day"] == "no test in which this is the limit"
    assert missing["limits.ceiling: per_request"] == "no test in which this is the limit"
    assert missing["limits.when_spent"] == "no test with budget: spent"
    assert missing["handling.restricted"] == "no test of level restricted"
    assert missing["if_unsure.no_target_left"] == "no test with targets that all may not receive the request"
    assert missing["levels.restricted, any_of payment data"] == "no test in which this makes the level restricted"
    assert missing["levels.confidential, any_of contact details, at_least 5"]
    lines = subject.written.places["file", ""].problems
    for item in found.items:
        assert item.place.file == lines.file
    where = {str(item): item.place.line for item in found.items}
    text = (suite.tests.path.parent / "acme.yaml").read_text().splitlines()
    assert '"id": "inside"' in text[where["rule inside"] - 1]
    assert '"id": "EX-1"' in text[where["exception EX-1"] - 1]
    assert "20 USD" in text[where["limits: per_app_per_day"] - 1]
    assert "1 USD" in text[where["limits.ceiling: per_request"] - 1]
    assert "50 USD" in text[where["limits for app batch: per_app_per_day"] - 1]
    assert "no_target_left" in text[where["if_unsure.no_target_left"] - 1]


def test_each_part_is_covered_by_a_test_that_is_about_it(given: Try) -> None:
    """One test for each thing that was missing, and nothing is missing any more."""
    tests = [
        facts(found={"CREDIT_CARD": 1}),
        facts(found={"MEDICATION": 1, "PERSON": 1}),
        facts(found={"MEDICATION": 1}),
        facts(found={"PERSON": 5}),
        facts(found={"PERSON": 1}),
        facts(),
        facts(app="hr"),
        facts(app="hr", group="leads"),
        facts(app="pilot"),
        facts(app="batch"),
        facts(budget="spent"),
        facts(detector="failed"),
        facts(unreadable=True),
        facts(redaction_incomplete=True),
    ]
    limits = {**LIMITS, "ceiling": {"latency": {"first_token": "9s"}}, "latency": None}
    limits = {key: value for key, value in limits.items() if value is not None}
    subject, suite = given(tests, rules=RULES, exceptions=[WAIVER], limits=limits)
    assert list(uncovered(subject, suite)) == ["if_unsure.no_target_left"]
    nowhere = {**facts(found={"PERSON": 6}), "targets": ["cloud-us"]}
    subject, suite = given([*tests, nowhere], rules=RULES, exceptions=[WAIVER], limits=limits)
    assert uncovered(subject, suite) == {}
    assert coverage(subject, suite.prepared).percent == 100


def test_a_handling_is_covered_only_where_it_decided(given: Try) -> None:
    """Where a rule is as strict, the test would pass without the handling, so it does not cover it."""
    tests = [facts(app="hr", found={"CREDIT_CARD": 1})]
    subject, suite = given(tests, rules=RULES)
    words = "something else was as strict in every test of this level"
    assert uncovered(subject, suite)["handling.restricted"] == words
    subject, suite = given([*tests, facts(found={"CREDIT_CARD": 1})], rules=RULES)
    assert "handling.restricted" not in uncovered(subject, suite)


def test_a_line_is_covered_only_where_it_made_the_level(given: Try) -> None:
    """A line of a lower level that is true as well says nothing about the request."""
    subject, suite = given([facts(found={"CREDIT_CARD": 1, "PERSON": 1})])
    missing = uncovered(subject, suite)
    assert "levels.internal, any_of contact details" in missing
    assert "levels.restricted, any_of payment data" not in missing


def test_a_policy_in_audit_mode_has_coverage_too(given: Try) -> None:
    """Rules and handling count by what they would have done; exceptions lift nothing there, so they are left out."""
    tests = [facts(app="hr"), facts(found={"CREDIT_CARD": 1})]
    subject, suite = given(tests, rules=RULES, exceptions=[WAIVER], mode="audit")
    found = coverage(subject, suite.prepared)
    covered = {str(item) for item in found.items if item.covered}
    assert {"rule inside", "handling.restricted", "handling.public"} <= covered
    assert "exception" not in found.by_kind()


def test_counts_by_kind_add_up(given: Try) -> None:
    """The table of kinds and the percentage are about the same parts."""
    subject, suite = given([facts()], rules=RULES)
    found = coverage(subject, suite.prepared)
    assert sum(total for _, total in found.by_kind().values()) == len(found.items)
    assert found.by_kind()["rule"] == (0, 2)
    assert found.percent == 100 * sum(item.covered for item in found.items) / len(found.items)
