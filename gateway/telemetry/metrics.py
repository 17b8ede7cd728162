"""Prometheus metrics: one registry, one table of families, and one call per request.

Labels come from closed worlds (configured ids, rule ids, error codes). Should that ever fail, a family stops at 1,000
label sets and counts the rest under ``other``, so that no caller can fill the memory or smuggle text in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.domain.decision import PolicyId
from gateway.domain.errors import Code
from gateway.domain.finding import DetectorState, Found
from gateway.domain.money import NanoUsd, Usage
from gateway.domain.standing import ServerState
from gateway.telemetry.servers import ServerGauges
from gateway.telemetry.values import REDACTED, clean

Kind = TypeVar("Kind", Counter, Gauge, Histogram)

MOST_LABEL_SETS: Final = 1000
OTHER: Final = "other"
NONE: Final = "none"

_LONG: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_SHORT: Final = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

COUNTERS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "requests_total": ("Requests answered.", ("dialect", "target", "action", "level", "status")),
    "tokens_total": ("Tokens as targets counted them.", ("target", "kind")),
    "cost_usd_total": ("Cost in US dollars.", ("target", "app")),
    "findings_total": ("Distinct values found in requests.", ("entity",)),
    "decision_reasons_total": ("Times a rule had a say, or would have had.", ("rule", "mode")),
    "detector_failures_total": ("Requests not wholly scanned.", ("reason",)),
    "unsure_total": ("Requests handled as unsure.", ("reason",)),
    "guard_refusals_total": (
        "How often the egress guard stopped a request; `target` is who answered then, if any.",
        ("target",),
    ),
    "budget_refusals_total": ("Requests refused for cost.", ("reason",)),
    "retries_total": ("Attempts that failed and were followed by another.", ("target", "code")),
    "fallbacks_total": ("Requests answered by another target than the first choice.", ("target",)),
    "spans_dropped_total": ("Spans that a sink did not get.", ("sink",)),
    "policy_reload_failures_total": ("Changed policy files that were refused.", ()),
    "engine_restarts_total": ("Restarts of a local engine.", ("target",)),
    "engine_loads_total": ("Loads of a local model into memory.", ("target",)),
    "engine_unloads_total": ("Times that a local model made room for another.", ("target",)),
    "conversations_total": (
        "Requests that name a conversation, by what was known of it, and what became of its level.",
        ("outcome",),
    ),
    "notices_total": ("Notices that policies asked for: sent, failed, dropped, unknown.", ("channel", "outcome")),
}
GAUGES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "in_flight": ("Requests being handled now.", ()),
    "audit_queue": ("Audit records waiting to be written.", ()),
    "selfprobe_ok": ("1 when the last self-probe was kept inside, otherwise 0.", ()),
    "policy_info": ("Always 1; its labels name the policy in force.", ("hash", "version")),
    "engine_up": ("1 when a local engine can take requests, if need be after a load, otherwise 0.", ("target",)),
    "engine_loaded": ("1 while a local model is in memory and ready, otherwise 0.", ("target",)),
    "engine_load_seconds": ("Seconds that the last load of a local model took.", ("target",)),
    "engine_queue": ("Requests waiting in a local engine.", ("target",)),
    "engine_running": ("Requests that have a place in a local engine.", ("target",)),
    "engine_prompt_speed": ("Prompt tokens that a local engine reads per second.", ("target",)),
    "engine_decode_speed": ("Tokens per second that a local engine writes, all answers together.", ("target",)),
    "engine_prefix_hit_ratio": ("Part of the prompt tokens that a local engine had in its cache.", ("target",)),
    "engine_bound_kept_ratio": ("Part of the requests whose first token came within the p95 bound.", ("target",)),
    "engine_parked_bytes": ("Host memory that parked prefixes of a local engine take.", ("target",)),
}
HISTOGRAMS: Final[dict[str, tuple[str, tuple[str, ...], tuple[float, ...]]]] = {
    "request_seconds": ("Seconds from request received to answer complete.", ("target",), _LONG),
    "first_token_seconds": ("Seconds from request sent to the first event.", ("target",), _LONG),
    "inspect_seconds": ("Seconds to inspect a request.", (), _SHORT),
    "audit_commit_seconds": ("Seconds that a commit of audit records took.", (), _SHORT),
    "event_loop_lag_seconds": ("Seconds by which a timer of the event loop fired late.", (), _SHORT),
}
WATCHED: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "inspected_texts_total": (
        "Texts by where their findings came from: memory, redis, scanned; and messages taken over whole: history.",
        ("source",),
    ),
    "cache_troubles_total": ("Calls to the cache in Redis that failed, and values refused or left out.", ("kind",)),
}
"""Counters that other parts keep."""
PREFIX: Final = "bailiwick_"
"""Before each name above."""


class RequestObservation(NamedTuple):
    """What one request adds to the metrics; a tuple, which is made in a third of the time.

    Times are seconds; an empty text or None means that it did not come to it.
    `error` is the code of the answer; `reasons` and `would` are rule ids; `retries` are the target and error code of
    each attempt that was followed by another; `guard_stops` is how often the egress guard refused;
    `fallback` says whether `target` was not the first choice.
    """

    dialect: str
    status: int
    seconds: float
    target: str = ""
    action: str = ""
    level: str = ""
    app: str = ""
    error: Code | None = None
    inspect_seconds: float | None = None
    first_token_seconds: float | None = None
    usage: Usage | None = None
    cost: NanoUsd = NanoUsd(0)
    found: tuple[Found, ...] = ()
    detector: DetectorState = DetectorState.OK
    unreadable: bool = False
    redaction_incomplete: bool = False
    reasons: tuple[str, ...] = ()
    would: tuple[str, ...] = ()
    retries: tuple[tuple[str, str], ...] = ()
    fallback: bool = False
    guard_stops: int = 0


class _Family(Generic[Kind]):
    """A family whose label sets are looked up once; finding one again is one dictionary access."""

    __slots__ = ("_children", "metric")

    def __init__(self, metric: Kind) -> None:
        self.metric: Kind = metric
        self._children: dict[tuple[str, ...], Kind] = {}

    def of(self, *labels: str) -> Kind:
        return self._children.get(labels) or self._make(labels)

    def _make(self, labels: tuple[str, ...]) -> Kind:
        full = len(self._children) >= MOST_LABEL_SETS
        safe = [OTHER if full or clean(text) == REDACTED else text or NONE for text in labels]
        child: Kind = self.metric.labels(*safe) if labels else self.metric
        if not full:
            self._children[labels] = child
        return child


class _Watched(Collector):
    """A counter of `WATCHED` that is kept elsewhere and read when somebody asks."""

    def __init__(self, name: str, label: str, read: Callable[[], Mapping[str, int]]) -> None:
        self._name = name
        self._label = label
        self._read = read

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(PREFIX + self._name, WATCHED[self._name][0], labels=[self._label])
        for kind, value in self._read().items():
            family.add_metric([kind], value)
        yield family


class Metrics:
    """Every metric of one process. Safe to call from any thread."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series beside each counter, which nobody reads
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._counters = {
            name: _Family(Counter(PREFIX + name, text, labels, registry=self._registry))
            for name, (text, labels) in COUNTERS.items()
        }
        self._gauges = {
            name: _Family(Gauge(PREFIX + name, text, labels, registry=self._registry))
            for name, (text, labels) in GAUGES.items()
        }
        self._histograms = {
            name: _Family(Histogram(PREFIX + name, text, labels, registry=self._registry, buckets=buckets))
            for name, (text, labels, buckets) in HISTOGRAMS.items()
        }

    def observe(self, seen: RequestObservation) -> None:
        """Count one finished request; about 10 microseconds."""
        count = self._counters
        target = seen.target
        count["requests_total"].of(seen.dialect, target, seen.action, seen.level, str(seen.status)).inc()
        self._histograms["request_seconds"].of(target).observe(seen.seconds)
        if seen.inspect_seconds is not None:
            self._histograms["inspect_seconds"].of().observe(seen.inspect_seconds)
        if seen.first_token_seconds is not None:
            self._histograms["first_token_seconds"].of(target).observe(seen.first_token_seconds)
        if seen.usage is not None:
            self._count_tokens(target, seen.usage)
        if seen.cost:
            count["cost_usd_total"].of(target, seen.app).inc(seen.cost / 1e9)
        for found in seen.found:
            count["findings_total"].of(found.entity).inc(found.distinct)
        for rule in seen.reasons:
            count["decision_reasons_total"].of(rule, "enforce").inc()
        for rule in seen.would:
            count["decision_reasons_total"].of(rule, "audit").inc()
        if seen.detector is not DetectorState.OK or seen.unreadable or seen.redaction_incomplete:
            self._count_unsure(seen)
        if stops := seen.guard_stops or seen.error is Code.EGRESS_REFUSED:  # the latter by an adapter
            count["guard_refusals_total"].of(target).inc(stops)
        if seen.error is Code.BUDGET_SPENT or seen.error is Code.COST_CAP:
            count["budget_refusals_total"].of(seen.error.value).inc()
        for failed, code in seen.retries:
            count["retries_total"].of(failed, code).inc()
        if seen.fallback:
            count["fallbacks_total"].of(target).inc()

    def _count_tokens(self, target: str, usage: Usage) -> None:
        tokens = self._counters["tokens_total"]
        tokens.of(target, "input").inc(usage.input_tokens)
        tokens.of(target, "output").inc(usage.output_tokens)
        if usage.cached_input_tokens:
            tokens.of(target, "cached_input").inc(usage.cached_input_tokens)

    def _count_unsure(self, seen: RequestObservation) -> None:
        unsure = self._counters["unsure_total"]
        if seen.detector is not DetectorState.OK:
            self._counters["detector_failures_total"].of(seen.detector.value).inc()
            unsure.of("detector_fails").inc()
        if seen.unreadable:
            unsure.of("unreadable_content").inc()
        if seen.redaction_incomplete:
            unsure.of("redaction_incomplete").inc()

    def watch_in_flight(self, read: Callable[[], int]) -> None:
        """`read` tells the requests being handled now; called when somebody asks for the metrics."""
        self._gauges["in_flight"].metric.set_function(read)

    def watch_inspection(self, read: Callable[[], Mapping[str, int]]) -> None:
        """`read` tells, by source, from where findings came since the start."""
        self._registry.register(_Watched("inspected_texts_total", "source", read))

    def watch_cache(self, read: Callable[[], Mapping[str, int]]) -> None:
        """`read` tells, by kind, what went wrong with the cache in Redis; texts were scanned instead."""
        self._registry.register(_Watched("cache_troubles_total", "kind", read))

    def watch_servers(self, read: Callable[[], Mapping[str, Sequence[ServerState]]]) -> None:
        """`read` tells, by target, what is known of its model servers."""
        self._registry.register(ServerGauges(PREFIX, read))

    def watch_audit_queue(self, read: Callable[[], int]) -> None:
        """`read` tells the audit records waiting to be written."""
        self._gauges["audit_queue"].metric.set_function(read)

    def audit_committed(self, seconds: float) -> None:
        """A commit of audit records took so long; called in the writer's thread."""
        self._histograms["audit_commit_seconds"].of().observe(seconds)

    def spans_dropped(self, sink: str, spans: int) -> None:
        """Fits `gateway.telemetry.export.Exporter(on_drop=…)`."""
        self._counters["spans_dropped_total"].of(sink).inc(spans)

    def selfprobe(self, ok: bool) -> None:
        self._gauges["selfprobe_ok"].of().set(ok)

    def policy_loaded(self, policy: PolicyId) -> None:
        """The policy in force from now on; the one before is no longer shown."""
        info = self._gauges["policy_info"].metric
        info.clear()
        info.labels(policy.short, str(policy.version)).set(1)

    def policy_reload_failed(self) -> None:
        self._counters["policy_reload_failures_total"].of().inc()

    def engine(self, target: str, *, up: bool, loaded: bool, figures: Mapping[str, Any]) -> None:
        """The present state of a local engine and its live figures, empty while it is not loaded."""
        self._gauges["engine_up"].of(target).set(up)
        self._gauges["engine_loaded"].of(target).set(loaded)
        self._gauges["engine_queue"].of(target).set(figures.get("waiting", 0))
        self._gauges["engine_running"].of(target).set(figures.get("running", 0))
        self._gauges["engine_prompt_speed"].of(target).set(figures.get("prompt_speed", 0.0))
        self._gauges["engine_decode_speed"].of(target).set(figures.get("total_speed", 0.0))
        self._gauges["engine_prefix_hit_ratio"].of(target).set(figures.get("prefix_hit_rate", 0.0))
        if figures.get("first_tokens"):  # before there were any, there is no such part
            self._gauges["engine_bound_kept_ratio"].of(target).set(figures["bound_kept_rate"])
        self._gauges["engine_parked_bytes"].of(target).set(figures.get("parked_bytes", 0))

    def engine_events(self, target: str, restarts: int, loads: int, unloads: int, *, load_seconds: float) -> None:
        """What has happened to a local engine since the last time, and how long its last load took."""
        for name, count in (("restarts", restarts), ("loads", loads), ("unloads", unloads)):
            self._counters[f"engine_{name}_total"].of(target).inc(count)
        self._gauges["engine_load_seconds"].of(target).set(load_seconds)

    def conversation(self, outcome: str) -> None:
        """Fits `gateway.pipeline.conversation.Keeper(count=…)`."""
        self._counters["conversations_total"].of(outcome).inc()

    def event_loop_lag(self, seconds: float) -> None:
        """How late the event loop was to do what was due."""
        self._histograms["event_loop_lag_seconds"].of().observe(seconds)

    def notice(self, channel: str, outcome: str) -> None:
        """Fits `gateway.pipeline.notice.Notifier(count=…)`."""
        self._counters["notices_total"].of(channel, outcome).inc()

    def render(self) -> tuple[bytes, str]:
        """The metrics in Prometheus' text format, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
