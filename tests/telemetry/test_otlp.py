"""OTLP: what a collector receives, and what happens when there is none."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anyio.to_thread
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, Status

from gateway import __version__
from gateway.telemetry import names
from gateway.telemetry.export import Exporter
from gateway.telemetry.otlp import ExportFailed, OtlpSink
from gateway.telemetry.span import TraceRecord
from gateway.telemetry.trace import OtelTracer

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT_ID = "00f067aa0ba902b7"


class Collector:
    """A collector of our own: it takes OTLP over HTTP and decodes it with the protocol's own classes.

    `status` is what it answers from now on.
    """

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.status = 200
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if owner.status == 200 and self.path == "/v1/traces":
                    owner.requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(owner.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    @property
    def resources(self) -> list[ResourceSpans]:
        return [resource for request in self.requests for resource in request.resource_spans]

    @property
    def spans(self) -> list[Span]:
        return [span for resource in self.resources for scope in resource.scope_spans for span in scope.spans]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@pytest.fixture
def collector() -> Iterator[Collector]:
    running = Collector()
    yield running
    running.stop()


def run_request(exporter: Exporter, traceparent: str | None = None, error: str = "") -> None:
    tracer = OtelTracer(exporter, models=frozenset({"gpt-4o-mini"}), strict=True)
    trace = tracer.start("dec-1", traceparent)
    with trace.step(names.DECIDE):
        pass
    with trace.step(names.DISPATCH) as step:
        step.set({names.TARGET: "cloud-mini", names.ATTEMPT: 1, names.REQUEST_STREAM: True})
        if error:
            step.fail(error)
    trace.end({names.OPERATION: "chat", names.REQUEST_MODEL: "gpt-4o-mini", names.COST_USD: 0.25}, error=error)


def values(span: Span) -> dict[str, object]:
    return {item.key: getattr(item.value, str(item.value.WhichOneof("value"))) for item in span.attributes}


@pytest.mark.anyio
async def test_a_collector_receives_the_trace(collector: Collector) -> None:
    """Names, ids, kinds, parents, times, attributes and the resource arrive as the protocol wants them."""
    exporter = Exporter([OtlpSink(collector.endpoint)])
    before = time.time_ns()
    run_request(exporter, f"00-{TRACE_ID}-{PARENT_ID}-01")
    await exporter.aclose()
    root, decide, dispatch = collector.spans
    assert [span.name for span in collector.spans] == ["chat gpt-4o-mini", "decide", "dispatch"]
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE_ID}
    assert root.parent_span_id.hex() == PARENT_ID
    assert decide.parent_span_id == dispatch.parent_span_id == root.span_id
    assert [root.kind, decide.kind, dispatch.kind] == [2, 1, 3]  # server, internal, client
    assert before <= root.start_time_unix_nano <= dispatch.end_time_unix_nano <= root.end_time_unix_nano
    assert values(dispatch) == {names.TARGET: "cloud-mini", names.ATTEMPT: 1, names.REQUEST_STREAM: True}
    assert values(root)[names.COST_USD] == 0.25
    [resource] = collector.resources
    described = {item.key: item.value.string_value for item in resource.resource.attributes}
    assert described["service.name"] == "bailiwick"
    assert described["service.version"] == __version__
    assert resource.scope_spans[0].schema_url == names.SCHEMA_URL


@pytest.mark.anyio
async def test_a_failed_step_arrives_as_an_error(collector: Collector) -> None:
    """Status and ``error.type`` tell the code; there is no message and no event that could hold more."""
    exporter = Exporter([OtlpSink(collector.endpoint)])
    run_request(exporter, error="target_timeout")
    await exporter.aclose()
    root, decide, dispatch = collector.spans
    assert [span.status.code for span in (root, decide, dispatch)] == [
        Status.STATUS_CODE_ERROR,
        Status.STATUS_CODE_UNSET,
        Status.STATUS_CODE_ERROR,
    ]
    assert values(dispatch)[names.ERROR] == values(root)[names.ERROR] == "target_timeout"
    assert not any(span.status.message or span.events for span in collector.spans)


@pytest.mark.anyio
async def test_a_collector_that_is_down_costs_requests_nothing(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    """Requests go on at full speed, the log says it once, and the lost spans are counted."""
    collector.stop()
    dropped: list[int] = []
    all_counted = threading.Event()

    def on_drop(sink: str, spans: int) -> None:
        dropped.append(spans)
        if sum(dropped) == 200 * 3:
            all_counted.set()

    exporter = Exporter(
        [OtlpSink(collector.endpoint)],
        on_drop=on_drop,
        interval=0.01,
        close_within=0.5,
    )
    began, busy = time.monotonic(), time.thread_time()
    for _ in range(200):
        run_request(exporter)
    assert time.thread_time() - busy < 200 * 200e-6
    assert time.monotonic() - began < 2
    began = time.monotonic()
    await exporter.aclose()
    assert time.monotonic() - began < 2
    await anyio.to_thread.run_sync(all_counted.wait, 5)  # a batch on its way when the end came is counted later
    assert sum(dropped) == 200 * 3
    assert len(caplog.records) <= 1
    assert "127.0.0.1" not in caplog.text


def test_a_refused_batch_is_an_error(collector: Collector) -> None:
    """A collector that answers 400 has not taken the spans, and the sink says so."""
    collector.status = 400
    sink = OtlpSink(collector.endpoint)
    with pytest.raises(ExportFailed):
        sink.write([record("0" * 31 + "1")])
    sink.close()


def test_a_share_of_the_traces_can_be_sent(collector: Collector) -> None:
    """The ratio decides by trace id, so that all parts of a trace agree; failed requests are always sent."""
    sink = OtlpSink(collector.endpoint, ratio=0.5)
    low, high = "f" * 16 + "7" + "f" * 15, "f" * 16 + "8" + "0" * 15
    failed = record(high)
    sink.write([record(low), record(high)])
    sink.write([replace(failed, spans=(failed.spans[0]._replace(error="internal_error"),))])
    sink.close()
    assert [span.trace_id.hex() for span in collector.spans] == [low, high]


@pytest.mark.parametrize("suffix", ["", "/", "/v1/traces", "/v1/traces/"])
def test_the_endpoint_may_be_given_with_or_without_its_path(suffix: str, collector: Collector) -> None:
    """Both forms that other tools take reach the collector."""
    sink = OtlpSink(collector.endpoint + suffix)
    sink.write([record("0" * 31 + "1")])
    sink.close()
    assert len(collector.spans) == 1


def record(trace_id: str) -> TraceRecord:
    kept: list[TraceRecord] = []

    class Keeping(Exporter):
        def submit(self, trace: object) -> None:
            kept.append(trace.record())  # type: ignore[attr-defined]

    tracer = OtelTracer(Keeping([]), models=frozenset())
    tracer.start("dec-1", f"00-{trace_id}-{PARENT_ID}-01").end({})
    return kept[0]
