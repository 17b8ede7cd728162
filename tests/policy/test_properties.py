"""What holds for every policy and every request, searched for counter-examples."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.decision import BudgetState, Decision, Facts, Gate, Level
from gateway.domain.finding import DetectorState, Found
from gateway.domain.money import NanoUsd
from gateway.policy import compile_policy, evaluate, load
from support.policies import BASE, TARGETS, compiled, document

# Reading a policy takes far longer than deciding, so each policy is tried with many requests.
few = settings(deadline=None, max_examples=25)

_APPS = ("support-bot", "hr-assistant", "batch")
_GROUPS = ("leads", "staff")
_TYPES = tuple(BASE["data_types"])
_LEVELS = tuple(level.word for level in Level)
_REGIONS = ("EU", "US", "CH")


def _some(words: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(words), min_size=1, unique=True)


def _part(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A mapping with at least one of these keys."""
    return st.fixed_dictionaries({}, optional=fields).filter(bool)


_WHEN = _part(
    app=_some(_APPS),
    group=_some(_GROUPS),
    level=st.one_of(_some(_LEVELS), st.sampled_from(_LEVELS).map(lambda word: f"{word} or higher")),
    contains=st.one_of(
        _some(_TYPES),
        st.fixed_dictionaries({"any_of": _some(_TYPES), "at_least": st.integers(1, 6)}),
        st.fixed_dictionaries({"all_of": _some(_TYPES), "at_least": st.integers(1, 3)}),
    ),
    prompt_tokens=st.sampled_from(["over 10", "over 4000"]),
    declared=_some(("patient", "draft")),
    time=st.fixed_dictionaries(
        {"hours": st.sampled_from(["08:00-18:00", "22:00-06:00"]), "zone": st.sampled_from(["UTC", "Asia/Tokyo"])},
        optional={"days": st.sampled_from(["mon-fri", ["sat", "sun"]])},
    ),
)
_ASKED = _part(
    action=st.sampled_from(["redact", "local_only", "require_approval", "block"]),
    regions=_some(_REGIONS),
    provider_must_have=_some(("baa", "iso")),
    cost_per_request=st.sampled_from(["0.01 USD", "0.1 USD"]),
    first_token=st.sampled_from(["1s", "10s"]),
    redact=_some(_TYPES),
    tell_user=st.sampled_from(["No.", "Sorry."]),
    hide_in_answers=_some(_TYPES),
    notify=_some(("privacy", "security")),
    retain_days=st.integers(1, 90),
    log_content=st.sampled_from(["never", "encrypted"]),
)
_THEN = _ASKED.map(lambda then: {**then, "approvers": ["legal"]} if then.get("action") == "require_approval" else then)
_AMOUNTS = _part(per_request=st.sampled_from(["0.01 USD", "0.2 USD"]), per_app_per_day=st.just("7 USD"))
_LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "cost": _AMOUNTS,
        "scopes": st.lists(
            st.fixed_dictionaries({"for": st.sampled_from([{"app": "batch"}, {"tenant": "acme"}]), "cost": _AMOUNTS}),
            min_size=1,
            max_size=2,
            unique_by=lambda scope: str(scope["for"]),
        ),
        "ceiling": st.just({"cost": {"per_request": "0.5 USD"}}),
    },
).filter(bool)
_MODE = st.sampled_from([{}, {}, {}, {"mode": "audit", "until": "2026-09-01"}])


@st.composite
def _rules(draw: st.DrawFn, most: int = 5) -> list[dict[str, Any]]:
    bodies = draw(st.lists(st.tuples(_WHEN, _THEN, _MODE), max_size=most))
    return [
        {"id": f"rule-{place}", "why": "because", "when": when, "then": then, **mode}
        for place, (when, then, mode) in enumerate(bodies)
    ]


_FOUND = st.lists(
    st.builds(
        Found,
        st.sampled_from(["PERSON", "EMAIL_ADDRESS", "CREDIT_CARD", "MEDICATION", "OTHER"]),
        st.integers(0, 100),
        st.integers(0, 6),
    ),
    max_size=5,
).map(tuple)

