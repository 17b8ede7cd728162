from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.decision import BudgetState, Decision, Facts, Level
from gateway.domain.finding import DetectorState
from gateway.domain.money import NanoUsd
from gateway.domain.record import AuditRecord, Label, RecordKind
from gateway.policy import CannotRecompute, CompiledPolicy, evaluate, recompute
from support.policies import TARGETS, compiled, facts, found, rule

RULES = [
    rule("jo", {"user": "jo@acme.example"}, {"action": "local_only"}),
    rule("staff", {"group": "staff"}, {"provider_must_have": ["baa"]}),
    rule("trial", {"app": "batch"}, {"action": "block"}, mode="audit", until="2026-09-01"),
]


def recorded(request: Facts, decision: Decision, user: str = "") -> AuditRecord:
    """The record that is written about a decision; `user` is the keyed hash."""
    first_token = request.max_first_token
    return AuditRecord(
        kind=RecordKind.INTENT,
        at=0,
        decision=Label("d-1"),
        tenant=Label(request.tenant),
        app=Label(request.app),
        group=Label(request.group),
        role=Label(request.role),
        user=Label(user),
        dialect=Label(request.dialect),
        model=Label(request.model),
        found=request.found,
        detector=Label(request.detector.value),
        unreadable=request.unreadable,
        prompt_tokens=request.prompt_tokens,
        as_of=request.as_of,
        budget=Label(request.budget.value),
        redaction_incomplete=request.redaction_incomplete,
        min_level=Label("" if request.min_level is None else request.min_level.word),
        max_cost=request.max_cost,
        max_first_token_ms=None if first_token is None else round(first_token * 1000),
        policy=Label(decision.policy.hash),
    )


def policy() -> CompiledPolicy:
    return compiled(rules=RULES)


_CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "tenant": st.sampled_from(["acme", ""]),
        "app": st.sampled_from(["batch", "support-bot"]),
        "group": st.sampled_from(["staff", "leads"]),
        "found": st.sampled_from([(), found(PERSON=1), found(PERSON=5), found(CREDIT_CARD=1), found(MEDICATION=2)]),
        "detector": st.sampled_from(DetectorState),
        "unreadable": st.booleans(),
        "prompt_tokens": st.integers(0, 10**6),
        "as_of": st.sampled_from([date(2026, 9, 1), date(2026, 9, 2)]),
        "budget": st.sampled_from(BudgetState),
        "redaction_incomplete": st.booleans(),
        "min_level": st.sampled_from([None, *Level]),
        "max_cost": st.sampled_from([None, NanoUsd(5)]),
        "max_first_token": st.sampled_from([None, 0.25, 1.5]),
        "user": st.sampled_from(["", "jo@acme.example", "al@acme.example"]),
    },
)


@settings(deadline=None)
@given(changes=_CHANGES)
def test_promise_8_a_decision_can_be_recomputed(changes: dict[str, Any]) -> None:
    """From the record and the policy of its hash, the decision comes out the same, whatever the facts were."""
    request = facts(**changes)
    decision = evaluate(_POLICY, request, TARGETS)
    hashes = {"jo@acme.example": "h-jo", "al@acme.example": "h-al", "": ""}
    record = recorded(request, decision, hashes[request.user])
    assert recompute(_POLICY, record, TARGETS, {"h-jo": "jo@acme.example"}) == decision


_POLICY = policy()


def test_another_policy_is_refused() -> None:
    """A record is never recomputed with a policy that did not make the decision."""
    request = facts()
    record = recorded(request, evaluate(_POLICY, request, TARGETS))
    with pytest.raises(CannotRecompute, match="was made by policy"):
        recompute(compiled(version=8), record, TARGETS)


def test_user_names_are_asked_for_only_where_they_matter() -> None:
    """Where the policy names users and the request named one, hashes alone are not enough."""
    request = facts(user="jo@acme.example")
    assert _POLICY.users == {"jo@acme.example"}
    record = recorded(request, evaluate(_POLICY, request, TARGETS), "h-jo")
    with pytest.raises(CannotRecompute, match="names users"):
        recompute(_POLICY, record, TARGETS)
    assert recompute(_POLICY, replace(record, user=Label("")), TARGETS)
    plain = compiled()
    record = recorded(request, evaluate(plain, request, TARGETS), "h-jo")
    assert recompute(plain, record, TARGETS) == evaluate(plain, request, TARGETS)


def test_a_record_without_facts_or_with_unknown_words_is_refused() -> None:
    """An event, or a record of another version, is told apart instead of being guessed at."""
    request = facts()
    record = recorded(request, evaluate(_POLICY, request, TARGETS))
    with pytest.raises(CannotRecompute, match="holds no facts"):
        recompute(_POLICY, replace(record, as_of=None), TARGETS)
    with pytest.raises(CannotRecompute, match="unknown word"):
        recompute(_POLICY, replace(record, detector=Label("asleep")), TARGETS)
    with pytest.raises(CannotRecompute, match="unknown word"):
        recompute(_POLICY, replace(record, min_level=Label("top")), TARGETS)
