"""Why two policies decide otherwise about the same request: the parts that differ and that can make this difference."""

from __future__ import annotations

from dataclasses import replace

from gateway.domain.decision import Decision, Facts, Gate, LogContent
from gateway.policy.amounts import limits_of, scopes_of
from gateway.policy.analysis.differences import BOUNDS, DUTIES, TRIAL, WHERE
from gateway.policy.compile import CompiledPolicy
from gateway.policy.effects import Effect
from gateway.policy.schema import Amounts, Policy, Waiver

MODE, LIMITS, LEVELS, DATA_TYPES = "mode", "limits", "levels", "data_types"
"""Sections of a policy that no reason names."""

_FOLLOWING = ("caller.", "conversation.", "if_unsure.no_target_left")
_APPROVED = "approval"
"""The reason that a request has been approved."""


class Causes:
    """Compares two policies once, and then their decisions."""

    def __init__(self, old: CompiledPolicy, new: CompiledPolicy) -> None:
        self._policies = old, new
        self._effects = _effects(old), _effects(new)
        self.apart = _apart(old.source, new.source)
        """The rules and exceptions to be told apart in an enumeration, so that causes are."""

    def of(self, facet: str, facts: Facts, old: Decision, new: Decision) -> frozenset[str]:
        """The ids of rules, exceptions and places that differ, as far as they can make a difference of this facet."""
        if self._policies[0].source.audit is not self._policies[1].source.audit:
            return frozenset({MODE})
        if facet == TRIAL:
            was, now = ({reason.rule for reason in decision.would} for decision in (old, new))
            return frozenset(was ^ now | self._redefined(was & now, TRIAL)) or self.of(WHERE, facts, old, new)
        was, now = ({reason.rule for reason in decision.reasons} for decision in (old, new))
        ids = was ^ now
        if facet == WHERE and old.level is not new.level:
            ids = {name for name in ids if not name.startswith("handling.")} | {LEVELS}
        ids = {name for name in ids if self._concerns(name, facet)} | self._redefined(was & now, facet)
        if facet == BOUNDS and self._limits(0, facts) != self._limits(1, facts):
            ids.add(LIMITS)
        # What follows from the facts, or from something else that differs, is no cause.
        following = {name for name in ids if name == _APPROVED or name.startswith(_FOLLOWING)}
        own = ids - (following - self._redefined(following, facet))
        return frozenset(own or {DATA_TYPES})

    def _redefined(self, ids: set[str], facet: str) -> set[str]:
        """Those that ask for something else than before."""
        old, new = self._effects
        return {
            name for name in ids if name in old and name in new and _part(old[name], facet) != _part(new[name], facet)
        }

    def _concerns(self, name: str, facet: str) -> bool:
        effects = [effects[name] for effects in self._effects if name in effects]
        return not effects or any(_part(effect, facet) != _NOTHING[facet] for effect in effects)

    def _limits(self, place: int, facts: Facts) -> Amounts:
        limits = self._policies[place].limits
        return limits_of(limits, scopes_of(limits, facts))


_WHERE_NOTHING: tuple[object, ...] = (Gate.ALLOW, True, None, frozenset(), frozenset(), None)
_NOTHING: dict[str, object] = {
    WHERE: _WHERE_NOTHING,
    TRIAL: _WHERE_NOTHING,
    BOUNDS: (None, None),
    DUTIES: ((), None, LogContent.UNSAID, frozenset(), ""),
}
"""What `_part` gives of an effect that asks for nothing."""


def _effects(policy: CompiledPolicy) -> dict[str, Effect]:
    """Everything that can have a say, by id; exceptions not, which have no effect of their own."""
    listed = [*policy.handling, *policy.unsure.values(), policy.spent, *policy.always]
    return {effect.reason.rule: effect for effect in (*listed, *(rule.effect for rule in policy.rules))}


def _part(effect: Effect, facet: str) -> object:
    """What of an effect is about this."""
    where = (effect.gate, effect.cloud, effect.regions, effect.provider_must_have, effect.redact)
    if facet == BOUNDS:
        return effect.cost_cap, effect.first_token
    if facet == DUTIES:
        duties = effect.notify, effect.retain_days, effect.log_content
        return *duties, effect.hide_in_answers, effect.tell_user
    approval = None if effect.approval is None else (effect.approval.approvers, effect.approval.seconds)
    return *where, approval


def _apart(old: Policy, new: Policy) -> frozenset[str]:
    words = old.data_types == new.data_types
    levels = words and old.levels == new.levels
    found: set[str] = set()
    was, now = {rule.id: rule for rule in old.rules}, {rule.id: rule for rule in new.rules}
    for name in was.keys() | now.keys():
        one, other = was.get(name), now.get(name)
        if one is None or other is None or replace(one, why="") != replace(other, why=""):
            found.add(name)
        else:
            data = one.when.contains or one.when.line
            if (one.when.levels and not levels) or (data and not words):
                found.add(name)
    waived = [{_meaning(waiver) for waiver in policy.waivers} for policy in (old, new)]
    return frozenset(found | {name for name, *_ in waived[0] ^ waived[1]})


def _meaning(waiver: Waiver) -> tuple[str, object, object, object]:
    return waiver.id, waiver.lifts, waiver.who, waiver.expires
