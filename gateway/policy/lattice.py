"""What was matched, joined: the point in a product of lattices that a decision is.

Joining is *max*, *and*, intersection, union and *min*, so no order of rules can matter and no rule can loosen what
another asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from gateway.domain.decision import (
    Action,
    ApprovalNeeded,
    BudgetState,
    Decision,
    Facts,
    Gate,
    Hidden,
    Level,
    LogContent,
    Reason,
    TargetVerdict,
    Trial,
)
from gateway.domain.finding import DetectorState
from gateway.domain.money import NanoUsd
from gateway.domain.target import Target, Zone
from gateway.policy.compile import CompiledPolicy
from gateway.policy.effects import Effect, cost_words, latency_words, merge_hidden
from gateway.policy.schema import Amounts


class Matched(NamedTuple):
    """Which part of a policy applies to some facts. `rules` and `waivers` are masks; `rules` are those that no waiver
    lifted. `found_level` is the level of what was found, `level` that with what else raises it."""

    rules: int
    waivers: int
    level: Level
    found_level: Level
    limits: Amounts


def decide(policy: CompiledPolicy, matched: Matched, facts: Facts, targets: Sequence[Target]) -> Decision:
    """The decision; of `facts` only what is neither a name nor found is looked at."""
    enforced = _unsure(policy, facts)
    lifted = [waiver.reason for place, waiver in enumerate(policy.waivers) if matched.waivers >> place & 1]
    rules, trial = _effects(policy, matched.rules, facts)
    if policy.source.audit:
        skipped = [policy.handling[matched.level], *rules]
        trial = [effect for effect in skipped if effect.reason.effect != Action.ALLOW.value] + trial
        lifted = []
    else:
        enforced = [policy.handling[matched.level], *enforced, *rules]

    limits = matched.limits
    join = _Join(policy, facts, limits, enforced)
    reasons = [effect.reason for effect in enforced]
    reasons += lifted
    if matched.level > matched.found_level:
        reasons += _raised(facts, matched.level)
    if facts.approved and join.approvals:
        reasons.append(_APPROVED)
    if facts.max_cost is not None or facts.max_first_token is not None:
        reasons += join.tighten(facts.max_cost, facts.max_first_token)
    verdicts = tuple([join.verdict(target) for target in targets])
    if join.gate is Gate.ALLOW and not any(verdict.permitted for verdict in verdicts):
        left = policy.unsure["no_target_left"]
        join.add(left)
        reasons.append(left.reason)
    redact = join.hidden()
    return Decision(
        policy=policy.id,
        level=matched.level,
        action=join.action(redact),
        gate=join.gate,
        cloud=join.cloud,
        regions=join.regions,
        redact=redact,
        provider_must_have=join.provider_must_have,
        cost_cap=join.cost_cap,
        day_limit=limits.per_app_per_day,
        first_token=join.first_token,
        tell_user=tuple(join.tell_user),
        reasons=tuple(reasons),
        would=tuple([effect.reason for effect in trial]),
        targets=verdicts,
        hide_in_answers=join.hidden_in_answers(),
        notify=tuple(sorted(join.notify)),
        retain_days=join.retain_days,
        log_content=join.log_content,
        approvals=tuple(join.approvals),
        trial=_trial(_Join(policy, facts, limits, [*enforced, *trial]), targets) if trial else None,
    )


_APPROVED = Reason("approval", "approved", "Everybody who had to approve this request has done so")


def _raised(facts: Facts, level: Level) -> list[Reason]:
    """Why the level is higher than what was found in this request."""
    reasons = []
    if facts.min_level is level:
        reasons.append(Reason("caller.min_level", f"level {level.word}", "Asked for by the caller"))
    if facts.history_level is level:
        reasons.append(Reason("conversation.level", f"level {level.word}", "The conversation had this level before"))
    return reasons


def _trial(join: _Join, targets: Sequence[Target]) -> Trial:
    permitted = frozenset([target.id for target in targets if join.verdict(target).permitted])
    if join.gate is Gate.ALLOW and not permitted:
        join.add(join.policy.unsure["no_target_left"])
    return Trial(join.action(join.hidden()), permitted)


def _effects(policy: CompiledPolicy, rules: int, facts: Facts) -> tuple[list[Effect], list[Effect]]:
    """What is enforced, and what is only looked at."""
    enforced, trial = list(policy.always), []
    while rules:
        lowest = rules & -rules
        rules ^= lowest
        rule = policy.rules[lowest.bit_length() - 1]
        if not rule.audit:
            enforced.append(rule.effect)
        elif rule.until is None or facts.as_of <= rule.until:
            trial.append(rule.effect)
    return enforced, trial


def _unsure(policy: CompiledPolicy, facts: Facts) -> list[Effect]:
    effects = []
    if facts.detector is not DetectorState.OK:
        effects.append(policy.unsure["detector_fails"])
    if facts.unreadable:
        effects.append(policy.unsure["unreadable_content"])
    if facts.redaction_incomplete:
        effects.append(policy.unsure["redaction_incomplete"])
    if facts.budget is BudgetState.SPENT:
        effects.append(policy.spent)
    return effects


@lru_cache(maxsize=1024)
def _permitted(target: str) -> TargetVerdict:
    """The same value each time; making a frozen dataclass anew costs as much as the rest of a verdict."""
    return TargetVerdict(target, True)


class _Join:
    """The point in the lattice reached so far. Lives for one evaluation; `add` can only move it towards stricter."""

    __slots__ = (
        "_answers",
        "_approved",
        "_day",
        "_effects",
        "_redact",
        "approvals",
        "cloud",
        "cost_cap",
        "first_token",
        "gate",
        "log_content",
        "notify",
        "policy",
        "provider_must_have",
        "regions",
        "retain_days",
        "tell_user",
    )

    def __init__(self, policy: CompiledPolicy, facts: Facts, limits: Amounts, effects: Sequence[Effect]) -> None:
        self.policy = policy
        self._approved = facts.approved
        self._day = facts.as_of
        self._effects: list[Effect] = []
        self._redact: frozenset[str] = frozenset()
        self._answers: frozenset[str] = frozenset()
        self.gate = Gate.ALLOW
        self.cloud = True
        self.regions: frozenset[str] | None = None
        self.provider_must_have: frozenset[str] = frozenset()
        self.cost_cap = limits.per_request
        self.first_token = limits.first_token
        self.tell_user: list[str] = []
        self.notify: frozenset[str] = frozenset()
        self.retain_days: int | None = None
        self.log_content = LogContent.UNSAID
        self.approvals: list[ApprovalNeeded] = []
        for effect in effects:
            self.add(effect)

    def add(self, effect: Effect) -> None:
        self._effects.append(effect)
        if effect.gate > self.gate and not (self._approved and effect.gate is Gate.REQUIRE_APPROVAL):
            self.gate = effect.gate
        if not effect.cloud:
            self.cloud = False
        if effect.regions is not None:
            self.regions = effect.regions if self.regions is None else self.regions & effect.regions
        if effect.redact:
            self._redact |= effect.redact
        if effect.hide_in_answers:
            self._answers |= effect.hide_in_answers
        if effect.provider_must_have:
            self.provider_must_have |= effect.provider_must_have
        if effect.cost_cap is not None and (self.cost_cap is None or effect.cost_cap < self.cost_cap):
            self.cost_cap = effect.cost_cap
        if effect.first_token is not None and (self.first_token is None or effect.first_token < self.first_token):
            self.first_token = effect.first_token
        if effect.tell_user and effect.tell_user not in self.tell_user:
            self.tell_user.append(effect.tell_user)
        if effect.obliges:
            self._oblige(effect)

    def _oblige(self, effect: Effect) -> None:
        self.notify = self.notify.union(effect.notify)
        if effect.retain_days is not None:
            self.retain_days = (
                effect.retain_days if self.retain_days is None else min(self.retain_days, effect.retain_days)
            )
        self.log_content = max(self.log_content, effect.log_content)
        if effect.approval is not None:
            self.approvals.append(effect.approval)

    def tighten(self, max_cost: NanoUsd | None, max_first_token: float | None) -> list[Reason]:
        """Apply the caller's own bounds where they are tighter; the reasons for those that are."""
        reasons = []
        if max_cost is not None and (self.cost_cap is None or max_cost < self.cost_cap):
            self.cost_cap = max_cost
            reasons.append(Reason("caller.max_cost", cost_words(max_cost), "Asked for by the caller"))
        if max_first_token is not None and (self.first_token is None or max_first_token < self.first_token):
            self.first_token = max_first_token
            words = latency_words(max_first_token)
            reasons.append(Reason("caller.max_first_token", words, "Asked for by the caller"))
        return reasons

    def hidden(self) -> tuple[Hidden, ...]:
        """What must be hidden: nothing where nothing can leave."""
        if not self._redact or not self.cloud or self.gate is Gate.BLOCK:
            return ()
        policy = self.policy
        if len(self._redact) == len(policy.all_types):
            return policy.hide_all
        return merge_hidden([policy.hidden[name] for name in self._redact])

    def hidden_in_answers(self) -> tuple[Hidden, ...]:
        if not self._answers or self.gate is Gate.BLOCK:
            return ()
        return merge_hidden([self.policy.hidden[name] for name in self._answers])

    def action(self, redact: tuple[Hidden, ...]) -> Action:
        if self.gate is not Gate.ALLOW:
            return Action.BLOCK if self.gate is Gate.BLOCK else Action.REQUIRE_APPROVAL
        if not self.cloud:
            return Action.LOCAL_ONLY
        return Action.REDACT if redact else Action.ALLOW

    def verdict(self, target: Target) -> TargetVerdict:
        """Local targets are inside our own jurisdiction, so only the gate concerns them; a cloud must pass all."""
        if self.gate is not Gate.ALLOW:
            return TargetVerdict(target.id, False, self._closed())
        if target.zone is Zone.LOCAL:
            return _permitted(target.id)
        if (
            self.cloud
            and (self.regions is None or target.region in self.regions)
            and self.provider_must_have <= target.labels_on(self._day)
        ):
            return _permitted(target.id)
        return TargetVerdict(target.id, False, self._rejection(target))

    def _closed(self) -> str:
        rules = ", ".join([effect.reason.rule for effect in self._effects if effect.gate is self.gate])
        return f"the request {'is blocked' if self.gate is Gate.BLOCK else 'waits for approval'} ({rules})"

    def _rejection(self, target: Target) -> str:
        parts = []
        labels = target.labels_on(self._day)
        lapsed = dict(target.expiring)
        if not self.cloud:
            words = [effect.local_words for effect in self._effects if not effect.cloud]
            parts.append(f"is in the cloud, and {' and '.join(words)}")
        for effect in self._effects:
            rule = effect.reason.rule
            if effect.regions is not None and target.region not in effect.regions:
                parts.append(f"region {target.region} is not among {', '.join(sorted(effect.regions))} ({rule})")
            if missing := effect.provider_must_have - labels:
                label = "label" if len(missing) == 1 else "labels"
                ended = [f"{name} ended on {lapsed[name]}" for name in sorted(missing) if name in lapsed]
                since = f" ({', '.join(ended)})" if ended else ""
                parts.append(f"lacks the {label} {', '.join(sorted(missing))}{since} required by {rule}")
        return "; ".join(parts)
