"""Spans to an OpenTelemetry collector over OTLP/HTTP. The only module that imports OpenTelemetry; it is itself
imported only where an endpoint is configured, since that costs memory and a third of a second."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from gateway import __version__
from gateway.telemetry import names
from gateway.telemetry.span import SpanRecord, TraceRecord

_TIMEOUT = 4.0
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_KINDS = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}
_UNSET = Status(StatusCode.UNSET)
_ERROR = Status(StatusCode.ERROR)


class _OneResource(Resource):
    """There is one per process; the encoder looks it up for each span, and the inherited hash is a JSON dump."""

    def __hash__(self) -> int:
        return id(self)


class ExportFailed(Exception):
    """The collector did not take a batch."""


class OtlpSink:
    """Implements `gateway.telemetry.export.SpanSink`.

    `endpoint` is the collector's base URL, such as ``http://collector:4318``; headers, certificates and compression
    come from the standard ``OTEL_EXPORTER_OTLP_*`` environment variables. `ratio` is the share of traces to send,
    chosen by trace id as other OpenTelemetry samplers do; failed requests are always sent. Encoding takes the SDK
    some 25 microseconds a span, so that above some hundred requests a second less than all may be enough.
    """

    name = "otlp"

    def __init__(self, endpoint: str, *, ratio: float = 1.0, exporter: SpanExporter | None = None) -> None:
        # The exporter logs each failed batch, with addresses; ours says it once a minute.
        logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter").setLevel(logging.CRITICAL)
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
        url = endpoint.rstrip("/")
        url = url if url.endswith("/v1/traces") else f"{url}/v1/traces"
        self._exporter = exporter or OTLPSpanExporter(endpoint=url, timeout=_TIMEOUT)
        self._below = int(ratio * 2**64)
        own = {"service.name": "bailiwick", "service.version": __version__}
        self._resource = _OneResource(Resource.create(own).attributes)  # with OTEL_RESOURCE_ATTRIBUTES
        self._scope = InstrumentationScope("gateway.telemetry", __version__, names.SCHEMA_URL)

    def write(self, traces: Sequence[TraceRecord]) -> None:
        spans = [self._readable(trace, span) for trace in traces if self._wanted(trace) for span in trace.spans]
        if spans and self._exporter.export(spans) is not SpanExportResult.SUCCESS:
            raise ExportFailed

    def interrupt(self) -> None:
        self._exporter.shutdown()

    def close(self) -> None:
        self._exporter.shutdown()

    def _wanted(self, trace: TraceRecord) -> bool:
        return int(trace.trace_id[16:], 16) < self._below or bool(trace.spans[0].error)

    def _readable(self, trace: TraceRecord, span: SpanRecord) -> ReadableSpan:
        trace_id = int(trace.trace_id, 16)
        parent = None
        if span.parent_id:
            remote = span is trace.spans[0]
            parent = SpanContext(trace_id, int(span.parent_id, 16), is_remote=remote, trace_flags=_SAMPLED)
        attributes = {**span.attributes, names.ERROR: span.error} if span.error else span.attributes
        return ReadableSpan(
            name=span.name,
            context=SpanContext(trace_id, int(span.span_id, 16), is_remote=False, trace_flags=_SAMPLED),
            parent=parent,
            resource=self._resource,
            attributes=attributes,
            kind=_KINDS[span.kind],
            status=_ERROR if span.error else _UNSET,
            start_time=span.start,
            end_time=span.end,
            instrumentation_scope=self._scope,
        )