_FACTS = st.builds(
    Facts,
    tenant=st.just("acme"),
    app=st.sampled_from((*_APPS, "other")),
    group=st.sampled_from((*_GROUPS, "")),
    role=st.just(""),
    user=st.just(""),
    dialect=st.just("openai_chat"),
    model=st.just("auto"),
    found=_FOUND,
    detector=st.sampled_from(DetectorState),
    unreadable=st.booleans(),
    prompt_tokens=st.sampled_from([0, 100, 5000]),
    as_of=st.sampled_from([date(2026, 9, 1), date(2026, 9, 2)]),
    budget=st.sampled_from(BudgetState),
    redaction_incomplete=st.booleans(),
    min_level=st.one_of(st.none(), st.sampled_from(Level)),
    max_cost=st.one_of(st.none(), st.sampled_from([NanoUsd(0), NanoUsd(10**8)])),
    max_first_token=st.one_of(st.none(), st.sampled_from([0.5, 100.0])),
    minute=st.integers(0, 1439),
    labels=st.sampled_from([(), ("patient",), ("draft", "other")]),
    history_level=st.one_of(st.none(), st.sampled_from(Level)),
    approved=st.booleans(),
)
_REQUESTS = st.lists(_FACTS, min_size=1, max_size=10)
_MODES = st.sampled_from(["enforce", "enforce", "audit"])


def _at_most(left: float | None, right: float | None) -> bool:
    """Is the bound `left` at least as tight as `right`? None is no bound."""
    return right is None or (left is not None and left <= right)


def no_looser(tight: Decision, loose: Decision) -> bool:
    """The partial order of decisions: does `tight` permit nothing that `loose` forbids?"""
    leaves = tight.cloud and tight.gate < 2
    return (
        tight.gate >= loose.gate
        and tight.cloud <= loose.cloud
        and (loose.regions is None or (tight.regions is not None and tight.regions <= loose.regions))
        and tight.provider_must_have >= loose.provider_must_have
        and _at_most(tight.cost_cap, loose.cost_cap)
        and _at_most(tight.first_token, loose.first_token)
        and _at_most(tight.day_limit, loose.day_limit)
        and tight.permitted <= loose.permitted
        and set(tight.notify) >= set(loose.notify)
        and tight.log_content >= loose.log_content
        and _at_most(tight.retain_days, loose.retain_days)
        and (
            tight.gate == Gate.BLOCK
            or all(tight.hides_in_answer(hidden.entity, hidden.percent) for hidden in loose.hide_in_answers)
        )
        and (not leaves or all(tight.hides(hidden.entity, hidden.percent) for hidden in loose.redact))
    )


@few
@given(rules=_rules(), requests=_REQUESTS, mode=_MODES, data=st.data())
def test_order_never_matters(
    rules: list[dict[str, Any]], requests: list[Facts], mode: str, data: st.DataObject
) -> None:
    """Rules, data types, levels, lines and findings in any order give the same decision and the same policy hash."""
    shuffled = document(rules=data.draw(st.permutations(rules)), mode=mode)
    for section in ("data_types", "levels", "handling"):
        shuffled[section] = dict(data.draw(st.permutations(list(shuffled[section].items()))))
    shuffled["levels"] = {word: data.draw(st.permutations(lines)) for word, lines in shuffled["levels"].items()}
    first, second = compiled(rules=rules, mode=mode), compiled(shuffled)
    for request in requests:
        other = replace(request, found=tuple(data.draw(st.permutations(request.found))))
        assert evaluate(first, request, TARGETS) == evaluate(second, other, TARGETS)


@few
@given(rules=_rules(), requests=_REQUESTS, mode=_MODES, data=st.data())
def test_adding_a_rule_never_loosens(
    rules: list[dict[str, Any]], requests: list[Facts], mode: str, data: st.DataObject
) -> None:
    """With any rules taken away, the decision is no stricter in any of its dimensions."""
    more = compiled(rules=rules, mode=mode)
    kept = tuple(rule for rule in more.source.rules if data.draw(st.booleans(), label=rule.id))
    fewer = compile_policy(replace(more.source, rules=kept))
    for request in requests:
        assert no_looser(evaluate(more, request, TARGETS), evaluate(fewer, request, TARGETS))


