"""The parts of the language that look beyond who asks and what was found: times, labels, counts, history, approvals."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from gateway.documents import DocumentError
from gateway.domain.decision import Action, Decision, Facts, Gate, Level, LogContent
from gateway.domain.finding import Found
from gateway.domain.money import usd
from gateway.domain.target import Zone
from gateway.policy import compile_policy, evaluate, load
from gateway.policy.cases import simple_target
from gateway.policy.load import load_file
from gateway.policy.names import Surroundings
from support.policies import TARGETS, compiled, document, facts, rule


def decide(given: Facts, **parts: Any) -> Decision:
    return evaluate(compiled(**parts), given, TARGETS)


def problems(**parts: Any) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        load(json.dumps(document(**parts)))
    return [problem.message for problem in caught.value.problems]


def matches(when: dict[str, Any], **given: Any) -> bool:
    decision = decide(facts(**given), rules=[rule("probe", when, {"tell_user": "matched"})])
    return bool(decision.tell_user)


@pytest.mark.parametrize(
    ("day", "minute", "holds"),
    [
        (date(2026, 11, 20), 17 * 60 + 30, True),  # a Friday, 18:30 in Berlin
        (date(2026, 11, 20), 16 * 60 + 59, False),  # 17:59
        (date(2026, 11, 21), 4 * 60, True),  # the night that began on Friday
        (date(2026, 11, 21), 17 * 60 + 30, False),  # Saturday evening: no night that is meant begins
        (date(2026, 7, 17), 16 * 60, True),  # 18:00 in summer
        (date(2026, 7, 17), 15 * 60 + 59, False),
    ],
)
def test_a_time_is_that_of_its_zone(day: date, minute: int, holds: bool) -> None:
    """Hours over midnight belong to the day on which they begin, on the clocks of their zone, in summer too."""
    time = {"days": "mon-fri", "hours": "18:00-06:00", "zone": "Europe/Berlin"}
    assert matches({"time": time}, as_of=day, minute=minute) is holds


def test_days_alone_and_hours_alone_are_times() -> None:
    """Without hours it is the whole day, without days it is every day."""
    saturday, friday = date(2026, 11, 21), date(2026, 11, 20)
    assert matches({"time": {"days": ["sat", "sun"], "zone": "UTC"}}, as_of=saturday, minute=0)
    assert not matches({"time": {"days": ["sat", "sun"], "zone": "UTC"}}, as_of=friday, minute=1439)
    assert matches({"time": {"hours": "08:00-24:00", "zone": "UTC"}}, as_of=friday, minute=1439)
    assert not matches({"time": {"hours": "08:00-24:00", "zone": "UTC"}}, as_of=friday, minute=479)


@pytest.mark.parametrize(
    ("time", "message"),
    [
        ({"days": "mon-fri"}, "missing key 'zone'"),
        ({"zone": "UTC"}, "a time needs days or hours, or both"),
        ({"hours": "8-18", "zone": "UTC"}, 'expected hours such as "08:00-18:00"'),
        ({"hours": "08:00-08:00", "zone": "UTC"}, 'expected hours such as "08:00-18:00"'),
        ({"hours": "08:00-24:30", "zone": "UTC"}, 'expected hours such as "08:00-18:00"'),
        ({"days": "caturday", "zone": "UTC"}, "'caturday' is not a day"),
        ({"days": "sat", "zone": "Europe/Berlyn"}, "unknown time zone 'Europe/Berlyn'"),
    ],
)
def test_a_bad_time_is_an_error(time: dict[str, Any], message: str) -> None:
    """A time that is not one is told as such, and is never always or never true in silence."""
    found = problems(rules=[rule("a", {"time": time}, {"action": "block"})])
    assert any(problem.startswith(message) for problem in found), found


def test_labels_that_the_caller_declares_can_only_tighten() -> None:
    """A rule for a label applies to whoever declares it, and no label takes a rule away."""
    rules = [rule("patients", {"declared": ["patient", "minor"]}, {"action": "local_only"})]
    assert decide(facts(), rules=rules).action is Action.ALLOW
    assert decide(facts(labels=("draft", "minor")), rules=rules).action is Action.LOCAL_ONLY
    assert problems(rules=[rule("a", {"declared": ["Patient File"]}, {"action": "block"})])


def test_a_rule_counts_distinct_values() -> None:
    """`contains` with `at_least` holds from that many distinct values on, as a level's line does."""
    when = {"contains": {"any_of": ["contact details"], "at_least": 3}}
    assert not matches(when, found=(Found("PERSON", 90, 2),))
    assert matches(when, found=(Found("PERSON", 90, 2), Found("EMAIL_ADDRESS", 90, 1)))


