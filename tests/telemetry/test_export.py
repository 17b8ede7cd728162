"""The exporter: requests never wait, sinks do not harm each other, nothing is lost in silence."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence

import pytest

from gateway.telemetry.export import BATCH_SPANS, Exporter
from gateway.telemetry.span import SpanKind, SpanRecord, TraceRecord


class Finished:
    """A finished trace of `spans` spans."""

    def __init__(self, decision: str, spans: int = 1) -> None:
        self.decision = decision
        self.span_count = spans

    def record(self) -> TraceRecord:
        span = SpanRecord("request", "1" * 16, "", SpanKind.SERVER, 1, 2, {}, "")
        return TraceRecord("a" * 32, self.decision, (span,) * self.span_count)


class ListSink:
    """Keeps what it gets; `gate` holds it up, `error` makes it fail."""

    name = "list"

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.closed = False
        self.interrupted = False

    def write(self, traces: Sequence[TraceRecord]) -> None:
        self.gate.wait(10)
        if self.error is not None:
            raise self.error
        self.batches.append([trace.decision for trace in traces])

    def interrupt(self) -> None:
        self.interrupted = True
        self.gate.set()

    def close(self) -> None:
        self.closed = True

    @property
    def seen(self) -> list[str]:
        return [decision for batch in self.batches for decision in batch]


class Drops(Counter[str]):
    def __call__(self, sink: str, spans: int) -> None:
        self[sink] += spans


def wait_for(condition: object, seconds: float = 5.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert condition()


@pytest.mark.anyio
async def test_closing_writes_what_is_queued_in_order() -> None:
    """No finished trace is lost when the gateway stops, and the sink is closed after the last."""
    sink, drops = ListSink(), Drops()
    exporter = Exporter([sink], on_drop=drops, interval=60)
    for number in range(200):
        exporter.submit(Finished(str(number), 10))
    await exporter.aclose()
    assert sink.seen == [str(number) for number in range(200)]
    assert max(len(batch) for batch in sink.batches) * 10 <= BATCH_SPANS
    assert sink.closed
    assert not drops


@pytest.mark.anyio
async def test_traces_are_written_within_the_interval() -> None:
    """A single trace does not wait for a full batch."""
    sink = ListSink()
    exporter = Exporter([sink], interval=0.02)
    exporter.submit(Finished("one"))
    wait_for(lambda: sink.seen == ["one"])
    await exporter.aclose()


@pytest.mark.anyio
async def test_a_full_batch_does_not_wait_for_the_interval() -> None:
    """Under load the queue is emptied as it fills."""
    sink = ListSink()
    exporter = Exporter([sink], interval=60)
    for number in range(BATCH_SPANS):
        exporter.submit(Finished(str(number)))
    wait_for(lambda: len(sink.seen) == BATCH_SPANS)
    await exporter.aclose()


@pytest.mark.anyio
async def test_a_full_queue_drops_the_oldest_and_counts_them() -> None:
    """A sink that hangs makes the exporter forget old traces, never block or grow."""
    sink, drops = ListSink(), Drops()
    sink.gate.clear()
    exporter = Exporter([sink], on_drop=drops, interval=0.01, queue_spans=50)
    exporter.submit(Finished("held", 10))
    wait_for(lambda: exporter._workers[0]._queued == 0)
    for number in range(20):
        exporter.submit(Finished(str(number), 10))
    assert drops["list"] == 150
    sink.gate.set()
    await exporter.aclose()
    assert sink.seen == ["held", "15", "16", "17", "18", "19"]


@pytest.mark.anyio
async def test_a_hanging_sink_does_not_hold_up_the_other_or_the_end() -> None:
    """Each sink has its own thread; closing gives up on a stuck one in time and counts what it did not get."""
    stuck, fine, drops = ListSink(), ListSink(), Drops()
    stuck.name = "stuck"
    stuck.gate.clear()
    exporter = Exporter([stuck, fine], on_drop=drops, interval=0.01, close_within=0.5)
    exporter.submit(Finished("one"))
    wait_for(lambda: fine.seen == ["one"])
    wait_for(lambda: exporter._workers[0]._queued == 0)
    began = time.monotonic()
    await exporter.aclose()
    assert time.monotonic() - began < 2
    assert stuck.interrupted
    assert fine.closed


@pytest.mark.anyio
async def test_a_failing_sink_is_reported_once_a_minute_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Each lost span is counted, the log hears of it once, and the thread goes on when the sink works again."""
    sink, drops = ListSink(), Drops()
    sink.error = OSError("536-90-4399 at http://collector")
    exporter = Exporter([sink], on_drop=drops, interval=0.01, first_pause=0.001)
    for number in range(3):
        exporter.submit(Finished(str(number), 4))
        wait_for(lambda number=number: drops["list"] == 4 * (number + 1))
    sink.error = None
    exporter.submit(Finished("after"))
    wait_for(lambda: sink.seen == ["after"])
    await exporter.aclose()
    assert [record.message for record in caplog.records] == ["spans dropped"]
    assert "536-90" not in caplog.text


@pytest.mark.anyio
async def test_submitting_costs_microseconds() -> None:
    """Queueing a trace for two sinks takes under 20 microseconds, also when the queue is full."""
    sinks = [ListSink(), ListSink()]
    for sink in sinks:
        sink.gate.clear()
    exporter = Exporter(sinks, interval=60, queue_spans=1000)
    trace = Finished("x", 10)
    best = 1.0
    for _ in range(5):
        began = time.thread_time()
        for _ in range(500):
            exporter.submit(trace)
        best = min(best, (time.thread_time() - began) / 500)
    for sink in sinks:
        sink.gate.set()
    await exporter.aclose()
    assert best < 20e-6
