"""Conversations in SQLite or PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from operator import itemgetter
from typing import Final, TypeAlias

import anyio.to_thread
import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from gateway.domain.decision import Level
from gateway.domain.ports import ConversationsUnavailable, Standing
from gateway.sql import BatchWriter, WriterClosed, WriterFull, migrate, reading

DAY: Final = 24 * 3600
PURGE_EVERY: Final = 3600.0
"""Seconds between two looks for what has lapsed."""

_PURGED_AT_ONCE: Final = 1000
_logger = logging.getLogger(__name__)

_table = sa.table(
    "conversations",
    sa.column("key", sa.Text),
    sa.column("level", sa.SmallInteger),
    sa.column("unread", sa.SmallInteger),
    sa.column("lapses", sa.BigInteger),
)
_READ: Final = sa.select(_table).where(
    _table.c.key.in_(sa.bindparam("keys", expanding=True)), _table.c.lapses > sa.bindparam("now")
)
_LAPSED: Final = (
    sa.select(_table.c.key)
    .where(_table.c.lapses <= sa.bindparam("now"))
    .limit(_PURGED_AT_ONCE)
    .with_for_update(skip_locked=True)  # PostgreSQL's; SQLite has one writer at a time
)
_PURGE: Final = sa.delete(_table).where(_table.c.key.in_(_LAPSED))


@dataclass(frozen=True, slots=True)
class Join:
    """Join the standing of each key with this one, `now` being seconds since the epoch."""

    standings: Mapping[str, Standing]
    now: int


@dataclass(frozen=True, slots=True)
class Purge:
    """Delete some of what has lapsed by `now`."""

    now: int


Operation: TypeAlias = "Join | Purge"


class SqlConversations:
    """Implements `gateway.domain.ports.Conversations`. A standing lapses `keep` seconds after its last use, to the
    day; a use on the way writes at most once a day."""

    def __init__(self, engine: Engine, *, keep: int, now: Callable[[], float]) -> None:
        self._engine = engine
        self._keep = keep
        self._now = now
        self._writer: BatchWriter[Operation, int] = BatchWriter(engine, "conversations", partial(_apply, keep=keep))
        self._purger: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls, engine: Engine, *, keep: int, now: Callable[[], float] = time.time, every: float = PURGE_EVERY
    ) -> SqlConversations:
        """The tables are made or brought up to date first; the engine should be durable and stays the caller's. Raises
        `ConfigurationError`."""
        await anyio.to_thread.run_sync(migrate, engine, "conversations")
        store = cls(engine, keep=keep, now=now)
        store._purger = asyncio.create_task(store._purge_regularly(every), name="conversations-purge")
        return store

    async def standing(self, keys: Sequence[str]) -> Mapping[str, Standing]:
        """See the port. Reads go past the writer, so that none waits for a commit."""
        now = int(self._now())
        try:
            rows = await anyio.to_thread.run_sync(self._read, list(keys), now, abandon_on_cancel=True)
        except SQLAlchemyError as error:
            raise ConversationsUnavailable(type(error).__name__) from error
        found = {row.key: Standing(Level(row.level), bool(row.unread)) for row in rows}
        aging = {row.key: found[row.key] for row in rows if row.lapses < now + self._keep - DAY}
        if aging:
            with suppress(WriterFull, WriterClosed):  # the next use does it then
                self._writer.submit(Join(aging, now))
        return found

    async def join(self, keys: Sequence[str], standing: Standing) -> None:
        if not keys:
            return
        try:
            await self._writer.write(Join(dict.fromkeys(keys, standing), int(self._now())))
        except (SQLAlchemyError, WriterFull, WriterClosed) as error:
            raise ConversationsUnavailable(type(error).__name__) from error

    async def purge(self) -> int:
        """Delete what has lapsed, some at a time; how many were deleted."""
        purged = 0
        while done := await self._writer.write(Purge(int(self._now()))):
            purged += done
        return purged

    async def aclose(self) -> None:
        if self._purger is not None:
            self._purger.cancel()
            await asyncio.gather(self._purger, return_exceptions=True)
        await self._writer.aclose()

    def _read(self, keys: list[str], now: int) -> Sequence[sa.Row[tuple[str, int, int, int]]]:
        with reading(self._engine) as connection:
            return connection.execute(_READ, {"keys": keys, "now": now}).all()

    async def _purge_regularly(self, every: float) -> None:
        while True:
            try:
                await self.purge()
            except (SQLAlchemyError, WriterFull, WriterClosed) as error:
                # What has lapsed counts as unknown already; it only takes up space.
                _logger.warning("what has lapsed of the conversations stays for now: %s", type(error).__name__)
            await asyncio.sleep(every)


def _apply(connection: Connection, operations: Sequence[Operation], *, keep: int) -> list[int]:
    """One transaction's worth; of a purge, how many rows it deleted. Rows are locked by key, in one order everywhere,
    so that processes wait for each other but never in a circle."""
    joins = [operation for operation in operations if isinstance(operation, Join)]
    wanted: dict[str, Standing] = {}
    for join in joins:
        for key, standing in join.standings.items():
            wanted[key] = standing.joined(wanted.get(key, standing))
    if wanted:
        now = max(join.now for join in joins)
        rows = [
            {"key": key, "level": int(standing.level), "unread": int(standing.unread), "lapses": now + keep, "now": now}
            for key, standing in sorted(wanted.items(), key=itemgetter(0))
        ]
        connection.execute(_upsert(connection.dialect.name), rows)
    return [
        connection.execute(_PURGE, {"now": operation.now}).rowcount if isinstance(operation, Purge) else 0
        for operation in operations
    ]


@cache  # each one made is a knot of objects that only the collector could free
def _upsert(dialect: str) -> sa.Insert:
    """The stricter of the new row and what is there, in one statement; what has lapsed `now` does not count."""
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    statement = insert(_table)
    new = statement.excluded

    now = sa.bindparam("now", type_=sa.BigInteger)

    def stricter(column: str) -> sa.ColumnElement[int]:
        there = _table.c[column]
        return sa.case((_table.c.lapses <= now, new[column]), (there > new[column], there), else_=new[column])

    return statement.on_conflict_do_update(
        index_elements=[_table.c.key],
        set_={"level": stricter("level"), "unread": stricter("unread"), "lapses": new.lapses},
    )
