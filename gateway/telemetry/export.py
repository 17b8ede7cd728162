"""Finished traces go to their sinks on background threads, so that a request never waits for telemetry and a slow or
dead sink costs neither requests nor the other sinks anything: its queue drops the oldest, and counts."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final, Protocol

import anyio.to_thread

from gateway.telemetry.logs import log_event
from gateway.telemetry.span import TraceRecord

_logger = logging.getLogger(__name__)

BATCH_SPANS: Final = 512
INTERVAL: Final = 0.5
QUEUE_SPANS: Final = 20_000
CLOSE_WITHIN: Final = 5.0
FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0
_LOG_EVERY: Final = 60.0


class FinishedTrace(Protocol):
    """A trace to which nothing happens any more; `record` is called on a background thread."""

    @property
    def span_count(self) -> int: ...

    def record(self) -> TraceRecord: ...


class SpanSink(Protocol):
    """A place that spans go to. Both methods are called on one background thread, `interrupt` on any."""

    @property
    def name(self) -> str:
        """One word for logs and the metric's label."""
        ...

    def write(self, traces: Sequence[TraceRecord]) -> None:
        """Raises any exception where the traces were not taken; they are then dropped and counted."""
        ...

    def interrupt(self) -> None:
        """Make a `write` that waits return soon."""
        ...

    def close(self) -> None: ...


class Exporter:
    """Hands each finished trace to every sink.

    `on_drop(sink, spans)` is called, on any thread, for spans that a sink did not get. A batch is written after
    `interval` seconds or when it is full; after a failure the sink is left alone for `first_pause` seconds, then for
    twice as long, up to 30; `aclose` takes at most `close_within` seconds.
    """

    def __init__(
        self,
        sinks: Sequence[SpanSink],
        *,
        on_drop: Callable[[str, int], None] = lambda sink, spans: None,
        interval: float = INTERVAL,
        queue_spans: int = QUEUE_SPANS,
        first_pause: float = FIRST_PAUSE,
        close_within: float = CLOSE_WITHIN,
    ) -> None:
        self._close_within = close_within
        self._workers = [_Worker(sink, on_drop, interval, queue_spans, first_pause) for sink in sinks]

    def submit(self, trace: FinishedTrace) -> None:
        """Queue a trace. Never blocks and never fails."""
        for worker in self._workers:
            worker.submit(trace)

    async def aclose(self) -> None:
        """Write what is queued; what a sink has not taken in time is dropped and counted."""
        await anyio.to_thread.run_sync(self._close)

    def _close(self) -> None:
        deadline = monotonic() + self._close_within
        for worker in self._workers:
            worker.stop()
        for worker in self._workers:
            worker.join(deadline)


class _Worker:
    """One sink, its queue and its thread."""

    def __init__(
        self,
        sink: SpanSink,
        on_drop: Callable[[str, int], None],
        interval: float,
        queue_spans: int,
        first_pause: float,
    ) -> None:
        self._sink = sink
        self._on_drop = on_drop
        self._interval = interval
        self._most = queue_spans
        self._queue: deque[FinishedTrace] = deque()
        self._queued = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._first_pause = first_pause
        self._pause = 0.0
        self._logged = -_LOG_EVERY
        self._thread = threading.Thread(target=self._run, name=f"spans-{sink.name}", daemon=True)
        self._thread.start()

    def submit(self, trace: FinishedTrace) -> None:
        spans = trace.span_count
        dropped = 0
        with self._lock:
            self._queue.append(trace)
            self._queued += spans
            while self._queued > self._most:
                lost = self._queue.popleft().span_count
                self._queued -= lost
                dropped += lost
            full = self._queued >= BATCH_SPANS
        if full and not self._wake.is_set():
            self._wake.set()
        if dropped:
            self._on_drop(self._sink.name, dropped)

    def stop(self) -> None:
        self._stopping.set()
        self._wake.set()

    def join(self, deadline: float) -> None:
        self._thread.join(max(0.0, (deadline - monotonic()) * 0.9))
        if self._thread.is_alive():
            self._sink.interrupt()
            self._thread.join(max(0.0, deadline - monotonic()))
        while batch := self._take():  # only where the thread did not get through
            self._on_drop(self._sink.name, sum(trace.span_count for trace in batch))

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(self._interval)
            self._wake.clear()
            while batch := self._take():
                self._write(batch)
        while batch := self._take():
            self._write(batch)
        self._sink.close()

    def _take(self) -> list[FinishedTrace]:
        batch: list[FinishedTrace] = []
        spans = 0
        with self._lock:
            while self._queue and (not batch or spans + self._queue[0].span_count <= BATCH_SPANS):
                trace = self._queue.popleft()
                batch.append(trace)
                spans += trace.span_count
            self._queued -= spans
        return batch

    def _write(self, batch: Sequence[FinishedTrace]) -> None:
        try:
            self._sink.write([trace.record() for trace in batch])
        except Exception as error:
            # A border: whatever a sink throws, this thread lives on, and requests do not notice.
            self._failed(sum(trace.span_count for trace in batch), error)
        else:
            self._pause = 0.0

    def _failed(self, spans: int, error: Exception) -> None:
        self._on_drop(self._sink.name, spans)
        now = monotonic()
        if now - self._logged >= _LOG_EVERY:
            self._logged = now
            log_event(
                _logger, logging.WARNING, "spans dropped", sink=self._sink.name, spans=spans, error=type(error).__name__
            )
        self._pause = min(_LONGEST_PAUSE, 2 * self._pause or self._first_pause)
        self._stopping.wait(self._pause)
