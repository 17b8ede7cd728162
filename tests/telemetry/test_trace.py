"""Traces: what is noted on the hot path comes out as spans, and content cannot get in."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from gateway.domain.errors import Code, GatewayError
from gateway.telemetry import names
from gateway.telemetry.export import Exporter, FinishedTrace
from gateway.telemetry.span import SpanKind, TraceRecord
from gateway.telemetry.trace import OtelTracer, RequestTrace, Step, parent_of
from gateway.telemetry.values import REDACTED
from support.garbage import cyclic_garbage

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT_ID = "00f067aa0ba902b7"
CANARY = "My SSN is 536-90-4399"
MODELS = frozenset({"gpt-4o-mini"})


class Collecting(Exporter):
    """An exporter without threads that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__([])
        self.traces: list[FinishedTrace] = []

    def submit(self, trace: FinishedTrace) -> None:
        self.traces.append(trace)

    @property
    def only(self) -> TraceRecord:
        [trace] = self.traces
        return trace.record()


@pytest.fixture
def exporter() -> Collecting:
    return Collecting()


@pytest.fixture
def tracer(exporter: Collecting) -> OtelTracer:
    return OtelTracer(exporter, models=MODELS, strict=True)


def test_a_request_becomes_a_root_with_its_steps(tracer: OtelTracer, exporter: Collecting) -> None:
    """Names, order, kinds, parents, times and attributes are those of the request."""
    before = time.time_ns()
    trace = tracer.start("dec-1", None)
    with trace.step(names.PARSE):
        time.sleep(0.002)
    with trace.step(names.DISPATCH) as step:
        step.set({names.TARGET: "cloud-mini", names.ATTEMPT: 1})
    trace.end({names.OPERATION: "chat", names.REQUEST_MODEL: "gpt-4o-mini", names.STATUS: 200})
    root, parse, dispatch = exporter.only.spans
    assert (root.name, parse.name, dispatch.name) == ("chat gpt-4o-mini", "parse", "dispatch")
    assert (root.kind, parse.kind, dispatch.kind) == (SpanKind.SERVER, SpanKind.INTERNAL, SpanKind.CLIENT)
    assert root.parent_id == ""
    assert parse.parent_id == dispatch.parent_id == root.span_id
    assert len({root.span_id, parse.span_id, dispatch.span_id}) == 3
    assert before <= root.start <= parse.start < parse.end <= dispatch.start <= dispatch.end <= root.end
    assert parse.end - parse.start >= 2_000_000
    assert dispatch.attributes == {names.TARGET: "cloud-mini", names.ATTEMPT: 1}
    assert root.attributes[names.DECISION] == exporter.only.decision == "dec-1"
    assert exporter.only.trace_id == trace.id


def test_the_callers_trace_is_continued(tracer: OtelTracer, exporter: Collecting) -> None:
    """With a valid traceparent our root is a child in the caller's trace."""
    trace = tracer.start("dec-1", f"00-{TRACE_ID}-{PARENT_ID}-00")
    trace.end({})
    assert trace.id == TRACE_ID
    assert exporter.only.spans[0].parent_id == PARENT_ID
    assert exporter.only.spans[0].span_id != PARENT_ID


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        f"00-{TRACE_ID}-{PARENT_ID}",
        f"00-{TRACE_ID.upper()}-{PARENT_ID}-01",
        f"00-{'0' * 32}-{PARENT_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"ff-{TRACE_ID}-{PARENT_ID}-01",
        f"00-{TRACE_ID}-{PARENT_ID}-01-more",
        f"00-{TRACE_ID}-{PARENT_ID}-01\n",
        f" 00-{TRACE_ID}-{PARENT_ID}-01",
        f"00-{TRACE_ID[:-1]}-{PARENT_ID}-01",
        f"01-{TRACE_ID}-{PARENT_ID}-01-{'x' * 600}",
        f"00-{TRACE_ID[:-1]}\u0661-{PARENT_ID}-01",
    ],
)
def test_a_malformed_traceparent_starts_a_new_trace(header: str | None, tracer: OtelTracer) -> None:
    """Anything but the W3C format is ignored, never repaired."""
    assert parent_of(header) is None
    assert tracer.start("d", header).id != tracer.start("d", header).id


def test_a_later_version_of_traceparent_is_understood() -> None:
    """As the specification asks, the known fields of an unknown version are used."""
    assert parent_of(f"01-{TRACE_ID}-{PARENT_ID}-01-more") == (TRACE_ID, PARENT_ID)


def test_a_backend_is_told_the_open_step_as_its_parent(tracer: OtelTracer, exporter: Collecting) -> None:
    """The span of a local engine hangs under the dispatch that called it, also when attempts overlap."""
    trace = tracer.start("d", None)
    outside = trace.traceparent
    first, second = trace.step(names.DISPATCH), trace.step(names.DISPATCH)
    first.__enter__()
    in_first = trace.traceparent
    second.__enter__()
    in_second = trace.traceparent
    first.__exit__(None, None, None)
    still_in_second = trace.traceparent
    second.__exit__(None, None, None)
    after = trace.traceparent
    trace.end({})
    root, one, two = exporter.only.spans
    assert [parent_of(header) for header in (outside, in_first, in_second, still_in_second, after)] == [
        (trace.id, span.span_id) for span in (root, one, two, two, root)
    ]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (GatewayError(Code.BLOCKED, CANARY, detail=CANARY), "blocked_by_policy"),
        (ValueError(CANARY), "ValueError"),
        (asyncio.CancelledError(), "CancelledError"),
    ],
)
def test_an_exception_that_leaves_a_step_marks_it_without_its_text(
    error: BaseException, code: str, tracer: OtelTracer, exporter: Collecting
) -> None:
    """A failed step shows the error's code or class, never its message, and the exception goes on."""
    trace = tracer.start("d", None)
    with pytest.raises(type(error)), trace.step(names.DECIDE):
        raise error
    trace.end({}, error=code)
    root, step = exporter.only.spans
    assert step.error == root.error == code
    assert CANARY not in repr(exporter.only)


