"""Limits of several policies as one: whoever asks gets the smaller of what each of them grants."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from math import prod
from typing import Any, TypeAlias

from gateway.domain.decision import Action
from gateway.policy.schema import NAMED, Amounts, Limits, LimitScope, When
from gateway.policy.strictness import least

AMOUNTS = ("first_token", "per_request", "per_app_per_day")
MOST_SCOPES = 2_000
"""More than these are refused: each pair of limits that overlap makes another one."""

_OF_AN_APP = frozenset({"tenant", "app"})
_Who: TypeAlias = "tuple[tuple[str, tuple[str, ...]], ...]"


class TooManyScopes(Exception):
    """So many limits for somebody overlap that their join cannot be written out."""


def joined_limits(one: Limits, other: Limits) -> Limits:
    """Grants everybody the smaller of what both grant. Raises `TooManyScopes`."""
    return Limits(
        **{name: least(getattr(one, name), getattr(other, name)) for name in AMOUNTS},
        when_spent=_when_spent(one, other),
        scopes=_joined_scopes(one, other) if one.scopes or other.scopes else (),
        ceiling=_joined_ceiling(one.ceiling, other.ceiling),
    )


def granted(limits: Limits, who: When, name: str) -> float | int | None:
    """The amount of that name that everybody in `who` is granted by default or by a scope for at least all of them;
    None is no limit. A scope for some of them only is not looked at."""
    wanted = dict(who.names)
    covering = [scope for scope in limits.scopes if _covers(dict(scope.who.names), wanted)]
    for scope in covering:  # the most specific first
        if (amount := getattr(scope.amounts, name)) is not None:
            return _under(limits.ceiling, name, amount)
    return _under(limits.ceiling, name, getattr(limits, name))


def has_budget(limits: Limits) -> bool:
    """Is there a budget of the day that can be spent?"""
    said = [limits.per_app_per_day, *(scope.amounts.per_app_per_day for scope in limits.scopes)]
    said.append(limits.ceiling.per_app_per_day if limits.ceiling else None)
    return any(amount is not None for amount in said)


def _when_spent(one: Limits, other: Limits) -> Action:
    """`block` where any policy with a budget says so; one without a budget has no say."""
    words = [limits.when_spent for limits in (one, other) if has_budget(limits)]
    return Action.LOCAL_ONLY if words and all(word is Action.LOCAL_ONLY for word in words) else Action.BLOCK


def _joined_ceiling(one: Amounts | None, other: Amounts | None) -> Amounts | None:
    if one is None or other is None:
        return other if one is None else one
    return Amounts(**{name: least(getattr(one, name), getattr(other, name)) for name in AMOUNTS})


def _joined_scopes(one: Limits, other: Limits) -> tuple[LimitScope, ...]:
    """Every group of people that any scope tells apart, with the smaller amount. The groups are closed under
    intersection, so of those that somebody is in, the most specific one knows of all the others."""
    groups = _closed(_split([scope.who.names for scope in (*one.scopes, *other.scopes)]))
    scopes = []
    for names in groups:
        who = When(names=names)
        said: dict[str, Any] = {name: _amount(one, other, who, name) for name in AMOUNTS}
        amounts = Amounts(**said)
        if amounts != Amounts():
            scopes.append(LimitScope(who, amounts))
    return tuple(sorted(scopes, key=lambda scope: (-len(scope.who.names), scope.who.names)))


def _amount(one: Limits, other: Limits, who: When, name: str) -> float | int | None:
    """Nothing where no scope says anything, so that the default holds; and a budget of the day is never for less than
    an app."""
    wanted = dict(who.names)
    if name == "per_app_per_day" and not wanted.keys() <= _OF_AN_APP:
        return None
    if not any(
        getattr(scope.amounts, name) is not None and _covers(dict(scope.who.names), wanted)
        for scope in (*one.scopes, *other.scopes)
    ):
        return None
    return least(granted(one, who, name), granted(other, who, name))


def _split(scopes: Iterable[_Who]) -> set[_Who]:
    """The same groups, cut so that two lists of one condition have nothing in common unless they are equal."""
    whos = list(scopes)
    lists: dict[str, list[frozenset[str]]] = {}
    for who in whos:
        for condition, names in who:
            lists.setdefault(condition, []).append(frozenset(names))
    atoms: dict[str, dict[str, tuple[str, ...]]] = {}
    for condition, sets in lists.items():
        by_lists: dict[tuple[bool, ...], list[str]] = {}
        for name in sorted(frozenset().union(*sets)):
            by_lists.setdefault(tuple(name in names for names in sets), []).append(name)
        atoms[condition] = {name: tuple(group) for group in by_lists.values() for name in group}
    cut: set[_Who] = set()
    for who in whos:
        choices = [sorted({(condition, atoms[condition][name]) for name in names}) for condition, names in who]
        if prod(map(len, choices)) > MOST_SCOPES:
            raise TooManyScopes
        cut.update(product(*choices))
        _bounded(cut)
    return cut


def _closed(groups: set[_Who]) -> set[_Who]:
    """These groups and every intersection of them that is not empty."""
    closed: set[_Who] = set()
    for group in sorted(groups):
        closed |= {group} | {met for other in closed if (met := _meet(group, other)) is not None}
        _bounded(closed)
    return closed


def _meet(one: _Who, other: _Who) -> _Who | None:
    mine, theirs = dict(one), dict(other)
    if any(mine[condition] != theirs[condition] for condition in mine.keys() & theirs.keys()):
        return None
    both = mine | theirs
    return tuple((condition, both[condition]) for condition in NAMED if condition in both)


def _bounded(groups: set[_Who]) -> None:
    if len(groups) > MOST_SCOPES:
        raise TooManyScopes


def _covers(conditions: dict[str, tuple[str, ...]], wanted: dict[str, tuple[str, ...]]) -> bool:
    """Does everybody in `wanted` meet these conditions?"""
    return all(name in wanted and set(wanted[name]) <= set(names) for name, names in conditions.items())


def _under(ceiling: Amounts | None, name: str, amount: float | int | None) -> float | int | None:
    return least(amount, getattr(ceiling, name)) if ceiling is not None else amount
