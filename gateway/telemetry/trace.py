"""Traces, made for the hot path: a request only notes names, times and attributes; spans are built from them later,
on the exporter's thread. Root and nine steps cost some 20 microseconds."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from time import perf_counter_ns, time_ns
from types import MappingProxyType, TracebackType

from gateway.domain.entropy import random_bytes
from gateway.domain.errors import GatewayError
from gateway.domain.ports import Attributes
from gateway.telemetry import names
from gateway.telemetry.export import Exporter, FinishedTrace
from gateway.telemetry.logs import log_event
from gateway.telemetry.span import SpanKind, SpanRecord, TraceRecord
from gateway.telemetry.values import REDACTED, Value, clean

_logger = logging.getLogger(__name__)

_read_traceparent = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?", re.ASCII).fullmatch
_MASK = 2**64 - 1
_STRIDE = 0x9E3779B97F4A7C15  # odd, so that the ids of the steps of one trace never meet each other or the root's
_KNOWN = names.ATTRIBUTES.keys()
_UNKNOWN = "(unknown)"
_NO_ATTRIBUTES: Mapping[str, Value] = MappingProxyType({})


def parent_of(traceparent: str | None) -> tuple[str, str] | None:
    """Trace id and parent id of a W3C ``traceparent``, or None where it is absent or not exactly as specified."""
    match = _read_traceparent(traceparent) if traceparent and len(traceparent) <= 512 else None
    if match is None:
        return None
    version, trace_id, parent_id, more = match.groups()
    if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(parent_id, 16):
        return None
    return trace_id, parent_id


class OtelTracer:
    """Implements `gateway.domain.ports.Tracer`.

    `models` are the configured model names: any other value of a model attribute is the caller's own text and is
    replaced. `strict` makes an unknown name a ValueError (for tests); otherwise it is dropped and logged.
    """

    def __init__(self, exporter: Exporter, *, models: frozenset[str], strict: bool = False) -> None:
        self._exporter = exporter
        self._models = models
        self._strict = strict
        self._reported: set[str] = set()

    def start(self, decision: str, traceparent: str | None) -> RequestTrace:
        """The trace of one request. A valid `traceparent` gives its trace id and the root's parent; the caller's
        wish not to be sampled is not followed, since the trace belongs to the gateway's operator."""
        return RequestTrace(self, decision, parent_of(traceparent))

    async def aclose(self) -> None:
        await self._exporter.aclose()

    def submit(self, trace: FinishedTrace) -> None:
        self._exporter.submit(trace)

    def checked(self, attributes: Attributes) -> dict[str, Value]:
        """The attributes that may be kept, with clean values."""
        if not attributes.keys() <= _KNOWN:
            for name in attributes.keys() - _KNOWN:
                self.refuse("attribute", name)
            attributes = {name: value for name, value in attributes.items() if name in _KNOWN}
        kept = {name: clean(value) for name, value in attributes.items()}
        for name in names.MODELS & kept.keys():
            if kept[name] not in self._models:
                kept[name] = REDACTED
        return kept

    def refuse(self, what: str, name: str) -> None:
        """A name that is not in the table is a fault of the program; it must not fail a request in production."""
        if self._strict:
            raise ValueError(f"span {what} {name!r} is not in gateway.telemetry.names")
        if name not in self._reported:
            self._reported.add(name)
            log_event(_logger, logging.ERROR, "unknown span name dropped", what=what, name=name)