def test_a_rule_can_be_about_one_wire_format() -> None:
    """`api` compares the wire format of the request."""
    assert matches({"api": "openai_chat"}, dialect="openai_chat")
    assert not matches({"api": "openai_chat"}, dialect="anthropic_messages")


def test_a_conversation_keeps_its_level() -> None:
    """The level that a conversation had before counts, and is named as the reason."""
    decision = decide(facts(history_level=Level.RESTRICTED))
    assert decision.level is Level.RESTRICTED
    assert "conversation.level" in [reason.rule for reason in decision.reasons]
    lower = decide(facts(found=(Found("CREDIT_CARD", 100, 1),), history_level=Level.INTERNAL))
    assert "conversation.level" not in [reason.rule for reason in lower.reasons]


def test_an_approval_opens_the_gate_and_nothing_else() -> None:
    """Approved, a request may go where everything else that was asked for permits; a block stays a block."""
    wait = rule("ask", {"app": "x"}, {"action": "require_approval", "approvers": ["legal", "dpo"], "regions": ["EU"]})
    asked = decide(facts(app="x"), rules=[wait])
    assert (asked.gate, asked.permitted) == (Gate.REQUIRE_APPROVAL, frozenset())
    (needed,) = asked.approvals
    assert (needed.rule, needed.approvers, needed.seconds) == ("ask", ("dpo", "legal"), 86_400)
    approved = decide(facts(app="x", approved=True), rules=[wait])
    assert approved.gate is Gate.ALLOW
    assert {t.region for t in TARGETS if t.id in approved.permitted and t.zone is Zone.CLOUD} == {"EU"}
    assert "approval" in [reason.rule for reason in approved.reasons]
    stopped = decide(facts(app="x", approved=True), rules=[wait, rule("no", {"app": "x"}, {"action": "block"})])
    assert stopped.gate is Gate.BLOCK


def test_an_approval_without_approvers_is_warned_about_and_approvers_without_one_are_wrong() -> None:
    """Nobody can approve where nobody is named: that is said; and approvers of nothing are an error."""
    source = document(rules=[rule("a", {"app": "x"}, {"action": "require_approval"})])
    assert any("nobody may approve" in warning.message for warning in load(json.dumps(source))[1])
    assert problems(rules=[rule("a", {"app": "x"}, {"action": "block", "approvers": ["dpo"]})])


def test_obligations_add_up_and_the_strictest_wins() -> None:
    """Channels are united, the shorter time to keep and the stricter word on content count."""
    rules = [
        rule("a", {"app": "x"}, {"notify": ["privacy"], "retain_days": 90, "log_content": "encrypted"}),
        rule("b", {"app": "x"}, {"notify": ["security"], "retain_days": 30, "log_content": "never"}),
    ]
    decision = decide(facts(app="x"), rules=rules)
    assert decision.notify == ("privacy", "security")
    assert (decision.retain_days, decision.log_content) == (30, LogContent.NEVER)


def test_the_most_specific_limit_has_its_say_under_the_ceiling() -> None:
    """A scope replaces the default for its own, each amount by itself, and nothing exceeds the ceiling."""
    limits = {
        "cost": {"per_request": "0.05 USD", "per_app_per_day": "20 USD"},
        "latency": {"first_token": "2s"},
        "scopes": [
            {"for": {"app": "batch"}, "cost": {"per_app_per_day": "50 USD", "per_request": "0.10 USD"}},
            {"for": {"tenant": "lab"}, "cost": {"per_request": "0.01 USD"}, "latency": {"first_token": "30s"}},
        ],
        "ceiling": {"cost": {"per_app_per_day": "100 USD"}, "latency": {"first_token": "60s"}},
    }

    def amounts(**given: Any) -> tuple[object, object, object]:
        decision = decide(facts(**given), limits=limits)
        return decision.cost_cap, decision.day_limit, decision.first_token

    assert amounts(app="other", tenant="t") == (usd("0.05"), usd("20"), 2.0)
    assert amounts(app="batch", tenant="t") == (usd("0.10"), usd("50"), 2.0)
    assert amounts(app="batch", tenant="lab") == (usd("0.10"), usd("50"), 30.0)
    assert amounts(app="other", tenant="lab") == (usd("0.01"), usd("20"), 30.0)
    only_ceiling = {"ceiling": {"cost": {"per_request": "0.02 USD"}}}
    assert decide(facts(), limits=only_ceiling).cost_cap == usd("0.02")