@settings(deadline=None)
@given(request=_FACTS, more=_FOUND)
def test_adding_findings_never_lowers_the_level(request: Facts, more: tuple[Found, ...]) -> None:
    """More found, or more surely, never gives a lower level."""
    added = replace(request, found=(*request.found, *more))
    assert evaluate(_DEFAULT, added, TARGETS).level >= evaluate(_DEFAULT, request, TARGETS).level


@few
@given(rules=_rules(), requests=_REQUESTS, mode=_MODES, limits=_LIMITS)
def test_what_was_decided_before_changes_nothing(
    rules: list[dict[str, Any]], requests: list[Facts], mode: str, limits: dict[str, Any]
) -> None:
    """A policy that has decided about other requests decides as one that was compiled just now, again and again."""
    used = compiled(rules=rules, mode=mode, limits=limits)
    for request in requests:
        evaluate(used, request, TARGETS)
    for request in requests:
        decision = evaluate(compile_policy(used.source), request, TARGETS)
        assert evaluate(used, request, TARGETS) == decision
        assert evaluate(used, request, TARGETS[:2]) == evaluate(compile_policy(used.source), request, TARGETS[:2])


@few
@given(rules=_rules(), requests=_REQUESTS, limits=_LIMITS)
def test_nobody_exceeds_the_ceiling(rules: list[dict[str, Any]], requests: list[Facts], limits: dict[str, Any]) -> None:
    """Whatever scopes and rules say, no request may cost more than the ceiling."""
    policy = compiled(rules=rules, limits={**limits, "ceiling": {"cost": {"per_request": "0.5 USD"}}})
    for request in requests:
        assert _at_most(evaluate(policy, request, TARGETS).cost_cap, 5 * 10**8)


@few
@given(rules=_rules(), requests=_REQUESTS, mode=_MODES)
def test_a_rule_twice_is_a_rule_once(rules: list[dict[str, Any]], requests: list[Facts], mode: str) -> None:
    """A second rule that says the same under another id changes nothing but the reasons."""
    doubled = [*rules, *({**body, "id": f"again-{body['id']}"} for body in rules)]
    once, twice = compiled(rules=rules, mode=mode), compiled(rules=doubled, mode=mode)
    for request in requests:
        first, second = evaluate(once, request, TARGETS), evaluate(twice, request, TARGETS)
        assert no_looser(first, second)
        assert no_looser(second, first)


@few
@given(rules=_rules(), requests=_REQUESTS, who=_part(app=_some(_APPS), group=_some(_GROUPS)), data=st.data())
def test_no_exception_gets_below_the_floor(
    rules: list[dict[str, Any]], requests: list[Facts], who: dict[str, Any], data: st.DataObject
) -> None:
    """Whatever exceptions lift, a decision is no looser than that of the policy without rules."""
    lifted = [rule["id"] for rule in rules if data.draw(st.booleans(), label=rule["id"])]
    exceptions = [
        {"id": f"EX-{name}", "lifts": name, "for": who, "approved_by": "dpo", "ticket": "R-1", "expires": "2027-01-01"}
        for name in lifted
    ]
    policy = compiled(rules=rules, exceptions=exceptions)
    for request in requests:
        assert no_looser(evaluate(policy, request, TARGETS), evaluate(_DEFAULT, request, TARGETS))


@few
@given(requests=_REQUESTS, mode=_MODES, rules=_rules())
def test_unsure_never_reaches_a_cloud(requests: list[Facts], mode: str, rules: list[dict[str, Any]]) -> None:
    """No rule and no mode lets a request out that is not surely inspected and hidden."""
    policy = compiled(rules=rules, mode=mode)
    for request in requests:
        unsure = request.detector is not DetectorState.OK or request.unreadable or request.redaction_incomplete
        if unsure:
            assert not evaluate(policy, request, TARGETS).permitted - {"local"}


_DEFAULT = compile_policy(load(json.dumps(document()))[0])
