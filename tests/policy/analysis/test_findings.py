"""What is probably not meant: each kind of finding, and none where all is well."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from gateway.domain.target import Target
from gateway.policy.analysis.findings import Finding, analyse
from support.policies import AS_OF, BASE, CLOUD_EU, CLOUD_US, TARGETS, compiled, rule

EXCEPTION = {"approved_by": "dpo", "ticket": "R-1", "expires": "2026-12-31"}


def found(targets: tuple[Target, ...] = TARGETS, **changes: Any) -> dict[tuple[str, str], Finding]:
    """By code and id of the subject."""
    return {(one.code, one.subject[1]): one for one in analyse(compiled(**changes), targets, AS_OF)}


def test_nothing_to_say() -> None:
    """The base policy is as it should be."""
    assert found() == {}


@pytest.mark.parametrize(
    "when",
    [
        {"level": "public", "contains": "payment data"},
        {"level": ["public", "internal"], "contains": {"all_of": ["health data", "contact details"]}},
        {"level": "internal", "contains": {"any_of": ["contact details"], "at_least": 5}},
    ],
)
def test_a_rule_that_never_matches(when: dict[str, Any]) -> None:
    """What it has to contain makes another level than it asks for."""
    told = found(rules=[rule("r", when, {"action": "block"})])
    assert "gives another level" in told["unreachable-rule", "r"].message


def test_a_rule_that_exceptions_lift_for_all() -> None:
    """Unreachable because of the exceptions, and it says so."""
    lifted = {"id": "EX", "lifts": "r", "for": {"app": ["chat", "hr"]}, **EXCEPTION}
    told = found(rules=[rule("r", {"app": "chat"}, {"action": "block"})], exceptions=[lifted])
    assert "exceptions lift it" in told["unreachable-rule", "r"].message


def test_a_rule_that_others_cover() -> None:
    """With two rules of which one asks for less of the same: the lesser changes nothing."""
    rules = [
        rule("wide", {"app": ["chat", "hr"]}, {"action": "local_only"}),
        rule("narrow", {"app": "chat", "group": "leads"}, {"regions": ["EU"]}),
    ]
    assert set(found(rules=rules)) == {("rule-without-effect", "narrow")}


def test_covered_by_several_together() -> None:
    """Two rules that together match wherever a third one does leave it nothing to do; take one away and it matters."""
    rules = [
        rule("cards", {"contains": "payment data", "app": "chat"}, {"action": "block"}),
        rule("others", {"level": ["public", "internal", "confidential"], "app": "chat"}, {"action": "block"}),
        rule("third", {"app": "chat"}, {"action": "local_only"}),
    ]
    assert ("rule-without-effect", "third") in found(rules=rules)
    assert ("rule-without-effect", "third") not in found(rules=[rules[0], rules[2]])


def test_a_rule_that_only_other_targets_would_notice() -> None:
    """A note, not a warning: targets change."""
    told = found(rules=[rule("r", {"app": "chat"}, {"regions": ["EU", "US"]})])
    assert told["rule-without-effect-here", "r"].severity == "note"


def test_exceptions_without_effect() -> None:
    """Made for people whom the rule is not about; or the rule asks for what others ask for as well; or it is over."""
    rules = [
        rule("r", {"app": "chat"}, {"action": "local_only"}),
        rule("s", {"app": ["chat", "hr"]}, {"action": "block"}),
    ]
    exceptions = [
        {"id": "EX-1", "lifts": "r", "for": {"app": "hr"}, **EXCEPTION},
        {"id": "EX-2", "lifts": "r", "for": {"group": "leads"}, **EXCEPTION},
        {"id": "EX-3", "lifts": "s", "for": {"group": "leads"}, **EXCEPTION, "expires": "2026-08-31"},
    ]
    told = {key for key in found(rules=rules, exceptions=exceptions) if key[0].startswith("exception")}
    assert told == {
        ("exception-without-effect", "EX-1"),
        ("exception-without-effect", "EX-2"),
        ("exception-expired", "EX-3"),
    }


def test_a_trial_that_has_ended() -> None:
    """The day after its last one it is told."""
    over = rule("r", {"app": "chat"}, {"action": "block"}, mode="audit", until="2026-08-31")
    assert set(found(rules=[over])) == {("trial-ended", "r")}
    assert found(rules=[{**over, "until": "2026-09-01"}]) == {}


def test_no_target_left() -> None:
    """With clouds only, what may go to local targets alone goes nowhere; the causes are told one by one."""
    rules = [
        rule("hr", {"app": "hr"}, {"action": "local_only"}),
        rule("payroll", {"app": "payroll"}, {"action": "local_only"}),
    ]
    told = found((CLOUD_EU, CLOUD_US), rules=rules)
    named = {name for code, name in told if code == "no-target-left"}
    assert {"restricted", "hr", "payroll"} <= named
    assert named & {"limits", "detector_fails", "unreadable_content", "redaction_incomplete"}
    assert "from app 'hr', nothing found" in told["no-target-left", "hr"].message


def test_blocked_by_a_rule_is_no_gap() -> None:
    """What a rule refuses has no target, and that is meant."""
    assert found(rules=[rule("r", {"app": "chat"}, {"action": "block"})]) == {}


def test_levels_that_never_occur() -> None:
    """One whose lines a higher level takes away, and one without lines."""
    lines = [{"any_of": ["contact details"]}]
    told = found(levels={"restricted": lines, "confidential": [{"any_of": ["contact details"], "at_least": 3}]})
    assert told["level-never-produced", "confidential"].severity == "warning"
    assert told["level-never-produced", "levels"].severity == "note"


def test_higher_is_looser() -> None:
    """In the handling, and by a rule for one level that forgets the next."""
    handling = {**BASE["handling"], "confidential": {"action": "allow"}}
    told = found(handling=handling)
    assert "cloud-us" not in told["looser-when-higher", "confidential"].message
    assert "clouds in any region instead of EU and US" in told["looser-when-higher", "confidential"].message
    told = found(rules=[rule("r", {"level": "internal", "app": "chat"}, {"action": "block"})])
    assert "not for confidential data" in told["looser-when-higher", "r"].message
    assert found(rules=[rule("r", {"level": "internal or higher", "app": "chat"}, {"action": "block"})]) == {}


def test_what_no_target_has() -> None:
    """A label and a region that no cloud has."""
    told = found(rules=[rule("r", {"app": "chat"}, {"provider_must_have": ["iso"], "regions": ["CH"]})])
    assert {("label-of-no-target", "r"), ("region-of-no-target", "r")} <= set(told)


def test_limits_that_hold_for_nobody() -> None:
    """One that says what the default says; one in a file for other tenants."""
    limits = {**BASE["limits"], "scopes": [{"for": {"app": "chat"}, "cost": {"per_request": "0.05 USD"}}]}
    told = found(limits=limits)
    assert "app chat changes nothing" in told["limit-without-effect", "limits"].message
    limits["scopes"] = [{"for": {"tenant": "lab"}, "cost": {"per_request": "0.01 USD"}}]
    told = found(limits=limits, **{"for": {"tenant": ["school"]}})
    assert "tenant lab holds for nobody" in told["limit-without-effect", "limits"].message


def test_what_cannot_be_put_back() -> None:
    """Only where somebody says so: the pseudonymiser puts everything back."""
    told = analyse(compiled(), TARGETS, AS_OF, irreversible=frozenset({"MEDICATION"}))
    assert [(one.code, one.subject) for one in told] == [("irreversible-redaction", ("handling", "confidential"))]


def test_what_the_detector_cannot_find() -> None:
    """With the entities that it can find, what needs others never happens."""
    policy = compiled(rules=[rule("r", {"contains": "health data", "app": "chat"}, {"action": "block"})])
    told = analyse(policy, TARGETS, AS_OF, entities=frozenset({"PERSON", "CREDIT_CARD"}))
    assert ("unreachable-rule", ("rule", "r")) in [(one.code, one.subject) for one in told]


def test_forty_rules_in_no_time() -> None:
    """A policy of forty rules over many dimensions, in about a second."""
    rules = [
        rule(
            f"r{number}",
            {
                "app": f"app{number % 8}",
                **({"group": f"g{number % 3}"} if number % 2 else {"contains": ["payment data"]}),
                **({"role": "admin"} if number % 5 == 0 else {}),
                **({"declared": ["patient"]} if number % 7 == 0 else {}),
            },
            [{"action": "local_only"}, {"regions": ["EU"]}, {"provider_must_have": ["baa"]}, {"notify": ["dpo"]}][
                number % 4
            ],
        )
        for number in range(40)
    ]
    assert analyse(compiled(rules=rules), TARGETS, date(2026, 9, 1))
