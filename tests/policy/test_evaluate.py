from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from gateway.domain.decision import Action, BudgetState, Decision, Gate, Hidden, Level
from gateway.domain.finding import DetectorState, Found
from gateway.domain.money import usd
from gateway.policy import evaluate
from support.policies import AS_OF, CLOUD_EU, CLOUD_US, LOCAL, TARGETS, compiled, document, facts, found, rule


def decide(policy: dict[str, Any] | None = None, **given: Any) -> Decision:
    return evaluate(compiled(policy), facts(**given), TARGETS)


def with_rules(*rules: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return document(rules=list(rules), **changes)


def ids(decision: Decision) -> list[str]:
    return [reason.rule for reason in decision.reasons]


def reason_of(decision: Decision, target: str) -> str:
    return next(verdict.reason for verdict in decision.targets if verdict.target == target)


@pytest.mark.parametrize(
    ("values", "level"),
    [
        ({}, Level.PUBLIC),
        ({"PERSON": 1}, Level.INTERNAL),
        ({"PERSON": 4}, Level.INTERNAL),
        ({"PERSON": 3, "EMAIL_ADDRESS": 2}, Level.CONFIDENTIAL),
        ({"MEDICATION": 1}, Level.CONFIDENTIAL),
        ({"MEDICATION": 1, "PERSON": 1}, Level.RESTRICTED),
        ({"CREDIT_CARD": 1}, Level.RESTRICTED),
        ({"UNHEARD_OF": 99}, Level.PUBLIC),
        ({"PERSON": 0}, Level.PUBLIC),
    ],
)
def test_the_highest_true_line_gives_the_level(values: dict[str, int], level: Level) -> None:
    """any_of, all_of and at_least mean what they say; what no line asks for is public."""
    assert decide(found=found(**values)).level is level


def test_a_finding_counts_from_its_confidence() -> None:
    """Below the data type's confidence a finding does not count; at it, it does."""
    assert decide(found=(Found("CREDIT_CARD", 49, 1),)).level is Level.PUBLIC
    assert decide(found=(Found("CREDIT_CARD", 50, 1),)).level is Level.RESTRICTED
    assert decide(found=(Found("PERSON", 90, 3), Found("PERSON", 40, 2))).level is Level.INTERNAL
    assert decide(found=(Found("PERSON", 90, 3), Found("PERSON", 50, 2))).level is Level.CONFIDENTIAL


def test_an_entity_of_two_data_types_is_counted_once_per_line() -> None:
    """A value that belongs to two data types of one line is one distinct value, not two."""
    source = document(
        data_types={
            "names": {"detect": ["PERSON"], "confidence": 0.8},
            "anyone": {"detect": ["PERSON", "EMAIL_ADDRESS"], "confidence": 0.5},
        },
        levels={"confidential": [{"any_of": ["names", "anyone"], "at_least": 3}]},
    )
    assert decide(source, found=found(PERSON=2)).level is Level.PUBLIC
    assert decide(source, found=found(PERSON=3)).level is Level.CONFIDENTIAL


def test_an_entity_of_two_data_types_is_hidden_from_the_lower_confidence() -> None:
    """What either data type hides is hidden."""
    types = {
        "names": {"detect": ["PERSON"], "confidence": 0.8},
        "anyone": {"detect": ["PERSON"], "confidence": 0.5},
    }
    source = document(data_types=types, levels={"confidential": [{"any_of": ["names", "anyone"]}]})
    assert decide(source, found=found(PERSON=1)).redact == (Hidden("PERSON", 50),)


def test_all_of_with_at_least_needs_that_many_of_each() -> None:
    """all_of with at_least counts each data type on its own."""
    source = document(levels={"restricted": [{"all_of": ["contact details", "health data"], "at_least": 2}]})
    assert decide(source, found=found(PERSON=5, MEDICATION=1)).level is Level.PUBLIC
    assert decide(source, found=found(PERSON=2, MEDICATION=2)).level is Level.RESTRICTED


def test_public_data_may_go_anywhere() -> None:
    """Nothing found, nothing asked for: every target is permitted."""
    decision = decide()
    assert decision.action is Action.ALLOW
    assert decision.permitted == {"local", "cloud-eu", "cloud-us"}
    assert ids(decision) == ["handling.public"]
    assert decision.cost_cap == usd("0.05")
    assert decision.day_limit == usd(20)
    assert decision.first_token == 2.0


def test_restricted_data_goes_to_local_targets_only() -> None:
    """local_only leaves local targets and tells the reason of each other, in words."""
    decision = decide(found=found(CREDIT_CARD=1))
    assert (decision.action, decision.gate, decision.cloud) == (Action.LOCAL_ONLY, Gate.ALLOW, False)
    assert decision.permitted == {"local"}
    expected = "is in the cloud, and restricted data may only go to local targets (handling.restricted)"
    assert reason_of(decision, "cloud-eu") == expected
    assert decision.redact == ()


def test_redact_hides_every_data_type() -> None:
    """action redact hides all entities of the policy, each from its own confidence."""
    decision = decide(found=found(MEDICATION=1))
    assert decision.action is Action.REDACT
    assert decision.redact == (
        Hidden("CREDIT_CARD", 50),
        Hidden("EMAIL_ADDRESS", 50),
        Hidden("MEDICATION", 60),
        Hidden("PERSON", 50),
    )
    assert decision.permitted == {"local", "cloud-eu"}
    assert reason_of(decision, "cloud-us") == "region US is not among EU (handling.confidential)"


def test_a_rule_may_hide_some_data_types() -> None:
    """redact with a list hides these, joined over the rules that match."""
    some = rule("hide-names", {"app": "support-bot"}, {"redact": ["contact details"]})
    decision = decide(with_rules(some))
    assert decision.action is Action.REDACT
    assert decision.redact == (Hidden("EMAIL_ADDRESS", 50), Hidden("PERSON", 50))
    other = rule("hide-cards", {"app": "support-bot"}, {"redact": ["payment data"]})
    assert {item.entity for item in decide(with_rules(some, other)).redact} == {
        "CREDIT_CARD",
        "EMAIL_ADDRESS",
        "PERSON",
    }


@pytest.mark.parametrize(
    ("when", "matching", "other"),
    [
        ({"app": ["a", "b"]}, {"app": "b"}, {"app": "c"}),
        ({"tenant": "t"}, {"tenant": "t"}, {"tenant": ""}),
        ({"group": "g"}, {"group": "g"}, {"group": "G"}),
        ({"role": "r"}, {"role": "r"}, {"role": "rr"}),
        ({"user": "jo@x.example"}, {"user": "jo@x.example"}, {"user": "al@x.example"}),
        ({"model": "auto"}, {"model": "auto"}, {"model": "other"}),
        ({"level": "internal"}, {"found": found(PERSON=1)}, {"found": found(PERSON=5)}),
        ({"level": "internal or higher"}, {"found": found(PERSON=5)}, {}),
        ({"contains": "health data"}, {"found": found(MEDICATION=1)}, {"found": found(PERSON=1)}),
        ({"contains": ["health data", "contact details"]}, {"found": found(PERSON=1)}, {"found": found(CREDIT_CARD=1)}),
        ({"prompt_tokens": "over 4000"}, {"prompt_tokens": 4001}, {"prompt_tokens": 4000}),
        ({"app": "a", "tenant": "t"}, {"app": "a", "tenant": "t"}, {"app": "a", "tenant": "u"}),
    ],
)
def test_conditions(when: dict[str, Any], matching: dict[str, Any], other: dict[str, Any]) -> None:
    """A rule matches when each of its conditions holds, and a list means one of these."""
    policy = with_rules(rule("r", when, {"action": "block"}))
    assert "r" in ids(decide(policy, **matching))
    assert "r" not in ids(decide(policy, **other))


def test_the_strictest_wins() -> None:
    """Two rules that match are joined: block over approval over local_only; regions meet; labels and caps add up."""
    everybody: dict[str, Any] = {"app": "support-bot"}
    decision = decide(
        with_rules(
            rule("a", everybody, {"regions": ["EU", "US"], "cost_per_request": "0.02 USD", "first_token": "1s"}),
            rule("b", everybody, {"regions": ["EU", "CH"], "provider_must_have": ["baa"], "cost_per_request": "1 USD"}),
        )
    )
    assert decision.regions == {"EU"}
    assert decision.provider_must_have == {"baa"}
    assert decision.cost_cap == usd("0.02")
    assert decision.first_token == 1.0
    assert decision.permitted == {"local", "cloud-eu"}
    words = "region US is not among CH, EU (b); lacks the label baa required by b"
    assert reason_of(decision, "cloud-us") == words
    actions = [rule(action, everybody, {"action": action}) for action in ("local_only", "require_approval", "block")]
    assert decide(with_rules(*actions[:1])).action is Action.LOCAL_ONLY
    assert decide(with_rules(*actions[:2])).action is Action.REQUIRE_APPROVAL
    assert decide(with_rules(*actions)).action is Action.BLOCK


def test_a_closed_gate_permits_no_target_at_all() -> None:
    """What is blocked, or waits for approval, may go nowhere, not even to a local target."""
    for action, words in (("block", "is blocked"), ("require_approval", "waits for approval")):
        decision = decide(with_rules(rule("closed", {"app": "support-bot"}, {"action": action})))
        assert decision.permitted == frozenset()
        assert reason_of(decision, "local") == f"the request {words} (closed)"


def test_what_the_user_is_told() -> None:
    """tell_user of every matching rule arrives, none twice."""
    told = {"action": "block", "tell_user": "Not here."}
    policy = with_rules(rule("a", {"app": "support-bot"}, told), rule("b", {"app": "support-bot"}, told))
    assert decide(policy).tell_user == ("Not here.",)
    assert decide(policy, app="other").tell_user == ()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"detector": DetectorState.FAILED}, "if_unsure.detector_fails"),
        ({"detector": DetectorState.TIMED_OUT}, "if_unsure.detector_fails"),
        ({"unreadable": True}, "if_unsure.unreadable_content"),
        ({"redaction_incomplete": True}, "if_unsure.redaction_incomplete"),
        ({"budget": BudgetState.SPENT}, "limits.when_spent"),
    ],
)
@pytest.mark.parametrize("mode", ["enforce", "audit"])
def test_unsure_and_spent_never_reach_a_cloud(given: dict[str, Any], reason: str, mode: str) -> None:
    """What is unsure, or has no budget left, stays inside, also while the policy is in audit mode."""
    decision = decide(document(mode=mode), **given)
    assert decision.permitted == {"local"}
    assert reason in ids(decision)
    assert reason in reason_of(decision, "cloud-eu") or reason == "limits.when_spent"


