"""Decisions in a sentence, with where the request would go: for people who read no code."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.domain.decision import Decision, Gate
from gateway.domain.money import in_usd
from gateway.domain.target import Target, Zone
from gateway.policy import CompiledPolicy
from gateway.policy.analysis.words import listed


def decided(policy: CompiledPolicy, decision: Decision, targets: Sequence[Target]) -> str:
    """Such as ``Level internal, action redact. It may go to a (local) and b (cloud, EU); clouds do not see names.``"""
    permitted = decision.permitted
    where = [_target(target) for target in targets if target.id in permitted]
    if where:
        goes = f"It may go to {listed(where)}"
    elif decision.gate is Gate.REQUIRE_APPROVAL:
        goes = "It may go nowhere until it has been approved"
    else:
        goes = "It may go nowhere"
    more = []
    if decision.redact and any(target.zone is Zone.CLOUD and target.id in permitted for target in targets):
        more.append(f"clouds do not see {_hidden(policy, decision)}")
    if where and decision.cost_cap is not None:
        more.append(f"at most {in_usd(decision.cost_cap)} USD")
    if where and decision.first_token is not None:
        more.append(f"first token within {decision.first_token:g} s")
    return f"Level {decision.level.word}, action {decision.action.value}. {'; '.join([goes, *more])}."


def _target(target: Target) -> str:
    return f"{target.id} ({'local' if target.zone is Zone.LOCAL else f'cloud, {target.region}'})"


def _hidden(policy: CompiledPolicy, decision: Decision) -> str:
    if decision.redact == policy.hide_all:
        return "any data type in clear"
    least = {hidden.entity: hidden.percent for hidden in decision.redact}
    names = [
        name
        for name, parts in policy.hidden.items()
        if all(least.get(part.entity, 101) <= part.percent for part in parts)
    ]
    return f"{listed(names or sorted(least), 'or')} in clear"
