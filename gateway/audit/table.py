"""The table of audit records, and reading from it."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    cast,
    select,
)

from gateway.audit.chain import Head, Row
from gateway.sql import execute_plain, reading

_READ_AT_ONCE = 1000

RECORDS = Table(
    "audit_records",
    MetaData(),
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("decision", String(96), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("tenant", String(96), nullable=False),
    Column("app", String(96), nullable=False),
    Column("previous", LargeBinary(32), nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("body", LargeBinary, nullable=False),
)

# SQLite lets anybody store a text where bytes belong; the cast makes that a wrong hash instead of a crash.
_ROW = select(*(cast(c, LargeBinary) if isinstance(c.type, LargeBinary) else c for c in RECORDS.c))

_SELECT_HEAD = "SELECT seq, hash FROM audit_records ORDER BY seq DESC LIMIT 1"


def head(engine: Engine) -> Head:
    """The end of the chain: note its hash elsewhere, and a cut tail can be found out later."""
    with reading(engine) as connection:
        return head_in(connection)


def head_in(connection: Connection) -> Head:
    """The end of the chain as this transaction sees it."""
    row = execute_plain(connection, _SELECT_HEAD).fetchone()
    return Head() if row is None else Head(row[0], bytes(row[1]))


def rows(engine: Engine, after: int = 0) -> Iterator[Row]:
    """Every row with a higher `seq` than `after`, in chain order, read in blocks so that a log of any size fits."""
    block = _ROW.order_by(RECORDS.c.seq).limit(_READ_AT_ONCE)
    last: int | None = None
    while True:
        # Without a lower bound at first: a row that somebody put in at a seq below 1 has to be seen as well.
        bound = block if last is None and after == 0 else block.where(RECORDS.c.seq > (after if last is None else last))
        with reading(engine) as connection:
            found = connection.execute(bound).all()
        yield from (Row(*row) for row in found)
        if len(found) < _READ_AT_ONCE:
            return
        last = found[-1][0]


def latest(engine: Engine, count: int) -> list[Row]:
    """The last `count` rows, oldest first."""
    with reading(engine) as connection:
        found = connection.execute(_ROW.order_by(RECORDS.c.seq.desc()).limit(count)).all()
    return [Row(*row) for row in reversed(found)]


def of_decision(engine: Engine, decision: str) -> list[Row]:
    """All rows of one decision, in order."""
    with reading(engine) as connection:
        found = connection.execute(_ROW.where(RECORDS.c.decision == decision).order_by(RECORDS.c.seq)).all()
    return [Row(*row) for row in found]
