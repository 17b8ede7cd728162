"""A difference between two policies, written as the test that would notice it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import date
from typing import Any

from gateway.domain.decision import Action, BudgetState, Facts, Level
from gateway.domain.finding import DetectorState, Found
from gateway.domain.money import in_usd
from gateway.domain.target import Target
from gateway.policy.compile import CompiledPolicy
from gateway.policy.evaluate import evaluate
from gateway.policy.testing.expected import NONE, NOTHING, Seen, in_words, is_among, observed

_TELLING = ("action", "level", "sent_to", "targets", "redacted", "hidden", "hidden_in_answers", "regions")
"""The keys that say most, the most telling first; the others follow."""
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")


def noticing(
    policy: CompiledPolicy, other: CompiledPolicy, facts: Facts, targets: Sequence[Target], as_of: date
) -> str:
    """A test that passes with `policy` and fails with `other`, as ``given`` and ``expect``; empty if there is none for
    these facts. `as_of` is the day of the test file."""
    timed = facts.as_of != as_of or any(rule.when.times for rule in policy.source.rules)
    want = observed(Seen(policy, evaluate(policy, facts, targets), targets))
    got = observed(Seen(other, evaluate(other, facts, targets), targets))
    for key in (*_TELLING, *(name for name in want if name not in _TELLING)):
        if want[key] != got[key] and (expected := _expected(key, want[key], got[key])):
            return f"given: {as_given(facts, timed)}, expect: {expected}"
    return ""


def as_given(facts: Facts, timed: bool) -> str:
    """Facts as the value of ``given``, without what is ordinary, and without the moment unless `timed`."""
    pairs = [(name, getattr(facts, name)) for name in ("tenant", "app", "group", "role", "user", "model")]
    pairs.insert(5, ("api", facts.dialect))
    members = [f"{name}: {_text(value)}" for name, value in pairs if value]
    if facts.found:
        members.append(f"found: {{{', '.join(_found(item) for item in facts.found)}}}")
    if facts.detector is not DetectorState.OK:
        members.append(f"detector: {facts.detector.value}")
    for name in ("unreadable", "redaction_incomplete", "approved"):
        if getattr(facts, name):
            members.append(f"{name}: true")
    if facts.prompt_tokens:
        members.append(f"prompt_tokens: {facts.prompt_tokens}")
    if facts.budget is not BudgetState.OK:
        members.append(f"budget: {facts.budget.value}")
    if facts.labels:
        members.append(f"declared: [{', '.join(map(_text, facts.labels))}]")
    for name in ("min_level", "history_level"):
        if (level := getattr(facts, name)) is not None:
            members.append(f"{name}: {level.word}")
    if facts.max_cost is not None:
        members.append(f"max_cost: {in_usd(facts.max_cost)} USD")
    if facts.max_first_token is not None:
        members.append(f"max_first_token: {facts.max_first_token:g}s")
    if timed:
        members.append(f'at: "{facts.as_of}T{facts.minute // 60:02}:{facts.minute % 60:02}Z"')
    return f"{{{', '.join(members)}}}"


def _found(item: Found) -> str:
    if item.percent == 100:
        return f"{item.entity}: {item.distinct}"
    return f"{item.entity}: {{count: {item.distinct}, percent: {item.percent}}}"


def _expected(key: str, want: Any, got: Any) -> str:
    """The value of ``expect`` that `want` meets and `got` does not; empty if the key cannot say so."""
    if is_among(key):
        more = want - got
        if not more and want:
            return ""  # the other one has everything that this one has, and more
        want = more
    words = _value(key, want)
    outer, _, inner = key.partition(".")
    return f"{{{outer}: {{{inner}: {words}}}}}" if inner else f"{{{key}: {words}}}"


def _value(key: str, value: Any) -> str:
    if isinstance(value, frozenset):
        return f"[{', '.join(_text(name) for name in sorted(value))}]"
    if value in (NONE, NOTHING) or isinstance(value, Action | Level | bool | int | float):
        return in_words(key, value)
    return _text(str(value))


def _text(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
