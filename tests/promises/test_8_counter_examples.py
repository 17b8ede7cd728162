"""Promise 8: what the analysis of a policy shows is so. Each counter-example of a guarantee, made into a real request,
is decided by the gateway as the analysis says, and ends where the guarantee says that it never may."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.dialects import openai_chat
from gateway.domain.decision import BudgetState, Decision, Facts, Gate, Level
from gateway.domain.finding import DetectorState, Found
from gateway.domain.money import usd
from gateway.domain.target import Target, Zone
from gateway.identity.keys import ROLES
from gateway.inspection.catalogue import ENTITIES
from gateway.policy import CompiledPolicy, evaluate, facts_of, recompute
from gateway.policy.analysis.expectations import Seen
from gateway.policy.analysis.guarantees import CounterExample, Guarantee, prove
from gateway.policy.evaluate import counted, present_types
from gateway.policy.schema import FACT_OF
from gateway.policy.testing.subject import Subject, read_subject
from support.evidence import mac_of
from support.live import DEFAULT_POLICY, REPOSITORY
from support.situations import TARGETS, Asked, Asker, Reality, Writer, asker_of, names_in, reality

DAY = date(2026, 11, 3)
PACKS = REPOSITORY / "policies" / "packs"
NO_REQUEST: Mapping[str, str] = MappingProxyType(
    {
        "detector": "when the detector fails nothing is found, so nothing is found beside it",
        "redaction": "a value can be left over only where one had to be hidden from a cloud",
        "budget": "a budget turns out to be spent only when a cloud is about to be paid",
        "approved": "nothing is approved that needs no approval, or would go nowhere with one",
        "role": "an API key has one of the roles that there are",
        "api": "the gateway speaks no such API",
    }
)
"""Why facts that the analysis looks at, to be on the safe side, are those of no request."""


def no_request_for(policy: CompiledPolicy, facts: Facts, targets: Sequence[Target]) -> str:
    """The key of `NO_REQUEST` that says why no request has these facts; empty where one can."""
    if facts.role and facts.role not in ROLES:
        return "role"
    if facts.dialect not in ("", openai_chat.DIALECT):
        return "api"
    if facts.detector is not DetectorState.OK and facts.found:
        return "detector"
    if facts.redaction_incomplete:
        first = evaluate(policy, replace(facts, redaction_incomplete=False), targets)
        hides = any(first.hides(item.entity, item.percent) for item in facts.found if item.distinct)
        if not hides or not _to_a_cloud(first.permitted, targets):
            return "redaction"
    if facts.budget is BudgetState.SPENT:
        first = evaluate(policy, replace(facts, budget=BudgetState.OK), targets)
        if first.day_limit is None or not _to_a_cloud(first.permitted, targets):
            return "budget"
    if facts.approved:
        first = evaluate(policy, replace(facts, approved=False), targets)
        if first.gate is not Gate.REQUIRE_APPROVAL or not evaluate(policy, facts, targets).permitted:
            return "approved"
    return ""


def _to_a_cloud(permitted: frozenset[str], targets: Sequence[Target]) -> bool:
    return any(target.zone is Zone.CLOUD and target.id in permitted for target in targets)




def pack(name: str, *changes: tuple[str, str], more: str = "") -> str:
    """A pack with some of its lines loosened and more guarantees."""
    return changed((PACKS / name / "policy.yaml").read_text(), *changes) + more


def changed(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        text = text.replace(old, new)
    return text
