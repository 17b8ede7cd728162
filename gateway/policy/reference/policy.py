"""The schema of a policy file."""

from __future__ import annotations

from gateway.domain.tree import JsonObject
from gateway.policy.load import HEAD, REQUIRED, WAIVER
from gateway.policy.load_outcome import LOG_CONTENT
from gateway.policy.reference.guarantees import GUARANTEES
from gateway.policy.reference.parts import (
    ACTIONS,
    DAY,
    DURATION,
    ID,
    LEVELS,
    MONEY,
    NAME,
    TEXT,
    TYPE_NAME,
    WHO_NAME,
    Keys,
    mapping,
    needs,
    one_or_some,
    said,
    schema,
    sequence,
    whole,
    words,
)
from gateway.policy.reference.when import LINE, MODEL, WHEN, WHO
from gateway.policy.schema import SCHEMA

_STRICT = words(("local_only", "block"))
_MODE = words(("enforce", "audit"))
_TYPES = one_or_some(TYPE_NAME)
_LINES = sequence(LINE)

_ACTION = (
    "What may happen, each stricter than the one before: allow (any target), redact (clouds see stand-ins), local_only "
    "(local targets only), require_approval (nowhere, until somebody has approved), block (nowhere)."
)
_BOTH: Keys = {
    "regions": said(one_or_some(TEXT), "Clouds only in one of these regions, or in one of these sets of regions."),
    "provider_must_have": said(one_or_some(TEXT), "Clouds only with all of these labels, such as baa."),
    "approvers": said(
        one_or_some(WHO_NAME), "Groups of API keys: a member of one of them may approve. Goes with require_approval."
    ),
    "approval_lasts": said(
        DURATION, "For how long an approval holds, from 1m to 720h; 24h if left out. Goes with require_approval."
    ),
}
_APPROVAL: JsonObject = {
    "if": {"properties": {"action": {"const": "require_approval"}}, "required": ["action"]},
    "else": {"properties": {"approvers": False, "approval_lasts": False}},
}
_HANDLING = mapping({"action": said(words(ACTIONS), _ACTION), **_BOTH}, ("action",), more=_APPROVAL)
_THEN = mapping(
    {
        "action": said(words(ACTIONS[1:]), f"{_ACTION} A rule can only tighten, so it has no allow."),
        **_BOTH,
        "cost_per_request": said(MONEY, "The most that this request may cost, such as 0.01 USD."),
        "first_token": said(DURATION, "Time to the first token, such as 500ms."),
        "redact": said(_TYPES, "Data types to hide from clouds; action redact hides all of them."),
        "tell_user": said(TEXT, "A sentence for the caller, in the answer or the error."),
        "hide_in_answers": said(_TYPES, "Data types that the model may not tell: each value is replaced by its kind."),
        "notify": said(one_or_some(NAME), "Channels of the platform's settings that are told of the request."),
        "retain_days": said(whole(1, 36_525), "For how many days what is kept of the request may be kept at most."),
        "log_content": said(
            words(LOG_CONTENT), "Whether the content may be kept: never, or only encrypted. Never is the stricter one."
        ),
    },
    more=_APPROVAL,
)

_LATENCY = said(
    mapping({"first_token": said(DURATION, "Time to the first token, such as 500ms or 2s.")}), "How fast an answer is."
)
_AMOUNTS: Keys = {
    "per_request": said(MONEY, "The most that one request may cost, such as 0.05 USD."),
    "per_app_per_day": said(MONEY, "The budget of each app, per day (UTC)."),
}
_COST = said(mapping(_AMOUNTS), "What may be spent.")
_SCOPE = mapping(
    {
        "for": said(mapping({**WHO, "model": MODEL}), "Whom this limit is for; all conditions must hold."),
        "latency": _LATENCY,
        "cost": _COST,
    },
    ("for",),
    more={"anyOf": [{"required": ["latency"]}, {"required": ["cost"]}]},
)
_LIMITS = mapping(
    {
        "latency": _LATENCY,
        "cost": said(
            mapping(
                {
                    **_AMOUNTS,
                    "when_spent": said(_STRICT, "What happens when the budget of the day is spent; block if left out."),
                }
            ),
            "What may be spent.",
        ),
        "scopes": said(
            sequence(_SCOPE),
            "Limits for somebody in place of the default: of those that fit, the most specific one has its say, for "
            "each amount by itself.",
        ),
        "ceiling": said(mapping({"latency": _LATENCY, "cost": _COST}), "What nobody exceeds, whatever a scope says."),
    }
)

