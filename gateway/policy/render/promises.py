"""Guarantees in words: the sentence that somebody wrote, and below it what is really checked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from gateway.domain.decision import Action, LogContent
from gateway.policy.analysis.clauses import Condition
from gateway.policy.analysis.expectations import Expectation
from gateway.policy.analysis.guarantees import Guarantee
from gateway.policy.render.page import Point
from gateway.policy.render.phrases import count, duration, listed, money, requests
from gateway.policy.schema import When

_SENT = {
    "local": "may go to our own machines and nowhere else",
    "cloud": "may go to a cloud",
    "nobody": "may go nowhere",
}
_DONE = {
    Action.ALLOW: "let through as they are",
    Action.REDACT: "sent with stand-ins",
    Action.LOCAL_ONLY: "kept on our own machines",
    Action.REQUIRE_APPROVAL: "held until somebody approves",
    Action.BLOCK: "refused",
}
_SITUATIONS = {
    "detector": ("the search for personal data works", "the search for personal data fails"),
    "unreadable": ("every part can be searched", "a part cannot be searched"),
    "budget": ("the app's amount of the day is not spent", "the app's amount of the day is spent"),
    "redaction_incomplete": ("all could be hidden that had to be", "something could not be hidden that had to be"),
    "approved": ("they have not been approved", "they have been approved"),
}


def promises(guarantees: Iterable[Guarantee]) -> tuple[Point, ...]:
    return tuple(_promise(guarantee) for guarantee in guarantees)


def _promise(guarantee: Guarantee) -> Point:
    subject = _subject(guarantee.when)
    below = []
    if guarantee.never is not None:
        below += [f"Checked: it never happens that {subject} {said}." for said in _said(guarantee.never)]
    if guarantee.always is not None:
        below += [f"Checked: it is always so that {subject} {said}." for said in _said(guarantee.always)]
    return Point(guarantee.say, tuple(below))


def _subject(when: Condition) -> str:
    words = requests(when.when) if when.when != When() else "Requests of any kind"  # "never all" would mean: some
    subject = f"{words[0].lower()}{words[1:]}"
    given = [_SITUATIONS[name][value] for name, value in when.flags]
    if when.min_level is not None:
        given.append(f"the caller asks for the level {when.min_level.word} or higher")
    return f"(where {listed(given)}) {subject}" if given else subject


def _said(expectation: Expectation) -> list[str]:
    return [_SAID[key](value, expectation.never) for key, value in expectation.wanted]


def _or(names: Collection[Any]) -> str:
    return listed(sorted(map(str, names)), "or")


def _and(names: Collection[Any]) -> str:
    return listed(sorted(map(str, names)))


def _flag(yes: str, no: str) -> Callable[[Any, bool], str]:
    return lambda value, never: yes if value else no


def _listed(never_said: str, always_said: str) -> Callable[[Any, bool], str]:
    """Under never any of the names counts, under always each."""
    return lambda names, never: never_said.format(_or(names)) if never else always_said.format(_and(names))


_SAID: dict[str, Callable[[Any, bool], str]] = {
    "sent_to": lambda words, never: listed([_SENT[word] for word in sorted(words)], "or"),
    "has_target": _flag("have a model that may receive them", "have no model that may receive them"),
    "action": lambda actions, never: f"are {listed([_DONE[action] for action in Action if action in actions], 'or')}",
    "level": lambda levels, never: f"are {listed([level.word for level in sorted(levels)], 'or')}",
    "targets": _listed("may go to {}", "may go to {}"),
    "regions": lambda names, never: f"go to clouds {'' if never else 'only '}in {_or(names)}",
    "provider_without": _listed("go to a cloud whose provider lacks {}", ""),
    "provider_must_have": _listed("", "go only to clouds whose provider has {}"),
    "redacted": _flag("have something replaced by stand-ins", "have nothing replaced by stand-ins"),
    "in_clear": _listed("reach a cloud with real values of {}", ""),
    "hide_in_answers": _listed("", "get answers in which every value of {} is replaced by its kind"),
    "tell_user": _flag("come with a sentence for the caller", "come without a sentence for the caller"),
    "notify": _listed("are reported to {}", "are reported to {}"),
    "approvers": lambda groups, never: f"can be approved by nobody outside the groups {_or(groups)}",
    "retain_days": lambda days, never: f"leave nothing that is kept for more than {count(days, 'day')}",
    "log_content": lambda least, never: (
        "leave no content in a log"
        if least is LogContent.NEVER
        else "leave content in a log only in encrypted form, or none"
    ),
    "cost_per_request": lambda most, never: f"may cost at most {money(most)} each",
    "first_token": lambda most, never: f"are to get the beginning of their answer within {duration(most)}",
}
"""Every key of a guarantee, to follow the requests that it is about."""
