"""The schema of a test file (such as ``policy_test.yaml``)."""

from __future__ import annotations

from gateway.domain.tree import JsonObject
from gateway.policy.load_outcome import LOG_CONTENT
from gateway.policy.reference.guarantees import GUARANTEES, SITUATION
from gateway.policy.reference.parts import (
    ACTIONS,
    DAY,
    DURATION,
    FLAG,
    LABEL,
    LEVELS,
    MONEY,
    NAME,
    TEXT,
    ZONE,
    Keys,
    mapping,
    one_or_some,
    said,
    schema,
    sequence,
    whole,
    words,
)

_SENT_TO = words(("local", "cloud", "nobody"))
_MOMENT: JsonObject = {
    "type": "string",
    "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})?$",
    "examples": ["2026-09-01T22:30"],
}
_TIME: JsonObject = {"type": "string", "pattern": "^[0-9]{2}:[0-9]{2}$", "examples": ["22:30"]}
_FOUND: JsonObject = {
    "type": "object",
    "propertyNames": NAME,
    "additionalProperties": {
        "anyOf": [
            whole(0),
            mapping(
                {
                    "count": said(whole(0), "How many distinct values."),
                    "percent": said(whole(0, 100), "How sure the detector is, 0 to 100."),
                },
                ("count", "percent"),
            ),
        ]
    },
}
GIVEN: Keys = {
    "tenant": said(TEXT, "The tenant of the caller's API key."),
    "app": said(TEXT, "The app of the caller's API key."),
    "group": said(TEXT, "The group of the caller's API key."),
    "role": said(TEXT, "The role of the caller's API key."),
    "user": said(TEXT, "The user that the request names."),
    "api": said(TEXT, "The API (wire format) that the request came over, such as openai_chat."),
    "dialect": said(TEXT, "Another word for api."),
    "model": said(TEXT, "The model asked for."),
    "found": said(
        _FOUND, "What was found: entity and how many distinct values, for certain, or {count: 5, percent: 85}."
    ),
    "prompt_tokens": said(whole(0), "The estimated length of the prompt, in tokens."),
    "declared": said(one_or_some(LABEL), "Labels that the caller declared."),
    "history_level": said(words(LEVELS), "The highest level that the conversation had before."),
    "at": said(_MOMENT, "The moment, in place of the file's clock."),
    "time": said(_TIME, "The time of the day, on the day of the file's clock."),
    "max_cost": said(MONEY, "The most that the caller permits the request to cost."),
    "max_first_token": said(DURATION, "The longest that the caller permits to the first token."),
    **SITUATION,
}


def _or(word: str, value: JsonObject) -> JsonObject:
    return {"anyOf": [{"const": word}, value]}


_NAMES = one_or_some(TEXT, 0)
WOULD: Keys = {
    "action": said(words(ACTIONS), "The one word for the whole."),
    "sent_to": said(_SENT_TO, "Who could have received it."),
    "targets": said(_NAMES, "Exactly these targets would have been permitted."),
    "because": said(_NAMES, "All of these would have had a say."),
}
EXPECT: Keys = {
    "level": said(words(LEVELS), "It is this level."),
    "action": said(words(ACTIONS), "It is this action."),
    "sent_to": said(
        _SENT_TO, "local: local targets only are permitted; cloud: at least one cloud is; nobody: none is."
    ),
    "targets": said(_NAMES, "Exactly these targets are permitted."),
    "because": said(_NAMES, "All of these are among the reasons; an empty list: nothing had a say."),
    "redacted": said(FLAG, "Something is hidden from clouds, or (false) nothing is."),
    "hidden": said(_NAMES, "These data types or entities are hidden from clouds; an empty list: none is."),
    "hidden_in_answers": said(_NAMES, "These data types or entities are hidden in answers; an empty list: none is."),
    "regions": said(_or("any", _NAMES), "Clouds exactly in these regions, or any."),
    "cost_per_request": said(_or("none", MONEY), "The most that the request may cost, or none: no limit."),
    "cost_per_app_per_day": said(_or("none", MONEY), "The budget of the app per day, or none: no limit."),
    "first_token": said(_or("none", DURATION), "The time to the first token, or none: no limit."),
    "tell_user": said(
        {"anyOf": [FLAG, _NAMES]}, "The caller is told these sentences, or (true) any, or (false) nothing."
    ),
    "notify": said(_NAMES, "Exactly these channels are told."),
    "retain_days": said(_or("none", whole(0)), "For how many days what is kept may be kept, or none: nothing is said."),
    "log_content": said(words(("unsaid", *LOG_CONTENT)), "What is said about keeping the content."),
    "approvers": said(_NAMES, "Exactly these groups may approve."),
    "would": said(
        {"anyOf": [{"const": "nothing"}, mapping(WOULD)]},
        "What would have been decided if everything in audit mode were enforced; nothing: audit mode changes nothing.",
    ),
}
_GIVEN = mapping(GIVEN, least=0)
_MATRIX: Keys = {
    key: said(sequence(value), "One case for each of these.") for key, value in {**GIVEN, "text": TEXT}.items()
}
_TARGET = mapping(
    {
        "id": said(NAME, "The target's name."),
        "zone": said(words(("local", "cloud")), "local: inside our own jurisdiction; cloud: anybody else's."),
        "region": said(TEXT, "Where it is."),
        "labels": said(
            {
                "anyOf": [
                    TEXT,
                    sequence(
                        {
                            "anyOf": [
                                TEXT,
                                mapping(
                                    {
                                        "name": said(TEXT, "The label."),
                                        "expires": said(DAY, "Its last day (UTC)."),
                                        "evidence": said({}, "Where it is written down."),
                                    },
                                    ("name",),
                                ),
                            ]
                        },
                        0,
                    ),
                ]
            },
            "What the provider is known for, such as zero-retention or baa.",
        ),
    },
    ("id", "zone", "region"),
)
_TEST = mapping(
    {
        "name": said(TEXT, "What is promised, in words; no two tests have the same name."),
        "matrix": said(mapping(_MATRIX), "Lists of values: one case for each combination of them."),
        "given": said(_GIVEN, "The request; what is left out is as in an ordinary one in which nothing was found."),
        "text": said(TEXT, "A text that the real detector searches; what it finds is added."),
        "targets": said(
            one_or_some(NAME), "Those of the targets above that could answer this request; all if left out."
        ),
        "expect": said(mapping(EXPECT), "What must come out."),
    },
    ("name", "expect"),
)


def schema_of_tests() -> JsonObject:
    """JSON Schema of a test file."""
    body = mapping(
        {
            "policy": said(TEXT, "The path of the policy, relative to this file."),
            "targets": said(
                {"anyOf": [TEXT, sequence(_TARGET)]}, "The targets, or the path of the platform's settings."
            ),
            "as_of": said({"anyOf": [DAY, _MOMENT]}, "The day, or the moment, that the tests take place at."),
            "zone": said(ZONE, "The time zone of times without one; UTC if left out."),
            "guarantees": GUARANTEES,
            "tests": said(sequence(_TEST), "Examples, each checked."),
        },
        ("policy", "targets", "as_of"),
        more={"anyOf": [{"required": ["tests"]}, {"required": ["guarantees"]}]},
    )
    return schema("Tests of a Bailiwick policy", "Examples and guarantees: see docs/policy.md.", body)