_RULE = mapping(
    {
        "id": said(ID, "A name for machines: letters, digits, _ and -. No two rules or exceptions have the same."),
        "why": said(TEXT, "The reason, in words for people. Explanations show it."),
        "mode": said(_MODE, "enforce (if left out), or audit: only record what the rule would have done."),
        "until": said(
            DAY, "The last day (UTC) of a rule in audit mode, which must have one; after it, the rule does nothing."
        ),
        "when": said(mapping(WHEN), "Conditions, all of which must hold; at least one. A list means: one of these."),
        "then": said(_THEN, "What is asked for; at least one thing."),
    },
    ("id", "why", "when", "then"),
    more=needs({"mode": {"const": "audit"}}, "until"),
)
_EXCEPTION = mapping(
    {
        "id": said(ID, "A name for machines; it appears among the reasons of each decision that it changes."),
        "lifts": said(ID, "The id of a rule. Nothing else can be lifted: not handling, not limits, not if_unsure."),
        "for": said(mapping(WHO), "Who: at least one condition, all must hold."),
        "approved_by": said(TEXT, "Who agreed."),
        "ticket": said(TEXT, "Where it is written down."),
        "expires": said(DAY, "The last day (UTC)."),
    },
    WAIVER,
)
_DATA_TYPE = mapping(
    {
        "detect": said(one_or_some(NAME), "What the detector calls it, such as CREDIT_CARD."),
        "confidence": said(
            {"type": "number", "minimum": 0, "maximum": 1},
            "How sure the detector must be, from 0 to 1, before it counts.",
        ),
    },
    ("detect", "confidence"),
)
_UNSURE = mapping(
    {
        "detector_fails": said(_STRICT, "The detector failed or took too long."),
        "unreadable_content": said(_STRICT, "The request has a part that no detector can read, such as an image."),
        "redaction_incomplete": said(_STRICT, "A value that had to be hidden is still in what would be sent."),
        "no_target_left": said(_STRICT, "No target may receive the request."),
    }
)


_ABOUT: Keys = {
    "schema": said({"const": SCHEMA}, f"The version of this language: {SCHEMA}."),
    "policy": said(NAME, "The policy's name: letters, digits, _, - and dots."),
    "version": said(whole(1), "A whole number from 1; raise it with each change."),
    "owner": said(TEXT, "Who answers for it."),
    "mode": said(_MODE, "enforce (if left out), or audit: no rule and NO HANDLING is enforced, only recorded."),
    "for": said(
        mapping({"tenant": WHO["tenant"]}, ("tenant",)),
        "The whole file is for these tenants only. Everybody if left out.",
    ),
    "extends": said(TEXT, "The path of a policy that this one tightens. It can never loosen it."),
}
"""What the file is, and whom it is for."""

_FLOOR: Keys = {
    "region_sets": said(
        {"type": "object", "additionalProperties": one_or_some(TEXT), "minProperties": 1},
        "Names for several regions, such as EEA: [EU, NO, IS, LI]; usable wherever regions are listed.",
    ),
    "data_types": said(
        {
            "type": "object",
            "propertyNames": TYPE_NAME,
            "additionalProperties": _DATA_TYPE,
            "minProperties": 1,
        },
        "Left your own words, right what the detector looks for.",
    ),
    "levels": said(
        mapping(
            {level: said(_LINES, f"A request is {level} when one of these lines is true.") for level in LEVELS[:0:-1]}
        ),
        "A request has the highest level with a true line, or public if there is none.",
    ),
    "handling": said(
        mapping({level: said(_HANDLING, f"What applies to {level} requests.") for level in LEVELS}),
        "The floor: what applies to a level whatever the rules say. All four levels are required. No exception "
        "can lift it.",
    ),
    "answers": said(
        mapping(
            {"hide": said(_TYPES, "Every value of these data types in an answer is replaced by its kind.")},
            ("hide",),
        ),
        "What no model may tell, wherever it runs.",
    ),
}
"""What is looked for, and what applies to a request because of it, whatever the rules say."""

_MORE: Keys = {
    "limits": said(_LIMITS, "Time and money. Without a limit there is none."),
    "if_unsure": said(_UNSURE, "What happens when the gateway cannot know. What is left out means block."),
    "rules": said(
        sequence(_RULE, 0),
        "Every rule that matches applies, the strictest outcome wins. A rule can only make things stricter.",
    ),
    "exceptions": said(
        sequence(_EXCEPTION, 0), "The only way to loosen a rule: on purpose visible, dated and signed off."
    ),
    "guarantees": GUARANTEES,
}
"""Limits, rules, and what is promised of them all."""


def schema_of_policies() -> JsonObject:
    """JSON Schema of a policy file. What extends another file needs only its head."""
    body = mapping({**_ABOUT, **_FLOOR, **_MORE}, least=0)
    body |= {
        "if": {"required": ["extends"]},
        "then": {"required": [*HEAD]},
        "else": {
            "required": [*REQUIRED],
            "properties": {"handling": {"required": [*LEVELS]}},
        },
    }
    return schema("Bailiwick policy", "What may go where: see docs/policy.md.", body)
