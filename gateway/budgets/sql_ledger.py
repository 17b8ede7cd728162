"""Budgets in SQLite or PostgreSQL: whatever requests want at the same moment is done in one transaction."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias, cast

import anyio.to_thread
import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from gateway.budgets.ledger import LEASE, Reserve, Settle, StoreError, StoreLedger, new_owner
from gateway.sql import BatchWriter, WriterClosed, WriterFull, migrate

_budgets = sa.table(
    "budgets", sa.column("scope", sa.Text), sa.column("spent", sa.BigInteger), sa.column("reserved", sa.BigInteger)
)
_reservations = sa.table(
    "budget_reservations",
    sa.column("id", sa.Text),
    sa.column("scope", sa.Text),
    sa.column("amount", sa.BigInteger),
    sa.column("created_at", sa.BigInteger),
    sa.column("owner", sa.Text),
)
_owners = sa.table("budget_owners", sa.column("owner", sa.Text), sa.column("expires", sa.BigInteger))

_used = _budgets.c.spent + _budgets.c.reserved
_this_scope = _budgets.c.scope == sa.bindparam("of")
_TAKE: Final = (
    sa.update(_budgets)
    .where(_this_scope, _used + sa.bindparam("amount") <= sa.bindparam("most"))
    .values(reserved=_budgets.c.reserved + sa.bindparam("amount"))
)
_LOCK: Final = sa.update(_budgets).where(_this_scope).values(reserved=_budgets.c.reserved).returning(_used)
_MOVE: Final = (
    sa.update(_budgets)
    .where(_this_scope)
    .values(
        reserved=_budgets.c.reserved - sa.bindparam("released"),
        spent=_budgets.c.spent + sa.bindparam("cost"),
    )
)
_UNRESERVE: Final = (
    sa.delete(_reservations)
    .where(_reservations.c.id.in_(sa.bindparam("ids", expanding=True)))
    .returning(_reservations.c.id, _reservations.c.scope, _reservations.c.amount)
)
_UNRESERVE_ALL: Final = (
    sa.delete(_reservations)
    .where(_reservations.c.owner == sa.bindparam("of"))
    .returning(_reservations.c.scope, _reservations.c.amount)
)
_READ: Final = sa.select(_budgets.c.scope, _used.label("used")).where(
    _budgets.c.scope.in_(sa.bindparam("scopes", expanding=True))
)


@dataclass(frozen=True, slots=True)
class Read:
    scope: str


@dataclass(frozen=True, slots=True)
class Renew:
    """Have the owner's lease end at `expires` (milliseconds since the epoch)."""

    owner: str
    expires: int


@dataclass(frozen=True, slots=True)
class Recover:
    """Settle in full what the owners have reserved whose lease ended before `now`; with `owner`, only that one's."""

    now: int
    owner: str | None = None


Operation: TypeAlias = "Reserve | Settle | Read | Renew | Recover"
Outcome: TypeAlias = "bool | int | None"
_Moves: TypeAlias = "dict[str, list[int]]"
"""For each scope, how much is no longer reserved and how much is spent instead."""


class SqlLedger(StoreLedger):
    """The ledger of one machine (SQLite), or of several (PostgreSQL)."""

    @classmethod
    async def open(cls, engine: Engine, *, now: Callable[[], float] = time.time, lease: float = LEASE) -> SqlLedger:
        """A started ledger. The engine should be durable and stays the caller's. Raises `StoreError`,
        `ConfigurationError`."""
        await anyio.to_thread.run_sync(migrate, engine, "budgets")
        ledger = cls(SqlStore(engine, now, lease))
        await ledger.start(lease / 4)
        return ledger


class SqlStore:
    """Implements `gateway.budgets.ledger.Store`."""

    def __init__(self, engine: Engine, now: Callable[[], float], lease: float) -> None:
        self._owner = new_owner()
        self._now = now
        self._lease = lease
        self._writer: BatchWriter[Operation, Outcome] = BatchWriter(
            engine, "budgets", partial(_apply, owner=self._owner, now=self._milliseconds)
        )

    async def reserve(self, operation: Reserve) -> bool:
        return bool(await self._write(operation))

    async def settle(self, operation: Settle) -> None:
        await self._write(operation)

    async def spent(self, scope: str) -> int:
        return cast(int, await self._write(Read(scope)))

    async def keep_alive(self) -> None:
        # One after the other: two processes that each renew and recover in one transaction could wait for each other.
        await self._write(Renew(self._owner, self._milliseconds() + int(self._lease * 1000)))
        await self._write(Recover(self._milliseconds()))

    async def aclose(self) -> None:
        try:
            await self._write(Recover(self._milliseconds(), self._owner))
        finally:
            await self._writer.aclose()

    def _milliseconds(self) -> int:
        return int(self._now() * 1000)

    async def _write(self, operation: Operation) -> Outcome:
        try:
            return await self._writer.write(operation)
        except WriterFull as error:
            raise StoreError("too many operations waiting", busy=True) from error
        except (SQLAlchemyError, WriterClosed) as error:
            raise StoreError(type(error).__name__) from error


