"""Leases: as exact as the ledger beneath, answered from memory, and given back."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeAlias

import anyio
import pytest
import sqlalchemy as sa

from gateway.budgets.leases import LeasedLedger
from gateway.budgets.sql_ledger import SqlLedger
from gateway.domain.errors import BudgetSpent, Code, GatewayError
from gateway.domain.money import NanoUsd
from gateway.domain.ports import Ledger, Reservation
from gateway.sql import open_engine, reading

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]
SPEND = str(Path(__file__).with_name("spend.py"))
SCOPE = "acme/a/2026-11-21"
NEVER = 1000.0
"""Seconds; leases are given back only when a test says so."""

OpenLedger: TypeAlias = Callable[..., Awaitable[Ledger]]
OpenLeased: TypeAlias = Callable[..., Awaitable[LeasedLedger]]


@pytest.fixture
def engine(tmp_path: Path) -> sa.Engine:
    return open_engine(f"sqlite:///{tmp_path}/budgets.db", durable=False)


@pytest.fixture
async def store(engine: sa.Engine, anyio_backend: str) -> AsyncIterator[SqlLedger]:
    """A plain ledger on the store: what another gateway sees."""
    ledger = await SqlLedger.open(engine)
    yield ledger
    await ledger.aclose()


@pytest.fixture
async def open_leased(engine: sa.Engine, anyio_backend: str) -> AsyncIterator[OpenLeased]:
    async with AsyncExitStack() as stack:

        async def open_one(every: float = NEVER) -> LeasedLedger:
            ledger = LeasedLedger(await SqlLedger.open(engine), every=every)
            stack.push_async_callback(ledger.aclose)
            return ledger

        yield open_one


def leases(engine: sa.Engine) -> list[int]:
    """The amounts of the reservations that the store knows of."""
    with reading(engine) as connection:
        return sorted(connection.execute(sa.text("SELECT amount FROM budget_reservations")).scalars())


async def granted(ledger: Ledger, amount: int, limit: int | None = 10**9) -> Reservation | None:
    try:
        return await ledger.reserve(SCOPE, NanoUsd(amount), None if limit is None else NanoUsd(limit))
    except BudgetSpent:
        return None


async def warm(ledger: LeasedLedger, amount: int = 10, times: int = 200) -> list[Reservation]:
    """As after a busy second: leases are large."""
    return [await ledger.reserve(SCOPE, NanoUsd(amount), NanoUsd(10**9)) for _ in range(times)]


async def sees(ledger: Ledger, spent: int) -> None:
    with anyio.fail_after(5):
        while await ledger.spent(SCOPE) != spent:  # noqa: ASYNC110 (another task is at work in the store)
            await anyio.sleep(0.01)


async def test_the_store_is_asked_once_for_many(open_leased: OpenLeased, engine: sa.Engine) -> None:
    """Of 2,000 requests in turn all but a few dozen are answered from memory; those of a moment share one lease."""
    ledger = await open_leased()
    await warm(ledger, times=2000)
    assert sum(leases(engine)) >= 20_000
    assert len(leases(engine)) < 2000 / 64 + 10
    other = await open_leased()
    before = len(leases(engine))
    await asyncio.gather(*(granted(other, 10) for _ in range(100)))
    assert len(leases(engine)) == before + 1


async def test_a_quiet_budget_leases_what_it_needs(open_leased: OpenLeased, engine: sa.Engine) -> None:
    """Money is leased ahead for those who are busy only, and never more than the 64-fold and a hundredth."""
    ledger = await open_leased()
    await granted(ledger, 10)
    assert leases(engine) == [10]
    await warm(ledger, amount=10)
    assert max(leases(engine)) == 10 + 64 * 10
    await ledger.flush()
    await warm(ledger, amount=10**6, times=40)
    assert max(leases(engine)) <= 10**6 + 10**9 // 100


async def test_what_a_lease_covers_is_answered_without_waiting(open_leased: OpenLeased) -> None:
    """Neither reserving nor settling gives way to another task, and together they take 15 microseconds (usual: 4)."""
    ledger = await open_leased()
    await warm(ledger, times=201)
    best = 1.0
    for _ in range(30):
        began = time.perf_counter()
        for _ in range(100):
            with pytest.raises(StopIteration) as answer:
                ledger.reserve(SCOPE, NanoUsd(10), NanoUsd(10**9)).send(None)
            with pytest.raises(StopIteration):
                ledger.settle(answer.value.value, NanoUsd(0)).send(None)
        best = min(best, (time.perf_counter() - began) / 100)
    assert best < 50e-6  # a thread or a database would take twenty times as long


async def test_those_who_wait_are_answered_in_order(open_leased: OpenLeased) -> None:
    """First come, first served, and who is too big for what is left does not keep a smaller one from it."""
    ledger = await open_leased()
    order: list[int] = []

    async def ask(number: int, amount: int) -> None:
        if await granted(ledger, amount, 100):
            order.append(number)

    await asyncio.gather(*(ask(n, amount) for n, amount in enumerate([30, 30, 50, 20, 15, 30, 5, 1])))
    assert order == [0, 1, 3, 4, 6]
    assert await ledger.spent(SCOPE) == 100


async def test_two_hundred_at_once_from_a_warm_ledger(open_leased: OpenLeased, store: SqlLedger) -> None:
    """With money on lease already, of 200 simultaneous requests exactly those that fit are granted."""
    ledger = await open_leased()
    await asyncio.gather(*(ledger.settle(item, NanoUsd(1)) for item in await warm(ledger)))
    made = await asyncio.gather(*(granted(ledger, 7, 700) for _ in range(200)))
    assert sum(item is not None for item in made) == (700 - 200) // 7
    await ledger.flush()
    assert await store.spent(SCOPE) == 200 + 500 // 7 * 7


async def test_others_see_what_was_spent_and_can_have_the_rest(open_leased: OpenLeased, store: SqlLedger) -> None:
    """Free money goes back within a moment, also while requests are in flight that were paid from the same lease."""
    ledger = await open_leased(every=0.05)
    made = await warm(ledger)
    for item in made[:-2]:
        await ledger.settle(item, NanoUsd(3))
    await sees(store, 198 * 3 + 20)
    assert await granted(store, 1000 - 198 * 3 - 20, 1000)
    for item in made[-2:]:
        await ledger.settle(item, NanoUsd(4))
    await sees(store, 198 * 3 + 8 + 1000 - 198 * 3 - 20)


async def test_a_lower_limit_binds_at_once(open_leased: OpenLeased, store: SqlLedger) -> None:
    """Money on lease under an old limit is not handed out beyond a new one, but is up to it."""
    ledger = await open_leased()
    await warm(ledger)  # 2,000 held, some hundred free
    assert not await granted(ledger, 10, 2005)
    assert await granted(ledger, 10, 2010)
    assert not await granted(ledger, 1, 2010)
    assert await granted(ledger, 1, 2011)
    assert await ledger.spent(SCOPE) == 2011 < await store.spent(SCOPE)


async def test_a_cost_above_its_reservation_is_told_at_once(open_leased: OpenLeased, store: SqlLedger) -> None:
    """Others must not grant what is spent already; and here nothing more is granted under the limit either."""
    ledger = await open_leased()
    first, second = await granted(ledger, 50, 100), await granted(ledger, 50, 100)
    assert first
    assert second
    await ledger.settle(first, NanoUsd(120))
    assert await ledger.spent(SCOPE) == 170
    await sees(store, 170)
    await ledger.settle(second, NanoUsd(0))
    assert await ledger.spent(SCOPE) == 120
    assert not await granted(ledger, 30, 100)
    assert await granted(ledger, 30, 150)


async def test_what_exceeded_a_shared_lease_is_told_and_not_granted_again(
    open_leased: OpenLeased, store: SqlLedger
) -> None:
    """Also while another request is in flight that was paid from the same lease, and though the limit is reached."""
    ledger = await open_leased()
    first, second = await asyncio.gather(granted(ledger, 50, 100), granted(ledger, 50, 100))
    assert first
    assert second
    await ledger.settle(first, NanoUsd(60))
    await sees(store, 110)
    await ledger.settle(second, NanoUsd(0))
    assert not await granted(ledger, 45, 100)
    assert await granted(ledger, 40, 100)


async def test_giving_back_never_adds(open_leased: OpenLeased) -> None:
    """What was used is told as far as the leases that are settled hold it; the rest waits for the others, or the store
    would be above the limit for a moment."""
    ledger = await open_leased()
    await granted(ledger, 10, 170)
    made = await asyncio.gather(*(granted(ledger, 40, 170) for _ in range(4)))
    assert made[0]
    await ledger.settle(made[0], NanoUsd(40))
    out = ledger._accounts[SCOPE].take_out()
    assert [(lease.amount, cost) for lease, cost in out] == [(10, 10)]


async def test_leases_are_given_back_under_load(open_leased: OpenLeased) -> None:
    """Requests that come while leases are being replaced do not keep them."""
    ledger = await open_leased()
    made = await asyncio.gather(*(granted(ledger, 10) for _ in range(100)))
    for item in made[:-2]:
        assert item
        await ledger.settle(item, NanoUsd(0))
    old = ledger._accounts[SCOPE].leases[0]
    flushing = asyncio.create_task(ledger.flush())
    while not flushing.done():
        asking = asyncio.create_task(granted(ledger, 10))
        await asyncio.sleep(0)
    await asking
    assert old not in ledger._accounts[SCOPE].leases


async def test_a_caller_who_leaves_when_granted_gives_it_back(
    open_leased: OpenLeased, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also between the answer and the moment in which the caller would have heard it."""
    ledger = await open_leased()
    task = asyncio.create_task(granted(ledger, 10))
    await asyncio.sleep(0)
    account = ledger._accounts[SCOPE]
    waiter = account.waiting[0]
    grant = ledger._grant

    def grant_and_hang_up(*arguments: object) -> None:
        grant(*arguments)  # type: ignore[arg-type]
        task.cancel()

    monkeypatch.setattr(ledger, "_grant", grant_and_hang_up)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert waiter.granted.result().amount == 10
    assert await ledger.spent(SCOPE) == 0