def test_limits_that_contradict_are_errors() -> None:
    """A limit above the ceiling, two for the same ones, and a day's budget for less than an app are told with lines."""
    above = {"cost": {"per_request": "2 USD"}, "ceiling": {"cost": {"per_request": "1 USD"}}}
    assert any("above the ceiling in line" in problem for problem in problems(limits=above))
    twice = {
        "scopes": [
            {"for": {"app": ["a", "b"]}, "cost": {"per_request": "1 USD"}},
            {"for": {"app": "b"}, "cost": {"per_request": "2 USD"}},
        ]
    }
    assert any("for the same ones" in problem for problem in problems(limits=twice))
    person = {"scopes": [{"for": {"user": "jo"}, "cost": {"per_app_per_day": "1 USD"}}]}
    assert any("budget of an app" in problem for problem in problems(limits=person))


def test_a_limit_for_nobody_is_an_error_and_a_rule_for_nobody_a_warning() -> None:
    """Where the names are known, a limit for a name that nobody has is wrong, and a rule for one is warned about."""
    known = Surroundings(known={"app": frozenset({"chat"})})
    limits = {"scopes": [{"for": {"app": "chatt"}, "cost": {"per_request": "1 USD"}}]}
    with pytest.raises(DocumentError, match="there is no app 'chatt'; did you mean 'chat'"):
        load_file(json.dumps(document(limits=limits)), "p.yaml", known)
    loaded = load_file(json.dumps(document(rules=[rule("a", {"app": "chatt"}, {"action": "block"})])), "p.yaml", known)
    assert any("there is no app 'chatt'" in warning.message for warning in loaded.warnings)


def test_region_sets_stand_for_their_regions() -> None:
    """A set of regions means each of its regions, in handling and in rules."""
    policy, _ = load(
        json.dumps(
            document(
                region_sets={"EEA": ["EU", "NO"]},
                rules=[rule("a", {"app": "x"}, {"regions": ["EEA", "CH"]})],
            )
        )
    )
    assert policy.rules[0].then.regions == ("CH", "EU", "NO")


def test_a_label_of_a_provider_that_ended_is_none() -> None:
    """A label counts up to and including its last day, and the reason afterwards says when it ended."""
    cloud = replace(simple_target("c", Zone.CLOUD, "EU"), expiring=(("baa", date(2026, 6, 30)),))
    policy = compiled(rules=[rule("a", {"app": "x"}, {"provider_must_have": ["baa"]})])
    held = evaluate(policy, facts(app="x", as_of=date(2026, 6, 30)), [cloud])
    ended = evaluate(policy, facts(app="x", as_of=date(2026, 7, 1)), [cloud])
    assert held.permitted == {"c"}
    assert ended.permitted == frozenset()
    assert "baa ended on 2026-06-30" in ended.targets[0].reason


def test_both_results_of_a_trial_are_known() -> None:
    """What audit-mode rules would have made of a request stands beside what was decided."""
    trial = rule("later", {"app": "x"}, {"action": "local_only"}, mode="audit", until="2030-01-01")
    decision = decide(facts(app="x"), rules=[trial])
    assert decision.action is Action.ALLOW
    assert decision.trial is not None
    assert decision.trial.action is Action.LOCAL_ONLY
    assert decision.trial.permitted == {t.id for t in TARGETS if t.zone is Zone.LOCAL}
    assert decide(facts(), rules=[trial]).trial is None


def test_a_channel_that_is_not_configured_is_an_error() -> None:
    """A policy cannot oblige to tell somebody who cannot be reached."""
    source = json.dumps(document(rules=[rule("a", {"app": "x"}, {"notify": ["privcy"]})]))
    with pytest.raises(DocumentError, match="no channel 'privcy' is configured"):
        load_file(source, "p.yaml", Surroundings(channels=frozenset({"privacy"})))
    assert compile_policy(load_file(source, "p.yaml", Surroundings(channels=frozenset({"privcy"}))).policy)
