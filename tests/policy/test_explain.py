from __future__ import annotations

import json
from typing import Any

from gateway.domain.decision import Level
from gateway.domain.finding import DetectorState, Found
from gateway.policy import Explanation, evaluate, explain
from support.policies import TARGETS, compiled, document, facts, found, rule

RULES = [
    rule("agreement", {"contains": "health data"}, {"provider_must_have": ["baa"], "tell_user": "Take care."}),
    rule("trial", {"app": "support-bot"}, {"cost_per_request": "0.01 USD"}, mode="audit", until="2026-09-01"),
]


def explained(policy: dict[str, Any] | None = None, **given: Any) -> Explanation:
    ready = compiled(policy or document(rules=RULES))
    request = facts(**given)
    return explain(ready, request, evaluate(ready, request, TARGETS))


def test_the_lines_tell_level_rules_limits_and_targets() -> None:
    """A person reads from top to bottom what was decided, why, and why each rejected target is out."""
    assert explained(found=found(MEDICATION=1)).as_lines() == [
        "Level confidential, because found health data (MEDICATION: 1).",
        "Action redact.",
        "",
        "Rules that had a say:",
        "  handling.confidential  redact; regions EU",
        "  agreement              provider must have baa  (Reason of agreement)",
        "",
        "Without effect, because in audit mode; would have added:",
        "  trial  at most 0.01 USD per request  (Reason of trial)",
        "",
        "Hidden from clouds: CREDIT_CARD (from 50 %), EMAIL_ADDRESS (from 50 %), MEDICATION (from 60 %), "
        "PERSON (from 50 %).",
        "",
        "Limits: 0.05 USD per request, 20 USD per app and day, first token within 2 s.",
        "The caller is told: Take care.",
        "",
        "Targets:",
        "  permitted  local",
        "  permitted  cloud-eu",
        "  rejected   cloud-us  region US is not among EU (handling.confidential); "
        "lacks the label baa required by agreement",
        "",
        f"Decided by policy acme, version 7, hash {compiled(document(rules=RULES)).id.short}.",
    ]


def test_why_the_level_is_what_it_is() -> None:
    """Each true line of the level is told with its counts; so are an empty result, a hint and a failed detector."""
    assert explained().because_level == ("nothing was found",)
    unsure = explained(found=(Found("PERSON", 10, 1),))
    assert unsure.because_level == ("what was found makes no line of a higher level true",)
    both = explained(found=found(PERSON=5, MEDICATION=1, CREDIT_CARD=2))
    assert both.because_level == (
        "found contact details and health data (MEDICATION: 1, PERSON: 5)",
        "found payment data (CREDIT_CARD: 2)",
    )
    many = explained(found=found(PERSON=6))
    assert many.because_level == ("found contact details, at least 5 distinct values altogether (PERSON: 6)",)
    assert explained(min_level=Level.RESTRICTED).because_level == ("the caller asked for at least restricted",)
    failed = explained(detector=DetectorState.TIMED_OUT)
    assert failed.because_level == ("the detector did not finish (timed out)", "nothing was found")


def test_audit_mode_is_said_loudly() -> None:
    """Nobody can take an explanation of an audit-mode policy for an enforced one."""
    explanation = explained(document(mode="audit"), found=found(CREDIT_CARD=1))
    assert "The policy is in audit mode: rules and handling are recorded, NOT enforced." in explanation.as_lines()
    assert explanation.as_json()["mode"] == "audit"


def test_the_json_holds_everything_a_program_needs() -> None:
    """Stable names, money as decimal text, every target with its verdict."""
    data: Any = explained(found=found(MEDICATION=1)).as_json()
    assert json.loads(json.dumps(data)) == data
    assert data["policy"] == {"name": "acme", "version": 7, "hash": compiled(document(rules=RULES)).id.hash}
    assert (data["level"], data["action"], data["regions"]) == ("confidential", "redact", ["EU"])
    assert data["rules"] == [
        {"id": "handling.confidential", "effect": "redact; regions EU", "why": ""},
        {"id": "agreement", "effect": "provider must have baa", "why": "Reason of agreement"},
    ]
    assert data["would"] == [{"id": "trial", "effect": "at most 0.01 USD per request", "why": "Reason of trial"}]
    assert data["cost_per_request_usd"] == "0.05"
    assert data["cost_per_app_per_day_usd"] == "20"
    assert data["first_token_seconds"] == 2.0
    assert data["redact"][0] == {"entity": "CREDIT_CARD", "confidence": 0.5}
    assert [target["permitted"] for target in data["targets"]] == [True, True, False]
