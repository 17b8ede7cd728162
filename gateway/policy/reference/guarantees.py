"""The schema of guarantees, which stand in a policy file or beside its tests."""

from __future__ import annotations

from gateway.domain.tree import JsonObject
from gateway.policy.load_outcome import LOG_CONTENT
from gateway.policy.reference.parts import (
    ACTIONS,
    DURATION,
    FLAG,
    LEVELS,
    MONEY,
    NAME,
    TEXT,
    TYPE_NAME,
    WHO_NAME,
    Keys,
    mapping,
    one_or_some,
    said,
    sequence,
    whole,
    words,
)
from gateway.policy.reference.when import WHEN

SITUATION: Keys = {
    "detector": said(words(("ok", "failed", "timed_out")), "Whether the detector finished."),
    "unreadable": said(FLAG, "Whether the request has a part that no detector can read."),
    "budget": said(words(("ok", "spent")), "Whether the app's budget of the day is spent."),
    "redaction_incomplete": said(FLAG, "Whether a value that had to be hidden is still in what would be sent."),
    "min_level": said(words(LEVELS), "The level that the caller asks for at least."),
    "approved": said(FLAG, "Whether everybody who had to approve the request has done so."),
}
_TYPES = one_or_some(TYPE_NAME)

_BOTH: Keys = {
    "sent_to": said(
        one_or_some(words(("local", "cloud", "nobody"))),
        "local: local targets only may receive it; cloud: at least one cloud may; nobody: none may.",
    ),
    "has_target": said(FLAG, "Whether at least one target may receive it."),
    "action": said(one_or_some(words(ACTIONS)), "The one word for the whole decision: this, or one of these."),
    "level": said(one_or_some(words(LEVELS)), "Its level: this, or one of these."),
    "targets": said(one_or_some(NAME), "Targets that may receive it: under never any of these, under always all."),
    "regions": said(one_or_some(TEXT), "Under never: some permitted cloud is there. Under always: clouds only there."),
    "redacted": said(FLAG, "Whether something is hidden from clouds."),
    "tell_user": said(FLAG, "Whether the caller is told a sentence."),
    "notify": said(one_or_some(NAME), "Channels that are told: under never any of these, under always all."),
}
NEVER: Keys = {
    **_BOTH,
    "provider_without": said(one_or_some(TEXT), "Some permitted cloud lacks one of these labels."),
    "in_clear": said(_TYPES, "Some cloud may see real values of one of these data types."),
}
ALWAYS: Keys = {
    **_BOTH,
    "provider_must_have": said(one_or_some(TEXT), "Every permitted cloud has all of these labels."),
    "hide_in_answers": said(_TYPES, "No answer tells a value of these data types."),
    "approvers": said(one_or_some(WHO_NAME), "Nobody outside these groups may approve it."),
    "retain_days": said(whole(0), "Nothing of it is kept for more days than this."),
    "log_content": said(words(LOG_CONTENT), "Its content is never kept, or only encrypted; never is the stricter one."),
    "cost_per_request": said(MONEY, "It may cost this at most."),
    "first_token": said(DURATION, "The time to the first token is this at most."),
}
GUARANTEES: JsonObject = said(
    sequence(
        mapping(
            {
                "say": said(TEXT, "The promise in words, for people."),
                "when": said(
                    mapping({**WHEN, **SITUATION}, least=0),
                    "The situations that it is about: conditions as in a rule, and what is unsure. All, if left out.",
                ),
                "never": said(mapping(NEVER), "What may not come true in any of them."),
                "always": said(mapping(ALWAYS), "What must hold in all of them."),
            },
            ("say",),
            more={"anyOf": [{"required": ["never"]}, {"required": ["always"]}]},
        )
    ),
    "Promises about every possible situation, which 'bailiwick policy check' proves or breaks by a counter-example.",
)
