"""The span store: what is written is found again, and it does not grow without end."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.domain.errors import ConfigurationError
from gateway.telemetry.span import SpanKind, SpanRecord, TraceRecord
from gateway.telemetry.spans import SpanStore


def trace(number: int, spans: int = 3, age: timedelta = timedelta()) -> TraceRecord:
    start = time.time_ns() - int(age.total_seconds() * 1e9)
    root = SpanRecord(
        "chat gpt-4o-mini", f"{number:016x}", "", SpanKind.SERVER, start, start + 5_000, {"bailiwick.attempt": 1}, ""
    )
    steps = [
        SpanRecord("decide", f"{step:016x}", root.span_id, SpanKind.INTERNAL, start + step, start + 9, {}, "blocked")
        for step in range(1, spans)
    ]
    return TraceRecord(f"{number:032x}", f"dec-{number}", (root, *steps))


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/spans.db"


def test_a_trace_is_found_by_decision_and_by_trace_id(url: str) -> None:
    """Both ids lead to the same spans, unchanged."""
    store = SpanStore(url)
    written = [trace(number) for number in range(10)]
    store.write(written)
    assert store.find("dec-3") == [written[3]]
    assert store.find(written[4].trace_id.upper()) == [written[4]]
    assert store.find("dec-99") == []
    store.close()


def test_requests_of_one_callers_trace_are_found_together(url: str) -> None:
    """A caller's own trace id stands for each of its requests, oldest first."""
    store = SpanStore(url)
    first, second = trace(1), trace(2)
    second = TraceRecord(first.trace_id, second.decision, second.spans)
    store.write([first])
    store.write([second])
    assert store.find(first.trace_id) == [first, second]
    store.close()


def test_recent_traces_come_newest_first(url: str) -> None:
    """The list shows the last requests."""
    store = SpanStore(url)
    store.write([trace(number) for number in range(30)])
    assert [item.decision for item in store.recent(3)] == ["dec-29", "dec-28", "dec-27"]
    store.close()


def test_old_traces_are_removed(url: str) -> None:
    """What is older than the retention goes, the rest stays."""
    store = SpanStore(url, keep_for=timedelta(days=7))
    store.write([trace(1, age=timedelta(days=8)), trace(2, age=timedelta(days=6))])
    store.prune()
    assert [item.decision for item in store.recent()] == ["dec-2"]
    store.close()


def test_the_oldest_beyond_the_number_of_spans_are_removed(url: str) -> None:
    """The store keeps at most so many spans, the newest ones, in whole traces."""
    store = SpanStore(url, keep_spans=20)
    store.write([trace(number, spans=3) for number in range(10)])
    store.prune()
    assert [item.decision for item in store.recent()] == [f"dec-{number}" for number in range(9, 3, -1)]
    store.close()


def test_pruning_happens_while_writing(url: str) -> None:
    """Nobody has to call it."""
    store = SpanStore(url, keep_spans=3)
    store.write([trace(1)])
    store._prune_at = 0.0
    store.write([trace(2)])
    assert [item.decision for item in store.recent()] == ["dec-2"]
    store.close()


def test_a_reader_sees_what_another_process_has_written(url: str) -> None:
    """The command line reads while the gateway runs."""
    writer = SpanStore(url)
    writer.write([trace(1)])
    reader = SpanStore.existing(url)
    assert reader.find("dec-1") == [trace_ := reader.recent()[0]]
    assert trace_.spans[0].attributes == {"bailiwick.attempt": 1}
    reader.close()
    writer.close()


def test_reading_does_not_make_a_database(url: str, tmp_path: Path) -> None:
    """Looking for traces before the first run says so and leaves no file."""
    with pytest.raises(ConfigurationError, match="no span store yet"):
        SpanStore.existing(url)
    assert list(tmp_path.iterdir()) == []


def test_a_store_on_postgresql(database_url: str) -> None:
    """The same store runs on every database."""
    store = SpanStore(database_url, keep_spans=6)
    written = [trace(number) for number in range(5)]
    store.write(written)
    assert store.find("dec-3") == [written[3]]
    store.prune()
    assert [item.decision for item in store.recent()] == ["dec-4", "dec-3"]
    store.close()
