"""The running gateway: every part opened in order, closed in reverse, and the tasks that keep watch meanwhile."""

from __future__ import annotations

import gc
import logging
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import orjson

from gateway import __version__
from gateway.approvals import ApprovalDesk, SqlApprovals
from gateway.audit.codec import encode
from gateway.audit.mac import LogMac
from gateway.audit.store import AuditStore
from gateway.budgets.leases import LeasedLedger
from gateway.budgets.ledger import StoreError
from gateway.budgets.redis_ledger import RedisLedger
from gateway.budgets.sql_ledger import SqlLedger
from gateway.compose.costs import own_prices
from gateway.compose.declared import declared
from gateway.compose.inspection import Inspecting, new_detector, open_inspection
from gateway.compose.policies import open_policies, state
from gateway.compose.targets import Backends, output_limit_fields
from gateway.compose.upkeep import Upkeep
from gateway.conversations.redis_store import RedisConversations
from gateway.conversations.sql_store import SqlConversations
from gateway.domain.call import Timeouts
from gateway.domain.decision import Decision, Facts
from gateway.domain.errors import Code, ConfigurationError, GatewayError, ProviderError
from gateway.domain.money import in_usd
from gateway.domain.ports import Conversations, Ledger
from gateway.domain.target import Target
from gateway.domain.tree import JsonObject
from gateway.http.app import Service, create_app
from gateway.http.inference import InferenceEndpoint
from gateway.http.observe import observer
from gateway.http.server import serve
from gateway.http.wire import Limits
from gateway.identity.secrets import derive, load_secret
from gateway.identity.store import SqlKeyStore
from gateway.inspection.occurrences import leaks
from gateway.inspection.redact import Pseudonymiser
from gateway.pipeline.approval import ApprovalGate
from gateway.pipeline.conversation import Keeper
from gateway.pipeline.dialects import DIALECTS
from gateway.pipeline.dispatch import Dispatcher, Tries
from gateway.pipeline.exchange import Exchange
from gateway.pipeline.guard import EgressGuard
from gateway.pipeline.handle import Directory, Pipeline, Steps
from gateway.pipeline.notice import Channel, Notifier, Webhooks
from gateway.pipeline.probe import SelfProbe
from gateway.pipeline.purse import Purse
from gateway.pipeline.recorder import Recorder
from gateway.pipeline.reply import Replier
from gateway.policy.evaluate import evaluate
from gateway.policy.explain import explain
from gateway.policy.store import PolicyStore
from gateway.routing.breaker import Breaker
from gateway.routing.latency import LatencyBook
from gateway.routing.select import Selector
from gateway.settings import Settings, TimeoutSettings
from gateway.sql import open_engine
from gateway.telemetry.export import Exporter, SpanSink
from gateway.telemetry.logs import configure_logging, log_event, log_uncaught
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.spans import SpanStore
from gateway.telemetry.trace import OtelTracer

_log = logging.getLogger(__name__)


class SystemClock:
    """Implements `gateway.domain.ports.Clock`."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class Experience:
    """What routing and metrics learn from attempts; implements `gateway.pipeline.dispatch.Feedback`."""

    # The target is up but refuses this request: no sign of trouble.
    _HEALTHY = frozenset({Code.TARGET_REFUSED, Code.TARGET_BUSY, Code.EGRESS_REFUSED, Code.REQUEST_TOO_LARGE})

    def __init__(self, latency: LatencyBook, breaker: Breaker, served_for: Callable[[str], float]) -> None:
        """`served_for` says for how many seconds a target can have worked on a request at most."""
        self._latency = latency
        self._breaker = breaker
        self._served_for = served_for

    def answered(self, target: str, seconds: float) -> None:
        """That a local model was loaded for a request says nothing of the next: the load does not count."""
        self._latency.observe(target, min(seconds, self._served_for(target)))
        self._breaker.succeeded(target)

    def failed(self, target: str, error: ProviderError) -> None:
        if error.code not in self._HEALTHY:
            self._breaker.failed(target)


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that is open. `app` is the ASGI application; `scripted_url` is where the scripted cloud listens, if it
    stands in for a target."""

    app: object
    endpoint: InferenceEndpoint
    upkeep: Upkeep
    scripted_url: str | None


@dataclass(frozen=True, slots=True)
class _Stores:
    audit: AuditStore
    ledger: Ledger
    approvals: SqlApprovals
    conversations: Conversations
    keys: SqlKeyStore
    tracer: OtelTracer
    metrics: Metrics
    secret: bytes = field(repr=False)


