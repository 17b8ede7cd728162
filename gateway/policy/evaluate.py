"""The decision: a pure function of a policy, the facts and the targets. No clock, no input or output, no log.

Every rule that matches applies, the strictest outcome wins. Which rules match is found by masks; what they ask for
together is joined in `lattice`, once for all requests to which the same applies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.domain.decision import BudgetState, Decision, Facts, Level
from gateway.domain.finding import DetectorState, Found
from gateway.domain.target import Target
from gateway.policy.amounts import limits_of, scopes_of
from gateway.policy.clock import within
from gateway.policy.compile import CompiledLine, CompiledPolicy
from gateway.policy.lattice import Matched, decide

_MOST_KEPT = 4096
"""Decisions kept for one policy: a gateway sees few kinds of requests, over and over."""


def evaluate(policy: CompiledPolicy, facts: Facts, targets: Sequence[Target]) -> Decision:
    """Decide about one request; `targets` are those that could answer it, and each gets a verdict, in their order.

    Cost and latency are not judged here: `cost_cap` and `first_token` are bounds for whoever ranks the targets.
    """
    present = present_types(policy, facts.found)
    found_level = level_of(policy, facts.found, present)
    level = found_level
    if facts.min_level is not None and facts.min_level > level:
        level = facts.min_level
    if facts.history_level is not None and facts.history_level > level:
        level = facts.history_level
    rules, waivers = _matching(policy, facts, level, present)
    scopes = scopes_of(policy.limits, facts)
    if facts.max_cost is not None or facts.max_first_token is not None:
        matched = Matched(rules, waivers, level, found_level, limits_of(policy.limits, scopes))
        return decide(policy, matched, facts, targets)

    # Everything that `decide` looks at. Targets count as the very objects, which the kept entry keeps alive.
    state = (
        level
        | found_level << 2
        | (facts.min_level is level) << 4
        | (facts.history_level is level) << 5
        | (facts.detector is not DetectorState.OK) << 6
        | facts.unreadable << 7
        | facts.redaction_incomplete << 8
        | (facts.budget is BudgetState.SPENT) << 9
        | facts.approved << 10
    )
    key = (rules, waivers, state, scopes, facts.as_of, *map(id, targets))
    kept = policy.memo.get(key)
    if kept is None:
        matched = Matched(rules, waivers, level, found_level, limits_of(policy.limits, scopes))
        if len(policy.memo) >= _MOST_KEPT:
            policy.memo.clear()
        kept = policy.memo[key] = (decide(policy, matched, facts, targets), tuple(targets))
    return kept[0]


def present_types(policy: CompiledPolicy, found: Sequence[Found]) -> int:
    """The mask of the data types of which at least one value was found, confidently enough."""
    present = 0
    entities = policy.entities
    for item in found:
        for bit, percent in entities.get(item.entity, ()):
            if item.percent >= percent and item.distinct > 0:
                present |= bit
    return present


def level_of(policy: CompiledPolicy, found: Sequence[Found], present: int) -> Level:
    """The highest level with a true line; public where there is none."""
    if present:
        for level, lines in policy.levels:
            for line in lines:
                if holds(line, found, present):
                    return level
    return Level.PUBLIC


def holds(line: CompiledLine, found: Sequence[Found], present: int) -> bool:
    """Is this line true?"""
    if line.every:
        if present & line.types != line.types:
            return False
    elif not present & line.types:
        return False
    return line.at_least == 1 or min([counted(found, part) for part in line.parts]) >= line.at_least


def counted(found: Sequence[Found], least: Mapping[str, int]) -> int:
    """How many distinct values of the entities in `least` were found with at least the percent given there."""
    return sum([item.distinct for item in found if item.percent >= least.get(item.entity, 101)])


def _matching(policy: CompiledPolicy, facts: Facts, level: Level, present: int) -> tuple[int, int]:
    """The mask of the rules that match and are not lifted, and that of the waivers that lifted some."""
    index = policy.index
    matched = index.every & index.by_level[level]
    for getter, masks, everybody_else in index.names:
        matched &= masks.get(getter(facts), everybody_else)
    allowed = index.any_data
    for bit, mask in index.by_type:
        if present & bit:
            allowed |= mask
    matched &= allowed
    for tokens, mask in index.over_tokens:
        if facts.prompt_tokens <= tokens:
            matched &= ~mask
    if index.by_label:
        declared = index.undeclared
        for name in facts.labels:
            declared |= index.by_label.get(name, 0)
        matched &= declared
    for line, mask in index.lines:
        if matched & mask and not holds(line, facts.found, present):
            matched &= ~mask
    for times, mask in index.times:
        if matched & mask and not within(times, facts.as_of, facts.minute):
            matched &= ~mask
    lifting = 0
    if matched and policy.waivers:
        remaining = matched
        for place, waiver in enumerate(policy.waivers):
            applies = matched & waiver.lifts and facts.as_of <= waiver.expires
            if applies and all(getter(facts) in names for getter, names in waiver.who):
                remaining &= ~waiver.lifts
                lifting |= 1 << place
        matched = remaining
    return matched, lifting
