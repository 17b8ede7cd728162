"""The ledger in SQL: its rows, its leases, its failures, and its invariant under any sequence of events."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from gateway.budgets.sql_ledger import SqlLedger
from gateway.domain.errors import BudgetSpent, Code, GatewayError
from gateway.domain.money import NanoUsd
from gateway.domain.ports import Reservation
from gateway.sql import open_engine, reading

SCOPE = "acme/a/2026-11-21"


class Time:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def rows(engine: sa.Engine, table: str) -> list[tuple[object, ...]]:
    with reading(engine) as connection:
        return [tuple(row) for row in connection.execute(sa.text(f"SELECT * FROM {table}"))]


@pytest.fixture
def engine(tmp_path: Path) -> sa.Engine:
    return open_engine(f"sqlite:///{tmp_path}/budgets.db", durable=False)


@pytest.mark.anyio
async def test_spent_and_reserved_are_kept_apart(engine: sa.Engine) -> None:
    """The table tells what has been paid from what is only set aside."""
    ledger = await SqlLedger.open(engine)
    first = await ledger.reserve(SCOPE, NanoUsd(10), None)
    await ledger.reserve(SCOPE, NanoUsd(5), None)
    await ledger.settle(first, NanoUsd(8))
    assert rows(engine, "budgets") == [(SCOPE, 8, 5)]
    await ledger.aclose()
    assert rows(engine, "budgets") == [(SCOPE, 13, 0)]
    assert rows(engine, "budget_reservations") == rows(engine, "budget_owners") == []


@pytest.mark.anyio
async def test_only_a_lease_that_ran_out_is_taken_over(engine: sa.Engine) -> None:
    """Just before the end of the lease the reservation is another's; just after, it is spent. A late settlement by
    the one that was thought dead changes nothing."""
    clock = Time()
    asleep = await SqlLedger.open(engine, now=clock, lease=1000)
    reservation = await asleep.reserve(SCOPE, NanoUsd(10), None)
    clock.now += 999
    others = [await SqlLedger.open(engine, now=clock, lease=5000)]
    assert rows(engine, "budgets") == [(SCOPE, 0, 10)]
    clock.now += 2
    others.append(await SqlLedger.open(engine, now=clock, lease=5000))
    assert rows(engine, "budgets") == [(SCOPE, 10, 0)]
    await asleep.settle(reservation, NanoUsd(1))
    assert rows(engine, "budgets") == [(SCOPE, 10, 0)]
    await asleep.settle(await asleep.reserve(SCOPE, NanoUsd(10), None), NanoUsd(1))
    assert rows(engine, "budgets") == [(SCOPE, 11, 0)]
    for ledger in (asleep, *others):
        await ledger.aclose()


@pytest.mark.anyio
async def test_a_store_that_is_away_grants_nothing_and_forgets_nothing(
    engine: sa.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """Reserving fails with an error, settling returns; both are put right when the store is back."""
    ledger = await SqlLedger.open(engine)
    reservation = await ledger.reserve(SCOPE, NanoUsd(10), NanoUsd(100))
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE budgets RENAME TO elsewhere"))
    with pytest.raises(GatewayError) as refused:
        await ledger.reserve(SCOPE, NanoUsd(1), NanoUsd(100))
    assert refused.value.code is Code.BUDGETS_UNAVAILABLE
    assert not isinstance(refused.value, BudgetSpent)
    with pytest.raises(GatewayError):
        await ledger.spent(SCOPE)
    await ledger.settle(reservation, NanoUsd(3))
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE elsewhere RENAME TO budgets"))
    assert await ledger.spent(SCOPE) == 10
    await ledger._settle_rest()
    assert await ledger.spent(SCOPE) == 3
    assert SCOPE not in caplog.text
    await ledger.aclose()


@pytest.mark.anyio
async def test_an_operation_costs_microseconds(engine: sa.Engine) -> None:
    """With 32 requests in flight, 100 microseconds of CPU time an operation (best of several; usual is 50)."""
    ledger = await SqlLedger.open(engine)

    async def client(number: int) -> None:
        for _ in range(5):
            reservation = await ledger.reserve(f"acme/{number % 4}", NanoUsd(10), NanoUsd(10**12))
            await ledger.settle(reservation, NanoUsd(5))

    best = 1.0
    for _ in range(6):
        began = time.process_time()
        await asyncio.gather(*(client(number) for number in range(32)))
        best = min(best, (time.process_time() - began) / (32 * 5 * 2))
    await ledger.aclose()
    assert best < 100e-6


class AnyDay(RuleBasedStateMachine):
    """Whatever gateways do in whatever order: spent + reserved is what a simple model says, and within the limit."""

    open_reservations = Bundle("open_reservations")
    settled = Bundle("settled")
    LIMIT = 100

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Time()
        self.engines: list[sa.Engine] = []
        self.gateways = [self.open_gateway(), self.open_gateway()]
        self.all = list(self.gateways)
        self.model = {"a": 0, "b": 0}
        self.cost: dict[str, int] = {}
        self.gone: set[str] = set()

    def open_gateway(self) -> SqlLedger:
        self.engines.append(open_engine(f"sqlite:///{self.folder.name}/budgets.db", durable=False))
        return self.runner.run(SqlLedger.open(self.engines[-1], now=self.clock, lease=120))

    def teardown(self) -> None:
        for ledger in self.all:
            self.runner.run(ledger.aclose())
        self.runner.close()
        for engine in self.engines:
            engine.dispose()
        self.folder.cleanup()

    @rule(
        target=open_reservations,
        who=st.integers(0, 1),
        scope=st.sampled_from("ab"),
        amounts=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    )
    def reserve(self, who: int, scope: str, amounts: list[int]) -> object:
        ledger = self.gateways[who]

        async def all_at_once() -> list[Reservation | BaseException]:
            wanted = (ledger.reserve(scope, NanoUsd(amount), NanoUsd(self.LIMIT)) for amount in amounts)
            return await asyncio.gather(*wanted, return_exceptions=True)

        answers = self.runner.run(all_at_once())
        assert all(isinstance(item, Reservation | BudgetSpent) for item in answers)
        made = [item for item in answers if isinstance(item, Reservation)]
        before = self.model[scope]
        self.model[scope] += sum(item.amount for item in made)
        refused = [amount for amount, item in zip(amounts, answers, strict=True) if isinstance(item, BudgetSpent)]
        assert all(before + amount > self.LIMIT or made for amount in refused)
        return multiple(*((who, ledger, scope, item) for item in made))

    @rule(target=settled, held=consumes(open_reservations), share=st.integers(0, 100))
    def settle(self, held: tuple[int, SqlLedger, str, Reservation], share: int) -> object:
        _, ledger, scope, reservation = held
        cost = reservation.amount * share // 100
        self.runner.run(ledger.settle(reservation, NanoUsd(cost)))
        if reservation.id not in self.gone:
            self.model[scope] += cost - reservation.amount
        return held

    @rule(held=settled, cost=st.integers(0, 60))
    def settle_again(self, held: tuple[int, SqlLedger, str, Reservation], cost: int) -> None:
        self.runner.run(held[1].settle(held[3], NanoUsd(cost)))

    @rule(who=st.integers(0, 1))
    def crash(self, who: int) -> None:
        """A gateway falls silent; after its lease another settles what it held."""
        silent = self.gateways[who]
        silent._heartbeat.cancel()  # type: ignore[union-attr]
        self.runner.run(self.gateways[1 - who]._store.keep_alive())
        self.clock.now += 100
        self.runner.run(self.gateways[1 - who]._store.keep_alive())
        self.clock.now += 100
        with reading(self.engines[0]) as connection:
            held = connection.execute(sa.text("SELECT id, owner FROM budget_reservations")).all()
        self.gone.update(name for name, owner in held if owner == silent._store._owner)  # type: ignore[attr-defined]
        self.gateways[who] = self.open_gateway()
        self.all.append(self.gateways[who])
        self.runner.run(self.gateways[1 - who]._store.keep_alive())

    @invariant()
    def the_books_are_right(self) -> None:
        ledger = self.gateways[0]
        for scope, expected in self.model.items():
            assert self.runner.run(ledger.spent(scope)) == expected <= self.LIMIT


AnyDay.TestCase.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)
TestAnyDay = AnyDay.TestCase
