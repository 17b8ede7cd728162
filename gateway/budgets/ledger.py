"""The ledger over a store: ids, bounds, cancellation, leases and what happens when the store is away.

The rules that keep a budget from being overspent:

* A store takes a reservation only while spent + reserved + amount <= limit, in one atomic step.
* Every operation names its reservation and does nothing the second time, so that each may be tried again.
* A reservation is released only by its own settlement. One whose process died is *spent* at its full amount, since
  nobody can know what was sent; so is one whose settlement never reached the store.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Final, Protocol, TypeVar

from gateway.domain.errors import BudgetSpent, Code, GatewayError
from gateway.domain.money import NanoUsd
from gateway.domain.ports import Reservation

T = TypeVar("T")

LEASE: Final = 120.0
"""Seconds after which a process not heard of counts as dead. A wrong guess overstates what is spent, no more."""

CEILING: Final = 2**53 - 1
"""Most nano-dollars in one budget (9,007,199 USD), limit or not: up to here every store is exact."""

_logger = logging.getLogger(__name__)
_NOTHING: Final = Reservation("", NanoUsd(0))


@dataclass(frozen=True, slots=True)
class Reserve:
    id: str
    scope: str
    amount: int
    limit: int


@dataclass(frozen=True, slots=True)
class Settle:
    """Nothing happens when there is no reservation `id` (any more)."""

    id: str
    cost: int


class StoreError(Exception):
    """The store did not do it, or nobody knows whether it did. The text is a type name, never content."""

    def __init__(self, reason: str, *, busy: bool = False) -> None:
        super().__init__(reason)
        self.busy = busy


class Store(Protocol):
    """Where budgets are kept. Every method raises `StoreError`."""

    async def reserve(self, operation: Reserve) -> bool:
        """False when it does not fit. An id is used once; a store that tries again by itself must reserve once."""
        ...

    async def settle(self, operation: Settle) -> None: ...

    async def spent(self, scope: str) -> int:
        """Spent plus reserved."""
        ...

    async def keep_alive(self) -> None:
        """Renew this process's lease, then settle in full the reservations of processes whose lease ran out."""
        ...

    async def aclose(self) -> None:
        """Settle in full what this process has not settled, give the lease back, and disconnect."""
        ...


class StoreLedger:
    """Implements `gateway.domain.ports.Ledger` over a `Store`. Belongs to one event loop; made by `start`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._prefix = secrets.token_hex(8)
        self._numbers = count(1)
        self._unsettled: dict[str, int] = {}
        self._heartbeat: asyncio.Task[None] | None = None

    async def start(self, every: float = LEASE / 4) -> None:
        """Take the lease, settle what dead processes left behind, and do both again `every` so many seconds.

        Raises `StoreError`: a gateway that cannot keep its budgets does not start.
        """
        await self._store.keep_alive()
        self._heartbeat = asyncio.create_task(self._beat(every), name="budget-lease")

    async def reserve(self, scope: str, amount: NanoUsd, limit: NanoUsd | None) -> Reservation:
        """See the port. Raises `BudgetSpent`, or another `GatewayError` when the store is away."""
        if amount < 0:
            raise ValueError("a reservation is not negative")
        if amount == 0:
            return _NOTHING
        bound = CEILING if limit is None else min(limit, CEILING)
        if amount > bound:
            raise BudgetSpent(scope)
        operation = Reserve(f"{self._prefix}-{next(self._numbers):x}:{scope}", scope, amount, bound)
        taken = False
        try:
            taken = await self._store.reserve(operation)
        except StoreError as error:
            self._unsettled[operation.id] = 0  # it may have been made: take it back when the store answers
            raise _unavailable(error) from error
        except asyncio.CancelledError:
            self._unsettled[operation.id] = 0
            self._retry_soon()
            raise
        if not taken:
            raise BudgetSpent(scope)
        return Reservation(operation.id, amount)

    async def settle(self, reservation: Reservation, cost: NanoUsd) -> None:
        """See the port. When the store is away this still returns: the amount stays reserved until it is back."""
        if cost < 0:
            raise ValueError("a cost is not negative")
        if not reservation.id:
            return
        try:
            await self._store.settle(Settle(reservation.id, cost))
        except StoreError as error:
            self._unsettled[reservation.id] = cost
            _logger.warning("a settlement failed and will be tried again: %s", error)

    async def spent(self, scope: str) -> NanoUsd:
        """See the port. Raises `GatewayError` when the store is away."""
        try:
            return NanoUsd(await self._store.spent(scope))
        except StoreError as error:
            raise _unavailable(error) from error

    async def aclose(self) -> None:
        """Reservations that are still open are counted as spent in full."""
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            with suppress(asyncio.CancelledError):
                await self._heartbeat
        await self._tried(self._settle_rest)
        await self._tried(self._store.aclose)

    async def _beat(self, every: float) -> None:
        while True:
            await asyncio.sleep(every)
            await self._tried(self._store.keep_alive)
            await self._tried(self._settle_rest)

    async def _settle_rest(self) -> None:
        for name, cost in list(self._unsettled.items()):
            await self._store.settle(Settle(name, cost))
            self._unsettled.pop(name, None)

    def _retry_soon(self) -> None:
        """A cancelled caller cannot wait for its reservation to be taken back."""
        task = asyncio.create_task(self._tried(self._settle_rest), name="budget-release")
        _running.add(task)
        task.add_done_callback(_running.discard)

    async def _tried(self, step: Callable[[], Awaitable[T]]) -> None:
        try:
            await step()
        except StoreError as error:
            _logger.warning("the budget store did not answer: %s", error)


_running: set[asyncio.Task[None]] = set()
"""Asyncio itself keeps only weak references to tasks."""


def new_owner() -> str:
    """An id of this process for its lease, readable for people: host, process id and a random part."""
    return f"{socket.gethostname()[:32]}:{os.getpid()}:{secrets.token_hex(4)}"


def _unavailable(error: StoreError) -> GatewayError:
    code = Code.OVERLOADED if error.busy else Code.BUDGETS_UNAVAILABLE
    return GatewayError(code, "The budget could not be checked.", detail=f"budget store: {error}", retry_after=1.0)
