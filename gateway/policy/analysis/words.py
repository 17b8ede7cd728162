"""Situations and decisions in a sentence, for people who read no code. Names, counts and rules; never content."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from gateway.domain.decision import BudgetState, Decision, Facts
from gateway.domain.finding import DetectorState
from gateway.domain.money import in_usd

_WHO = (
    ("tenant", "of tenant"),
    ("app", "from app"),
    ("group", "by group"),
    ("role", "with role"),
    ("user", "by user"),
    ("dialect", "over the API"),
    ("model", "for model"),
)
_SHOWN = 4
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def listed(words: Iterable[str], last: str = "and") -> str:
    """Such as ``a, b and c``."""
    *others, final = words
    return f"{', '.join(others)} {last} {final}" if others else final


def times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")


def situation(facts: Facts, as_of: date) -> str:
    """The facts that are not as in an ordinary, empty request, as a sentence."""
    who = " ".join(f"{words} '{value}'" for name, words in _WHO if (value := getattr(facts, name)))
    parts = [f"a request {who}" if who else "a request by anybody"]
    found = [
        f"{item.entity} {times(item.distinct)}{'' if item.percent == 100 else f' (at {item.percent} %)'}"
        for item in facts.found
        if item.distinct
    ]
    parts.append(f"{listed(found)} found" if found else "nothing found")
    if facts.labels:
        parts.append(f"declared as {listed(facts.labels)} by the caller")
    if facts.prompt_tokens:
        parts.append(f"a prompt of {facts.prompt_tokens:,} tokens")
    if facts.as_of != as_of or facts.minute:
        time = f"{facts.minute // 60:02}:{facts.minute % 60:02}"
        parts.append(f"on {_DAYS[facts.as_of.weekday()]} {facts.as_of} at {time} UTC")
    if facts.min_level is not None:
        parts.append(f"the caller asks for level {facts.min_level.word}")
    if facts.history_level is not None:
        parts.append(f"the conversation had level {facts.history_level.word} before")
    if facts.detector is not DetectorState.OK:
        parts.append("the detector failed")
    if facts.unreadable:
        parts.append("a part of it cannot be read")
    if facts.redaction_incomplete:
        parts.append("something could not be hidden completely")
    if facts.budget is BudgetState.SPENT:
        parts.append("the budget of the app is spent")
    if facts.approved:
        parts.append("it has been approved")
    sentence = ", ".join(parts)
    return f"{sentence[0].upper()}{sentence[1:]}."


def decided(decision: Decision) -> str:
    """The decision as a sentence."""
    permitted = [verdict.target for verdict in decision.targets if verdict.permitted]
    where = f"may go to {listed(permitted)}" if permitted else "may go nowhere"
    because = listed(list(dict.fromkeys(reason.rule for reason in decision.reasons)) or ["nothing"])
    more = [f"hidden from clouds: {_few([item.entity for item in decision.redact])}"] if decision.redact else []
    if decision.cost_cap is not None:
        more.append(f"at most {in_usd(decision.cost_cap)} USD")
    end = f" ({'; '.join(more)})" if more else ""
    return f"Level {decision.level.word}, {decision.action.value}: it {where}{end}, because of {because}."


def _few(names: list[str]) -> str:
    shown = names[:_SHOWN]
    return listed([*shown, f"{len(names) - _SHOWN} more"] if len(names) > _SHOWN else shown)
