"""The schema of conditions: who asks, what was found, when."""

from __future__ import annotations

from gateway.policy.reference.parts import (
    HOURS,
    LABEL,
    LEVELS,
    TEXT,
    TYPE_NAME,
    WEEKDAY,
    WHO_NAME,
    ZONE,
    Keys,
    mapping,
    one_or_some,
    said,
    some,
    whole,
    words,
)

_TYPES = one_or_some(TYPE_NAME)

LINE = mapping(
    {
        "any_of": said(_TYPES, "True when a value of any of these data types was found."),
        "all_of": said(_TYPES, "True when a value of each of these data types was found."),
        "at_least": said(
            whole(1, 1_000_000),
            "How many distinct values must have been found: with any_of all these data types together, with all_of of "
            "each. The same address ten times is one value. 1 if left out.",
        ),
    },
    more={"oneOf": [{"required": ["any_of"]}, {"required": ["all_of"]}]},
)

WHO: Keys = {
    "tenant": said(one_or_some(WHO_NAME), "The caller's API key belongs to this tenant, or to one of these."),
    "app": said(one_or_some(WHO_NAME), "The caller's API key belongs to this app, or to one of these."),
    "group": said(one_or_some(WHO_NAME), "The caller's API key belongs to this group, or to one of these."),
    "role": said(one_or_some(WHO_NAME), "The caller's API key has this role, or one of these."),
    "user": said(one_or_some(TEXT), "The request names this user, or one of these."),
}
MODEL = said(one_or_some(WHO_NAME), "This model was asked for, or one of these.")
_TIME = mapping(
    {
        "days": said(one_or_some(WEEKDAY), "Days of the week, such as [sat, sun] or mon-fri. Every day if left out."),
        "hours": said(
            HOURS,
            'From and until, in quotes, such as "08:00-18:00". "22:00-06:00" goes on into the next day; the days are '
            "then those on which it begins. The whole day if left out.",
        ),
        "zone": said(ZONE, "The time zone whose clocks are meant, such as Europe/Berlin."),
    },
    ("zone",),
    more={"anyOf": [{"required": ["days"]}, {"required": ["hours"]}]},
)
WHEN: Keys = {
    **WHO,
    "model": MODEL,
    "api": said(one_or_some(WHO_NAME), "The request came over this API (its wire format), such as openai_chat."),
    "level": said(
        {"anyOf": [words([*LEVELS, *(f"{level} or higher" for level in LEVELS)]), some(words(LEVELS))]},
        "The request has this level: one, a list, or such as 'confidential or higher'.",
    ),
    "contains": said(
        {"anyOf": [TYPE_NAME, some(TYPE_NAME), LINE]},
        "A value of this data type was found, or of one of a list; with any_of or all_of and at_least, so many.",
    ),
    "prompt_tokens": said(
        {"type": "string", "pattern": "^over [0-9]{1,9}$", "examples": ["over 4000"]},
        "The prompt is longer than this, by an upper estimate: such as 'over 4000'.",
    ),
    "declared": said(one_or_some(LABEL), "The caller declared this label, or one of these."),
    "time": said(_TIME, "The request came on these days of the week or at these hours."),
}
