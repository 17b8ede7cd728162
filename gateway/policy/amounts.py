"""Which limits somebody has: the default or what the most specific scope says, never above the ceiling."""

from __future__ import annotations

from gateway.domain.decision import Facts
from gateway.domain.money import NanoUsd
from gateway.policy.compile import CompiledLimits
from gateway.policy.schema import Amounts


def scopes_of(limits: CompiledLimits, facts: Facts) -> int:
    """The mask of the scopes that the caller and the model of these facts are in."""
    if not limits.scopes:
        return 0
    fitting = (1 << len(limits.scopes)) - 1
    for getter, masks, everybody_else in limits.names:
        fitting &= masks.get(getter(facts), everybody_else)
    return fitting


def limits_of(limits: CompiledLimits, fitting: int) -> Amounts:
    """The limits for whoever is in the scopes of a mask; each amount comes from the most specific scope that says
    something of it."""
    default, ceiling = limits.default, limits.ceiling
    first_token, per_request, per_day = default.first_token, default.per_request, default.per_app_per_day
    if place := fitting & limits.first_token:
        first_token = limits.scopes[_lowest(place)].first_token
    if place := fitting & limits.per_request:
        per_request = limits.scopes[_lowest(place)].per_request
    if place := fitting & limits.per_app_per_day:
        per_day = limits.scopes[_lowest(place)].per_app_per_day
    if ceiling.first_token is not None:
        first_token = ceiling.first_token if first_token is None else min(first_token, ceiling.first_token)
    return Amounts(first_token, _smaller(per_request, ceiling.per_request), _smaller(per_day, ceiling.per_app_per_day))


def _lowest(mask: int) -> int:
    return (mask & -mask).bit_length() - 1


def _smaller(one: NanoUsd | None, other: NanoUsd | None) -> NanoUsd | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
