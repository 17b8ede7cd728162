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
_BODIES_AT_ONCE = 5000
_PROBED = 64
_MARGIN = 20_000  # records: more than a store that could not write for a while may have to write later

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


def stretch(engine: Engine, since: int, until: int | None = None) -> range:
    """The `seq`s among which all records of a time are, and some others: those written from `since` on and before
    `until` (microseconds since the epoch; None is no end), with a margin on both sides for what was written late.

    The log has no index by time; it is nearly in its order, so some twenty look-ups find the place.
    """
    with reading(engine) as connection:
        ends = execute_plain(connection, "SELECT min(seq), max(seq) FROM audit_records").fetchone()
        if ends is None or ends[0] is None:
            return range(0)
        first, last = int(ends[0]), int(ends[1])
        begin = max(first, _place(connection, first, last + 1, since) - _MARGIN)
        end = last + 1 if until is None else min(last + 1, _place(connection, first, last + 1, until) + _MARGIN)
    return range(begin, max(begin, end))


def bodies(engine: Engine, seqs: range) -> Iterator[tuple[int, list[bytes]]]:
    """The bodies of these records in chain order, in blocks, each with the number of `seqs` that it covers.

    Each block is a transaction of its own, so that a long reading never keeps the log's file from being tidied up.
    """
    mark = _mark(engine)
    block = (
        f"SELECT seq, body FROM audit_records WHERE seq >= {mark} AND seq < {mark} "  # noqa: S608 (marks)
        f"ORDER BY seq LIMIT {_BODIES_AT_ONCE}"
    )
    start = seqs.start
    while start < seqs.stop:
        with reading(engine) as connection:
            found = execute_plain(connection, block, (start, seqs.stop)).fetchall()
        following = found[-1][0] + 1 if len(found) == _BODIES_AT_ONCE else seqs.stop
        yield following - start, [body for _, body in found]
        start = following


def _place(connection: Connection, low: int, high: int, at: int) -> int:
    """The first `seq` from which on records were written at `at` or later. `high` where there is none."""
    mark = _mark(connection.engine)
    probe = f"SELECT at FROM audit_records WHERE seq >= {mark} ORDER BY seq LIMIT {_PROBED}"  # noqa: S608 (marks)
    while low < high:
        middle = (low + high) // 2
        # Of several, for one alone may have waited long before it was written.
        times = [time for (time,) in execute_plain(connection, probe, (middle,)).fetchall()]
        if not times or max(times) >= at:
            high = middle
        else:
            low = middle + 1
    return low


def _mark(engine: Engine) -> str:
    """How the driver marks a parameter."""
    return "?" if engine.dialect.name == "sqlite" else "%s"
