"""Mutants: the policy with one thing dropped or loosened, each a slip that somebody could make in an editor.

A good set of tests notices each of them. Nothing is made stricter here: what a slip must never do is let more out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from typing import TypeVar

from gateway.domain.decision import Action, Level
from gateway.policy.schema import Amounts, DataType, Limits, Line, Outcome, Policy, Rule, Waiver, When
from gateway.policy.testing.loosened import amounts, asks, conditions, lines, outcomes, widened
from gateway.policy.testing.subject import Keys
from gateway.policy.written import line_key, scope_key

KINDS = ("rule", "exception", "handling", "limit", "if_unsure", "level", "answers", "data type")
NAMED_BY_KIND = ("rule", "exception", "data type")
"""The kinds of which a name alone does not say what it is."""
RAISED = 10
"""By how many percentage points a data type's confidence is raised."""
LATER = timedelta(days=365)
"""By how much an exception is prolonged."""

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Mutant:
    """`keys` say where what was changed stands, `change` the change in words. `rule` names the rule that has to match
    for the mutant to make a difference, `level` the level that a request has to have; None means any. `days` are those
    on which to look for a difference, beside the day of the tests."""

    kind: str
    name: str
    keys: Keys
    change: str
    policy: Policy
    rule: str | None = None
    level: Level | None = None
    days: tuple[date, ...] = ()

    def __str__(self) -> str:
        named = f"{self.kind} {self.name}" if self.kind in NAMED_BY_KIND else self.name
        return f"{named}: {self.change}"


def mutants(policy: Policy) -> Iterator[Mutant]:
    """Every mutant of a policy, in the order of the file's sections."""
    yield from _data_types(policy)
    yield from _levels(policy)
    yield from _handling(policy)
    yield from _answers(policy)
    yield from _limits(policy)
    yield from _unsure(policy)
    for place, rule in enumerate(policy.rules):
        yield from _rule(policy, place, rule)
    for place, waiver in enumerate(policy.waivers):
        yield from _waiver(policy, place, waiver)


def _data_types(policy: Policy) -> Iterator[Mutant]:
    for place, kind in enumerate(policy.data_types):
        whole = ("data type", kind.name)

        def mutant(change: str, keys: Keys, changed: DataType, place: int = place, name: str = kind.name) -> Mutant:
            kinds = _put(policy.data_types, place, changed)
            return Mutant("data type", name, keys, change, replace(policy, data_types=kinds))

        for entity in kind.detect:
            kept = tuple(other for other in kind.detect if other != entity)
            keys = (("entity", f"{kind.name}\n{entity}"), whole)
            yield mutant(f"{entity} not detected", keys, replace(kind, detect=kept))
        if kind.percent < 100:
            percent = min(100, kind.percent + RAISED)
            words = f"counts from {percent} % instead of {kind.percent} %"
            yield mutant(words, (whole,), replace(kind, percent=percent))


def _levels(policy: Policy) -> Iterator[Mutant]:
    for place, (level, listed) in enumerate(policy.levels):
        for number, line in enumerate(listed):
            keys = (line_key(level, line), ("level", level.word))
            name = f"levels.{level.word}, {line_words(line)}"
            changes = [("dropped", (*listed[:number], *listed[number + 1 :]))]
            changes += [(words, tuple(sorted({*_put(listed, number, looser)}))) for words, looser in lines(line)]
            for words, changed in changes:
                levels = _put(policy.levels, place, (level, changed))
                yield Mutant("level", name, keys, words, replace(policy, levels=levels))


def line_words(line: Line) -> str:
    """A line of a level as it could be written."""
    named = f"any_of {', '.join(line.any_of)}" if line.any_of else f"all_of {', '.join(line.all_of)}"
    return named if line.at_least == 1 else f"{named}, at_least {line.at_least}"


def with_handling(policy: Policy, level: Level, outcome: Outcome) -> tuple[Outcome, Outcome, Outcome, Outcome]:
    """The handling of all levels, with another one for this level."""
    public, internal, confidential, restricted = _put(policy.handling, level, outcome)
    return public, internal, confidential, restricted


def _handling(policy: Policy) -> Iterator[Mutant]:
    for level in Level:
        for (key, words), outcome in outcomes(policy.handling[level]):
            keys = (("handling", f"{level.word}.{key}"), ("handling", level.word))
            changed = replace(policy, handling=with_handling(policy, level, outcome))
            yield Mutant("handling", f"handling.{level.word}", keys, words, changed, level=level)


def _answers(policy: Policy) -> Iterator[Mutant]:
    for name in policy.answers:
        kept = tuple(other for other in policy.answers if other != name)
        keys = (("section", "answers"),)
        yield Mutant("answers", "answers.hide", keys, f"{name} not hidden in answers", replace(policy, answers=kept))


