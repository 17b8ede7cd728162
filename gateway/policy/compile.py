"""`schema.Policy` → the form that `evaluate` reads: one bit per rule, one mask per value and dimension.

A rule matches when its bit survives the *and* of all dimensions, so the time of a decision hardly depends on how many
rules there are. Everything that does not depend on a request is made here, once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from operator import attrgetter

from gateway.domain.decision import Decision, Facts, Hidden, Level, PolicyId, Reason
from gateway.domain.target import Target
from gateway.policy.effects import Effect, merge_hidden, of_answers, of_handling, of_rule, of_spent_budget, of_unsure
from gateway.policy.hash import policy_hash
from gateway.policy.schema import (
    FACT_OF,
    NAMED,
    Amounts,
    DataType,
    Limits,
    Line,
    Policy,
    Rule,
    Times,
    Waiver,
    When,
)

Getter = Callable[[Facts], str]


@dataclass(frozen=True, slots=True)
class CompiledLine:
    """One line of a level. `types` is a mask of data types, of which `every` one is needed or any.

    Each of `parts` (entity → least percent) must reach `at_least` distinct values: for any_of there is one part with
    all entities, so that an entity of two data types is not counted twice; for all_of one part per data type.
    """

    types: int
    every: bool
    at_least: int
    parts: tuple[Mapping[str, int], ...]
    source: Line


@dataclass(frozen=True, slots=True)
class CompiledRule:
    effect: Effect
    audit: bool
    until: date | None


@dataclass(frozen=True, slots=True)
class CompiledWaiver:
    """Lifts the rule with bit `lifts` for whoever passes all of `who`."""

    lifts: int
    who: tuple[tuple[Getter, frozenset[str]], ...]
    expires: date
    reason: Reason


@dataclass(frozen=True, slots=True)
class RuleIndex:
    """Masks of rules. A rule without a condition in some dimension has its bit in all masks of that dimension.

    `names`: per condition that any rule uses, the fact's getter, masks by name, and the mask for every other name.
    `by_level`: a mask per level. `any_data`: rules without `contains`; `by_type`: (mask of a data type, mask of the
    rules that ask for it). `over_tokens`: (tokens, mask of the rules that need more than that). `undeclared`: rules
    without `declared`; `by_label`: masks by label. `lines` and `times`: (condition, mask of the rules that have it).
    """

    every: int
    names: tuple[tuple[Getter, Mapping[str, int], int], ...]
    by_level: tuple[int, ...]
    any_data: int
    by_type: tuple[tuple[int, int], ...]
    over_tokens: tuple[tuple[int, int], ...]
    undeclared: int
    by_label: Mapping[str, int]
    lines: tuple[tuple[CompiledLine, int], ...]
    times: tuple[tuple[Times, int], ...]


@dataclass(frozen=True, slots=True)
class CompiledLimits:
    """Limits for everybody, under the ceiling; and for somebody. A bit in the masks of `names` is a place in `scopes`,
    where the most specific come first; `first_token`, `per_request` and `per_app_per_day` are masks of those that say
    something of that amount."""

    default: Amounts
    ceiling: Amounts
    scopes: tuple[Amounts, ...]
    names: tuple[tuple[Getter, Mapping[str, int], int], ...]
    first_token: int
    per_request: int
    per_app_per_day: int


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """Made by `compile_policy` and never changed, so any number of threads may share it; only `memo`, decisions that
    were made before, grows.

    `always` are effects of the policy as a whole. `entities` gives, per entity, the (mask of a data type, least
    percent) pairs for which it counts; `hidden` what hiding a data type means, `hide_all` what hiding all does.
    """

    id: PolicyId
    source: Policy
    entities: Mapping[str, tuple[tuple[int, int], ...]]
    levels: tuple[tuple[Level, tuple[CompiledLine, ...]], ...]
    index: RuleIndex
    rules: tuple[CompiledRule, ...]
    waivers: tuple[CompiledWaiver, ...]
    handling: tuple[Effect, ...]
    unsure: Mapping[str, Effect]
    spent: Effect
    always: tuple[Effect, ...]
    all_types: frozenset[str]
    hidden: Mapping[str, tuple[Hidden, ...]]
    hide_all: tuple[Hidden, ...]
    limits: CompiledLimits
    memo: dict[tuple[object, ...], tuple[Decision, tuple[Target, ...]]] = field(
        default_factory=dict, compare=False, repr=False
    )

    @property
    def users(self) -> frozenset[str]:
        """Every user whom a rule, an exception or a limit names."""
        conditions = [rule.when for rule in self.source.rules] + [waiver.who for waiver in self.source.waivers]
        conditions += [scope.who for scope in self.source.limits.scopes]
        return frozenset().union(*(dict(when.names).get("user", ()) for when in conditions))


def compile_policy(policy: Policy, digest: str = "") -> CompiledPolicy:
    """Compile a checked policy. Deterministic; cannot fail on what `load` returns. `digest` is its hash where that is
    known already, or where nobody asks for it."""
    types = {data_type.name: data_type for data_type in policy.data_types}
    bits = {name: 1 << place for place, name in enumerate(types)}
    all_types = frozenset(types)
    hidden = {name: tuple(Hidden(entity, kind.percent) for entity in kind.detect) for name, kind in types.items()}
    entities: dict[str, tuple[tuple[int, int], ...]] = {}
    for name, kind in types.items():
        for entity in kind.detect:
            entities[entity] = (*entities.get(entity, ()), (bits[name], kind.percent))
    return CompiledPolicy(
        id=PolicyId(policy.name, policy.version, digest or policy_hash(policy)),
        source=policy,
        entities=entities,
        levels=tuple((level, tuple(_line(line, types, bits) for line in lines)) for level, lines in policy.levels),
        index=_index(policy.rules, types, bits),
        rules=tuple(CompiledRule(of_rule(rule, all_types), rule.audit, rule.until) for rule in policy.rules),
        waivers=tuple(_waiver(waiver, policy.rules) for waiver in policy.waivers),
        handling=tuple(of_handling(level, policy.handling[level], all_types) for level in Level),
        unsure={key: of_unsure(key, action) for key, action in policy.unsure},
        spent=of_spent_budget(policy.limits.when_spent),
        always=(of_answers(policy.answers),) if policy.answers else (),
        all_types=all_types,
        hidden=hidden,
        hide_all=merge_hidden(hidden.values()),
        limits=_limits(policy.limits),
    )


def _line(line: Line, types: Mapping[str, DataType], bits: Mapping[str, int]) -> CompiledLine:
    every = bool(line.all_of)
    names = line.all_of or line.any_of
    groups = [[name] for name in names] if every else [list(names)]
    parts = []
    for group in groups:
        hidden = merge_hidden(tuple(Hidden(e, types[name].percent) for e in types[name].detect) for name in group)
        parts.append({item.entity: item.percent for item in hidden})
    return CompiledLine(sum(bits[name] for name in names), every, line.at_least, tuple(parts), line)


def _index(rules: tuple[Rule, ...], types: Mapping[str, DataType], bits: Mapping[str, int]) -> RuleIndex:
    conditions = [rule.when for rule in rules]
    labels = sorted({label for when in conditions for label in when.declared})
    lines = dict.fromkeys(when.line for when in conditions if when.line is not None)
    times = dict.fromkeys(when.times for when in conditions if when.times is not None)
    by_type = [(bit, _mask(name in when.contains for when in conditions)) for name, bit in bits.items()]
    over = {when.over_tokens for when in conditions if when.over_tokens is not None}
    return RuleIndex(
        every=(1 << len(rules)) - 1,
        names=_names(conditions),
        by_level=tuple(_mask(not when.levels or level in when.levels for when in conditions) for level in Level),
        any_data=_mask(not when.contains for when in conditions),
        by_type=tuple((bit, mask) for bit, mask in by_type if mask),
        over_tokens=tuple(
            (tokens, _mask(when.over_tokens == tokens for when in conditions)) for tokens in sorted(over)
        ),
        undeclared=_mask(not when.declared for when in conditions),
        by_label={label: _mask(label in when.declared for when in conditions) for label in labels},
        lines=tuple((_line(line, types, bits), _mask(when.line == line for when in conditions)) for line in lines),
        times=tuple((span, _mask(when.times == span for when in conditions)) for span in times),
    )


def _limits(limits: Limits) -> CompiledLimits:
    amounts = [scope.amounts for scope in limits.scopes]
    ceiling = limits.ceiling or Amounts()
    return CompiledLimits(
        default=Amounts(limits.first_token, limits.per_request, limits.per_app_per_day),
        ceiling=ceiling,
        scopes=tuple(amounts),
        names=_names([scope.who for scope in limits.scopes]),
        first_token=_mask(amount.first_token is not None for amount in amounts),
        per_request=_mask(amount.per_request is not None for amount in amounts),
        per_app_per_day=_mask(amount.per_app_per_day is not None for amount in amounts),
    )


def _names(conditions: list[When]) -> tuple[tuple[Getter, Mapping[str, int], int], ...]:
    return tuple(_named(name, conditions) for name in NAMED if any(name in dict(when.names) for when in conditions))


def _named(condition: str, conditions: list[When]) -> tuple[Getter, Mapping[str, int], int]:
    accepted = [dict(when.names).get(condition) for when in conditions]
    everybody_else = _mask(names is None for names in accepted)
    known = {name for names in accepted if names for name in names}
    masks = {name: _mask(names is None or name in names for names in accepted) for name in sorted(known)}
    return attrgetter(FACT_OF[condition]), masks, everybody_else


def _mask(flags: Iterable[bool]) -> int:
    return sum(1 << place for place, flag in enumerate(flags) if flag)


def _waiver(waiver: Waiver, rules: tuple[Rule, ...]) -> CompiledWaiver:
    why = f"{waiver.ticket}, approved by {waiver.approved_by} until {waiver.expires}"
    return CompiledWaiver(
        lifts=_mask(rule.id == waiver.lifts for rule in rules),
        who=tuple((attrgetter(condition), frozenset(names)) for condition, names in waiver.who.names),
        expires=waiver.expires,
        reason=Reason(waiver.id, f"lifts {waiver.lifts}", why),
    )
