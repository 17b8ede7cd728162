"""What runs beside the requests: the policy watch, the self-probe, the figures of local engines, readiness."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import anyio

from adapters.llama_cpp.supervisor import EngineState, EngineSupervisor
from gateway.domain.decision import Level, PolicyId
from gateway.domain.errors import ConfigurationError
from gateway.pipeline.probe import SelfProbe
from gateway.pipeline.recorder import Recorder
from gateway.policy.store import PolicyStore
from gateway.policy.watch import watch
from gateway.settings import Settings
from gateway.telemetry.logs import log_event
from gateway.telemetry.metrics import Metrics

_log = logging.getLogger(__name__)
_PROBE_EVERY = 60.0  # seconds
_ENGINES_EVERY = 2.0


class Upkeep:
    """An async context manager: the self-probe has run once when it is entered."""

    def __init__(
        self,
        settings: Settings,
        policies: PolicyStore,
        probe: SelfProbe,
        recorder: Recorder,
        metrics: Metrics,
        engines: Mapping[str, EngineSupervisor],
    ) -> None:
        self._settings = settings
        self._policies = policies
        self._probe = probe
        self._recorder = recorder
        self._metrics = metrics
        self._engines = engines
        self._probe_problem = ""
        self._restarts = dict.fromkeys(engines, 0)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Upkeep:
        self._policy_loaded(self._policies.current.id)
        await self._run_probe()
        self._tasks = [
            asyncio.create_task(self._watch_policy(), name="policy watch"),
            asyncio.create_task(self._keep_probing(), name="self-probe"),
            asyncio.create_task(self._watch_engines(), name="engine figures"),
        ]
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
            if engine.state is not EngineState.READY:
                found[f"target {target}"] = f"the engine is {engine.state.value}"
        return found

    async def engines_settled(self) -> None:
        """Return when every engine is ready or has failed for good."""
        waiting = (EngineState.STARTING, EngineState.BACKOFF)
        while any(engine.state in waiting for engine in self._engines.values()):  # noqa: ASYNC110 (no event there)
            await anyio.sleep(0.1)

    async def _watch_policy(self) -> None:
        await watch(self._policies, self._settings.policy, loaded=self._policy_loaded, refused=self._policy_refused)

    def _policy_loaded(self, policy: PolicyId) -> None:
        self._metrics.policy_loaded(policy)
        archive(self._settings.storage.folder, self._settings.policy, policy)
        self._recorder.event("policy loaded", policy.hash)
        log_event(_log, logging.INFO, "policy loaded", policy=policy.name, version=policy.version, hash=policy.short)

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
            await anyio.sleep(_PROBE_EVERY)
            await self._run_probe()

    async def _run_probe(self) -> None:
        strictest = self._policies.current.handling[Level.RESTRICTED]
        result = await self._probe.run(leaving_is_allowed=strictest.cloud and not strictest.redact)
        self._metrics.selfprobe(result.ok)
        if not result.ok and result.problem != self._probe_problem:
            self._recorder.event("self-probe failed", self._policies.current.id.hash, result.problem)
            log_event(_log, logging.CRITICAL, "self-probe failed", problem=result.problem)
        self._probe_problem = result.problem

    async def _watch_engines(self) -> None:
        while True:
            for target, engine in self._engines.items():
                up = engine.state is EngineState.READY
                stats = await engine.stats() if up else {}
                self._metrics.engine(target, up=up, queue=int(stats.get("waiting", 0)))
                for _ in range(engine.restarts - self._restarts[target]):
                    self._metrics.engine_restarted(target)
                self._restarts[target] = engine.restarts
            await anyio.sleep(_ENGINES_EVERY)


def archive(folder: Path, source: Path, policy: PolicyId) -> None:
    """Keep a copy of each policy that was in force, under its hash: a decision can only be recomputed with it."""
    kept = folder / "policies" / f"{policy.hash}.yaml"
    if kept.exists():
        return
    kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = kept.with_suffix(".part")
    temporary.write_bytes(source.read_bytes())
    temporary.replace(kept)
