"""The facts of a situation as a test file writes them, so that an example can be tried by hand."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from gateway.domain.decision import BudgetState, Facts
from gateway.domain.finding import DetectorState, Found
from gateway.domain.tree import Json, JsonObject
from gateway.policy.schema import FACT_OF, NAMED, Policy


def given(facts: Facts, as_of: date, policies: Iterable[Policy]) -> JsonObject:
    """The ``given`` of a test on the day `as_of`; what is as in an ordinary, empty request is left out. The time is
    given where one of the policies looks at it: a test without one takes place at noon."""
    shown: JsonObject = {name: value for name in NAMED if (value := getattr(facts, FACT_OF[name]))}
    if facts.found:
        shown["found"] = {item.entity: _count(item) for item in facts.found}
    if facts.detector is not DetectorState.OK:
        shown["detector"] = facts.detector.value
    if facts.budget is not BudgetState.OK:
        shown["budget"] = facts.budget.value
    for name in ("unreadable", "redaction_incomplete", "approved"):
        if getattr(facts, name):
            shown[name] = True
    if facts.prompt_tokens:
        shown["prompt_tokens"] = facts.prompt_tokens
    for name in ("min_level", "history_level"):
        if (level := getattr(facts, name)) is not None:
            shown[name] = level.word
    if facts.labels:
        shown["declared"] = [*facts.labels]
    if facts.as_of != as_of or any(rule.when.times for policy in policies for rule in policy.rules):
        shown["at"] = f"{facts.as_of}T{facts.minute // 60:02}:{facts.minute % 60:02}+00:00"
    return shown


def _count(item: Found) -> Json:
    return item.distinct if item.percent == 100 else {"count": item.distinct, "percent": item.percent}
