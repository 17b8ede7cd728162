"""One engine of a pool, and how a request gets into it. What is decided, `adapters.llama_cpp.pool` decides."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Protocol

from adapters.llama_cpp.shared import Supervisor
from adapters.llama_cpp.supervisor import EngineState


class TooLate(Exception):
    """The model would not be loaded in the time that the request has; `seconds` is when it is, infinite for unknown."""

    def __init__(self, seconds: float) -> None:
        super().__init__("the model would be loaded too late")
        self.seconds = seconds


class NotLoaded(Exception):
    """The model could not be loaded, or the gateway is closing. `str()` says why, without content."""


class Place(Enum):
    """OUT: no process. LOADING: until it first is ready or has failed. IN: has its memory, though it may be restarting.
    LEAVING: its process is being ended."""

    OUT = auto()
    LOADING = auto()
    IN = auto()
    LEAVING = auto()


class Memory(Protocol):
    """What an engine needs of its pool."""

    def wait_seconds(self, engine: PooledEngine) -> float: ...
    async def load(self, engine: PooledEngine) -> None: ...
    def warm(self, engine: PooledEngine) -> None: ...
    def changed(self) -> None: ...


class PooledEngine:
    """One engine of a pool: its supervisor, and whether it is loaded. `needed` are bytes; `loads` and `unloads` count;
    `load_seconds` is how long the last load took, 0 before the first."""

    def __init__(
        self,
        pool: Memory,
        supervised: Callable[[Callable[[EngineState], None]], Supervisor],
        needed: int,
        check: Callable[[], object],
    ) -> None:
        """`supervised` makes the supervisor, which tells its changes to what it is given."""
        self.supervisor = supervised(self._changed)
        self.needed = needed
        self.check = check
        self.loads = self.unloads = 0
        self.load_seconds = 0.0
        self._pool = pool
        self._ready_at = 0.0
        # What follows belongs to the pool.
        self.place = Place.OUT
        self.running = 0
        self.used_at = self.began = self.asked_at = 0.0
        self.waiters: deque[asyncio.Future[None]] = deque()
        self.yields = False  # takes no new requests: somebody has waited long for its memory
        self.warming = False  # wanted by a request that went elsewhere, and so not at the cost of others
        self.at_start = False
        self.retired = False  # another has taken its place: it is not loaded again
        self.failure = ""
        self.crashes = 0  # loads in a row that did not succeed
        self.not_before = 0.0

    # ---- for the provider

    async def admit(self, first_token: float | None, timeout: float) -> float:
        """A place for one request, to be given back by `release`, as soon as the model is loaded. Gives the seconds
        that it waited. It waits at most `timeout`, and not at all when the model is unlikely to be loaded within
        `first_token` seconds.

        Raises `TooLate`, `NotLoaded` or `TimeoutError`.
        """
        if self.takes:
            self.running += 1
            return 0.0
        wait = self._pool.wait_seconds(self)
        if first_token is not None and wait > first_token:
            self._pool.warm(self)
            raise TooLate(wait)
        started = time.monotonic()
        within = timeout if first_token is None else min(timeout, first_token)
        try:
            async with asyncio.timeout(within):
                await self._pool.load(self)
        except TimeoutError:
            if within < timeout:
                raise TooLate(self._pool.wait_seconds(self)) from None
            raise
        return time.monotonic() - started

    def release(self) -> None:
        """The request is over."""
        self.running -= 1
        self.used_at = time.monotonic()
        self._pool.changed()

    # ---- for the operator

    @property
    def takes(self) -> bool:
        """Does it take a request at once?"""
        return self.place is Place.IN and not self.yields

    @property
    def loaded(self) -> bool:
        return self.place is Place.IN and self.supervisor.state is EngineState.READY

    @property
    def state(self) -> EngineState:
        out = self.place in (Place.OUT, Place.LEAVING)
        return EngineState.UNLOADED if out else self.supervisor.state

    @property
    def restarts(self) -> int:
        return self.supervisor.restarts

    @property
    def settling(self) -> bool:
        """Is it on its way to be ready, or to fail?"""
        if self.place is Place.IN:
            return self.supervisor.state in (EngineState.STARTING, EngineState.BACKOFF)
        return self.place is Place.LOADING

    @property
    def problem(self) -> str:
        """Why it cannot take requests; empty where it can, also after a load when it is asked."""
        if self.place is Place.IN and self.supervisor.state is not EngineState.READY:
            return f"the engine is {self.supervisor.state.value}"
        if self.place is Place.LOADING and self.at_start:
            return "the engine is starting"
        if self.place is Place.OUT and self.failure:
            return "the engine could not be loaded"
        return ""

    def served_for(self) -> float:
        """Seconds since the model was last loaded: no answer has been under way for longer, its load apart."""
        return time.monotonic() - self._ready_at if self.loads else float("inf")

    async def stats(self, timeout: float = 5.0, prompt_tokens: int | None = None) -> dict[str, Any]:
        """As `EngineSupervisor.stats`, with what the pool knows; predicted times to first token count a load."""
        figures = await self.supervisor.stats(timeout, prompt_tokens)
        wait = 0.0 if self.takes else self._pool.wait_seconds(self)
        for predicted in ("first_token_seconds", "first_token_p95_seconds"):
            if figures.get(predicted) is not None:
                figures[predicted] += wait
        figures |= {"state": self.state.value, "loads": self.loads, "unloads": self.unloads}
        return figures | {"load_seconds": self.load_seconds, "wait_seconds": wait}

    # ---- within the pool

    @property
    def held(self) -> int:
        """The memory that it has, or is about to have."""
        out = self.place is Place.OUT or self.supervisor.state is EngineState.FAILED
        return 0 if out else self.needed

    def grant(self) -> None:
        """Let everybody in who waits."""
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                self.running += 1
                waiter.set_result(None)

    def refuse(self, reason: str) -> None:
        """Let nobody in who waits."""
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_exception(NotLoaded(reason))

    def _changed(self, state: EngineState) -> None:
        now = time.monotonic()
        if state is EngineState.STARTING:
            self.began = now
        elif state is EngineState.READY:
            self.loads += 1
            self.load_seconds, self._ready_at = now - self.began, now
        elif state is EngineState.FAILED:
            self._pool.changed()  # its memory is free
