"""Several models in one gateway, within a budget of memory: who is loaded, who has to leave, and who waits.

Everything is decided in the event loop between two awaits, by `EnginePool._arrange`. Without a budget all engines are
loaded at the start and stay.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from pathlib import Path

from adapters.llama_cpp.pooled import NotLoaded, Place, PooledEngine
from adapters.llama_cpp.shared import SharedEngine, Supervisor
from adapters.llama_cpp.supervisor import EngineConfig, EngineState, EngineSupervisor
from gateway.domain.errors import ConfigurationError

_log = logging.getLogger(__name__)
_MIB = 1 << 20
_DRAIN_LOOK = 0.05


class EnginePool:
    """The engines of one gateway. `memory` is the budget in bytes, None for none. A request that has waited `patience`
    seconds for the memory of busy engines makes them take no further requests until it has been served. With a
    `runtime_folder`, which excludes a budget, the engines belong to all gateways that have the same one."""

    def __init__(self, memory: int | None = None, patience: float = 30.0, runtime_folder: Path | None = None) -> None:
        assert memory is None or runtime_folder is None
        self.memory = memory
        self.runtime_folder = runtime_folder
        self._patience = patience
        self._engines: list[PooledEngine] = []
        self._wanted: deque[PooledEngine] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False

    def add(self, config: EngineConfig, needed: int, check: Callable[[], object] = lambda: None) -> PooledEngine:
        """An engine that needs so many bytes. Before each load within a budget, `check` looks in a thread whether its
        files are still the same, and raises `ConfigurationError` where they are not.

        Raises `ConfigurationError` where it can never be loaded.
        """
        if self.memory is not None and needed > self.memory:
            raise ConfigurationError(
                f"it needs about {needed / _MIB:,.0f} MiB of memory, and local_models.memory grants "
                f"{self.memory / _MIB:,.0f} MiB to all: raise it, take fewer context_tokens or a smaller quantisation"
            )
        engine = PooledEngine(self, partial(self._supervised, config), needed, check)
        self._engines.append(engine)
        return engine

    def _supervised(self, config: EngineConfig, on_change: Callable[[EngineState], None]) -> Supervisor:
        if self.runtime_folder is None:
            return EngineSupervisor(config, on_change)
        return SharedEngine(config, self.runtime_folder, on_change)

    async def start(self) -> None:
        """Begin to load the engines, in the order in which they were added, as far as the budget goes. Raises
        `ConfigurationError` for a model file that is not there."""
        for engine in self._engines:
            if self.memory is None:
                await engine.supervisor.start(wait=False)
                engine.place = Place.IN
            elif engine.needed <= self._free():
                engine.at_start = True
                self._begin_load(engine)

    async def bring_in(self, engine: PooledEngine) -> None:
        """Load an engine that was added after the start, and return when it takes requests. Raises `NotLoaded` and
        `ConfigurationError`."""
        if self.memory is None:
            await engine.supervisor.start(wait=False)
            engine.place = Place.IN
            await engine.supervisor.settled()
        else:
            await self.load(engine)
            engine.release()
        if engine.supervisor.state is not EngineState.READY:
            raise NotLoaded(engine.supervisor.failure or f"the engine is {engine.supervisor.state.value}")

    async def retire(self, engine: PooledEngine, drain: float) -> None:
        """End an engine for good, as soon as it has no requests, but after `drain` seconds at the latest."""
        until = time.monotonic() + drain
        while engine.running and time.monotonic() < until:  # noqa: ASYNC110 (requests end without an event)
            await asyncio.sleep(_DRAIN_LOOK)
        engine.retired = True
        engine.refuse("another version of the model is in use")
        if engine.place is not Place.OUT:
            engine.place = Place.LEAVING  # its memory counts until it has ended
        await engine.supervisor.aclose()
        engine.place = Place.OUT
        self._engines.remove(engine)
        self.changed()

    async def aclose(self) -> None:
        """End all engines, loads and waits. Closing twice is fine."""
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        self._wanted.clear()
        for engine in self._engines:
            engine.refuse("the gateway is closing")
        await asyncio.gather(*(engine.supervisor.aclose() for engine in self._engines))
        await asyncio.gather(*self._tasks)  # loads end with their supervisors; what was leaving is waited for

    # ---- for engines

    def wait_seconds(self, engine: PooledEngine) -> float:
        """Predicted seconds until a request that comes now gets into the engine, by the load times measured; infinite
        where it depends on when others end. Nothing measured: 0, for nobody is refused for a guess."""
        if engine.takes:
            return 0.0
        load = self._load_seconds(engine)
        if engine.place is Place.LOADING:
            return max(load - (time.monotonic() - engine.began), 0.0)
        queued = any(other is not engine for other in self._wanted)
        if queued or engine.yields or self._victims(engine, 0.0) is None:
            return float("inf")
        return load

    async def load(self, engine: PooledEngine) -> None:
        """Return when one more request has a place in the engine. Raises `NotLoaded`."""
        if self._closing or engine.retired:
            raise NotLoaded("the gateway is closing" if self._closing else "another version of the model is in use")
        if engine.place is Place.OUT and time.monotonic() < engine.not_before:
            raise NotLoaded(engine.failure)  # else a model that always crashes would push others out with each request
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        engine.waiters.append(waiter)
        if engine not in self._wanted and engine.place is not Place.LOADING:
            engine.asked_at = time.monotonic()
            self._wanted.append(engine)
        self._arrange()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                engine.release()  # it was let in just as its caller left
            else:
                with contextlib.suppress(ValueError):
                    engine.waiters.remove(waiter)
                self.changed()
            raise

    def warm(self, engine: PooledEngine) -> None:
        """A request went elsewhere because the model is not loaded. Load it for the next, unless others use the
        memory or wait for it."""
        if self._wanted or engine.place is not Place.OUT or self._closing:
            return
        engine.warming = True
        self._wanted.append(engine)
        self._arrange()

    def changed(self) -> None:
        """Something may be possible now that was not."""
        if self._wanted and not self._closing:
            self._arrange()

    # ---- what is decided

    def _arrange(self) -> None:
        """Serve those that are wanted, in the order in which they were: nobody overtakes, so a large model comes to its
        turn among small ones."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._wanted:
            engine = self._wanted[0]
            if engine.takes or engine.place is Place.LOADING or not (engine.waiters or engine.warming):
                self._done_with(engine)
                continue
            if engine.place is not Place.OUT:
                return  # it is just leaving, and `_unload` goes on here; or it yields, to one that has been served
            victims = self._victims(engine, 0.0 if engine.waiters else self._patience)
            if victims is None:
                if engine.waiters:
                    self._press(engine)
                    return
                self._done_with(engine)
                continue
            for victim in victims:
                victim.place = Place.LEAVING
                self._spawn(self._unload(victim))
            if engine.needed > self._free():
                return  # until those that leave have left
            self._begin_load(engine)

    def _done_with(self, engine: PooledEngine) -> None:
        """It is loaded or loading, or nobody wants it any more: engines that were to make room for it need not."""
        self._wanted.popleft()
        engine.warming = False
        for other in self._engines:
            other.yields = False
            if other.place is Place.IN:
                other.grant()

    def _victims(self, engine: PooledEngine, idle_for: float) -> list[PooledEngine] | None:
        """Who has to leave so that the engine can be loaded: those idle for so many seconds, the least recently used
        first; none where there is room, or will be when those have left that are leaving. None: not possible now."""
        lacking = self._lacking(engine)
        chosen: list[PooledEngine] = []
        before = time.monotonic() - idle_for
        for other in self._by_use():
            if lacking <= 0:
                break
            if other.running == 0 and other is not engine and other.used_at <= before:
                chosen.append(other)
                lacking -= other.held
        return chosen if lacking <= 0 else None

    def _press(self, engine: PooledEngine) -> None:
        """Busy engines have the memory. When it was waited for long enough, let them end what they do and no more."""
        rest = engine.asked_at + self._patience - time.monotonic()
        if rest > 0:
            self._timer = asyncio.get_running_loop().call_later(rest, self.changed)
            return
        lacking = self._lacking(engine)
        for other in self._by_use():
            if lacking > 0:
                other.yields = True
                lacking -= other.held

    def _by_use(self) -> Iterable[PooledEngine]:
        loaded = (one for one in self._engines if one.place is Place.IN and one.held)
        return sorted(loaded, key=lambda one: one.used_at)

    def _lacking(self, engine: PooledEngine) -> int:
        """The bytes that it needs beyond what is free, or will be when those have left that are leaving."""
        return engine.needed - self._free() - sum(one.held for one in self._engines if one.place is Place.LEAVING)

    def _free(self) -> int:
        assert self.memory is not None
        return self.memory - sum(engine.held for engine in self._engines)

    def _load_seconds(self, engine: PooledEngine) -> float:
        """What its last load took; before the first, what it would take at the slowest rate of the others."""
        rates = [other.load_seconds / other.needed for other in self._engines if other.load_seconds]
        return engine.load_seconds or max(rates, default=0.0) * engine.needed

    # ---- what is done

    def _begin_load(self, engine: PooledEngine) -> None:
        engine.place, engine.began, engine.failure = Place.LOADING, time.monotonic(), ""
        self._spawn(self._load(engine))

    async def _load(self, engine: PooledEngine) -> None:
        try:
            await asyncio.to_thread(engine.check)
            if self._closing:
                return
            await engine.supervisor.start(wait=False)
        except (ConfigurationError, OSError) as error:  # a file has gone or was changed, or no folder can be made
            engine.place, engine.failure = Place.OUT, str(error)
            _log.error("engine %s is not loaded: its files are not what they were", engine.supervisor.config.name)
            engine.refuse(engine.failure)
            self._arrange()
            return
        await engine.supervisor.settled()
        engine.crashes = 0 if engine.supervisor.state is EngineState.READY else engine.crashes + 1
        # Where it has failed or is to be started again, its callers hear so from the provider.
        engine.place, engine.at_start, engine.used_at = Place.IN, False, time.monotonic()
        engine.grant()
        self._arrange()

    async def _unload(self, engine: PooledEngine) -> None:
        if engine.supervisor.state is EngineState.BACKOFF:
            config = engine.supervisor.config
            wait = min(config.backoff_first * 2.0 ** min(engine.crashes, 16), config.backoff_most)
            engine.failure, engine.not_before = engine.supervisor.failure, time.monotonic() + wait
        await engine.supervisor.aclose()
        engine.place = Place.OUT
        engine.unloads += 1
        self._arrange()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
