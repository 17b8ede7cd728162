"""The ledger contract: one body, every store, plain and with leases."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import anyio
import pytest

from gateway.budgets.ledger import CEILING
from gateway.domain.errors import BudgetSpent, Code, GatewayError
from gateway.domain.money import NanoUsd, usd
from gateway.domain.ports import Ledger, Reservation

OpenLedger: TypeAlias = Callable[..., Awaitable[Ledger]]
pytestmark = pytest.mark.anyio
SCOPE = "acme/support-bot/2026-11-21"


async def granted(ledger: Ledger, amount: int, limit: int | None, scope: str = SCOPE) -> Reservation | None:
    try:
        return await ledger.reserve(scope, NanoUsd(amount), None if limit is None else NanoUsd(limit))
    except BudgetSpent:
        return None


async def becomes(ledger: Ledger, spent: int, scope: str = SCOPE) -> None:
    """What another gateway or a task in the background does is seen soon, not at once."""
    with anyio.fail_after(5):
        while await ledger.spent(scope) != spent:  # noqa: ASYNC110 (another task is at work in the store)
            await anyio.sleep(0.01)


async def test_a_reservation_counts_until_it_is_settled_at_its_cost(open_ledger: OpenLedger) -> None:
    """Money set aside is gone for others; what was not needed comes back."""
    ledger = await open_ledger()
    reservation = await ledger.reserve(SCOPE, usd("0.05"), usd(1))
    assert reservation.amount == usd("0.05")
    assert await ledger.spent(SCOPE) == usd("0.05")
    await ledger.settle(reservation, usd("0.02"))
    assert await ledger.spent(SCOPE) == usd("0.02")


async def test_a_cost_of_nothing_releases(open_ledger: OpenLedger) -> None:
    """A request that never left costs its budget nothing."""
    ledger = await open_ledger()
    await ledger.settle(await ledger.reserve(SCOPE, NanoUsd(5), None), NanoUsd(0))
    assert await ledger.spent(SCOPE) == 0


async def test_settling_twice_changes_nothing(open_ledger: OpenLedger) -> None:
    """One after the other, at the same moment, or at another cost: the first settlement stands."""
    ledger = await open_ledger()
    other = await ledger.reserve(SCOPE, NanoUsd(100), None)
    reservation = await ledger.reserve(SCOPE, NanoUsd(10), None)
    await asyncio.gather(*(ledger.settle(reservation, NanoUsd(4)) for _ in range(3)))
    await ledger.settle(reservation, NanoUsd(9))
    assert await ledger.spent(SCOPE) == 104
    await ledger.settle(other, NanoUsd(0))
    assert await ledger.spent(SCOPE) == 4


async def test_the_limit_is_reached_exactly_and_never_passed(open_ledger: OpenLedger) -> None:
    """The last nano-dollar can be reserved, one more cannot, and a refusal takes nothing."""
    ledger = await open_ledger()
    assert await granted(ledger, 60, 100)
    assert await granted(ledger, 40, 100)
    with pytest.raises(BudgetSpent) as refused:
        await ledger.reserve(SCOPE, NanoUsd(1), NanoUsd(100))
    assert refused.value.scope == SCOPE
    assert await ledger.spent(SCOPE) == 100


async def test_a_lower_limit_binds_what_comes_after(open_ledger: OpenLedger) -> None:
    """A policy that lowers a limit refuses at once; what is reserved stays."""
    ledger = await open_ledger()
    assert await granted(ledger, 60, 100)
    assert not await granted(ledger, 1, 50)
    assert await granted(ledger, 40, 100)


async def test_budgets_do_not_touch_each_other(open_ledger: OpenLedger) -> None:
    """Another application, another day: another budget."""
    ledger = await open_ledger()
    assert await granted(ledger, 10, 10, "acme/a/2026-11-21")
    assert await granted(ledger, 10, 10, "acme/b/2026-11-21")
    assert await granted(ledger, 10, 10, "acme/a/2026-11-22")
    assert not await granted(ledger, 1, 10, "acme/a/2026-11-21")
    assert await ledger.spent("acme/nobody/2026-11-21") == 0


async def test_without_a_limit_the_money_is_still_counted(open_ledger: OpenLedger) -> None:
    """A limit that comes later finds what was spent before it."""
    ledger = await open_ledger()
    assert await granted(ledger, 80, None)
    assert not await granted(ledger, 30, 100)


async def test_nothing_to_reserve_is_never_refused(open_ledger: OpenLedger) -> None:
    """A free target can be used when the budget is spent."""
    ledger = await open_ledger()
    assert await granted(ledger, 10, 10)
    reservation = await ledger.reserve(SCOPE, NanoUsd(0), NanoUsd(10))
    assert reservation == Reservation("", NanoUsd(0))
    await ledger.settle(reservation, NanoUsd(0))
    assert await ledger.spent(SCOPE) == 10


async def test_a_higher_cost_than_reserved_is_counted_in_full(open_ledger: OpenLedger) -> None:
    """What was really spent is the truth, also where the bound was wrong; then the budget is spent."""
    ledger = await open_ledger()
    reservation = await ledger.reserve(SCOPE, NanoUsd(10), NanoUsd(20))
    await ledger.settle(reservation, NanoUsd(50))
    assert await ledger.spent(SCOPE) == 50
    assert not await granted(ledger, 1, 20)


async def test_amounts_are_exact_up_to_the_ceiling(open_ledger: OpenLedger) -> None:
    """Nine million dollars add up to the last nano-dollar; beyond that nothing is granted, limit or not."""
    ledger = await open_ledger()
    assert await granted(ledger, CEILING - 1, None)
    assert await ledger.spent(SCOPE) == CEILING - 1
    assert not await granted(ledger, 2, 2 * CEILING)
    last = await granted(ledger, 1, None)
    assert last
    assert await ledger.spent(SCOPE) == CEILING
    assert not await granted(ledger, 1, None)
    assert not await granted(ledger, 2**70, None)
    await ledger.settle(last, NanoUsd(0))
    assert await ledger.spent(SCOPE) == CEILING - 1


@pytest.mark.parametrize("amount", [-1, -(10**9)])
async def test_negative_amounts_are_faults_of_the_program(amount: int, open_ledger: OpenLedger) -> None:
    """Nothing can be added to a budget by reserving or settling less than nothing."""
    ledger = await open_ledger()
    with pytest.raises(ValueError, match="not negative"):
        await ledger.reserve(SCOPE, NanoUsd(amount), None)
    with pytest.raises(ValueError, match="not negative"):
        await ledger.settle(Reservation("x", NanoUsd(1)), NanoUsd(amount))


async def test_two_hundred_at_once_do_not_overspend(open_ledger: OpenLedger) -> None:
    """Over two gateways, of 200 simultaneous requests exactly those that fit are granted."""
    ledgers = [await open_ledger(), await open_ledger()]
    made = await asyncio.gather(*(granted(ledgers[n % 2], 7, 500) for n in range(200)))
    assert sum(item is not None for item in made) == 500 // 7
    assert await ledgers[0].spent(SCOPE) == 500 // 7 * 7


async def test_a_busy_day_adds_up(open_ledger: OpenLedger) -> None:
    """Reservations and settlements of many sizes over several budgets never pass a limit and end at the exact sum."""
    ledgers = [await open_ledger(), await open_ledger()]
    chance = random.Random(7)
    limit, costs, most = 5_000, dict.fromkeys("abc", 0), 0

    async def client(number: int) -> None:
        nonlocal most
        scope = "abc"[number % 3]
        ledger = ledgers[number % 2]
        for _ in range(6):
            amount = chance.randint(1, 900)
            reservation = await granted(ledger, amount, limit, scope)
            most = max(most, await ledger.spent(scope))
            if reservation is not None:
                cost = chance.randint(0, amount)
                await ledger.settle(reservation, NanoUsd(cost))
                costs[scope] += cost

    await asyncio.gather(*(client(number) for number in range(30)))
    assert 0 < most <= limit
    for scope in "abc":
        await becomes(ledgers[0], costs[scope], scope)


async def test_a_caller_who_leaves_while_reserving_holds_nothing(open_ledger: OpenLedger) -> None:
    """A reservation that nobody waits for any more is taken back."""
    ledger = await open_ledger()
    tasks = [asyncio.create_task(granted(ledger, 10, 1000)) for _ in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    made = await asyncio.gather(*tasks, return_exceptions=True)
    kept = [item for item in made if isinstance(item, Reservation)]
    assert len(kept) == 10
    await becomes(ledger, 100)


async def test_a_gateway_that_stops_leaves_its_open_reservations_spent(open_ledger: OpenLedger) -> None:
    """Nobody knows what a request cost that was cut off, so it cost what it could."""
    first, second = await open_ledger(), await open_ledger()
    settled = await first.reserve(SCOPE, NanoUsd(10), None)
    await first.reserve(SCOPE, NanoUsd(30), None)
    await first.settle(settled, NanoUsd(1))
    await first.aclose()
    assert await second.spent(SCOPE) == 31
    assert not await granted(second, 70, 100)
    assert await granted(second, 69, 100)


async def test_a_live_gateways_reservations_are_left_alone(open_ledger: OpenLedger) -> None:
    """Recovery is for the dead: a long request of a gateway that renews its lease can still be settled."""
    first = await open_ledger(lease=0.4)
    reservation = await first.reserve(SCOPE, NanoUsd(10), None)
    second = await open_ledger(lease=0.4)
    await anyio.sleep(1)
    await first.settle(reservation, NanoUsd(3))
    await becomes(second, 3)


async def test_after_the_end_nothing_is_granted(open_ledger: OpenLedger) -> None:
    """A closed ledger refuses with an error, never by granting."""
    ledger = await open_ledger()
    await ledger.aclose()
    with pytest.raises(GatewayError) as refused:
        await ledger.reserve(SCOPE, NanoUsd(1), None)
    assert refused.value.code is Code.BUDGETS_UNAVAILABLE
