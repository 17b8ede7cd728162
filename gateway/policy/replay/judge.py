"""Decides again about recorded requests, each distinct situation once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.domain.decision import BudgetState, Decision, Facts
from gateway.domain.record import AuditRecord, label
from gateway.domain.target import Route, Target
from gateway.policy.compile import CompiledPolicy
from gateway.policy.evaluate import evaluate
from gateway.policy.recompute import CannotRecompute, facts_of
from gateway.policy.replay.grain import Grain, users_of
from gateway.policy.replay.question import Question, of_tenant
from gateway.policy.replay.requests import Request
from gateway.policy.replay.verdict import Before, Ruling, Verdict, allowed, compare, decided, recorded, types_of

NO_FACTS = "no_facts"
UNREADABLE = "unreadable"
UNKNOWN_MODEL = "unknown_model"
TARGET_GONE = "target_gone"
USER_UNKNOWN = "user_unknown"
UNKNOWN_WORD = "unknown_word"
OTHER_TENANT = "other_tenant"
_MOST_KEPT = 30_000  # situations, some 4 kB each: beyond, all are handed over and forgotten, and memory stays flat


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a request cannot be evaluated: one of the words above."""

    reason: str


@dataclass(frozen=True, slots=True)
class Trio:
    """The policies that a request is decided by: the new one, the one compared with, and the one that its record names,
    where it is kept."""

    new: CompiledPolicy
    against: CompiledPolicy | None
    own: CompiledPolicy | None
    grain: Grain
    with_users: frozenset[str]
    """Hashes of those of the three that name users."""


class Judge:
    def __init__(self, question: Question) -> None:
        self._question = question
        self._targets: dict[str, Target] = {label(target.id): target for target in question.targets}
        self._trios: dict[tuple[str, str], Trio | None] = {}
        self._known: dict[tuple[object, ...], Verdict | Refused] = {}
        self._verdicts: dict[Ruling, Verdict] = {}

    @property
    def full(self) -> bool:
        """Are so many situations known that `forget` is due?"""
        return len(self._known) >= _MOST_KEPT

    def forget(self) -> Iterator[Verdict]:
        """Hands over what was decided, with its counts, and starts anew."""
        self._known.clear()
        verdicts, self._verdicts = self._verdicts, {}
        return iter(verdicts.values())

    def verdict(self, request: Request) -> Verdict | Refused:
        tree = request.tree
        if tree is None or not tree.get("detector") or not tree.get("as_of") or not tree.get("action"):
            return Refused(NO_FACTS)
        for attempt in request.attempts:
            if attempt.target not in self._targets:
                return Refused(TARGET_GONE)
        try:
            pair = (tree.get("policy", ""), tree.get("tenant", ""))
            trio = self._trios[pair] if pair in self._trios else self._new_trio(*pair)
            if trio is None:
                return Refused(OTHER_TENANT)
            key = trio.grain.key(tree)
            known = self._known.get(key)
        except (TypeError, ValueError):
            return Refused(UNREADABLE)
        if known is None:
            known = self._known[key] = self._judge(request, trio)
        return known

    def _new_trio(self, digest: str, tenant: str) -> Trio | None:
        question = self._question
        new = of_tenant(question.new, tenant)
        against = None if question.against is None else of_tenant(question.against, tenant)
        trio = None
        if new is not None and (question.against is None or against is not None):
            own = question.policy_of(digest)
            policies = [policy for policy in (new, against, own) if policy is not None]
            grain = Grain(policies, question.targets, users_of(policies, question.mac))
            trio = Trio(new, against, own, grain, frozenset(policy.id.hash for policy in policies if policy.users))
        self._trios[digest, tenant] = trio
        return trio

    def _judge(self, request: Request, trio: Trio) -> Verdict | Refused:
        try:
            record = self._question.decode(request.body)
        except ValueError:
            return Refused(UNREADABLE)
        route = self._question.routes.get(record.model)
        if route is None:
            return Refused(UNKNOWN_MODEL)
        try:
            return self._compared(record, route, trio)
        except _UserUnknown:
            return Refused(USER_UNKNOWN)
        except (CannotRecompute, KeyError, ValueError):
            return Refused(UNKNOWN_WORD)

    def _compared(self, record: AuditRecord, route: Route, trio: Trio) -> Verdict:
        served = tuple(self._targets[label(name)] for name in route.targets)
        facts = _facts(trio.new, record, trio)
        after = evaluate(trio.new, facts, served)
        own = _own_decision(trio, record, served)
        if trio.against is None:
            before = recorded(record, served, own)
        else:
            before = decided(evaluate(trio.against, _facts(trio.against, record, trio), served), served)
        facets, direction = compare(before, after, facts, served)
        now = frozenset(label(reason.rule) for reason in after.reasons)
        notes = [*_notes(record, facts, served), *([] if before.known else ["limits_not_kept"])]
        if own is not None and _says_otherwise(recorded(record, served, own), own):
            notes.append("decided_otherwise")
        if after.trial is not None and (after.trial.action, after.trial.permitted) != (after.action, after.permitted):
            notes.append("audit_mode")
        ruling = Ruling(
            tenant=record.tenant,
            app=record.app,
            refused=not record.permitted,
            rank=route.rank,
            levels=(before.level, after.level),
            actions=(before.action, after.action),
            permitted=(before.permitted, allowed(after, served)),
            first_token=(before.first_token, after.first_token),
            cost_cap=after.cost_cap,
            day_limit=after.day_limit,
            types=types_of(trio.new, facts),
            entities=tuple(sorted({found.entity for found in facts.found if found.distinct})),
            seen=record.permitted,
            added=tuple(sorted(now - before.because)),
            dropped=tuple(sorted(before.because - now)),
            notes=tuple(notes),
            facets=facets,
            direction=direction,
        )
        verdict = self._verdicts.get(ruling)  # many situations differ in nothing that counts
        if verdict is None:
            verdict = self._verdicts[ruling] = Verdict(ruling)
        return verdict


class _UserUnknown(Exception):
    """A policy names users, and the key of the log's hashes is not at hand."""


def _facts(policy: CompiledPolicy, record: AuditRecord, trio: Trio) -> Facts:
    users = trio.grain.users
    if record.user and users is None and policy.id.hash in trio.with_users:
        raise _UserUnknown
    return facts_of(policy, record, {} if users is None else users)


def _own_decision(trio: Trio, record: AuditRecord, served: tuple[Target, ...]) -> Decision | None:
    """What the record's own policy decides, for what a record does not hold: the limits and what had to be hidden."""
    try:
        return None if trio.own is None else evaluate(trio.own, _facts(trio.own, record, trio), served)
    except _UserUnknown:
        return None


def _says_otherwise(record: Before, own: Decision) -> bool:
    return (record.level, record.action) != (own.level, own.action) or (
        {target.id for target in record.permitted} != own.permitted
    )


def _notes(record: AuditRecord, facts: Facts, served: tuple[Target, ...]) -> Iterator[str]:
    if facts.budget is BudgetState.SPENT:
        yield "budget_spent"
    if facts.redaction_incomplete:
        yield "redaction_incomplete"
    if facts.approved:
        yield "approved"
    if set(record.permitted) - {label(target.id) for target in served}:
        yield "permitted_gone"