def _apply(
    connection: Connection, operations: Sequence[Operation], *, owner: str, now: Callable[[], int]
) -> list[Outcome]:
    """One transaction's worth. Rows are locked in one order everywhere (leases, reservations, then budgets by name),
    so that processes wait for each other but never in a circle."""
    outcomes: list[Outcome] = [None] * len(operations)
    moves: _Moves = defaultdict(lambda: [0, 0])
    wanted: dict[str, list[tuple[int, Reserve]]] = defaultdict(list)
    settled: dict[str, int] = {}
    read: list[tuple[int, str]] = []
    for index, operation in enumerate(operations):
        if isinstance(operation, Reserve):
            wanted[operation.scope].append((index, operation))
        elif isinstance(operation, Settle):
            settled.setdefault(operation.id, operation.cost)
        elif isinstance(operation, Read):
            read.append((index, operation.scope))
        elif isinstance(operation, Renew):
            _renew(connection, operation)
        else:
            _recover(connection, operation, moves)
    new = {operation.id for some in wanted.values() for _, operation in some}
    at_once = {name: settled.pop(name) for name in settled.keys() & new}  # its caller left while it was waiting
    _unreserve(connection, settled, moves)
    made: list[Reserve] = []
    for scope in sorted(moves.keys() | wanted.keys()):
        _move(connection, scope, *moves.get(scope, (0, 0)))
        for index, operation in _take(connection, scope, wanted.get(scope, [])):
            outcomes[index] = True
            made.append(operation)
    if made:
        _insert(connection, made, owner, now())
    if at_once:
        moves.clear()
        _unreserve(connection, at_once, moves)
        for scope in sorted(moves):
            _move(connection, scope, *moves[scope])
    if read:
        rows = connection.execute(_READ, {"scopes": list({scope for _, scope in read})})
        used = {row.scope: row.used for row in rows}
        for index, scope in read:
            outcomes[index] = used.get(scope, 0)
    return outcomes


def _unreserve(connection: Connection, settled: Mapping[str, int], moves: _Moves) -> None:
    if settled:
        for name, scope, amount in connection.execute(_UNRESERVE, {"ids": list(settled)}):
            moves[scope][0] += amount
            moves[scope][1] += settled[name]


def _move(connection: Connection, scope: str, released: int, cost: int) -> None:
    if released or cost:
        connection.execute(_MOVE, {"of": scope, "released": released, "cost": cost})


def _take(connection: Connection, scope: str, wanted: Sequence[tuple[int, Reserve]]) -> Sequence[tuple[int, Reserve]]:
    """Those of the wanted reservations that fit. Usually all do, and one conditional update says so."""
    if not wanted:
        return wanted
    total = sum(operation.amount for _, operation in wanted)
    least = min(operation.limit for _, operation in wanted)
    if connection.execute(_TAKE, {"of": scope, "amount": total, "most": least}).rowcount:
        return wanted
    used = connection.execute(_LOCK, {"of": scope}).scalar()
    if used is None:
        _insert_if_missing(connection, _budgets, {"scope": scope, "spent": 0, "reserved": 0})
        used = connection.execute(_LOCK, {"of": scope}).scalar_one()
    fitting = []
    total = 0
    for index, operation in wanted:
        if used + total + operation.amount <= operation.limit:
            total += operation.amount
            fitting.append((index, operation))
    _move(connection, scope, -total, 0)
    return fitting


def _insert(connection: Connection, made: Sequence[Reserve], owner: str, now: int) -> None:
    rows = [
        {"id": item.id, "scope": item.scope, "amount": item.amount, "created_at": now, "owner": owner} for item in made
    ]
    connection.execute(sa.insert(_reservations), rows)


def _renew(connection: Connection, operation: Renew) -> None:
    values = {"owner": operation.owner, "expires": operation.expires}
    if not connection.execute(
        sa.update(_owners).where(_owners.c.owner == operation.owner).values(expires=operation.expires)
    ).rowcount:
        _insert_if_missing(connection, _owners, values)


def _recover(connection: Connection, operation: Recover, moves: _Moves) -> None:
    """Whoever deletes the lease does the rest, so that two processes cannot settle the same reservations."""
    if operation.owner is not None:
        dead = [operation.owner]
    else:
        expired = sa.select(_owners.c.owner).where(_owners.c.expires < operation.now).order_by(_owners.c.owner)
        dead = list(connection.execute(expired).scalars())
    for owner in dead:
        claim = sa.delete(_owners).where(_owners.c.owner == owner)
        if operation.owner is None:
            claim = claim.where(_owners.c.expires < operation.now)
        if not connection.execute(claim).rowcount and operation.owner is None:
            continue
        for scope, amount in connection.execute(_UNRESERVE_ALL, {"of": owner}):
            moves[scope][0] += amount
            moves[scope][1] += amount


def _insert_if_missing(connection: Connection, table: sa.TableClause, values: dict[str, Any]) -> None:
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    connection.execute(insert(table).values(values).on_conflict_do_nothing())
