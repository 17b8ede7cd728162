"""Policies and conditions → clauses with their gains: what the enumeration follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from gateway.domain.decision import Level
from gateway.policy.amounts import limits_of
from gateway.policy.analysis.clauses import Clause, Condition, both, clauses_of, names_of
from gateway.policy.analysis.evidence import Evidence, level_needs
from gateway.policy.analysis.marks import Bits, Lens, Marks, drops
from gateway.policy.compile import CompiledPolicy
from gateway.policy.effects import Effect
from gateway.policy.schema import Rule, Waiver

HIGHER = (Level.INTERNAL, Level.CONFIDENTIAL, Level.RESTRICTED)

FOREVER = date.max

Shown = Callable[[int, str], bool]
"""Is the rule or exception with this id, of the policy at this place, to be told apart from others with its effect?"""


@dataclass(frozen=True, slots=True)
class Problem:
    """What to enumerate. `conditions` are told apart, each about one policy's data types and levels (its place);
    `shown` names what is told apart beyond its effect. With `reasons` decisions are equal in one state to their
    reasons; without, what the same effects come from is not told apart, nor, unless `exact`, what nobody can notice: a
    cost bound of a blocked request. `lens` narrows what is looked at. Where there are `entities`, no others are found.
    """

    policies: tuple[CompiledPolicy, ...]
    conditions: tuple[tuple[int, Condition], ...] = ()
    shown: Shown = lambda place, name: True
    reasons: bool = True
    exact: bool = False
    lens: Lens = field(default_factory=Lens)
    entities: frozenset[str] | None = None


@dataclass(slots=True)
class Build:
    """`machines` gives the place of each policy's levels among those that differ. `start` is gained in any case,
    `handling` by level and policy; `approvals` are the gains that wait for an approval. `held` are the bits of the
    conditions, `marks` those of rules and exceptions that are shown."""

    problem: Problem
    evidence: Evidence
    bits: Bits
    marks: tuple[Marks, ...]
    machines: tuple[int, ...]
    clauses: dict[Clause, int]
    start: int = 0

    @property
    def scopes(self) -> frozenset[Clause]:
        """The clauses that say who has limits of their own."""
        limits = [policy.source.limits.scopes for policy in self.problem.policies]
        return frozenset(Clause(names=names_of(scope.who)) for scopes in limits for scope in scopes)

    def drops(self) -> tuple[tuple[int, int], ...]:
        """Bits, each with those that nobody can notice beside it; none where all is told apart."""
        if self.problem.reasons or self.problem.exact:
            return ()
        return tuple(pair for place in range(len(self.marks)) for pair in drops(self.bits, place))

    @property
    def approvals(self) -> int:
        bits = 0
        for marks in self.marks:
            bits |= marks.approvals
        return bits

    def effect(self, place: int, effect: Effect, tried: bool = False) -> int:
        """What an effect of a policy gains; `tried` for one in audit mode."""
        return self.marks[place].tried(effect) if tried else self.marks[place].enforced(effect)

    def handling(self, place: int, level: Level) -> int:
        policy = self.problem.policies[place]
        return self.effect(place, policy.handling[level], policy.source.audit)

    def flags(self) -> Mapping[str, int]:
        """What each flag gains in all policies."""
        keys = {
            "detector": "detector_fails",
            "unreadable": "unreadable_content",
            "redaction_incomplete": "redaction_incomplete",
        }
        gained: dict[str, int] = {}
        for name in (*keys, "budget"):
            effects = [
                policy.spent if name == "budget" else policy.unsure[keys[name]] for policy in self.problem.policies
            ]
            apart = self.problem.reasons or len({effect.reason.effect for effect in effects}) > 1
            gained[name] = self.bits.bit(("flag", name)) if apart else 0
            for place, effect in enumerate(effects):
                gained[name] |= self.effect(place, effect)
        return gained

    def limits(self, place: int, fitting: int) -> int:
        """What the limits for whoever is in these scopes gain; told apart where policies have different ones."""
        policies = self.problem.policies
        amounts = limits_of(policies[place].limits, fitting)
        apart = any(policy.source.limits != policies[0].source.limits for policy in policies)
        return self.marks[place].limits(amounts) | (self.bits.bit(("limits", place, amounts)) if apart else 0)

    def held(self, place: int) -> int:
        """The bit of a condition."""
        return self.bits.bit(("condition", place))

    def reached(self, machine: int, level: Level) -> int:
        """The bits for at least this level, before it is settled."""
        return self.bits.all(("reached", machine, step) for step in HIGHER if step <= level)

    def rule(self, place: int, name: str) -> int:
        return self.bits.bit((place, "rule", name))

    def _gain(self, clause: Clause, gain: int) -> None:
        self.clauses[clause] = self.clauses.get(clause, 0) | gain

    def _levels(self) -> None:
        for machine in sorted(set(self.machines)):
            policy = self.problem.policies[self.machines.index(machine)]
            for level, needs in level_needs(self.evidence, policy):
                for need in needs:
                    self._gain(Clause(need=need), self.reached(machine, level))

    def _rules(self, place: int) -> None:
        policy = self.problem.policies[place]
        waivers: dict[str, list[Waiver]] = {}
        for waiver, compiled in zip(policy.source.waivers, policy.waivers, strict=True):
            if compiled.expires == FOREVER:
                waivers.setdefault(waiver.lifts, []).append(waiver)
        for rule, made in zip(policy.source.rules, policy.rules, strict=True):
            gain = 0
            if made.until is None:  # a trial that has ended does nothing, but what lifts it is still told
                gain = self.effect(place, made.effect, made.audit or policy.source.audit)
            gain |= self.rule(place, rule.id) if self.problem.shown(place, rule.id) else 0
            self._rule(place, rule, gain, waivers.get(rule.id, []))
        for waiver in (waiver for lifting in waivers.values() for waiver in lifting):
            self._gain(Clause(names=names_of(waiver.who)), 0)

    def _rule(self, place: int, rule: Rule, gain: int, waivers: Sequence[Waiver]) -> None:
        policy = self.problem.policies[place]
        lifted = frozenset(names_of(waiver.who) for waiver in waivers)
        needs = self.evidence.needs(policy, rule.when)
        for clause in clauses_of(rule.when, needs, self.machines[place]):
            self._gain(replace(clause, lifted=lifted), gain)
            for waiver in waivers:
                who = both(clause.names, names_of(waiver.who))
                if who is not None and self.problem.shown(place, waiver.id):
                    self._gain(replace(clause, names=who), self.rule(place, waiver.id))

    def _conditions(self) -> None:
        for number, (place, condition) in enumerate(self.problem.conditions):
            base = Clause(flags=condition.flags, min_level=condition.min_level)
            needs = self.evidence.needs(self.problem.policies[place], condition.when)
            for clause in clauses_of(condition.when, needs, self.machines[place], base):
                self._gain(clause, self.held(number))

    def _always(self) -> None:
        for place, policy in enumerate(self.problem.policies):
            for effect in policy.always:
                self.start |= self.effect(place, effect, policy.source.audit)
            for scope in policy.source.limits.scopes:
                self._gain(Clause(names=names_of(scope.who)), 0)


def build(problem: Problem) -> Build:
    """The clauses of a problem whose policies are `frozen`."""
    whens = [(place, condition.when) for place, condition in problem.conditions]
    evidence = Evidence.of(problem.policies, whens, problem.entities)
    bits = Bits()
    marks = tuple(Marks(bits, place, policy, problem.lens) for place, policy in enumerate(problem.policies))
    words = [(policy.source.data_types, policy.source.levels) for policy in problem.policies]
    made = Build(problem, evidence, bits, marks, tuple(words.index(word) for word in words), {})
    made._levels()
    for place in range(len(problem.policies)):
        made._rules(place)
    made._conditions()
    made._always()
    evidence.close()
    return made
