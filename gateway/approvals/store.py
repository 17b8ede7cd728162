"""Approvals in SQLite or PostgreSQL. Several gateways may share them: each change is one conditional statement or takes
place under the row's lock, so that an approval is used once however many ask at the same time."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from gateway.approvals import table
from gateway.approvals.table import APPROVALS, WORDS
from gateway.approvals.values import PENDING_FOR, SECOND, Approval, Status, Word, check_denial, met_by, not_found
from gateway.domain.errors import Code, ConfigurationError, GatewayError
from gateway.domain.ports import ApprovalCase, ApprovalClaim
from gateway.domain.request import Caller
from gateway.sql import Writer, WriterClosed, WriterFull, migrate, open_engine, reading, reason

MOST_WAITING: Final = 1000
"""Requests of one app that may wait at the same time: nobody can read more, and an app in a loop must not fill the
database."""

KEPT_FOR: Final = 90 * 86_400 * SECOND
"""Microseconds for which an approval can be looked at; the audit log has the events for good."""

_NAME: Final = re.compile(r"a[0-9a-f]{21}", re.ASCII)

T = TypeVar("T")


def system_time() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


class SqlApprovals:
    """Implements `gateway.domain.ports.Approvals`. Owns the engine it is given and a writer thread.

    Every method raises `GatewayError(APPROVALS_UNAVAILABLE)` when the database cannot be read or written.
    """

    def __init__(self, engine: Engine, now: Callable[[], int] = system_time) -> None:
        """`now` is microseconds since the epoch."""
        self._engine = engine
        self._writer = Writer(engine, "approvals")
        self.now = now

    @classmethod
    def open(cls, url: str, now: Callable[[], int] = system_time, *, create: bool = True) -> SqlApprovals:
        """The store at this database URL; its tables are made or brought up to date first. Raises
        `ConfigurationError` when that cannot be done or, without `create`, there is no database yet."""
        engine = open_engine(url, durable=True, create=create)
        try:
            migrate(engine, "approvals")
        except SQLAlchemyError as error:
            raise ConfigurationError(f"approvals database {engine.url.render_as_string()}: {reason(error)}") from error
        return cls(engine, now)

    async def claim(self, case: ApprovalCase) -> ApprovalClaim:
        """As the port says. Of any number of equal claims, one uses an approval."""
        now = self.now()
        name = f"a{now // 1000:011x}{secrets.token_hex(5)}"
        return await self._write(lambda connection: _claim(connection, case, name, now))

    async def approve(self, name: str, caller: Caller) -> Approval:
        """Give the caller's word for every requirement that it meets. Raises as `values.met_by`, or
        APPROVAL_NOT_FOUND."""
        now = self.now()
        return await self._write(lambda connection: _approve(connection, name, caller, now))

    async def deny(self, name: str, caller: Caller) -> Approval:
        """Deny what waits, or what was approved and is not used yet. Raises as `values.check_denial`, or
        APPROVAL_NOT_FOUND."""
        now = self.now()
        return await self._write(lambda connection: _deny(connection, name, caller, now))

    async def find(self, name: str) -> Approval:
        """Raises `GatewayError(APPROVAL_NOT_FOUND)`."""
        if not _NAME.fullmatch(name):  # what no database should have to look at
            raise not_found()
        found = await self._read(sa.select(APPROVALS).where(APPROVALS.c.id == name))
        if not found:
            raise not_found()
        return found[0]

    async def listed(
        self, tenant: str | None = None, statuses: Sequence[Status] = (), limit: int = 100
    ) -> Sequence[Approval]:
        """The newest first: of one tenant or of all, with one of these statuses or with any."""
        return await self._read(table.of_tenant(tenant, statuses, self.now(), limit))

    async def aclose(self) -> None:
        await self._writer.aclose()
        self._engine.dispose()

    async def _read(self, statement: sa.Select[Any]) -> list[Approval]:
        def read() -> list[Approval]:
            with reading(self._engine) as connection:
                return table.read(connection, statement)

        try:
            return await asyncio.to_thread(read)
        except SQLAlchemyError as error:
            raise _unavailable(error) from error

    async def _write(self, operation: Callable[[Connection], T | GatewayError]) -> T:
        """A refusal is returned and raised here, because an exception would make the writer's whole group start
        again."""
        try:
            outcome = await self._writer.run(operation)
        except (SQLAlchemyError, WriterFull, WriterClosed) as error:
            raise _unavailable(error) from error
        if isinstance(outcome, GatewayError):
            raise outcome
        return outcome


def _claim(connection: Connection, case: ApprovalCase, name: str, now: int) -> ApprovalClaim | GatewayError:
    _lapse(connection, case.binding, now)
    used = _use(connection, case, now)
    if used is not None:
        return ApprovalClaim(used, Status.USED.value, False, (), now)
    found = _one(connection, table.by_binding(case.binding))
    if found is None:
        if _too_many(connection, case, now):
            return GatewayError(
                Code.APPROVAL_REQUIRED,
                f"This request needs an approval, and {MOST_WAITING} requests of this app wait for one already; this "
                "one was not added to them.",
            )
        _forget_old(connection, now)
        found = _ask(connection, table.row_of(case, name, now, now + PENDING_FOR))
    waiting = tuple(case.needed[number] for number in found.waiting(now)) if found.status is Status.PENDING else ()
    return ApprovalClaim(found.id, found.status.value, found.id == name, waiting, found.expires_at)


def _ask(connection: Connection, row: dict[str, Any]) -> Approval:
    """The new approval, or the one that another gateway has asked for meanwhile: updating nothing locks it."""
    insert = (postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert)(APPROVALS).values(row)
    kept = {"standing": insert.excluded.standing}
    statement = insert.on_conflict_do_update(index_elements=["standing"], set_=kept).returning(APPROVALS.c.id)
    (found,) = table.read(connection, table.by_id(connection.execute(statement).scalar_one()))
    return found


def _one(connection: Connection, statement: sa.Select[Any]) -> Approval | None:
    found = table.read(connection, statement)
    return found[0] if found else None


def _lapse(connection: Connection, binding: str, now: int) -> None:
    """Whatever has run out no longer answers for its binding."""
    denied = APPROVALS.c.status == Status.DENIED.value
    connection.execute(
        sa.update(APPROVALS)
        .where(APPROVALS.c.standing == binding, APPROVALS.c.expires_at <= now)
        .values(standing=None, status=sa.case((denied, Status.DENIED.value), else_=Status.EXPIRED.value))
    )


def _use(connection: Connection, case: ApprovalCase, now: int) -> str | None:
    """The one statement that makes an approval work once: whoever changes the row has it. A key never uses an approval
    that it gave itself."""
    own = sa.select(WORDS.c.key).where(WORDS.c.approval == APPROVALS.c.id, WORDS.c.key == case.key)
    statement = (
        sa.update(APPROVALS)
        .where(APPROVALS.c.standing == case.binding, APPROVALS.c.status == Status.APPROVED.value, ~own.exists())
        .values(standing=None, status=Status.USED.value, used_at=now, used_by=case.decision)
        .returning(APPROVALS.c.id)
    )
    found = connection.execute(statement).scalar()
    return None if found is None else str(found)


def _too_many(connection: Connection, case: ApprovalCase, now: int) -> bool:
    waiting = sa.select(APPROVALS.c.id).where(
        APPROVALS.c.tenant == case.tenant,
        APPROVALS.c.app == case.app,
        APPROVALS.c.status == Status.PENDING.value,
        APPROVALS.c.expires_at > now,
    )
    count = sa.select(sa.func.count()).select_from(waiting.limit(MOST_WAITING).subquery())
    return int(connection.execute(count).scalar_one()) >= MOST_WAITING


def _forget_old(connection: Connection, now: int) -> None:
    over = sa.or_(APPROVALS.c.standing.is_(None), APPROVALS.c.expires_at <= now)
    connection.execute(sa.delete(APPROVALS).where(APPROVALS.c.asked_at < now - KEPT_FOR, over))


def _approve(connection: Connection, name: str, caller: Caller, now: int) -> Approval | GatewayError:
    found = _one(connection, table.by_id(name))
    if found is None:
        return not_found()
    try:
        met = met_by(found, caller, now)
    except GatewayError as refusal:
        return refusal
    if not met:
        return found
    connection.execute(sa.delete(WORDS).where(WORDS.c.approval == name, WORDS.c.requirement.in_(met)))  # lapsed ones
    words = {**found.words, **dict.fromkeys(met, Word(caller.key, now))}
    rows = [{"approval": name, "requirement": number, "key": caller.key, "at": now} for number in met]
    connection.execute(sa.insert(WORDS), rows)
    found = replace(found, words=words)
    if found.waiting(now):
        return found
    found = replace(found, status=Status.APPROVED, expires_at=found.lasts_until())
    _change(connection, name, status=found.status.value, expires_at=found.expires_at)
    return found


def _deny(connection: Connection, name: str, caller: Caller, now: int) -> Approval | GatewayError:
    found = _one(connection, table.by_id(name))
    if found is None:
        return not_found()
    try:
        if not check_denial(found, caller, now):
            return found
    except GatewayError as refusal:
        return refusal
    # It answers for the request as long as one that waits, so that asking again does not ask the approvers again.
    found = replace(found, status=Status.DENIED, denied=Word(caller.key, now), expires_at=now + PENDING_FOR)
    status, expires = found.status.value, found.expires_at
    _change(connection, name, status=status, expires_at=expires, denied_by=caller.key, denied_at=now)
    return found


def _change(connection: Connection, name: str, **values: str | int) -> None:
    connection.execute(sa.update(APPROVALS).where(APPROVALS.c.id == name).values(**values))


def _unavailable(error: Exception) -> GatewayError:
    return GatewayError(
        Code.APPROVALS_UNAVAILABLE,
        "The approvals cannot be read or written at the moment, and without one this request does not go.",
        detail=reason(error),
        retry_after=5.0,
    )