class RequestTrace:
    """The trace of one request; implements `gateway.domain.ports.Trace`. Not for use by several threads."""

    __slots__ = (
        "_began",
        "_current",
        "_ended",
        "_epoch",
        "_parent_id",
        "_root",
        "_steps",
        "_tracer",
        "decision",
        "id",
    )

    def __init__(self, tracer: OtelTracer, decision: str, parent: tuple[str, str] | None) -> None:
        drawn = random_bytes(24)
        if parent is None:
            self.id = drawn[:16].hex()
            self._parent_id = ""
        else:
            self.id, self._parent_id = parent
        self._root = int.from_bytes(drawn[16:])
        self._tracer = tracer
        self.decision = decision
        self._steps: list[Step] = []
        self._current: Step | None = None
        self._ended = 0
        self._epoch = time_ns()
        self._began = perf_counter_ns()

    @property
    def traceparent(self) -> str:
        """Names the step entered last and still open, otherwise the root, as parent. Always sampled."""
        step = self._current
        while step is not None and step.stop:  # steps of concurrent attempts need not end in the order they began
            step = step.outer
        return f"00-{self.id}-{_span_id(self._root, step)}-01"

    def step(self, name: str) -> Step:
        """A child of the root; use as a context manager. An exception that leaves it marks it as failed."""
        if name not in names.STEPS:
            self._tracer.refuse("step", name)
            name = _UNKNOWN
        step = Step(self, name, len(self._steps) + 1)
        if not self._ended:
            self._steps.append(step)
        return step

    def end(self, attributes: Attributes, error: str = "") -> None:
        """End the root and hand the trace to the exporter. Steps still open end here. Later calls do nothing."""
        if self._ended:
            return
        checked = self._tracer.checked(attributes)
        self._ended = perf_counter_ns()
        # Steps know their trace. If it went on knowing them, only the collector could free them, and it comes so seldom
        # that tens of megabytes of finished traces would wait for it.
        steps, self._steps, self._current = self._steps, [], None
        self._tracer.submit(_Finished(self, steps, checked, str(clean(error))))


class _Finished:
    """A trace that has ended, with its steps; implements `gateway.telemetry.export.FinishedTrace`."""

    __slots__ = ("_attributes", "_error", "_steps", "_trace")

    def __init__(self, trace: RequestTrace, steps: Sequence[Step], attributes: Mapping[str, Value], error: str) -> None:
        self._trace = trace
        self._steps = steps
        self._attributes = attributes
        self._error = error

    @property
    def span_count(self) -> int:
        return len(self._steps) + 1

    def record(self) -> TraceRecord:
        """The finished trace as a value; made on the exporter's thread."""
        trace = self._trace
        shift = trace._epoch - trace._began
        root_id = _span_id(trace._root, None)
        attributes = {**self._attributes, names.DECISION: clean(trace.decision)}
        spans = [
            SpanRecord(
                _root_name(attributes),
                root_id,
                trace._parent_id,
                SpanKind.SERVER,
                trace._epoch,
                trace._ended + shift,
                attributes,
                self._error,
            )
        ]
        for step in self._steps:
            if step.start:
                spans.append(
                    SpanRecord(
                        step.name,
                        _span_id(trace._root, step),
                        root_id,
                        SpanKind.CLIENT if step.name == names.DISPATCH else SpanKind.INTERNAL,
                        step.start + shift,
                        (step.stop or trace._ended) + shift,
                        step.attributes,
                        step.error,
                    )
                )
        return TraceRecord(trace.id, str(clean(trace.decision)), tuple(spans))


class Step:
    """One step; implements `gateway.domain.ports.TraceStep`."""

    __slots__ = ("_trace", "attributes", "error", "index", "name", "outer", "start", "stop")

    def __init__(self, trace: RequestTrace, name: str, index: int) -> None:
        self._trace = trace
        self.outer: Step | None = None
        self.name = name
        self.index = index
        self.start = 0
        self.stop = 0
        self.attributes: Mapping[str, Value] = _NO_ATTRIBUTES
        self.error = ""

    def __enter__(self) -> Step:
        trace = self._trace
        if not trace._ended:
            self.outer = trace._current
            trace._current = self
            self.start = perf_counter_ns()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        trace = self._trace
        if trace._current is self:
            trace._current = self.outer
        if trace._ended:
            return  # the exporter may be reading: what is handed over does not change any more
        self.stop = perf_counter_ns()
        if error is not None and not self.error:
            self.error = error.code if isinstance(error, GatewayError) else type(error).__name__

    def set(self, attributes: Attributes) -> None:
        if self._trace._ended:
            return
        self.attributes = {**self.attributes, **self._trace._tracer.checked(attributes)}

    def fail(self, code: str) -> None:
        """Mark as failed with an error code (never an exception's text)."""
        if not self._trace._ended:
            self.error = str(clean(code))


def _span_id(root: int, step: Step | None) -> str:
    number = (root + _STRIDE * step.index) & _MASK if step else root
    return f"{number or 1:016x}"  # all zeros is not a valid id


def _root_name(attributes: Mapping[str, Value]) -> str:
    """``{operation} {model}`` as the conventions ask, of configured words only."""
    operation = attributes.get(names.OPERATION)
    name = str(operation) if operation in names.OPERATIONS else "request"
    model = attributes.get(names.REQUEST_MODEL, REDACTED)
    return name if model == REDACTED else f"{name} {model}"
