"""``extends``: a policy that takes over another one and may only be stricter.

What the child does not say is as the parent says it. What it says must be at least as strict, and each thing that is
not is a problem that shows both lines. The result is an ordinary policy: the join of both, so that even a comparison
that this module forgot could not loosen anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from gateway.documents import Node, Problem
from gateway.domain.decision import Action, Level
from gateway.domain.money import NanoUsd, in_usd
from gateway.policy.join_limits import AMOUNTS, TooManyScopes, granted, has_budget, joined_limits
from gateway.policy.schema import DataType, LevelLines, Line, Outcome, Policy, When
from gateway.policy.strictness import ACTIONS, exceeds, joined_outcome, looser
from gateway.policy.written import Written, line_key, problem, scope_key, where

ONLY_STRICTER = "A policy that extends another can only be stricter."


def extended(parent: Written, child: Written) -> tuple[Written, tuple[Problem, ...]]:
    """The child with all that it takes over, and everything by which it would loosen its parent. With problems, the
    result must not be used."""
    problems = [
        *_mode(parent, child),
        *_data_types(parent, child),
        *_handling(parent, child),
        *_unsure(parent, child),
        *_limits(parent, child),
        *_repeated_ids(parent, child),
    ]
    mine, theirs = child.policy, parent.policy
    limits = mine.limits
    if has_budget(theirs.limits) and not child.says("limit", "when_spent"):
        limits = replace(limits, when_spent=theirs.limits.when_spent)
    try:
        limits = joined_limits(theirs.limits, limits)
    except TooManyScopes:
        problems.append(problem(child.place(("section", "limits")), TOO_MANY_SCOPES))
    policy = replace(
        mine,
        data_types=_all_types(theirs.data_types, mine.data_types),
        levels=all_lines(theirs, mine),
        handling=_both(theirs, mine),
        limits=limits,
        unsure=strictest_unsure(theirs, mine),
        rules=tuple(sorted((*theirs.rules, *mine.rules), key=lambda rule: rule.id)),
        waivers=tuple(sorted((*theirs.waivers, *mine.waivers), key=lambda waiver: waiver.id)),
        answers=tuple(sorted({*theirs.answers, *mine.answers})),
        region_sets=all_region_sets((theirs, mine)),
    )
    places = {**parent.places, **child.places}
    result = Written(policy, places, (*parent.guarantees, *child.guarantees), parent.files | child.files)
    problems += raised(parent, result)
    return result, tuple(_with_rule(each) for each in problems)


TOO_MANY_SCOPES = "too many limits for somebody overlap: their join cannot be written out; use fewer scopes"


def taken(name: str, place: Node) -> str:
    return f"the id '{name}' is taken already, in {where(place)}; ids must be unique"


def raised(before: Written, after: Written) -> Iterator[Problem]:
    """Where a higher level would loosen something: `after` gives a request a higher level than `before` would, and the
    higher level is handled less strictly, or a rule of `before` holds for the lower one only."""
    for level, place in _raising(before, after):
        for lower in (lower for lower in Level if lower < level):
            if what := looser(after.policy.handling[level], before.policy.handling[lower]):
                handled = before.place(("handling", lower.word))
                yield problem(
                    place,
                    f"this can make {lower.word} data {level.word}, which is handled less strictly: {what}; see "
                    f"{where(handled)}",
                )
        for rule in before.policy.rules:
            if rule.when.levels and min(rule.when.levels) < level and level not in rule.when.levels:
                word = min(rule.when.levels).word
                yield problem(
                    place,
                    f"this can make {word} data {level.word}, to which the rule '{rule.id}' of "
                    f"{where(before.place(('rule', rule.id)))} does not apply; say 'level: {word} or higher' there",
                )


def all_lines(*policies: Policy) -> LevelLines:
    """The lines of all these policies, the highest level first."""
    lines: dict[Level, set[Line]] = {}
    for policy in policies:
        for level, found in policy.levels:
            lines.setdefault(level, set()).update(found)
    return tuple((level, tuple(sorted(lines[level]))) for level in sorted(lines, reverse=True))


def strictest_unsure(*policies: Policy) -> tuple[tuple[str, Action], ...]:
    rows = zip(*(policy.unsure for policy in policies), strict=True)
    return tuple((row[0][0], max((action for _, action in row), key=ACTIONS.index)) for row in rows)


def _with_rule(found: Problem) -> Problem:
    return replace(found, message=f"{found.message}. {ONLY_STRICTER}")


def _repeated_ids(parent: Written, child: Written) -> Iterator[Problem]:
    for kind, items in (("rule", child.policy.rules), ("exception", child.policy.waivers)):
        for item in items:
            for other in ("rule", "exception"):
                if parent.says(other, item.id):
                    yield problem(child.place((kind, item.id)), taken(item.id, parent.places[other, item.id]))


def _mode(parent: Written, child: Written) -> Iterator[Problem]:
    if child.policy.audit and not parent.policy.audit:
        place = parent.place(("section", "mode"))
        yield problem(
            child.place(("section", "mode")),
            f"in audit mode nothing of this policy would be enforced; {where(place)} is enforced",
        )


def _data_types(parent: Written, child: Written) -> Iterator[Problem]:
    before = {kind.name: kind for kind in parent.policy.data_types}
    for kind in child.policy.data_types:
        if (old := before.get(kind.name)) is None:
            continue
        mine, theirs = child.place(("data type", kind.name)), where(parent.place(("data type", kind.name)))
        if missing := sorted(set(old.detect) - set(kind.detect)):
            yield problem(mine, f"{kind.name} does not count {', '.join(missing)} here; {theirs} does")
        if kind.percent > old.percent:
            yield problem(
                mine,
                f"{kind.name} counts from a confidence of {kind.percent / 100:g} here; "
                f"{theirs} counts it from {old.percent / 100:g}",
            )


def _all_types(before: tuple[DataType, ...], after: tuple[DataType, ...]) -> tuple[DataType, ...]:
    kinds = {kind.name: kind for kind in before}
    for kind in after:
        old = kinds.get(kind.name, kind)
        kinds[kind.name] = DataType(
            kind.name, tuple(sorted({*old.detect, *kind.detect})), min(old.percent, kind.percent)
        )
    return tuple(sorted(kinds.values()))


def _both(before: Policy, after: Policy) -> tuple[Outcome, Outcome, Outcome, Outcome]:
    public, internal, confidential, restricted = map(joined_outcome, before.handling, after.handling)
    return public, internal, confidential, restricted


def _handling(parent: Written, child: Written) -> Iterator[Problem]:
    for level in Level:
        mine, theirs = child.policy.handling[level], parent.policy.handling[level]
        if child.says("handling", level.word):
            for key, here, there in _handled(mine, theirs, level.word):
                if child.says("handling", f"{level.word}.{key}"):
                    place = child.places["handling", f"{level.word}.{key}"]
                    other = parent.place(("handling", f"{level.word}.{key}"), ("handling", level.word))
                    yield problem(place, f"{here} here; {where(other)} {there}")


def _handled(mine: Outcome, theirs: Outcome, word: str) -> Iterator[tuple[str, str, str]]:
    """The key, what the child permits by it, and what the parent says to that."""
    if ACTIONS.index(mine.action) < ACTIONS.index(theirs.action):
        yield "action", f"{word} data has the action {mine.action}", f"asks for {theirs.action}, which is stricter"
    leaves = mine.action not in (Action.LOCAL_ONLY, Action.BLOCK)
    if leaves and theirs.regions is not None and (more := sorted(set(mine.regions or ()) - set(theirs.regions))):
        only = ", ".join(theirs.regions)
        there = f"permits only {only}" if only else "permits no cloud"
        yield "regions", f"{word} data may go to {', '.join(more)}", there
    if missing := sorted(set(theirs.provider_must_have) - set(mine.provider_must_have)):
        yield "provider_must_have", f"{word} data needs no {', '.join(missing)}", "does"
    if mine.action is theirs.action is Action.REQUIRE_APPROVAL and mine.approval is not None:
        permitted = theirs.approval.approvers if theirs.approval is not None else ()
        if more := sorted(set(mine.approval.approvers) - set(permitted)):
            names = ", ".join(permitted) or "nobody"
            yield "approvers", f"{', '.join(more)} may approve {word} data", f"permits only {names} to"
        if theirs.approval is not None and mine.approval.seconds > theirs.approval.seconds:
            lasts = f"an approval of {word} data lasts {mine.approval.seconds:,} s"
            yield "approval_lasts", lasts, f"lets it last {theirs.approval.seconds:,} s"


def _unsure(parent: Written, child: Written) -> Iterator[Problem]:
    before = dict(parent.policy.unsure)
    for key, action in child.policy.unsure:
        if ACTIONS.index(action) < ACTIONS.index(before[key]):
            other = parent.place(("unsure", key), ("section", "if_unsure"))
            yield problem(child.place(("unsure", key)), f"{key} means {action} here; {where(other)} says {before[key]}")


def _limits(parent: Written, child: Written) -> Iterator[Problem]:
    mine, theirs = child.policy.limits, parent.policy.limits
    for name in AMOUNTS:
        bound = granted(theirs, When(), name)
        if getattr(mine, name) is not None and exceeds(getattr(mine, name), bound):
            place = _limit_place(parent, name)
            yield problem(child.place(("limit", name)), _more(name, getattr(mine, name), bound, where(place)))
        ceiling = getattr(mine.ceiling, name) if mine.ceiling else None
        most = getattr(theirs.ceiling, name) if theirs.ceiling else None
        if ceiling is not None and exceeds(ceiling, most):
            text = _more(name, ceiling, most, where(parent.place(("ceiling", name))))
            yield problem(child.place(("ceiling", name)), text)
        for scope in mine.scopes:
            amount, bound = getattr(scope.amounts, name), granted(theirs, scope.who, name)
            if amount is not None and exceeds(amount, bound):
                place = _limit_place(parent, name)
                yield problem(child.place(scope_key(scope.who, name)), _more(name, amount, bound, where(place)))
    if has_budget(theirs) and theirs.when_spent is Action.BLOCK and mine.when_spent is Action.LOCAL_ONLY:
        place = parent.place(("limit", "when_spent"), ("section", "limits"))
        yield problem(
            child.place(("limit", "when_spent")),
            f"a spent budget means local_only here; {where(place)} says block",
        )


def _limit_place(parent: Written, name: str) -> Node:
    return parent.place(("limit", name), ("ceiling", name), ("section", "limits"))


def _more(name: str, here: float | int, there: float | int | None, line: str) -> str:
    return f"{name} is {_amount(name, here)} here; {line} grants {_amount(name, there or 0)}"


def _amount(name: str, amount: float | int) -> str:
    return f"{amount:g} s" if name == "first_token" else f"{in_usd(NanoUsd(int(amount)))} USD"


def _raising(before: Written, after: Written) -> Iterator[tuple[Level, Node]]:
    """The levels to which `after` raises what `before` did not, and by which line."""
    old = dict(before.policy.levels)
    kinds = {kind.name: kind for kind in before.policy.data_types}
    wider = {kind.name for kind in after.policy.data_types if kinds.get(kind.name, kind) != kind}
    for level, lines in after.policy.levels:
        for line in lines:
            if line not in old.get(level, ()):
                yield level, after.place(line_key(level, line))
            for name in sorted(wider & {*line.any_of, *line.all_of}):
                yield level, after.place(("data type", name))


def all_region_sets(policies: Sequence[Policy]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Every set of regions; a name with two meanings is a problem that is told elsewhere."""
    return tuple(sorted({name: regions for policy in policies for name, regions in policy.region_sets}.items()))
