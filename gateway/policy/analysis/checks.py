"""What shows without any situation: what is asked of targets that none of them has, approvals that nobody can give,
limits that hold for nobody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from gateway.documents import nearest
from gateway.domain.decision import Action, Facts, Level
from gateway.domain.target import Target, Zone
from gateway.policy.amounts import limits_of
from gateway.policy.analysis.subjects import Subject
from gateway.policy.analysis.words import listed
from gateway.policy.compile import CompiledPolicy
from gateway.policy.schema import NAMED, Outcome, Policy, When

_ANYBODY_ELSE = ""

ERROR, WARNING, NOTE = "error", "warning", "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """`code` is stable, `severity` ``error``, ``warning`` or ``note``. `subject` is where it stands, see `Subject`;
    `facts` an example, where there is one."""

    code: str
    severity: str
    message: str
    subject: Subject
    facts: Facts | None = None


def checks(
    policy: CompiledPolicy, targets: Sequence[Target], as_of: date, irreversible: frozenset[str]
) -> Iterator[Finding]:
    """See `analyse`."""
    outcomes = list(_outcomes(policy.source))
    clouds = [target for target in targets if target.zone is Zone.CLOUD]
    for subject, what, outcome in outcomes:
        yield from _approval(subject, what, outcome)
        if clouds:
            yield from _labels(subject, what, outcome, clouds, as_of)
            yield from _regions(subject, what, outcome, clouds)
        yield from _irreversible(subject, what, outcome, policy.source, irreversible)
    yield from _scopes(policy)


def _outcomes(policy: Policy) -> Iterator[tuple[Subject, str, Outcome]]:
    """Everything that asks for something, with its place and its name."""
    for level in Level:
        yield ("handling", level.word), f"handling of {level.word} data", policy.handling[level]
    for rule in policy.rules:
        yield ("rule", rule.id), f"rule '{rule.id}'", rule.then


def _approval(subject: Subject, what: str, outcome: Outcome) -> Iterator[Finding]:
    if outcome.action is Action.REQUIRE_APPROVAL and (outcome.approval is None or not outcome.approval.approvers):
        message = f"{what} requires an approval that nobody can give: name the groups that may, as approvers"
        yield Finding("approval-without-approver", ERROR, message, subject)


def _labels(subject: Subject, what: str, outcome: Outcome, clouds: Sequence[Target], as_of: date) -> Iterator[Finding]:
    for label in outcome.provider_must_have:
        if any(label in target.labels_on(as_of) for target in clouds):
            continue
        ended = sorted({str(last) for target in clouds for name, last in target.expiring if name == label})
        since = f" any more (it ended on {listed(ended)})" if ended else ""
        near = nearest(label, {name for target in clouds for name in target.labels_on(as_of)})
        meant = f"; did you mean '{near}'?" if near else ""
        message = f"{what} asks for the label '{label}', which no target has{since}: no cloud will ever do{meant}"
        yield Finding("label-of-no-target", WARNING, message, subject)


def _regions(subject: Subject, what: str, outcome: Outcome, clouds: Sequence[Target]) -> Iterator[Finding]:
    if outcome.regions and not any(target.region in outcome.regions for target in clouds):
        there = sorted({target.region for target in clouds})
        where = f" (targets are in {listed(there)})" if there else ""
        message = f"{what} permits clouds in {listed(outcome.regions)} only, where no target is{where}"
        yield Finding("region-of-no-target", NOTE, message, subject)


def _irreversible(
    subject: Subject, what: str, outcome: Outcome, policy: Policy, irreversible: frozenset[str]
) -> Iterator[Finding]:
    for kind in policy.data_types:
        lost = [entity for entity in kind.detect if entity in irreversible]
        if lost and (outcome.redact is None or kind.name in outcome.redact):
            message = f"{what} hides '{kind.name}', but {listed(lost)} cannot be put back into the answer"
            yield Finding("irreversible-redaction", WARNING, message, subject)


def _scopes(policy: CompiledPolicy) -> Iterator[Finding]:
    """Limits for somebody that hold for nobody, or that are what would hold anyway."""
    scopes = [scope.who for scope in policy.source.limits.scopes]
    fitting = _fitting(scopes, policy.source.tenants)
    for place, who in enumerate(scopes):
        mine = [mask for mask in fitting if mask >> place & 1]
        if not mine:
            message = f"the limit for {_who(who)} holds for nobody: the policy is for other tenants"
        elif all(limits_of(policy.limits, mask) == limits_of(policy.limits, mask & ~(1 << place)) for mask in mine):
            message = f"the limit for {_who(who)} changes nothing: others say the same or are more specific"
        else:
            continue
        yield Finding("limit-without-effect", WARNING, message, ("section", "limits"))


def _fitting(scopes: Sequence[When], tenants: Sequence[str]) -> set[int]:
    """Every mask of scopes that somebody can be in."""
    masks = {(1 << len(scopes)) - 1}
    for name in NAMED:
        accepted = [dict(who.names).get(name) for who in scopes]
        known = {one for names in accepted for one in names or ()} | {_ANYBODY_ELSE}
        if name == "tenant" and tenants:
            known = set(tenants)
        options = {
            sum(1 << place for place, names in enumerate(accepted) if names is None or one in names) for one in known
        }
        masks = {mask & option for mask in masks for option in options}
    return masks


def _who(who: When) -> str:
    return listed([f"{name} {listed(names, 'or')}" for name, names in who.names])