def test_a_failed_detector_keeps_what_was_found() -> None:
    """The level is at least what the findings of a failed detector give."""
    assert decide(detector=DetectorState.FAILED, found=found(CREDIT_CARD=1)).level is Level.RESTRICTED


def test_no_target_left_blocks() -> None:
    """With nowhere to go, the request is blocked, and each target still says why it is out."""
    decision = evaluate(compiled(), facts(found=found(CREDIT_CARD=1)), (CLOUD_EU, CLOUD_US))
    assert (decision.action, decision.gate) == (Action.BLOCK, Gate.BLOCK)
    assert ids(decision)[-1] == "if_unsure.no_target_left"
    assert "restricted data" in reason_of(decision, "cloud-eu")
    assert evaluate(compiled(), facts(), ()).gate is Gate.BLOCK


def test_local_targets_need_no_region_and_no_label() -> None:
    """Conditions on regions and providers are about clouds; a local target is inside our own jurisdiction."""
    demanding = rule("r", {"app": "support-bot"}, {"regions": ["CH"], "provider_must_have": ["baa", "iso"]})
    assert decide(with_rules(demanding)).permitted == {"local"}


def test_audit_rules_are_recorded_only_and_end() -> None:
    """An audit-mode rule shows in `would` through its last day and changes nothing."""
    trial = rule("trial", {"app": "support-bot"}, {"action": "block"}, mode="audit", until="2026-09-01")
    during = decide(with_rules(trial))
    assert during.action is Action.ALLOW
    assert [reason.rule for reason in during.would] == ["trial"]
    assert decide(with_rules(trial), as_of=date(2026, 9, 2)).would == ()