def _limits(policy: Policy) -> Iterator[Mutant]:
    limits = policy.limits
    for keys_of, name, said, put in _amounts_of(limits):
        for (amount, words), changed in amounts(said):
            yield Mutant("limit", name, keys_of(amount), words, replace(policy, limits=put(changed)))
    if limits.when_spent is Action.BLOCK and has_budget(limits):
        words = "local_only instead of block"
        changed_limits = replace(limits, when_spent=Action.LOCAL_ONLY)
        keys = (("limit", "when_spent"), ("section", "limits"))
        yield Mutant("limit", "limits.when_spent", keys, words, replace(policy, limits=changed_limits))


def has_budget(limits: Limits) -> bool:
    """Is there a budget that can be spent?"""
    said = [limits.per_app_per_day, *(scope.amounts.per_app_per_day for scope in limits.scopes)]
    return any(amount is not None for amount in (*said, limits.ceiling and limits.ceiling.per_app_per_day))


@dataclass(frozen=True, slots=True)
class _Put:
    """Puts amounts in the place of those of a scope (by its number), of the ceiling or of the default."""

    limits: Limits
    scope: int | None = None
    ceiling: bool = False

    def __call__(self, said: Amounts) -> Limits:
        if self.ceiling:
            return replace(self.limits, ceiling=said)
        if self.scope is not None:
            scope = replace(self.limits.scopes[self.scope], amounts=said)
            return replace(self.limits, scopes=_put(self.limits.scopes, self.scope, scope))
        first_token, per_request, per_day = said.first_token, said.per_request, said.per_app_per_day
        return replace(self.limits, first_token=first_token, per_request=per_request, per_app_per_day=per_day)


def _amounts_of(limits: Limits) -> Iterator[tuple[Callable[[str], Keys], str, Amounts, _Put]]:
    """The default, each scope and the ceiling: places by amount, name, value, and what puts another value there."""
    default = Amounts(limits.first_token, limits.per_request, limits.per_app_per_day)
    section = ("section", "limits")
    yield lambda amount: (("limit", amount), section), "limits", default, _Put(limits)
    for number, scope in enumerate(limits.scopes):
        who = ", ".join(f"{condition} {' or '.join(accepted)}" for condition, accepted in scope.who.names)
        yield partial(_scope_keys, scope.who), f"limits for {who}", scope.amounts, _Put(limits, scope=number)
    if limits.ceiling is not None:
        yield (
            lambda amount: (("ceiling", amount), section),
            "limits.ceiling",
            limits.ceiling,
            _Put(limits, ceiling=True),
        )


def _scope_keys(who: When, amount: str) -> Keys:
    return scope_key(who, amount), scope_key(who), ("section", "limits")


def limit_removals(limits: Limits) -> Iterator[tuple[Keys, str, Limits]]:
    """Each amount with its places, its name, and the limits without it."""
    for keys_of, name, said, put in _amounts_of(limits):
        for (amount, _), changed in amounts(said):
            if getattr(changed, amount) is None:
                yield keys_of(amount), f"{name}: {amount}", put(changed)


def _unsure(policy: Policy) -> Iterator[Mutant]:
    for place, (key, action) in enumerate(policy.unsure):
        if action is Action.BLOCK:
            unsure = _put(policy.unsure, place, (key, Action.LOCAL_ONLY))
            words = "local_only instead of block"
            keys = (("unsure", key), ("section", "if_unsure"))
            yield Mutant("if_unsure", f"if_unsure.{key}", keys, words, replace(policy, unsure=unsure))


def _rule(policy: Policy, place: int, rule: Rule) -> Iterator[Mutant]:
    days = (rule.until,) if rule.until else ()

    def mutant(change: str, rules: tuple[Rule, ...]) -> Mutant:
        return Mutant("rule", rule.id, (("rule", rule.id),), change, replace(policy, rules=rules), rule.id, days=days)

    yield mutant("dropped", (*policy.rules[:place], *policy.rules[place + 1 :]))
    alone = asks(rule.then) == 1
    for (_, words), outcome in outcomes(rule.then):
        if not alone or asks(outcome):
            yield mutant(words, _put(policy.rules, place, replace(rule, then=outcome)))
    for words, when in conditions(rule.when):
        yield mutant(words, _put(policy.rules, place, replace(rule, when=when)))


def _waiver(policy: Policy, place: int, waiver: Waiver) -> Iterator[Mutant]:
    last = waiver.expires
    days = (last, last + timedelta(days=1)) if last < date.max else (last,)

    def mutant(change: str, waivers: tuple[Waiver, ...]) -> Mutant:
        changed = replace(policy, waivers=waivers)
        return Mutant("exception", waiver.id, (("exception", waiver.id),), change, changed, waiver.lifts, days=days)

    yield mutant("dropped", (*policy.waivers[:place], *policy.waivers[place + 1 :]))
    for words, who in widened(waiver.who):
        yield mutant(words, _put(policy.waivers, place, replace(waiver, who=who)))
    if last < date.max - LATER:
        later = replace(waiver, expires=last + LATER)
        words = f"expires on {later.expires} instead of {last}"
        yield mutant(words, _put(policy.waivers, place, later))


def _put(items: tuple[_Item, ...], place: int, item: _Item) -> tuple[_Item, ...]:
    return (*items[:place], item, *items[place + 1 :])
