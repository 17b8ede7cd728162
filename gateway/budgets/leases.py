"""Budgets answered from memory: a ledger that leases money from another ledger and hands it out in small.

A lease is a reservation in the store of more than is needed now. What requests reserve and settle is taken from the
leases of their budget, in memory, so the store is asked once for many requests. Since the store counts every lease in
full, spent + reserved <= limit holds over all processes by construction: nothing is handed out that is not set aside.

Each second the store is told what was used, and what is free is given back, so that other processes see the truth and
can have the money. A process that dies leaves its leases behind: they are spent in full, like any reservation.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count, takewhile
from typing import Final

from gateway.budgets.ledger import CEILING
from gateway.domain.errors import BudgetSpent, Code, GatewayError
from gateway.domain.money import NanoUsd
from gateway.domain.ports import Ledger, Reservation

EVERY: Final = 1.0
"""Seconds after which the store is told what was used and gets back what is free."""

MOST: Final = 64
"""How many times the amount asked for a lease may be larger than needed."""

SHARE: Final = 100
"""A lease is at most one part in so many of the limit larger than needed."""

_logger = logging.getLogger(__name__)
_NOTHING: Final = Reservation("", NanoUsd(0))
_UNCHECKED: Final = "The budget could not be checked."


@dataclass(frozen=True, slots=True)
class _Waiter:
    amount: int
    bound: int
    granted: asyncio.Future[Reservation]


class _Account:
    """What this process has on lease in one budget. Always: the sum of its leases = free + held + used.

    `held` is reserved by requests, `used` settled by them and not yet told to the store; `free` is negative when
    requests cost more than they had reserved. `proven` is a limit that the whole budget, leases included, was within
    when the store was last asked: under a lower one even free money needs a new look at the store. `busy` is about the
    number of reservations in the last seconds, `tight` says that the limit is near.
    """

    __slots__ = (
        "busy", "filling", "free", "held", "leases", "lock", "proven", "scope", "tight", "used", "waiting",
    )  # fmt: skip

    def __init__(self, scope: str) -> None:
        self.scope = scope
        self.leases: list[Reservation] = []
        self.free = self.held = self.used = 0
        self.proven = CEILING
        self.busy = 0
        self.tight = False
        self.waiting: list[_Waiter] = []
        self.filling: asyncio.Task[None] | None = None
        self.lock = asyncio.Lock()  # held by whoever is changing leases or reading the store

    @property
    def idle(self) -> bool:
        return not (self.leases or self.waiting or self.filling or self.busy or self.lock.locked())

    def add(self, lease: Reservation) -> None:
        self.leases.append(lease)
        self.free += lease.amount

    def group(self) -> list[_Waiter]:
        """Those who wait longest, as far as they name the same limit; whoever has an answer or left is forgotten."""
        self.waiting = [waiter for waiter in self.waiting if not waiter.granted.done()]
        return list(takewhile(lambda waiter: waiter.bound == self.waiting[0].bound, self.waiting))

    def spare(self, amount: int, bound: int) -> int:
        """How much more to lease than is needed: about as much as the last second, within `MOST` and `SHARE`."""
        return min(bound // SHARE, amount * min(self.busy, MOST))

    def take_out(self) -> list[tuple[Reservation, int]]:
        """Take out as many leases as can be settled while the others still cover what is held; each with the cost to
        settle it at. As little of the free money as possible stays."""
        room = self.free + self.used
        out: list[Reservation] = []
        kept: list[Reservation] = []
        for lease in self.leases:
            if lease.amount <= room:
                room -= lease.amount
                out.append(lease)
            else:
                kept.append(lease)
        if not out:
            return []
        total = sum(lease.amount for lease in out)
        cost = max(0, total - self.free)
        self.leases = kept
        self.used -= cost
        self.free -= total - cost
        costs = []
        for lease in out:
            costs.append(min(cost, lease.amount))
            cost -= costs[-1]
        if cost:  # more than was set aside was spent: now the whole budget may be above any limit
            costs[-1] += cost
            self.proven = CEILING
        return list(zip(out, costs, strict=True))


class LeasedLedger:
    """Implements `gateway.domain.ports.Ledger` over another one, which it owns. Belongs to one event loop."""

    def __init__(self, ledger: Ledger, every: float = EVERY) -> None:
        """Leases are given back `every` so many seconds."""
        self._ledger = ledger
        self._every = every
        self._prefix = f"{secrets.token_hex(6)}-"
        self._numbers = count(1)
        self._accounts: dict[str, _Account] = {}
        self._open: dict[str, _Account] = {}
        self._owed: list[tuple[Reservation, int]] = []
        self._keeper: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._closed = False

    async def reserve(self, scope: str, amount: NanoUsd, limit: NanoUsd | None) -> Reservation:
        """See the port. Does not suspend while the leases of the scope suffice. Raises `BudgetSpent`, or another
        `GatewayError` when the store had to be asked and is away."""
        account = self._accounts.get(scope)
        if (
            account is not None
            and 0 < amount <= account.free
            and not account.waiting
            and (limit is None or limit >= account.proven)
        ):
            return self._hold(account, amount)
        if amount < 0:
            raise ValueError("a reservation is not negative")
        if amount == 0:
            return _NOTHING
        bound = CEILING if limit is None else min(limit, CEILING)
        if amount > bound:
            raise BudgetSpent(scope)
        return await self._wait(scope, amount, bound)

    async def settle(self, reservation: Reservation, cost: NanoUsd) -> None:
        """See the port. Never suspends; the store hears of it within `every` seconds and counts the reservation in
        full until then."""
        if cost < 0:
            raise ValueError("a cost is not negative")
        account = self._open.pop(reservation.id, None)
        if account is None:
            return
        account.held -= reservation.amount
        account.used += cost
        account.free += reservation.amount - cost
        if account.free < 0:
            self._wake.set()  # more was spent than anyone had set aside: others must know

    async def spent(self, scope: str) -> NanoUsd:
        """Spent plus reserved, in which the leases of other processes count in full. Raises `GatewayError` when the
        store is away."""
        account = self._accounts.get(scope)
        if account is None:
            return await self._ledger.spent(scope)
        async with account.lock:
            total = await self._ledger.spent(scope)
            return NanoUsd(total - account.free)

    async def flush(self) -> None:
        """Tell the store what was used and give back what is free. It is done regularly without being called."""
        owed, self._owed = self._owed, []
        await asyncio.gather(
            self._settle(owed), *(self._tried(self._flush(account)) for account in list(self._accounts.values()))
        )
        for scope, account in list(self._accounts.items()):
            account.busy = min(account.busy, MOST) // 2
            if account.idle:
                del self._accounts[scope]

    async def aclose(self) -> None:
        """Give everything back and close the ledger beneath. Reservations that are still open are spent in full."""
        self._closed = True
        self._wake.set()
        working = [self._keeper, *(account.filling for account in self._accounts.values())]
        await asyncio.gather(*(task for task in working if task is not None), return_exceptions=True)
        accounts = list(self._accounts.values())
        self._accounts.clear()
        self._open.clear()
        for account in accounts:
            account.used += account.held
            account.held = 0
        owed, self._owed = self._owed, []
        await self._settle([*owed, *(lease for account in accounts for lease in account.take_out())])
        await self._ledger.aclose()

    def _hold(self, account: _Account, amount: int) -> Reservation:
        account.free -= amount
        account.held += amount
        account.busy += 1
        reservation = Reservation(f"{self._prefix}{next(self._numbers)}", NanoUsd(amount))
        self._open[reservation.id] = account
        return reservation

    async def _wait(self, scope: str, amount: int, bound: int) -> Reservation:
        if self._closed:
            raise GatewayError(Code.BUDGETS_UNAVAILABLE, _UNCHECKED, detail="the ledger is closed")
        account = self._accounts.get(scope)
        if account is None:
            account = self._accounts[scope] = _Account(scope)
        waiter = _Waiter(amount, bound, asyncio.get_running_loop().create_future())
        account.waiting.append(waiter)
        # Tasks of their own: a caller who leaves must not take with it what others wait for.
        if account.filling is None:
            account.filling = asyncio.create_task(self._fill(account), name="budget-fill")
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._keep(), name="budget-leases")
        try:
            return await waiter.granted
        except asyncio.CancelledError:
            if waiter.granted.done() and not waiter.granted.cancelled() and waiter.granted.exception() is None:
                await self.settle(waiter.granted.result(), NanoUsd(0))
            raise

    async def _fill(self, account: _Account) -> None:
        """Answer all who wait, in order, asking the store once for as many as possible."""
        try:
            async with account.lock:
                while group := account.group():
                    await self._serve(account, group)
        except BaseException as error:  # border: whatever went wrong, nobody may wait for ever
            for waiter in account.waiting:
                if not waiter.granted.done():
                    waiter.granted.set_exception(_failure(error))
            account.waiting.clear()
            if not isinstance(error, GatewayError):
                raise
        finally:
            account.filling = None

    async def _serve(self, account: _Account, group: Sequence[_Waiter]) -> None:
        bound = group[0].bound
        wanted = sum(waiter.amount for waiter in group)
        spare = account.spare(group[0].amount, bound)
        enough = wanted <= account.free and bound >= account.proven
        missing = wanted - account.free + spare
        if enough or (not account.tight and 0 < missing <= bound and await self._lease(account, missing, bound)):
            self._grant(account, group)
        else:
            await self._serve_exactly(account, bound, spare)

    async def _serve_exactly(self, account: _Account, bound: int, spare: int) -> None:
        """Near the limit: look what is left, grant those whom it is enough for and lease no more than they need."""
        total = await self._ledger.spent(account.scope)
        if total <= bound:
            account.proven = bound
        left = bound - (total - account.free)
        fitting: list[_Waiter] = []
        account.tight = False
        for waiter in account.group():
            if waiter.bound != bound:  # everyone who waited with that limit has left
                return
            if waiter.amount <= left:
                left -= waiter.amount
                fitting.append(waiter)
            else:
                waiter.granted.set_exception(BudgetSpent(account.scope))
                account.tight = True
        account.tight = account.tight or left < spare
        missing = sum(waiter.amount for waiter in fitting) - account.free
        # If the lease fails, another process was faster; those who wait are looked at again.
        if fitting and (missing <= 0 or await self._lease(account, missing, bound)):
            self._grant(account, fitting)

    async def _lease(self, account: _Account, amount: int, bound: int) -> bool:
        try:
            account.add(await self._ledger.reserve(account.scope, NanoUsd(amount), NanoUsd(bound)))
        except BudgetSpent:
            account.tight = True
            return False
        account.proven = bound
        return True

    def _grant(self, account: _Account, waiters: Sequence[_Waiter]) -> None:
        for waiter in waiters:
            if waiter.amount > account.free:  # a request settled above its reservation in the meantime
                return
            if not waiter.granted.done():
                waiter.granted.set_result(self._hold(account, waiter.amount))

    async def _keep(self) -> None:
        while self._accounts and not self._closed:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every):
                    await self._wake.wait()
            self._wake.clear()
            if not self._closed:
                await self.flush()

    async def _flush(self, account: _Account) -> None:
        async with account.lock:
            out = account.take_out()
            bound_by_held = account.free != 0
            await self._settle(out)
            if bound_by_held and (not account.held or await self._cover(account)):
                await self._settle(account.take_out())

    async def _cover(self, account: _Account) -> bool:
        """Lease anew exactly what is held, so that the leases it was taken from can be settled.

        For a moment it is counted twice, so it may not fit; then they are settled as their requests end.
        """
        overdrawn = account.free < 0
        # Nothing is granted from the free money meanwhile, or more would be held than is covered.
        aside = max(0, account.free)
        account.free -= aside
        try:
            # What was spent beyond all reservations must be told, limit or not.
            limit = None if overdrawn else NanoUsd(account.proven)
            account.add(await self._ledger.reserve(account.scope, NanoUsd(account.held), limit))
            if overdrawn:
                account.proven = CEILING
        except BudgetSpent:
            return False
        finally:
            account.free += aside
        return True

    async def _settle(self, leases: Sequence[tuple[Reservation, int]]) -> None:
        """At once, so that they share a transaction. What fails stays counted in full and is tried again."""
        answers = await asyncio.gather(
            *(self._ledger.settle(lease, NanoUsd(cost)) for lease, cost in leases), return_exceptions=True
        )
        for settlement, answer in zip(leases, answers, strict=True):
            if isinstance(answer, GatewayError):
                self._owed.append(settlement)
                _logger.warning("a lease could not be settled and will be tried again: %s", answer.code.value)
            elif answer is not None:
                raise answer

    async def _tried(self, step: Awaitable[None]) -> None:
        try:
            await step
        except GatewayError as error:
            _logger.warning("budget leases could not be given back and will be later: %s", error.code.value)


def _failure(error: BaseException) -> GatewayError:
    """A new one for each who waits: an exception belongs to one traceback."""
    if isinstance(error, GatewayError):
        return GatewayError(error.code, error.public, detail=error.detail, retry_after=error.retry_after)
    return GatewayError(Code.BUDGETS_UNAVAILABLE, _UNCHECKED, detail=f"budget leases: {type(error).__name__}")
