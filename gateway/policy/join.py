"""Several policy files at once: for every tenant that any of them names, and for everybody else, one ordinary policy.

A file without ``for`` applies to everybody, one with ``for: {tenant: …}`` to these tenants. All files that apply are
joined, strictest wins, as if all their lines stood in one file. What cannot be joined without guessing is a problem
that shows both lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

from gateway.documents import Node, Problem
from gateway.domain.decision import Action, Level
from gateway.policy.extend import TOO_MANY_SCOPES, all_lines, all_region_sets, raised, strictest_unsure, taken
from gateway.policy.join_limits import TooManyScopes, joined_limits
from gateway.policy.schema import DataType, LevelLines, Limits, Outcome, Policy, Rule, When
from gateway.policy.strictness import joined_outcome, nobody_approves_both, with_named_types
from gateway.policy.written import Written, line_key, problem, where

EVERYBODY = ""
"""The key of the policy for whoever belongs to no tenant that a file names."""

_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class File:
    """One policy file; `above` are the files that it extends, directly or not."""

    name: str
    written: Written
    above: frozenset[str] = frozenset()


def joined(files: Sequence[File]) -> tuple[Mapping[str, Written], tuple[Problem, ...]]:
    """The policy of each tenant and, under `EVERYBODY`, that of everybody else. With problems, none must be used."""
    files = sorted(files, key=lambda file: file.name)
    problems = [*_for_nobody_else(files), *_repeated(files)]
    tenants = sorted({tenant for file in files for tenant in file.written.policy.tenants})
    groups: dict[tuple[str, ...], list[str]] = {}
    by_name = {file.name: file for file in files}
    for tenant in (EVERYBODY, *tenants):
        applying = [file for file in files if _applies(file, tenant)]
        above = frozenset[str]().union(*(file.above for file in applying))
        groups.setdefault(tuple(file.name for file in applying if file.name not in above), []).append(tenant)
    result: dict[str, Written] = {}
    for names, members in groups.items():
        if not names:
            continue  # said already: nobody else has a policy
        one, found = _joined([by_name[name].written for name in names])
        problems += found
        if EVERYBODY not in members and len(names) > 1:
            one = replace(one, policy=replace(one.policy, tenants=tuple(members)))
        result |= dict.fromkeys(members, one)
    return result, tuple(sorted(set(problems)))


def _applies(file: File, tenant: str) -> bool:
    tenants = file.written.policy.tenants
    return not tenants or tenant in tenants


def _for_nobody_else(files: Sequence[File]) -> Iterator[Problem]:
    if all(file.written.policy.tenants for file in files):
        for file in files:
            yield problem(
                file.written.place(("section", "for")),
                "every policy file is for some tenants only, so all other callers would have no policy: "
                "one file must be without 'for'",
            )


def _repeated(files: Sequence[File]) -> Iterator[Problem]:
    """Names and ids that two files share, also where no tenant gets both: they stand in records without the file."""
    names: dict[str, Node] = {}
    ids: dict[str, Node] = {}
    for file in files:
        found = file.written
        place = found.place(("section", "policy"))
        other = names.setdefault(found.policy.name, place)
        if other is not place:
            text = f"the policy in {where(other)} is called '{found.policy.name}' too; give one of them another name"
            yield problem(place, text)
        for kind, items in (("rule", found.policy.rules), ("exception", found.policy.waivers)):
            for item in items:
                place = found.place((kind, item.id))
                other = ids.setdefault(item.id, place)
                if other is not place:
                    yield problem(place, taken(item.id, other))


def _joined(files: Sequence[Written]) -> tuple[Written, list[Problem]]:
    """One policy that is at least as strict as each of these."""
    if len(files) == 1:
        return files[0], []
    problems = [*_other_meanings(files)]
    enforced = [file for file in files if not file.policy.audit] or list(files)
    trials = [file for file in files if file.policy.audit and file not in enforced]
    types = [kind.name for kind in _all_types(enforced)]
    named = [_with_named_types(file, types) for file in enforced] if trials else enforced
    problems += [each for file in trials for each in _new_lines(file, enforced)]
    problems += _disjoint_approvals(enforced)
    trial_rules = [rule for file in trials for rule in _as_trial(file)]
    policies = [file.policy for file in (*named, *(_only_trial(file) for file in trials))]
    first = policies[0]
    try:
        limits = reduce(joined_limits, [policy.limits for policy in policies])
    except TooManyScopes:
        limits = Limits()
        problems += [problem(file.place(("section", "limits")), TOO_MANY_SCOPES) for file in files]
    # Files in audit mode and in force may extend the same one, and so have the same rule: then it is in force.
    rules = {rule.id: rule for rule in trial_rules} | {rule.id: rule for policy in policies for rule in policy.rules}
    waivers = {waiver.id: waiver for policy in policies for waiver in policy.waivers}
    policy = replace(
        first,
        name=_name([file.policy.name for file in files]),
        # Rises whenever one of theirs does.
        version=sum(file.policy.version for file in files),
        owner=", ".join(dict.fromkeys(file.policy.owner for file in files)),
        data_types=_all_types(files),
        levels=all_lines(*policies),
        handling=_handling(policies),
        limits=limits,
        unsure=strictest_unsure(*policies),
        rules=tuple(rules[key] for key in sorted(rules)),
        waivers=tuple(waivers[key] for key in sorted(waivers)),
        answers=tuple(sorted({name for policy in policies for name in policy.answers})),
        tenants=(),
        region_sets=all_region_sets(policies),
    )
    places = {key: node for file in reversed(files) for key, node in file.places.items()}
    guarantees = tuple(dict.fromkeys(node for file in files for node in file.guarantees))
    result = Written(policy, places, guarantees, frozenset[str]().union(*(file.files for file in files)))
    for file in enforced:
        problems += raised(file, result)
    return result, problems


def _name(names: Sequence[str]) -> str:
    name = "+".join(names)
    return name if len(name) <= _LONGEST_NAME else f"{names[0]}+{len(names) - 1}-others"


def _other_meanings(files: Sequence[Written]) -> Iterator[Problem]:
    """Names that two files give different meanings."""
    known: dict[tuple[str, str], tuple[object, Written]] = {}
    for file in files:
        named: list[tuple[tuple[str, str], object]] = [
            (("data type", kind.name), kind) for kind in file.policy.data_types
        ]
        named += [(("region set", name), regions) for name, regions in file.policy.region_sets]
        for key, meaning in named:
            other, source = known.setdefault(key, (meaning, file))
            if other != meaning:
                text = f"'{key[1]}' means something else in {where(source.place(key))}; give one of them another name"
                yield problem(file.place(key), text)


def _all_types(files: Iterable[Written]) -> tuple[DataType, ...]:
    return tuple(sorted({kind.name: kind for file in files for kind in file.policy.data_types}.values()))


def _disjoint_approvals(files: Sequence[Written]) -> Iterator[Problem]:
    for number, file in enumerate(files):
        for other in files[:number]:
            for level in Level:
                mine, theirs = file.policy.handling[level], other.policy.handling[level]
                if nobody_approves_both(mine, theirs):
                    key = ("handling", f"{level.word}.approvers")
                    text = f"nobody may approve {level.word} data both here and by {where(other.place(key))}"
                    yield problem(file.place(key), f"{text}; name a group of approvers in both")


def _handling(policies: Sequence[Policy]) -> tuple[Outcome, Outcome, Outcome, Outcome]:
    public, internal, confidential, restricted = (
        reduce(joined_outcome, [policy.handling[level] for policy in policies]) for level in Level
    )
    return public, internal, confidential, restricted


# ---- files in audit mode beside files in force


def _new_lines(trial: Written, enforced: Sequence[Written]) -> Iterator[Problem]:
    """A request has one level, so what would raise it cannot be tried out without raising it."""
    known: LevelLines = all_lines(*(file.policy for file in enforced))
    for level, lines in trial.policy.levels:
        for line in lines:
            if line not in dict(known).get(level, ()):
                yield problem(
                    trial.place(line_key(level, line)),
                    "a level cannot be tried out beside policies that are enforced: this file is in audit mode, and "
                    "this line would raise the level for everything; write a rule with 'when: {contains: …}' instead",
                )


def _as_trial(file: Written) -> Iterator[Rule]:
    """What an audit-mode file asks for, as audit-mode rules: its rules, its handling and what it hides in answers."""
    policy = file.policy
    types = [kind.name for kind in policy.data_types]
    for rule in policy.rules:
        yield replace(rule, audit=True, then=with_named_types(rule.then, types))
    why = f"In {file.file}, which is in audit mode"
    for level in Level:
        if (outcome := with_named_types(policy.handling[level], types)) != Outcome(Action.ALLOW):
            yield Rule(f"{policy.name}.handling.{level.word}", why, When(levels=(level,)), outcome, audit=True)
    if policy.answers:
        hidden = Outcome(hide_in_answers=policy.answers)
        yield Rule(f"{policy.name}.answers.hide", why, When(), hidden, audit=True)


def _only_trial(file: Written) -> Written:
    """What stays in force of an audit-mode file: its limits and what it does where something is unsure."""
    free = Outcome(Action.ALLOW)
    policy = replace(file.policy, levels=(), handling=(free, free, free, free), rules=(), answers=())
    return replace(file, policy=policy)


def _with_named_types(file: Written, types: Sequence[str]) -> Written:
    """With the data types to hide named, so that those of a file in audit mode do not count among *all*."""
    policy = file.policy
    rules = tuple(replace(rule, then=with_named_types(rule.then, types)) for rule in policy.rules)
    public, internal, confidential, restricted = (with_named_types(each, types) for each in policy.handling)
    return replace(file, policy=replace(policy, rules=rules, handling=(public, internal, confidential, restricted)))
