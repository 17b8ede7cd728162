"""What a new version changes: direction, causes, example."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.policy import CompiledPolicy, evaluate
from gateway.policy.analysis.changes import Change, compare
from gateway.policy.analysis.situations import Decider, TooManySituations, situations
from support.policies import AS_OF, BASE, TARGETS, compiled, found, rule

HR = rule("hr", {"app": "hr"}, {"action": "local_only"})
EXCEPTION = {
    "id": "EX",
    "lifts": "hr",
    "for": {"group": "leads"},
    "approved_by": "dpo",
    "ticket": "R",
    "expires": "2026-12-31",
}


def changes(old: CompiledPolicy, new: CompiledPolicy) -> dict[tuple[str, tuple[str, ...]], Change]:
    """By kind and ids of the causes."""
    told = compare(old, new, TARGETS, AS_OF)
    return {(one.kind, tuple(cause.id for cause in one.causes)): one for one in told.all}


def with_handling(level: str, **outcome: Any) -> CompiledPolicy:
    return compiled(handling={**BASE["handling"], level: outcome})


def test_the_same() -> None:
    """No change, whatever the order and the reasons given."""
    one = compiled(rules=[HR, rule("other", {"app": "x"}, {"action": "block"})])
    other = compiled(rules=[rule("other", {"app": "x"}, {"action": "block"}), {**HR, "why": "Another reason"}])
    assert changes(one, other) == {}


def test_a_rule_more_is_stricter_and_a_rule_less_is_looser() -> None:
    """The rule is the cause, the example the simplest request that it is about, and it comes true."""
    one, other = compiled(), compiled(rules=[HR])
    told = changes(one, other)
    assert set(told) == {("stricter", ("hr",))}
    assert set(changes(other, one)) == {("looser", ("hr",))}
    example = told["stricter", ("hr",)]
    assert example.situation == "A request from app 'hr', nothing found."
    assert "may no longer go to cloud-eu and cloud-us" in example.differences
    assert (example.causes[0].old, example.causes[0].new) == (None, ("rule", "hr"))
    assert evaluate(other, example.facts, TARGETS) == example.new


def test_an_exception_loosens() -> None:
    """The exception and the rule that it lifts are the causes."""
    told = changes(compiled(rules=[HR]), compiled(rules=[HR], exceptions=[EXCEPTION]))
    assert set(told) == {("looser", ("EX", "hr"))}
    assert told["looser", ("EX", "hr")].facts.group == "leads"


def test_a_limit() -> None:
    """A higher bound on cost is looser, everywhere; it is told once, with limits as the cause."""
    limits = {**BASE["limits"], "cost": {**BASE["limits"]["cost"], "per_request": "0.06 USD"}}
    told = changes(compiled(), compiled(limits=limits))
    assert set(told) == {("looser", ("limits",))}
    assert told["looser", ("limits",)].differences == ("at most 0.06 USD per request instead of 0.05 USD",)


def test_handling() -> None:
    """Regions, and what is hidden."""
    told = changes(compiled(), with_handling("confidential", action="redact", regions=["EU", "US"]))
    assert set(told) == {("looser", ("handling.confidential",))}
    told = changes(compiled(), with_handling("confidential", action="allow", regions=["EU"]))
    assert "CREDIT_CARD, EMAIL_ADDRESS, MEDICATION and PERSON no longer hidden from clouds" in str(told)


def test_a_region_without_a_target_counts() -> None:
    """No cloud is in Norway today; permitting it is looser all the same."""
    told = changes(compiled(), with_handling("confidential", action="redact", regions=["EU", "NO"]))
    assert set(told) == {("looser", ("handling.confidential",))}


def test_mixed() -> None:
    """Other regions: one more and one less."""
    told = changes(compiled(), with_handling("confidential", action="redact", regions=["US"]))
    assert set(told) == {("mixed", ("handling.confidential",))}


def test_another_level() -> None:
    """A line less: the example has what it counted."""
    levels = {**BASE["levels"], "restricted": BASE["levels"]["restricted"][1:]}
    told = changes(compiled(), compiled(levels=levels))
    looser = told["looser", ("levels",)]
    assert looser.facts.found == found(CREDIT_CARD=1)
    assert "level public instead of restricted" in looser.differences


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ({"notify": ["dpo"]}, {"notify": ["soc"]}, "mixed"),
        ({"notify": ["dpo"]}, {"notify": ["dpo", "soc"]}, "stricter"),
        ({"retain_days": 30}, {"retain_days": 90}, "looser"),
        ({"log_content": "never"}, {"log_content": "encrypted"}, "looser"),
        ({"hide_in_answers": ["payment data"]}, {"hide_in_answers": ["payment data", "health data"]}, "stricter"),
        ({"tell_user": "No."}, {"tell_user": "Yes."}, "other"),
        ({"action": "block"}, {"action": "require_approval", "approvers": ["dpo"]}, "looser"),
        (
            {"action": "require_approval", "approvers": ["dpo"]},
            {"action": "require_approval", "approvers": ["dpo", "it"]},
            "looser",
        ),
    ],
)
def test_what_a_rule_asks_for(old: dict[str, Any], new: dict[str, Any], kind: str) -> None:
    """Each thing that a rule can ask for has a direction."""
    when = {"app": "hr"}
    told = changes(compiled(rules=[rule("hr", when, old)]), compiled(rules=[rule("hr", when, new)]))
    assert set(told) == {(kind, ("hr",))}


def test_a_trial_changes_nothing_but_the_trial() -> None:
    """A rule in audit mode is told as neither looser nor stricter; to enforce it is stricter."""
    trial = {**HR, "mode": "audit", "until": "2027-01-01"}
    assert set(changes(compiled(), compiled(rules=[trial]))) == {("other", ("hr",))}
    assert ("stricter", ("hr",)) in changes(compiled(rules=[trial]), compiled(rules=[HR]))


def test_audit_mode_of_the_whole() -> None:
    """The mode is the cause."""
    told = compare(compiled(rules=[HR]), compiled(rules=[HR], mode="audit"), TARGETS, AS_OF)
    assert told.loosens
    assert {cause.id for change in told.all for cause in change.causes} == {"mode"}


def test_too_many_are_refused() -> None:
    """More situations than were allowed are an error, never an incomplete answer."""
    rules = [rule(f"r{number}", {"declared": [f"l{number}"]}, {"notify": [f"n{number}"]}) for number in range(12)]
    with pytest.raises(TooManySituations, match="more than 500 situations"):
        compare(compiled(), compiled(rules=rules), TARGETS, AS_OF, most=500)
    with pytest.raises(TooManySituations):
        list(situations([compiled(rules=rules)], as_of=AS_OF, most=500))


def test_an_exception_counts_as_on_the_day() -> None:
    """An exception that ends tomorrow is looked at as lasting, on each day of the week."""
    weekend = rule("hr", {"time": {"days": ["sat"], "zone": "UTC"}}, {"action": "block"})
    policy = compiled(rules=[weekend], exceptions=[{**EXCEPTION, "expires": "2026-09-02"}])
    decide = Decider(policy, TARGETS, AS_OF)
    lifted = [
        one for one in situations([policy], as_of=AS_OF) if one.facts.group == "leads" and one.facts.as_of > AS_OF
    ]
    assert lifted
    assert all("EX" in {reason.rule for reason in decide(one.facts).reasons} for one in lifted)
