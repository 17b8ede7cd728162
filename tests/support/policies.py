"""Policies, facts and targets for tests. A policy is a dict; as JSON it is YAML, so it goes in by the front door."""

from __future__ import annotations

import copy
import json
from datetime import date
from typing import Any

from gateway.domain.decision import BudgetState, Facts
from gateway.domain.finding import DetectorState, Found
from gateway.domain.target import Target, Zone
from gateway.policy import CompiledPolicy, compile_policy, load
from gateway.policy.cases import simple_target

AS_OF = date(2026, 9, 1)

CARDS_AND_CONTACTS = """\
data_types:
  contact: {detect: [PERSON, EMAIL_ADDRESS], confidence: 0.40}
  cards: {detect: [CREDIT_CARD], confidence: 0.40}
levels:
  restricted:
    - any_of: [cards]
  internal:
    - any_of: [contact]
handling:
  public: {action: allow}
  internal: {action: redact}
  confidential: {action: redact}
"""
"""The middle of a policy as text; what is done with restricted data follows."""

LOCAL = simple_target("local", Zone.LOCAL, "on-premises")
CLOUD_EU = simple_target("cloud-eu", Zone.CLOUD, "EU", frozenset({"baa"}))
CLOUD_US = simple_target("cloud-us", Zone.CLOUD, "US")
TARGETS: tuple[Target, ...] = (LOCAL, CLOUD_EU, CLOUD_US)

BASE: dict[str, Any] = {
    "schema": 1,
    "policy": "acme",
    "version": 7,
    "owner": "dpo@acme.example",
    "mode": "enforce",
    "data_types": {
        "contact details": {"detect": ["PERSON", "EMAIL_ADDRESS"], "confidence": 0.5},
        "payment data": {"detect": ["CREDIT_CARD"], "confidence": 0.5},
        "health data": {"detect": ["MEDICATION"], "confidence": 0.6},
    },
    "levels": {
        "restricted": [{"any_of": ["payment data"]}, {"all_of": ["health data", "contact details"]}],
        "confidential": [{"any_of": ["health data"]}, {"any_of": ["contact details"], "at_least": 5}],
        "internal": [{"any_of": ["contact details"]}],
    },
    "handling": {
        "public": {"action": "allow"},
        "internal": {"action": "allow", "regions": ["EU", "US"]},
        "confidential": {"action": "redact", "regions": ["EU"]},
        "restricted": {"action": "local_only"},
    },
    "limits": {
        "latency": {"first_token": "2s"},
        "cost": {"per_request": "0.05 USD", "per_app_per_day": "20 USD", "when_spent": "local_only"},
    },
    "if_unsure": {
        "detector_fails": "local_only",
        "unreadable_content": "local_only",
        "redaction_incomplete": "local_only",
        "no_target_left": "block",
    },
}


def document(**changes: Any) -> dict[str, Any]:
    """The base policy with other values for some of its top-level keys; None removes one."""
    changed = {**copy.deepcopy(BASE), **changes}
    return {key: value for key, value in changed.items() if value is not None}


def compiled(source: dict[str, Any] | str | None = None, **changes: Any) -> CompiledPolicy:
    """A policy from a dict or a YAML text, by default the base policy with changes."""
    text = source if isinstance(source, str) else json.dumps(source or document(**changes))
    return compile_policy(load(text)[0])


def rule(name: str, when: dict[str, Any], then: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": name, "why": f"Reason of {name}", "when": when, "then": then, **more}


def found(**counts: int) -> tuple[Found, ...]:
    """Certain findings: ``found(PERSON=2)``."""
    return tuple(sorted(Found(entity, 100, count) for entity, count in counts.items()))


def facts(**changes: Any) -> Facts:
    """An ordinary request by nobody in particular, in which nothing was found."""
    values: dict[str, Any] = {
        "tenant": "",
        "app": "support-bot",
        "group": "",
        "role": "",
        "user": "",
        "dialect": "openai_chat",
        "model": "auto",
        "found": (),
        "detector": DetectorState.OK,
        "unreadable": False,
        "prompt_tokens": 100,
        "as_of": AS_OF,
        "budget": BudgetState.OK,
    }
    return Facts(**{**values, **changes})