async def test_a_store_that_is_away_costs_no_money(
    open_leased: OpenLeased, engine: sa.Engine, store: SqlLedger, caplog: pytest.LogCaptureFixture
) -> None:
    """What is on lease is handed out; beyond that all who wait get the error; later the store hears of everything."""
    ledger = await open_leased(every=0.05)
    made = await warm(ledger, times=3)
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE budgets RENAME TO elsewhere"))
    answers = await asyncio.gather(*(granted(ledger, 10**6) for _ in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [GatewayError] * 3
    assert len({id(answer) for answer in answers}) == 3
    for item in made:
        await ledger.settle(item, NanoUsd(1))
    await anyio.sleep(0.1)
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE elsewhere RENAME TO budgets"))
    assert await store.spent(SCOPE) >= 3
    await ledger._ledger._settle_rest()  # type: ignore[attr-defined]
    await sees(store, 3)
    assert SCOPE not in caplog.text


class Stubborn:
    """A ledger whose settlements fail at first."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.failures = 2
        self.reserve, self.spent, self.aclose = ledger.reserve, ledger.spent, ledger.aclose

    async def settle(self, reservation: Reservation, cost: NanoUsd) -> None:
        if self.failures:
            self.failures -= 1
            raise GatewayError(Code.BUDGETS_UNAVAILABLE, "Not now.")
        await self._ledger.settle(reservation, cost)


async def test_a_settlement_that_fails_is_tried_again(engine: sa.Engine, store: SqlLedger) -> None:
    """Until then the money stays counted."""
    ledger = LeasedLedger(Stubborn(await SqlLedger.open(engine)), every=NEVER)
    item = await granted(ledger, 10)
    assert item
    await ledger.settle(item, NanoUsd(4))
    for spent in (10, 10, 4):
        await ledger.flush()
        assert await store.spent(SCOPE) == await ledger.spent(SCOPE) == spent
    await ledger.aclose()


async def test_yesterdays_budgets_are_forgotten(open_leased: OpenLeased) -> None:
    """Memory holds the budgets in use, and nothing runs when none is."""
    ledger = await open_leased(every=0.01)
    made = [await ledger.reserve(f"acme/a/{day}", NanoUsd(10), None) for day in range(50)]
    assert len(ledger._accounts) == 50
    for item in made:
        await ledger.settle(item, NanoUsd(1))
    with anyio.fail_after(5):
        while ledger._accounts:  # noqa: ASYNC110 (another task is at work)
            await anyio.sleep(0.01)
    await asyncio.sleep(0.02)
    assert ledger._open == {}
    assert ledger._keeper is not None
    assert ledger._keeper.done()
    assert await ledger.spent("acme/a/7") == 1


async def test_closing_spends_what_is_open(open_leased: OpenLeased, store: SqlLedger, engine: sa.Engine) -> None:
    """What was cut off cost what it could, what was settled its cost, what was free nothing."""
    ledger = await open_leased()
    made = await warm(ledger)
    for item in made[:150]:
        await ledger.settle(item, NanoUsd(2))
    await ledger.aclose()
    assert await store.spent(SCOPE) == 150 * 2 + 50 * 10
    assert leases(engine) == []
    with pytest.raises(GatewayError):
        await granted(ledger, 1)


@pytest.mark.parametrize("kind", ["leased"], indirect=True)
async def test_a_killed_process_spends_its_leases(store_url: str, open_ledger: OpenLedger) -> None:
    """After kill -9 the whole lease counts, for good: all that was granted and at most a hundredth of the limit."""
    limit, amount, count = 100_000, 7, 300
    watcher = await open_ledger()
    command = [sys.executable, SPEND, store_url, SCOPE, *map(str, (limit, amount, count)), "die", "leased", "in-turn"]
    done = await anyio.run_process(
        command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, check=False, stderr=subprocess.PIPE
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert int(done.stdout) == count
    counted = await watcher.spent(SCOPE)
    assert count * amount < counted <= count * amount + limit // 100
    await anyio.sleep(0.7)  # the dead process's own lease was half a second
    after = await open_ledger()
    assert await after.spent(SCOPE) == counted
    assert not await granted(after, limit - counted + 1, limit)
    assert await granted(after, limit - counted, limit)
