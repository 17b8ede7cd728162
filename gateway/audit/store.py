"""The audit log in a database: durable before `append` returns, one chain for every process that writes to it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from gateway.audit import table
from gateway.audit.chain import Head, link
from gateway.audit.codec import decode, encode
from gateway.domain.errors import Code, ConfigurationError, GatewayError
from gateway.domain.record import AuditRecord
from gateway.sql import BatchWriter, WriterClosed, WriterFull, insert_rows, migrate, open_engine, reason

log = logging.getLogger(__name__)

_OWED_LIMIT = 16_384
_CHAIN_LOCK = 0x6261696C_77696B61  # any number will do: the name of the lock that writers of the chain take in turn
_Pending = tuple[AuditRecord, bytes]


class AuditStore:
    """`gateway.domain.ports.AuditLog` on SQLite or PostgreSQL. Owns its engine and a writer thread.

    A submitted record that could not be written (the disk was full for a while) is kept and written before the next
    one that comes; `owed` counts these.
    """

    def __init__(self, engine: Engine, committed: Callable[[float], None] = lambda seconds: None) -> None:
        """`committed` is told, in the writer's thread, how many seconds each commit took."""
        self._engine = engine
        self._owed: deque[_Pending] = deque()
        self._writer: BatchWriter[_Pending, None] = BatchWriter(
            engine, "audit", _extend, lost=self._keep, committed=committed
        )

    @classmethod
    def open(cls, url: str, committed: Callable[[float], None] = lambda seconds: None) -> AuditStore:
        """The store at this database URL; its tables are made or brought up to date first.

        Raises `ConfigurationError` when the database cannot be opened.
        """
        return cls(open_log(url), committed)

    @property
    def waiting(self) -> int:
        """Records that are not in the log yet."""
        return self._writer.waiting + len(self._owed)

    @property
    def owed(self) -> int:
        """Submitted records that are not in the log because writing them failed; they are tried again."""
        return len(self._owed)

    async def append(self, record: AuditRecord) -> None:
        """Return when the record is durable. Raises `GatewayError(AUDIT_UNAVAILABLE)`."""
        try:
            if self._owed:
                self._submit_owed()
            await self._writer.write((record, encode(record)))
        except (SQLAlchemyError, WriterFull, WriterClosed) as error:
            raise _unavailable(error) from error

    def submit(self, record: AuditRecord) -> None:
        """Queue the record in order, without waiting. Raises `GatewayError(AUDIT_UNAVAILABLE)` only when the store is
        closed or far more records wait than can be in flight."""
        try:
            if self._owed:
                self._submit_owed()
            self._writer.submit((record, encode(record)))
        except (WriterFull, WriterClosed) as error:
            raise _unavailable(error) from error

    async def find(self, decision: str) -> list[AuditRecord]:
        """All records of one decision, in order, with those that were submitted before this call."""
        try:
            await self._writer.flush()
            rows = await asyncio.to_thread(table.of_decision, self._engine, decision)
        except (SQLAlchemyError, WriterFull, WriterClosed) as error:
            raise _unavailable(error) from error
        return [decode(row.body) for row in rows]

    async def aclose(self) -> None:
        """Write everything that was submitted, then let go of the database."""
        try:
            if self._owed:
                self._submit_owed()
        except WriterClosed:
            pass  # closed before
        except WriterFull as error:
            log.error("audit: %d records are lost: %s", len(self._owed), error)
        await self._writer.aclose()
        if self._owed:
            log.error("audit: %d submitted records could not be written and are lost", len(self._owed))
            self._owed.clear()
        self._engine.dispose()

    def _submit_owed(self) -> None:
        while self._owed:
            pending = self._owed.popleft()
            try:
                self._writer.submit(pending)
            except (WriterFull, WriterClosed):
                self._owed.appendleft(pending)
                raise

    def _keep(self, pending: _Pending, error: Exception) -> None:
        """Runs in the writer's thread."""
        log.error("audit: a submitted record could not be written yet: %s", type(error).__name__)
        if len(self._owed) < _OWED_LIMIT:
            self._owed.append(pending)
        else:
            log.error("audit: a submitted record is lost, %d others wait already", _OWED_LIMIT)


def open_log(url: str, *, create: bool = True) -> Engine:
    """The engine of an audit database that is up to date; for reading it without a store.

    Raises `ConfigurationError` when it cannot be opened or, without `create`, is not there yet.
    """
    engine = open_engine(url, durable=True, create=create)
    try:
        migrate(engine, "audit")
    except SQLAlchemyError as error:
        raise ConfigurationError(f"audit database {engine.url.render_as_string()}: {reason(error)}") from error
    return engine


def _extend(connection: Connection, pending: Sequence[_Pending]) -> Sequence[None]:
    """Add records at the head of the chain, which is read inside the transaction, after its lock is taken: other
    processes may have written since. On SQLite the engine's `BEGIN IMMEDIATE` is that lock."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _CHAIN_LOCK})
    head = table.head_in(connection)
    rows: list[tuple[object, ...]] = []
    for record, body in pending:
        following = Head(head.seq + 1, link(head.hash, body))
        described = (record.decision, record.kind.value, record.at, record.tenant, record.app)
        rows.append((following.seq, *described, head.hash, following.hash, body))
        head = following
    insert_rows(connection, table.RECORDS.name, tuple(table.RECORDS.c.keys()), rows)
    return [None] * len(pending)


def _unavailable(error: Exception) -> GatewayError:
    return GatewayError(
        Code.AUDIT_UNAVAILABLE,
        "The audit log is not available at the moment, and without a record nothing is sent.",
        detail=reason(error),
        retry_after=5.0,
    )