@asynccontextmanager
async def open_gateway(settings: Settings) -> AsyncIterator[Gateway]:
    """Open every part. Raises `ConfigurationError`: without a good policy, or without its stores, nothing starts."""
    async with AsyncExitStack() as stack:
        detector = new_detector(settings)
        policies = open_policies(settings, detector.entities)
        stores = await _open_stores(settings, stack)
        inspecting = await open_inspection(settings, detector, stores.secret, stores.metrics, stack)
        targets = {target.id: target for target in declared(settings)}
        directory = Directory(targets, {route.name: route for route in settings.routes})
        backends = Backends()
        await backends.open(settings, stack)
        recorder, pipeline = _pipeline(settings, inspecting, policies, stores, directory, backends, stack)
        probe = SelfProbe(pipeline, directory, DIALECTS)
        upkeep = Upkeep(settings, policies, probe, recorder, stores.metrics, backends)
        endpoint = InferenceEndpoint(pipeline, stores.keys, _limits(settings))
        stores.metrics.watch_in_flight(lambda: endpoint.in_flight)
        service = Service(
            pipeline=pipeline,
            keys=stores.keys,
            audit=stores.audit,
            approvals=ApprovalDesk(stores.approvals, stores.audit),
            directory=directory,
            limits=_limits(settings),
            problems=upkeep.problems,
            servers=upkeep.servers,
            explain=_explainer(pipeline, policies),
            policy=lambda: state(policies),
            encode=lambda record: orjson.loads(encode(record)),
            metrics=stores.metrics.render,
            created=int(time.time()),
        )
        await stack.enter_async_context(upkeep)
        recorder.event("gateway started", policies.current.id.hash, __version__)
        backends.note(recorder.event)
        for target, price in own_prices(settings):
            recorder.event("local price", detail=price, target=target)
        stack.callback(recorder.event, "gateway stopped", policies.current.id.hash)
        # What still runs when the server has stopped is over or cancelled; its records must be in before the stores go.
        stack.push_async_callback(endpoint.idle)
        yield Gateway(
            app=create_app(service, endpoint),
            endpoint=endpoint,
            upkeep=upkeep,
            scripted_url=backends.scripted.base_url if backends.scripted else None,
        )


async def run_gateway(
    settings: Settings, announce: Callable[[str, str | None], None], *, wait_for_models: bool = False
) -> None:
    """Serve until a signal. `announce` is called once the gateway listens, with its URL and that of the scripted cloud,
    if one stands in for a target. With `wait_for_models` it listens when the local models are loaded, not before."""
    configure_logging("json" if settings.telemetry.logs == "json" else "plain")
    log_uncaught()
    # Threads of the stores take the interpreter lock from a busy event loop after this many seconds, not 5 ms.
    sys.setswitchinterval(0.0005)
    async with open_gateway(settings) as gateway:
        if wait_for_models:
            await gateway.upkeep.engines_settled()
        # What was loaded at the start stays for ever: the collector need not walk over it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(100_000, 50, 100)

        def drain() -> None:
            gateway.endpoint.draining = True

        host = settings.server.host
        shown = f"[{host}]" if ":" in host else host
        await serve(
            gateway.app,
            host,
            settings.server.port,
            drain_seconds=settings.server.drain,
            on_listening=lambda port: announce(f"http://{shown}:{port}", gateway.scripted_url),
            on_drain=drain,
        )


async def _open_stores(settings: Settings, stack: AsyncExitStack) -> _Stores:
    storage, telemetry = settings.storage, settings.telemetry
    metrics = Metrics()
    sinks: list[SpanSink] = [SpanStore(storage.url("spans"), keep_for=timedelta(days=telemetry.span_days))]
    if telemetry.otlp_endpoint is not None:
        from gateway.telemetry.otlp import OtlpSink  # heavy, and rarely configured on a laptop

        sinks.append(OtlpSink(telemetry.otlp_endpoint))
    names = {route.name for route in settings.routes} | {target.model for target in settings.targets}
    tracer = OtelTracer(Exporter(sinks, on_drop=metrics.spans_dropped), models=frozenset(names))
    stack.push_async_callback(tracer.aclose)
    audit = AuditStore.open(storage.url("audit"), metrics.audit_committed)
    metrics.watch_audit_queue(lambda: audit.waiting)
    stack.push_async_callback(audit.aclose)
    ledger = await _open_ledger(settings, stack)
    stack.push_async_callback(ledger.aclose)
    approvals = SqlApprovals.open(storage.url("approvals"))
    stack.push_async_callback(approvals.aclose)
    conversations = await _open_conversations(settings, stack)
    stack.push_async_callback(conversations.aclose)
    keys = SqlKeyStore.open(storage.url("identity"))
    stack.push_async_callback(keys.aclose)
    return _Stores(audit, ledger, approvals, conversations, keys, tracer, metrics, load_secret(storage.folder))


async def _open_ledger(settings: Settings, stack: AsyncExitStack) -> Ledger:
    """Raises `ConfigurationError`: without its budgets the gateway does not start."""
    redis_url = settings.storage.redis_url
    try:
        if redis_url is not None:
            return LeasedLedger(await RedisLedger.open(redis_url))
        engine = open_engine(settings.storage.url("budgets"), durable=True)
        stack.callback(engine.dispose)
        return LeasedLedger(await SqlLedger.open(engine))
    except (StoreError, ValueError) as error:  # ValueError: redis-py's word for a URL that is none
        where = "Redis" if redis_url is not None else "the database"
        reason = str(error) if isinstance(error, StoreError) else "not a URL such as redis://host:6379/0"
        raise ConfigurationError(f"the budgets in {where} cannot be opened: {reason}") from None


