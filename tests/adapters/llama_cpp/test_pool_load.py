"""Many requests for many models at once: a pool over engines that only pretend to load, in random order and time."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from adapters.llama_cpp import pool as module
from adapters.llama_cpp.pool import EnginePool
from adapters.llama_cpp.pooled import NotLoaded, PooledEngine, TooLate
from adapters.llama_cpp.supervisor import EngineConfig, EngineState

pytestmark = pytest.mark.anyio
MEMORY = 100
SIZES = (30, 50, 70, 100)


class Pretended:
    """Takes some milliseconds to start and to end; some starts crash. `alive` are those that have memory."""

    alive: set[Pretended] = set()  # noqa: RUF012
    chance = random.Random(0)

    def __init__(self, config: EngineConfig, on_change: Any) -> None:
        self.config, self._say, self.state = config, on_change, EngineState.STOPPED
        self.need, self.users = config.context_tokens, 0
        self.failure = "it crashed"
        self._settled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self, *, wait: bool) -> None:
        assert self not in self.alive
        self.alive.add(self)
        assert sum(engine.need for engine in self.alive) <= MEMORY
        self._settled.clear()
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        self._set(EngineState.STARTING)
        await asyncio.sleep(self.chance.random() * 0.003)
        if self.chance.random() < 0.1:
            self._set(EngineState.BACKOFF)
            self._settled.set()
            await asyncio.sleep(0.002)
        self._set(EngineState.READY)
        self._settled.set()

    async def settled(self) -> None:
        await self._settled.wait()

    async def aclose(self) -> None:
        assert self.users == 0
        if self._task is not None:
            self._task.cancel()
        await asyncio.sleep(self.chance.random() * 0.002)
        self._set(EngineState.STOPPED)
        self._settled.set()
        self.alive.discard(self)

    def _set(self, state: EngineState) -> None:
        self.state = state
        self._say(state)


@pytest.mark.parametrize("seed", range(12))
async def test_the_budget_holds_and_everybody_is_served(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever comes when: the memory in use is never more than granted, no engine ends under a request, callers that
    leave do not block others, and every request that stays comes to its turn."""
    monkeypatch.setattr(module, "EngineSupervisor", Pretended)
    Pretended.alive, Pretended.chance = set(), random.Random(seed)
    chance = random.Random(seed)
    pool = EnginePool(MEMORY, patience=0.01)
    engines = [
        pool.add(EngineConfig(str(size), Path(), context_tokens=size, backoff_first=0.001), size) for size in SIZES
    ]
    await pool.start()
    served = left = late = crashed = 0

    async def request(engine: PooledEngine, begin: float, hold: float, patience: float, soon: float | None) -> None:
        nonlocal served, left, late, crashed
        await asyncio.sleep(begin)
        try:
            async with asyncio.timeout(patience):
                await engine.admit(soon, 30)
        except TooLate:
            late += 1
            return
        except NotLoaded:
            crashed += 1
            return
        except TimeoutError:
            left += 1
            return
        supervisor: Any = engine.supervisor
        assert supervisor in Pretended.alive
        supervisor.users += 1
        await asyncio.sleep(hold)
        supervisor.users -= 1
        engine.release()
        served += 1

    tasks = [
        asyncio.create_task(
            request(
                chance.choice(engines),
                chance.random() * 0.4,
                chance.random() * 0.004,
                0.003 if chance.random() < 0.1 else 20,
                0.001 if chance.random() < 0.2 else None,
            )
        )
        for _ in range(300)
    ]
    async with asyncio.timeout(20):
        await asyncio.gather(*tasks)
    assert served + left + late + crashed == len(tasks)
    assert served > 150
    assert all(engine.running == 0 and not engine.waiters for engine in engines)
    await pool.aclose()
    assert not Pretended.alive
    with pytest.raises(NotLoaded):
        await next(engine for engine in engines if not engine.takes).admit(None, 1)