def test_a_code_given_by_hand_wins_over_the_exception(tracer: OtelTracer, exporter: Collecting) -> None:
    """A step that says why it failed keeps that reason."""
    trace = tracer.start("d", None)
    step = trace.step(names.DISPATCH)
    step.fail("target_timeout")
    with pytest.raises(ValueError, match="x"), step:
        raise ValueError("x")
    trace.end({})
    assert exporter.only.spans[1].error == "target_timeout"


def test_content_cannot_get_in(tracer: OtelTracer, exporter: Collecting) -> None:
    """Texts that are no labels and model names that nobody configured are replaced, wherever they are put."""
    text = "Zoë said: call me\n"
    trace = tracer.start(text, text)
    with trace.step(names.INSPECT) as step:
        step.set({names.OUTCOME: text})
        step.fail(text)
    trace.end({names.OPERATION: text, names.REQUEST_MODEL: CANARY, names.RESPONSE_MODEL: CANARY}, error=text)
    record = exporter.only
    assert record.spans[0].name == "request"
    assert record.spans[0].attributes[names.REQUEST_MODEL] == REDACTED
    assert record.spans[1].attributes[names.OUTCOME] == REDACTED
    assert CANARY not in repr(record)
    assert "Zoë" not in repr(record)


def test_unknown_names_are_faults_of_the_program(tracer: OtelTracer) -> None:
    """In tests a name outside the table fails at once."""
    trace = tracer.start("d", None)
    with pytest.raises(ValueError, match="step 'swim'"):
        trace.step("swim")
    with pytest.raises(ValueError, match="attribute 'prompt'"):
        trace.end({"prompt": "x"})


def test_unknown_names_fail_no_request_in_production(exporter: Collecting, caplog: pytest.LogCaptureFixture) -> None:
    """Outside of tests such a name is dropped with its value, and logged once."""
    tracer = OtelTracer(exporter, models=MODELS)
    trace = tracer.start("d", None)
    with caplog.at_level(logging.ERROR), trace.step("swim") as step:
        step.set({"prompt": "x", names.ATTEMPT: 2})
        step.set({"prompt": "x"})
    trace.end({})
    assert exporter.only.spans[1].name == "(unknown)"
    assert exporter.only.spans[1].attributes == {names.ATTEMPT: 2}
    assert len(caplog.records) == 2


def test_nothing_changes_after_the_end(tracer: OtelTracer, exporter: Collecting) -> None:
    """A second end, or a step that outlives the trace, does not touch what the exporter is reading."""
    trace = tracer.start("d", None)
    step = trace.step(names.RECORD)
    with step:
        trace.end({names.STATUS: 200})
        first = exporter.only
        step.set({names.OUTCOME: "late"})
        step.fail("late")
    trace.end({names.STATUS: 500}, error="late")
    assert exporter.only == first
    assert first.spans[1].end == first.spans[0].end


def test_span_ids_of_a_trace_are_distinct_and_valid(tracer: OtelTracer, exporter: Collecting) -> None:
    """However many attempts a request makes, no two spans share an id and none is all zeros."""
    trace = tracer.start("d", None)
    for _ in range(2000):
        with trace.step(names.DISPATCH):
            pass
    trace.end({})
    ids = [span.span_id for span in exporter.only.spans]
    assert len(set(ids)) == 2001
    assert all(len(text) == 16 and int(text, 16) for text in ids)


def test_a_trace_that_was_recorded_is_freed_without_the_collector(tracer: OtelTracer, exporter: Collecting) -> None:
    """Every request makes one with ten steps or so, and the collector comes after a hundred thousand objects. What is
    done with a trace after its end makes no difference."""
    with cyclic_garbage() as found:
        trace = tracer.start("d", None)
        with trace.step(names.PARSE), trace.step(names.DISPATCH) as inner:
            inner.set({names.STATUS: 200})
            trace.end({names.STATUS: 200})
            with trace.step(names.GUARD):
                assert trace.traceparent
        assert [span.name for span in exporter.only.spans][1:] == [names.PARSE, names.DISPATCH]
        exporter.traces.clear()
        del trace, inner
    assert [one for one in found if isinstance(one, RequestTrace | Step)] == []


def test_a_request_costs_microseconds(tracer: OtelTracer) -> None:
    """Root and nine steps stay within 80 microseconds of CPU time (best of several, since machines are shared)."""

    def one() -> RequestTrace:
        trace = tracer.start("dec-1", f"00-{TRACE_ID}-{PARENT_ID}-01")
        for name in list(names.STEPS)[:9]:
            with trace.step(name):
                pass
        trace.end({names.OPERATION: "chat", names.REQUEST_MODEL: "gpt-4o-mini", names.STATUS: 200, names.APP: "a"})
        return trace

    tracer = OtelTracer(Exporter([]), models=MODELS)
    best = 1.0
    for _ in range(7):
        began = time.process_time()
        for _ in range(500):
            one()
        best = min(best, (time.process_time() - began) / 500)
    assert best < 80e-6
