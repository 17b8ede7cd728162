"""The tables of approvals, and the way between their rows and values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection

from gateway.approvals.values import Approval, Status, Word
from gateway.domain.decision import ApprovalNeeded, Level
from gateway.domain.finding import Found
from gateway.domain.ports import ApprovalCase

APPROVALS = sa.table(
    "approvals",
    sa.column("id", sa.String),
    sa.column("standing", sa.String),
    sa.column("tenant", sa.String),
    sa.column("app", sa.String),
    sa.column("status", sa.String),
    sa.column("asked_at", sa.BigInteger),
    sa.column("expires_at", sa.BigInteger),
    sa.column("denied_by", sa.String),
    sa.column("denied_at", sa.BigInteger),
    sa.column("used_by", sa.String),
    sa.column("used_at", sa.BigInteger),
    sa.column("facts", sa.LargeBinary),
)
WORDS = sa.table(
    "approval_words",
    sa.column("approval", sa.String),
    sa.column("requirement", sa.Integer),
    sa.column("key", sa.String),
    sa.column("at", sa.BigInteger),
)


def row_of(case: ApprovalCase, name: str, now: int, expires: int) -> dict[str, Any]:
    """The row of a new approval that waits."""
    return {
        "id": name,
        "standing": case.binding,
        "tenant": case.tenant,
        "app": case.app,
        "status": Status.PENDING.value,
        "asked_at": now,
        "expires_at": expires,
        "facts": orjson.dumps(_facts(case)),
    }


def read(connection: Connection, statement: sa.Select[Any]) -> list[Approval]:
    """The approvals that a statement selects from `APPROVALS`, in its order, with their words."""
    rows = connection.execute(statement).all()
    words: dict[str, dict[int, Word]] = defaultdict(dict)
    if rows:
        given = sa.select(WORDS).where(WORDS.c.approval.in_([row.id for row in rows]))
        for word in connection.execute(given):
            words[word.approval][word.requirement] = Word(word.key, word.at)
    return [_approval(row, words[row.id]) for row in rows]


def by_id(name: str) -> sa.Select[Any]:
    """For a change: no other process changes the row before this transaction ends. SQLite's transactions are alone."""
    return sa.select(APPROVALS).where(APPROVALS.c.id == name).with_for_update()


def by_binding(binding: str) -> sa.Select[Any]:
    return sa.select(APPROVALS).where(APPROVALS.c.standing == binding)


def of_tenant(tenant: str | None, statuses: Sequence[Status], now: int, limit: int) -> sa.Select[Any]:
    """The newest first; every tenant's where `tenant` is None, every status where there are none."""
    found = sa.select(APPROVALS).order_by(APPROVALS.c.asked_at.desc(), APPROVALS.c.id.desc()).limit(limit)
    if tenant is not None:
        found = found.where(APPROVALS.c.tenant == tenant)
    return found.where(sa.or_(*[_has(status, now) for status in statuses])) if statuses else found


def _has(status: Status, now: int) -> sa.ColumnElement[bool]:
    """As `Approval.status_at`, in the database."""
    passing = (Status.PENDING, Status.APPROVED)
    if status is Status.EXPIRED:
        lapsed = sa.and_(APPROVALS.c.status.in_([one.value for one in passing]), APPROVALS.c.expires_at <= now)
        return sa.or_(APPROVALS.c.status == status.value, lapsed)
    same = APPROVALS.c.status == status.value
    return sa.and_(same, APPROVALS.c.expires_at > now) if status in passing else same


def _facts(case: ApprovalCase) -> dict[str, Any]:
    return {
        "binding": case.binding,
        "decision": case.decision,
        "key": case.key,
        "group": case.group,
        "user": case.user,
        "dialect": case.dialect,
        "model": case.model,
        "level": case.level.word,
        "found": [[found.entity, found.percent, found.distinct] for found in case.found],
        "size": case.size,
        "policy": case.policy,
        "targets": case.targets,
        "hidden": case.hidden,
        "needed": [[needed.rule, needed.approvers, needed.seconds] for needed in case.needed],
    }


def _approval(row: sa.Row[Any], words: dict[int, Word]) -> Approval:
    facts = orjson.loads(bytes(row.facts))
    case = ApprovalCase(
        **{
            **facts,
            "tenant": row.tenant,
            "app": row.app,
            "level": Level[facts["level"].upper()],
            "found": tuple(Found(*found) for found in facts["found"]),
            "targets": tuple(facts["targets"]),
            "hidden": tuple(facts["hidden"]),
            "needed": tuple(ApprovalNeeded(rule, tuple(who), seconds) for rule, who, seconds in facts["needed"]),
        }
    )
    return Approval(
        id=row.id,
        case=case,
        status=Status(row.status),
        asked_at=row.asked_at,
        expires_at=row.expires_at,
        words=words,
        denied=None if row.denied_by is None else Word(row.denied_by, row.denied_at),
        used_at=row.used_at,
        used_by=row.used_by or "",
    )