def test_audit_mode_of_the_policy_enforces_no_rule_and_no_handling() -> None:
    """In audit mode rules and handling go to `would`; level, limits and the caller's bounds stay."""
    policy = with_rules(rule("r", {"app": "support-bot"}, {"action": "block"}), mode="audit")
    decision = decide(policy, found=found(CREDIT_CARD=1), max_cost=usd("0.01"))
    assert (decision.action, decision.level) == (Action.ALLOW, Level.RESTRICTED)
    assert [reason.rule for reason in decision.would] == ["handling.restricted", "r"]
    assert decision.cost_cap == usd("0.01")
    assert decision.permitted == {"local", "cloud-eu", "cloud-us"}


def waiver(**changes: Any) -> dict[str, Any]:
    entry = {"id": "EX-1", "lifts": "stay", "for": {"app": "support-bot", "group": "leads"}}
    return {**entry, "approved_by": "dpo", "ticket": "R-1", "expires": "2026-09-01", **changes}


def test_an_exception_lifts_its_rule_for_those_it_names_until_it_expires() -> None:
    """Lifted for these people through the last day, with the exception among the reasons; for others never."""
    stay = rule("stay", {"app": "support-bot"}, {"action": "local_only"})
    policy = with_rules(stay, exceptions=[waiver()])
    lifted = decide(policy, group="leads")
    assert lifted.action is Action.ALLOW
    assert ids(lifted) == ["handling.public", "EX-1"]
    assert lifted.reasons[-1].effect == "lifts stay"
    assert lifted.reasons[-1].why == "R-1, approved by dpo until 2026-09-01"
    assert decide(policy, group="staff").action is Action.LOCAL_ONLY
    assert decide(policy, group="leads", as_of=date(2026, 9, 2)).action is Action.LOCAL_ONLY


