"""The local span store: the last traces in a database of the gateway's own, so that they can be looked at with
nothing installed. A sink for the exporter, and the read side of ``bailiwick trace``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from time import monotonic, time_ns
from typing import Any, Final

import orjson
import sqlalchemy as sa

from gateway.domain.errors import ConfigurationError
from gateway.sql import insert_rows, migrate, open_engine, reading
from gateway.telemetry.span import SpanKind, SpanRecord, TraceRecord

KEEP_FOR: Final = timedelta(days=7)
KEEP_SPANS: Final = 200_000
_PRUNE_EVERY: Final = 60.0
_SQLITE: Final = "sqlite:///"

_traces = sa.table(
    "traces",
    sa.column("id", sa.BigInteger),
    sa.column("trace", sa.String),
    sa.column("decision", sa.String),
    sa.column("started", sa.BigInteger),
    sa.column("span_count", sa.Integer),
    sa.column("spans", sa.LargeBinary),
)
_COLUMNS: Final = ("trace", "decision", "started", "span_count", "spans")


class SpanStore:
    """Implements `gateway.telemetry.export.SpanSink`.

    Traces older than `keep_for`, and the oldest beyond `keep_spans` spans in all, are removed about once a minute,
    while writing. Not durable on purpose: a power cut may lose the last moments of telemetry.
    """

    name = "store"

    def __init__(self, url: str, *, keep_for: timedelta = KEEP_FOR, keep_spans: int = KEEP_SPANS) -> None:
        """Open the database at `url`, making its tables where needed. Raises `ConfigurationError`."""
        self._engine = open_engine(url, durable=False)
        migrate(self._engine, "telemetry")
        self._keep_for = keep_for
        self._keep_spans = keep_spans
        self._prune_at = monotonic() + _PRUNE_EVERY

    @classmethod
    def existing(cls, url: str) -> SpanStore:
        """Open for reading only what a gateway has made. Raises `ConfigurationError` where there is no database."""
        if url.startswith(_SQLITE) and not Path(url.removeprefix(_SQLITE)).is_file():
            raise ConfigurationError(f"{url}: there is no span store yet; it is made when the gateway first runs")
        return cls(url)

    def write(self, traces: Sequence[TraceRecord]) -> None:
        rows = [
            (trace.trace_id, trace.decision, trace.spans[0].start, len(trace.spans), _packed(trace)) for trace in traces
        ]
        with self._engine.begin() as connection:
            insert_rows(connection, _traces.name, _COLUMNS, rows)
        if monotonic() >= self._prune_at:
            self.prune()

    def interrupt(self) -> None:
        """Nothing to do: a write waits 5 seconds at most, for another process's lock."""

    def close(self) -> None:
        self._engine.dispose()

    def prune(self) -> None:
        """Remove what is too old or too much."""
        self._prune_at = monotonic() + _PRUNE_EVERY
        oldest = time_ns() - int(self._keep_for.total_seconds() * 1e9)
        newer = sa.func.sum(_traces.c.span_count).over(order_by=_traces.c.id.desc())
        counted = sa.select(_traces.c.id, newer.label("newer")).subquery()
        with self._engine.begin() as connection:
            connection.execute(sa.delete(_traces).where(_traces.c.started < oldest))
            total = connection.execute(sa.select(sa.func.sum(_traces.c.span_count))).scalar() or 0
            if total > self._keep_spans:
                last = sa.select(sa.func.max(counted.c.id)).where(counted.c.newer > self._keep_spans)
                connection.execute(sa.delete(_traces).where(_traces.c.id <= last.scalar_subquery()))

    def find(self, identifier: str) -> list[TraceRecord]:
        """The traces of a decision id or a trace id, oldest first. One trace id may stand for several requests, when
        a caller sends its own."""
        wanted = sa.or_(_traces.c.decision == identifier, _traces.c.trace == identifier.lower())
        return self._read(sa.select(_traces).where(wanted).order_by(_traces.c.id))

    def recent(self, count: int = 20) -> list[TraceRecord]:
        """The last traces, newest first."""
        return self._read(sa.select(_traces).order_by(_traces.c.id.desc()).limit(count))

    def _read(self, query: sa.Select[Any]) -> list[TraceRecord]:
        with reading(self._engine) as connection:
            return [_unpacked(row) for row in connection.execute(query)]


def _packed(trace: TraceRecord) -> bytes:
    """The spans as JSON arrays; times are relative to the root's start, so that they stay short."""
    start = trace.spans[0].start
    return orjson.dumps(
        [
            [name, span_id, parent_id, kind.value, begun - start, end - start, attributes or None, error]
            for name, span_id, parent_id, kind, begun, end, attributes, error in trace.spans
        ]
    )


def _unpacked(row: sa.Row[Any]) -> TraceRecord:
    spans = tuple(
        SpanRecord(
            name, span_id, parent_id, SpanKind(kind), row.started + start, row.started + end, attributes or {}, error
        )
        for name, span_id, parent_id, kind, start, end, attributes, error in orjson.loads(row.spans)
    )
    return TraceRecord(row.trace, row.decision, spans)
