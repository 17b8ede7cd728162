"""Warnings: what is permitted, but probably not meant."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from gateway.documents import Node, Problems, nearest
from gateway.domain.decision import Action, Level
from gateway.policy.schema import UNSURE, Outcome, Policy

_STRICTNESS = (Action.ALLOW, Action.REDACT, Action.LOCAL_ONLY, Action.REQUIRE_APPROVAL, Action.BLOCK)


def advise(
    policy: Policy,
    places: Mapping[tuple[str, str], Node],
    problems: Problems,
    detectable: frozenset[str] | None,
    today: date | None,
) -> None:
    """Add warnings about a policy without problems; `places` says where its parts stand in the file."""
    if policy.audit:
        message = "the whole policy is in audit mode: rules and handling are recorded but NOT enforced"
        problems.warn(places["section", "mode"], message)
    if detectable is not None:
        _undetectable(policy, places, problems, detectable)
    _unused(policy, places, problems)
    _looser_when_higher(policy, places, problems)
    _claimed(policy, places, problems)
    if ("section", "if_unsure") not in places and ("section", "extends") not in places:
        message = f"if_unsure is missing, so each of these means block: {', '.join(UNSURE)}"
        problems.warn(places["file", ""], message)
    if today is not None:
        _lapsed(policy, places, problems, today)


def _undetectable(
    policy: Policy, places: Mapping[tuple[str, str], Node], problems: Problems, detectable: frozenset[str]
) -> None:
    for data_type in policy.data_types:
        for entity in data_type.detect:
            if entity not in detectable:
                place = places["entity", f"{data_type.name}\n{entity}"]
                problems.warn(
                    place, f"no detector finds '{entity}', so it will never count", nearest(entity, detectable)
                )


def _unused(policy: Policy, places: Mapping[tuple[str, str], Node], problems: Problems) -> None:
    used = {name for _, lines in policy.levels for line in lines for name in (*line.any_of, *line.all_of)}
    used |= {name for rule in policy.rules for name in (*rule.when.contains, *(rule.then.redact or ()))}
    for data_type in policy.data_types:
        if data_type.name not in used:
            message = f"no level and no rule uses '{data_type.name}': finding it makes no difference to the level"
            problems.warn(places["data type", data_type.name], message)


def _looser_when_higher(policy: Policy, places: Mapping[tuple[str, str], Node], problems: Problems) -> None:
    for level in Level:
        if level > Level.PUBLIC and (what := _looser(policy.handling[level], policy.handling[level - 1])):
            below = Level(level - 1).word
            message = f"{level.word} data is handled less strictly than {below} data: {what}"
            # A file that extends another may have written only the other of the two, or neither.
            written = (("handling", level.word), ("handling", below), ("section", "extends"))
            problems.warn(next(places[key] for key in written if key in places), message)


def _looser(higher: Outcome, lower: Outcome) -> str:
    """What `lower` forbids and `higher` does not, in words; nothing that stays inside is looser."""
    if _STRICTNESS.index(higher.action) < _STRICTNESS.index(lower.action):
        return f"action {higher.action} instead of {lower.action}"
    if higher.action in (Action.LOCAL_ONLY, Action.BLOCK):
        return ""
    if lower.regions is not None and (higher.regions is None or set(higher.regions) - set(lower.regions)):
        return f"regions {', '.join(higher.regions or ('any',))} instead of {', '.join(lower.regions)}"
    if missing := set(lower.provider_must_have) - set(higher.provider_must_have):
        return f"provider_must_have lacks {', '.join(sorted(missing))}"
    return ""


def _lapsed(policy: Policy, places: Mapping[tuple[str, str], Node], problems: Problems, today: date) -> None:
    for rule in policy.rules:
        if rule.until is not None and rule.until < today:
            problems.warn(places["rule", rule.id], f"the trial of rule '{rule.id}' ended on {rule.until}")
    for waiver in policy.waivers:
        if waiver.expires < today:
            problems.warn(places["exception", waiver.id], f"exception '{waiver.id}' expired on {waiver.expires}")


def _claimed(policy: Policy, places: Mapping[tuple[str, str], Node], problems: Problems) -> None:
    """What is for a user alone is for every caller who says so: a request names its user itself."""
    message = "is for whoever names this user: a request says itself for which user it is, so name an app as well"
    for waiver in policy.waivers:
        if {name for name, _ in waiver.who.names} == {"user"}:
            problems.warn(places["exception", waiver.id], f"exception '{waiver.id}' {message}")
    for scope in policy.limits.scopes:
        if {name for name, _ in scope.who.names} == {"user"}:
            problems.warn(
                places["section", "limits"], f"the limit for user {', '.join(scope.who.names[0][1])} {message}"
            )