def test_in_audit_mode_no_exception_is_a_reason() -> None:
    """What is not enforced need not be lifted: only what had a say is among the reasons."""
    stay = rule("stay", {"app": "support-bot"}, {"action": "local_only"})
    decision = decide(with_rules(stay, exceptions=[waiver()], mode="audit"), group="leads")
    assert (ids(decision), decision.would) == ([], ())


def test_an_exception_cannot_lift_the_floor() -> None:
    """With its rule lifted, restricted data still stays inside."""
    stay = rule("stay", {"app": "support-bot"}, {"action": "local_only"})
    decision = decide(with_rules(stay, exceptions=[waiver()]), group="leads", found=found(CREDIT_CARD=1))
    assert decision.action is Action.LOCAL_ONLY
    assert "handling.restricted" in ids(decision)


def test_hints_only_tighten() -> None:
    """The caller can raise the level and lower the bounds; the other way round nothing happens."""
    raised = decide(min_level=Level.RESTRICTED, max_cost=usd("0.01"), max_first_token=0.5)
    assert (raised.level, raised.cost_cap, raised.first_token) == (Level.RESTRICTED, usd("0.01"), 0.5)
    assert ids(raised)[-3:] == ["caller.min_level", "caller.max_cost", "caller.max_first_token"]
    card = found(CREDIT_CARD=1)
    lowered = decide(found=card, min_level=Level.PUBLIC, max_cost=usd(9), max_first_token=60.0)
    assert lowered == decide(found=card)


def test_verdicts_keep_the_order_of_the_targets() -> None:
    """One verdict per target that was given, in that order."""
    decision = evaluate(compiled(), facts(as_of=AS_OF), (CLOUD_US, LOCAL, CLOUD_EU))
    assert [verdict.target for verdict in decision.targets] == ["cloud-us", "local", "cloud-eu"]
