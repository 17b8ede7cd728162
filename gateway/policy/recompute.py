"""From an audit record back to the facts, and so to the same decision again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.domain.decision import BudgetState, Decision, Facts, Level
from gateway.domain.finding import DetectorState
from gateway.domain.record import AuditRecord
from gateway.domain.target import Target
from gateway.policy.compile import CompiledPolicy
from gateway.policy.evaluate import evaluate


class CannotRecompute(Exception):
    """The record does not hold what this policy needs; `str()` says what is missing."""


def recompute(
    policy: CompiledPolicy,
    record: AuditRecord,
    targets: Sequence[Target],
    users: Mapping[str, str] | None = None,
) -> Decision:
    """Decide again about the request of a record.

    `policy` must be the one whose hash the record names (to replay against *another* policy, use `facts_of` and
    `evaluate`). `targets` are those that could have answered the request. `users` maps the keyed hash of every user
    whom the policy names (`CompiledPolicy.users`) to that name: a record holds a hash only. A hash that is not in it
    is somebody whom no rule names. It is needed only where the policy names users and the request named one.

    Raises `CannotRecompute`.
    """
    if record.policy not in (policy.id.hash, policy.id.short):
        raise CannotRecompute(f"decision {record.decision} was made by policy {record.policy or 'unknown'}")
    return evaluate(policy, facts_of(policy, record, users), targets)


def facts_of(policy: CompiledPolicy, record: AuditRecord, users: Mapping[str, str] | None = None) -> Facts:
    """The facts that a record holds. Raises `CannotRecompute` as `recompute` does."""
    if record.as_of is None or not record.detector:
        raise CannotRecompute(f"record {record.decision} holds no facts: nothing was decided when it was written")
    if record.user and users is None and policy.users:
        raise CannotRecompute("the policy names users, and no user names were given for the record's hashes")
    first_token = record.max_first_token_ms
    try:
        return Facts(
            tenant=record.tenant,
            app=record.app,
            group=record.group,
            role=record.role,
            user=(users or {}).get(record.user, ""),
            dialect=record.dialect,
            model=record.model,
            found=record.found,
            detector=DetectorState(record.detector),
            unreadable=record.unreadable,
            prompt_tokens=record.prompt_tokens,
            as_of=record.as_of,
            budget=BudgetState(record.budget or BudgetState.OK),
            redaction_incomplete=record.redaction_incomplete,
            min_level=Level[record.min_level.upper()] if record.min_level else None,
            max_cost=record.max_cost,
            max_first_token=None if first_token is None else first_token / 1000,
            minute=record.minute,
            labels=tuple(record.labels),
            history_level=Level[record.history_level.upper()] if record.history_level else None,
            approved=bool(record.approval) and "approval" in record.because,
        )
    except (KeyError, ValueError) as problem:
        raise CannotRecompute(f"record {record.decision} holds an unknown word: {problem}") from problem