async def _open_conversations(settings: Settings, stack: AsyncExitStack) -> Conversations:
    """Where the budgets are: in the same Redis, which was looked at there, or in the database."""
    keep = settings.conversations.keep_seconds
    if settings.storage.redis_url is not None:
        return RedisConversations.open(settings.storage.redis_url, keep=keep)
    engine = open_engine(settings.storage.url("conversations"), durable=True)
    stack.callback(engine.dispose)
    return await SqlConversations.open(engine, keep=keep)


def _notifier(settings: Settings, policies: PolicyStore, recorder: Recorder, metrics: Metrics) -> Notifier:
    def event(name: str, channel: str) -> None:
        try:
            recorder.event(name, policies.hash, channel)
        except GatewayError as error:  # the notice is late, lost or neither by now; requests need not suffer for it
            log_event(_log, logging.ERROR, "the audit log takes no event", error=error)

    channels = {
        channel.name: Channel(channel.name, channel.url, channel.timeout, channel.headers)
        for channel in settings.channels
    }
    return Notifier(channels, Webhooks(), count=metrics.notice, event=event)


def _pipeline(
    settings: Settings,
    inspecting: Inspecting,
    policies: PolicyStore,
    stores: _Stores,
    directory: Directory,
    backends: Backends,
    stack: AsyncExitStack,
) -> tuple[Recorder, Pipeline]:
    clock = SystemClock()
    mac = LogMac(derive(stores.secret, "audit-mac")).label
    recorder = Recorder(stores.audit, clock, mac, directory.routes.__contains__)
    approvals = ApprovalGate(stores.approvals, stores.audit, mac, clock)
    stack.push_async_callback(approvals.drain)
    purse = Purse(stores.ledger, clock)
    stack.push_async_callback(purse.drain)
    keeper = Keeper(
        stores.conversations, LogMac(derive(stores.secret, "conversations")).label, stores.metrics.conversation
    )
    stack.push_async_callback(keeper.aclose)
    notices = _notifier(settings, policies, recorder, stores.metrics)
    stack.push_async_callback(notices.aclose)
    latency, breaker = LatencyBook(), Breaker(clock.monotonic)
    dispatcher = Dispatcher(
        EgressGuard(backends.providers, stores.audit, leaks),
        purse,
        Pseudonymiser(derive(stores.secret, "pseudonyms")),
        recorder,
        Experience(latency, breaker, backends.served_for),
        clock,
        Tries({target.id: _timeouts(target.timeouts) for target in settings.targets}, output_limit_fields(settings)),
    )

    def decide(facts: Facts, targets: Sequence[Target]) -> Decision:
        return evaluate(policies.for_tenant(facts.tenant), facts, targets)

    steps = Steps(
        inspector=inspecting.inspector,
        decide=decide,
        approvals=approvals,
        selector=Selector(directory.targets, latency, breaker, backends.servers),
        dispatcher=dispatcher,
        replier=Replier(recorder, purse, inspecting.masker, observer(stores.metrics, clock)),
        recorder=recorder,
        conversations=keeper,
        notices=notices,
    )
    return recorder, Pipeline(directory, steps, stores.tracer, clock)


def _explainer(pipeline: Pipeline, policies: PolicyStore) -> Callable[[Exchange], Awaitable[JsonObject]]:
    async def explained(exchange: Exchange) -> JsonObject:
        """The decision that this request would get now, why, and what each target's chances are. Nothing is sent."""
        inspection, decision, plan = await pipeline.preview(exchange)
        assert exchange.facts is not None
        body = explain(policies.for_tenant(exchange.facts.tenant), exchange.facts, decision).as_json()
        body["found"] = [
            {"entity": found.entity, "percent": found.percent, "distinct": found.distinct} for found in inspection.found
        ]
        body["candidates"] = [
            {
                "target": candidate.target.id,
                "at_most_usd": in_usd(candidate.worst_cost),
                "max_output_tokens": candidate.clamp,
                "expected_first_token": candidate.expected_first_token,
                **({"paused": True} if candidate.paused else {}),
                **({"full": True} if candidate.full else {}),
            }
            for candidate in plan.candidates
        ]
        body["rejected"] = [{"target": verdict.target, "reason": verdict.reason} for verdict in plan.rejected]
        return body

    return explained


def _limits(settings: Settings) -> Limits:
    server = settings.server
    return Limits(
        body_bytes=server.max_body_bytes,
        body_seconds=server.body_timeout,
        write_seconds=server.write_timeout,
        in_flight=server.max_in_flight,
    )


def _timeouts(settings: TimeoutSettings) -> Timeouts:
    return Timeouts(settings.connect, settings.first_event, settings.idle)
