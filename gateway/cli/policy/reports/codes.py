"""What can be said about a policy: each code with its title, its meaning and how to mend it.

Codes are stable: SARIF, GitHub and JSON carry them, and a company may have written down that it accepts one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from gateway.cli.policy.reports.values import ADVICE, BROKEN, EMPTY, INVALID, TOO_MANY, Severity


@dataclass(frozen=True, slots=True)
class Code:
    """Sentences for people; `severity` is the usual one."""

    title: str
    meaning: str
    mend: str
    severity: Severity = Severity.WARNING


CODES = MappingProxyType(
    {
        INVALID: Code(
            "Invalid policy",
            "The file cannot be used: something in it is not of the policy language, or cannot be meant.",
            "Correct the place that is shown. Until then the gateway keeps the last good policy, or does not start.",
            Severity.ERROR,
        ),
        ADVICE: Code(
            "Probably not meant",
            "The file can be used, but something in it has an effect that people seldom want.",
            "Read the sentence, and change the place that is shown if it is right.",
        ),
        BROKEN: Code(
            "Guarantee broken",
            "There is a situation in which something promised does not hold.",
            "Make a rule or the handling stricter until the guarantee is proved, or correct the guarantee.",
            Severity.ERROR,
        ),
        EMPTY: Code(
            "Guarantee about nothing",
            "No situation fits the conditions of the guarantee, so it promises nothing.",
            "Correct its conditions: names are compared letter by letter, and a level must have lines.",
        ),
        TOO_MANY: Code(
            "Too many situations",
            "The policy tells more situations apart than can be looked at, so nothing is proved.",
            "Let rules share their conditions: fewer different ones make fewer situations.",
            Severity.ERROR,
        ),
        "unreachable-rule": Code(
            "Rule never matches",
            "There is no request for which all conditions of the rule hold, or exceptions lift it for everybody.",
            "Look for conditions that exclude one another, or remove the rule.",
        ),
        "rule-without-effect": Code(
            "Rule changes nothing",
            "Whenever the rule matches, other lines of the policy ask for at least as much.",
            "Remove it, or make it ask for what it is meant to ask for.",
        ),
        "rule-without-effect-here": Code(
            "Rule changes nothing here",
            "The rule changes nothing with the targets that there are; with others it could.",
            "Nothing, if it is meant for targets to come.",
            Severity.NOTE,
        ),
        "trial-ended": Code(
            "Trial has ended",
            "The last day of an audit-mode rule is over, so the rule does nothing.",
            "Enforce the rule, give it a later day, or remove it.",
        ),
        "exception-expired": Code(
            "Exception has expired",
            "The last day of an exception is over, so it lifts nothing.",
            "Remove it, or have it approved again with a later day.",
        ),
        "exception-without-effect": Code(
            "Exception lifts nothing",
            "The rule never matches for those it is made for, or others ask for the same as the rule.",
            "Correct whom it is for, or remove it.",
        ),
        "no-target-left": Code(
            "No target left",
            "There are requests that no target may receive, although nothing blocks them.",
            "Add a target that fits, or block these requests on purpose and tell the user why.",
        ),
        "level-never-produced": Code(
            "Level never occurs",
            "No request ever has this level, because a higher level's lines are true as well or it has no lines.",
            "Correct the lines of the level.",
        ),
        "looser-when-higher": Code(
            "More data, less care",
            "More sensitive data is handled more loosely than less sensitive data.",
            "Make the handling of the higher level as strict, or write 'or higher' into the rule's level.",
        ),
        "approval-without-approver": Code(
            "Nobody can approve",
            "An approval is asked for that nobody may give, so such requests never go anywhere.",
            "Name the groups that may approve, or say block.",
            Severity.ERROR,
        ),
        "label-of-no-target": Code(
            "No target has this label",
            "A label is asked for that no target has, so no cloud is ever permitted there.",
            "Look for a typing mistake, or declare the label at a target, with its evidence.",
        ),
        "region-of-no-target": Code(
            "No target is in this region",
            "A region is named in which there is no target.",
            "Look for a typing mistake; a region for targets to come may stay.",
            Severity.NOTE,
        ),
        "irreversible-redaction": Code(
            "What is hidden cannot be put back",
            "A data type is hidden whose values cannot be put back into the answer.",
            "Do not hide it, and keep such requests inside instead.",
        ),
        "limit-without-effect": Code(
            "Limit without effect",
            "A limit for somebody is never the one that counts.",
            "Remove it, or make it say something that the default and the ceiling do not.",
        ),
    }
)


def title(code: str) -> str:
    return CODES[code].title
