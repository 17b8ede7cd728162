"""Reading limits: the default, those for somebody, and the ceiling."""

from __future__ import annotations

from gateway.documents import Node
from gateway.domain.decision import Action
from gateway.domain.money import in_usd
from gateway.policy.load_when import read_when
from gateway.policy.names import Names
from gateway.policy.schema import Amounts, Limits, LimitScope, When

LIMITS = ("latency", "cost", "scopes", "ceiling")
LATENCY = ("first_token",)
AMOUNTS = ("per_request", "per_app_per_day")
SCOPE = ("for", "latency", "cost")
CEILING = ("latency", "cost")
WHOM = ("tenant", "app", "group", "role", "user", "model")
"""The conditions of a scope."""

_WEIGHT = {"tenant": 1, "app": 2, "role": 4, "group": 8, "model": 16, "user": 32}
_STRICT = ("local_only", "block")
_OF_AN_APP = frozenset({"tenant", "app"})


def read_limits(node: Node, names: Names) -> Limits:
    """The section ``limits``; scopes are ordered, the most specific first."""
    fields = node.mapping(LIMITS)
    default = _amounts(fields, ("when_spent",))
    ceiling = _amounts(fields["ceiling"].mapping(CEILING)) if "ceiling" in fields else None
    places = fields["scopes"].sequence() if "scopes" in fields else []
    scopes = [(_scope(item, names), item) for item in places]
    _check_overlaps(scopes)
    if ceiling is not None:
        _check_ceiling(default, node, ceiling, fields["ceiling"])
        for scope, place in scopes:
            _check_ceiling(scope.amounts, place, ceiling, fields["ceiling"])
    cost = fields["cost"].mapping((*AMOUNTS, "when_spent")) if "cost" in fields else {}
    spent = cost["when_spent"].one_of(_STRICT) if "when_spent" in cost else "block"
    budgets = (default, ceiling or Amounts(), *(scope.amounts for scope, _ in scopes))
    if "when_spent" in cost and all(amounts.per_app_per_day is None for amounts in budgets):
        cost["when_spent"].fail("when_spent needs a budget that can be spent: per_app_per_day is missing")
    return Limits(
        first_token=default.first_token,
        per_request=default.per_request,
        per_app_per_day=default.per_app_per_day,
        when_spent=Action(spent),
        scopes=tuple(sorted((scope for scope, _ in scopes), key=_specific_first)),
        ceiling=ceiling,
    )


def _amounts(fields: dict[str, Node], more: tuple[str, ...] = ()) -> Amounts:
    latency = fields["latency"].mapping(LATENCY) if "latency" in fields else {}
    cost = fields["cost"].mapping((*AMOUNTS, *more)) if "cost" in fields else {}
    return Amounts(
        first_token=latency["first_token"].seconds() if "first_token" in latency else None,
        per_request=cost["per_request"].money() if "per_request" in cost else None,
        per_app_per_day=cost["per_app_per_day"].money() if "per_app_per_day" in cost else None,
    )


def _scope(node: Node, names: Names) -> LimitScope:
    fields = node.mapping(SCOPE, ("for",))
    who = read_when(fields["for"], names, WHOM, must_exist=True)
    if fields and "latency" not in fields and "cost" not in fields:
        node.fail("a limit for somebody needs an amount: cost or latency")
    amounts = _amounts(fields)
    if amounts.per_app_per_day is not None and not {name for name, _ in who.names} <= _OF_AN_APP:
        message = "per_app_per_day is the budget of an app, so it can be set for a tenant or an app, not for less"
        fields["for"].fail(message)
    return LimitScope(who, amounts)


def _specific_first(scope: LimitScope) -> tuple[int, tuple[tuple[str, tuple[str, ...]], ...]]:
    return -sum(_WEIGHT[name] for name, _ in scope.who.names), scope.who.names


def _check_overlaps(scopes: list[tuple[LimitScope, Node]]) -> None:
    """Two scopes of the same kind for the same one would leave it open which has its say."""
    for number, (scope, place) in enumerate(scopes):
        for other, where in scopes[:number]:
            if _same_ones(scope.who, other.who) and _both_say(scope.amounts, other.amounts):
                place.fail(f"the limit in line {where.line} is for the same ones, and both set the same amount")


def _same_ones(one: When, other: When) -> bool:
    mine, theirs = dict(one.names), dict(other.names)
    return mine.keys() == theirs.keys() and all(set(mine[name]) & set(theirs[name]) for name in mine)


def _both_say(one: Amounts, other: Amounts) -> bool:
    return any(
        mine is not None and theirs is not None
        for mine, theirs in (
            (one.first_token, other.first_token),
            (one.per_request, other.per_request),
            (one.per_app_per_day, other.per_app_per_day),
        )
    )


def _check_ceiling(amounts: Amounts, place: Node, ceiling: Amounts, where: Node) -> None:
    above = "is above the ceiling in line"
    for name, mine, most in (
        ("per_request", amounts.per_request, ceiling.per_request),
        ("per_app_per_day", amounts.per_app_per_day, ceiling.per_app_per_day),
    ):
        if mine is not None and most is not None and mine > most:
            place.fail(f"{name} {in_usd(mine)} USD {above} {where.line}, {in_usd(most)} USD")
    if (
        amounts.first_token is not None
        and ceiling.first_token is not None
        and amounts.first_token > ceiling.first_token
    ):
        place.fail(f"first_token {amounts.first_token:g} s {above} {where.line}, {ceiling.first_token:g} s")
