"""What runs beside the requests: the policy watch, the self-probe, the figures of local engines and of the event loop,
readiness."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from weakref import WeakKeyDictionary

import anyio

from adapters.llama_cpp.pooled import PooledEngine
from gateway.compose.policies import PolicyJournal
from gateway.compose.targets import Backends
from gateway.compose.versions import ModelVersions
from gateway.domain.decision import Gate, PolicyId
from gateway.domain.errors import ConfigurationError
from gateway.domain.finding import Found
from gateway.domain.standing import ServerState
from gateway.pipeline.probe import SelfProbe
from gateway.pipeline.recorder import Recorder
from gateway.policy.compile import CompiledPolicy
from gateway.policy.evaluate import level_of, present_types
from gateway.policy.store import PolicyStore
from gateway.policy.watch import watch
from gateway.settings import Settings
from gateway.telemetry.logs import log_event
from gateway.telemetry.metrics import Metrics

_log = logging.getLogger(__name__)
PROBE_EVERY = 60.0
"""Seconds between two self-probes."""

_ENGINES_EVERY = 2.0
_AGAIN_AFTER = 1.0
_TICK = 0.05


class Upkeep:
    """An async context manager: the self-probe has run once when it is entered."""

    def __init__(
        self,
        settings: Settings,
        policies: PolicyStore,
        probe: SelfProbe,
        recorder: Recorder,
        metrics: Metrics,
        backends: Backends,
    ) -> None:
        self._settings = settings
        self._policies = policies
        self._probe = probe
        self._recorder = recorder
        self._metrics = metrics
        self._engines = backends.engines
        self._servers = backends.servers
        self._journal = PolicyJournal(recorder.event)
        self._probe_problem = ""
        self._counted: WeakKeyDictionary[PooledEngine, tuple[int, int, int]] = WeakKeyDictionary()
        self.versions = ModelVersions(settings, backends, recorder.event)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Upkeep:
        self._policy_loaded(self._policies.current.id)
        await self.probe()
        works: list[tuple[Callable[[], Awaitable[None]], str]] = [
            (self._watch_policy, "policy watch"),
            (self._keep_probing, "self-probe"),
            (self._watch_engines, "engine figures"),
            (self._watch_loop, "event loop lag"),
            (self.versions.watch, "model versions"),
        ]
        works += [(partial(self._watch_servers, target), f"servers of {target}") for target in self._servers]
        self._tasks = [asyncio.create_task(self._lasting(work, name), name=name) for work, name in works]
        self._metrics.watch_servers(self.servers)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def problems(self) -> Mapping[str, str]:
        """What keeps the gateway from being ready, by part; empty when it is."""
        found: dict[str, str] = {}
        if self._probe_problem:
            found["self_probe"] = self._probe_problem
        for target, engine in self._engines.items():
            if engine.problem:
                found[f"target {target}"] = engine.problem
        return found

    def servers(self) -> Mapping[str, Sequence[ServerState]]:
        """What is known of the servers on other machines, by target. They do not count for being ready: all gateways
        share them, so that one model that is down would take every gateway away, and with them all other models."""
        return {target: servers.states() for target, servers in self._servers.items()}

    async def engines_settled(self) -> None:
        """Return when every engine that is loaded at the start is ready or has failed for good."""
        while any(engine.settling for engine in self._engines.values()):  # noqa: ASYNC110 (no event there)
            await anyio.sleep(0.1)

    async def _lasting(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        """Do `work`, which never ends by itself. A task that has died looks like one that has nothing to report, so
        this is a border: whatever fails in it (the audit log takes no event, say) is logged, and it begins anew."""
        while True:
            try:
                await work()
            except Exception as error:
                log_event(_log, logging.CRITICAL, "upkeep failed and begins anew", task=name, error=error)
            await anyio.sleep(_AGAIN_AFTER)

    async def _watch_policy(self) -> None:
        await watch(self._policies, loaded=self._policy_loaded, refused=self._policy_refused)

    async def _watch_loop(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _TICK
            await asyncio.sleep(_TICK)
            self._metrics.event_loop_lag(max(loop.time() - due, 0.0))

    def _policy_loaded(self, policy: PolicyId) -> None:
        self._metrics.policy_loaded(policy)
        self._note_policies()
        log_event(_log, logging.INFO, "policy loaded", policy=policy.name, version=policy.version, hash=policy.short)

    def _note_policies(self) -> None:
        self._journal.note(self._policies.in_force, datetime.now(UTC).date())

    def _policy_refused(self, problem: ConfigurationError) -> None:
        self._metrics.policy_reload_failed()
        self._recorder.event("policy refused", self._policies.current.id.hash)
        # The policy file is configuration, not content, but the log takes labels only: the command says it in full.
        log_event(
            _log,
            logging.ERROR,
            "the changed policy is refused and the last good one stays - see: bailiwick policy check",
            policy=str(self._settings.policy.name),
            serving=self._policies.current.id.short,
        )

    async def _keep_probing(self) -> None:
        while True:
            await anyio.sleep(PROBE_EVERY)
            self._note_policies()  # exceptions end by the day, not by a change of the files
            await self.probe()

    async def probe(self) -> None:
        """Run the self-probe now. What it finds shows in `problems`, the metric, the audit log and the log."""
        result = await self._probe.run(lambda found: may_leave(self._policies.current, found))
        before, self._probe_problem = self._probe_problem, result.problem
        self._metrics.selfprobe(result.ok)
        if result.problem == before:
            return
        if result.ok:
            log_event(_log, logging.WARNING, "self-probe is well again")
        else:
            log_event(_log, logging.CRITICAL, "self-probe failed", problem=result.problem)
        event = "self-probe well again" if result.ok else "self-probe failed"
        self._recorder.event(event, self._policies.current.id.hash, result.problem)

    async def _watch_engines(self) -> None:
        while True:
            for target, engine in [*self._engines.items()]:
                stats = await engine.stats() if engine.loaded else {}
                self._metrics.engine(target, up=not engine.problem, loaded=engine.loaded, figures=stats)
                counts = (engine.restarts, engine.loads, engine.unloads)
                since = [now - before for now, before in zip(counts, self._counted.get(engine, (0, 0, 0)), strict=True)]
                self._metrics.engine_events(target, *since, load_seconds=engine.load_seconds)
                self._counted[engine] = counts
            await anyio.sleep(_ENGINES_EVERY)

    async def _watch_servers(self, target: str) -> None:
        def changed(state: ServerState) -> None:
            level = logging.INFO if state.up and not state.reason else logging.WARNING
            up = {True: "up", False: "down", None: "unknown"}[state.up]
            log_event(_log, level, "model server", target=target, server=state.server, state=up, reason=state.reason)

        await self._servers[target].watch(changed)


def may_leave(policy: CompiledPolicy, found: Sequence[Found]) -> bool:
    """Does the policy by itself let a request with these findings go to a cloud in clear? Read from the handling of
    its level alone, past the evaluator's join, so that the two check each other; rules could only be stricter."""
    handling = policy.handling[level_of(policy, found, present_types(policy, found))]
    hidden = [item for name in handling.redact for item in policy.hidden[name]]
    in_clear = [
        item for item in found if not any(item.entity == h.entity and item.percent >= h.percent for h in hidden)
    ]
    return policy.source.audit or (handling.gate is Gate.ALLOW and handling.cloud and bool(in_clear))
