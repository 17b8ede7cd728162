"""Leases under any sequence of events: the same answers as without them, and never more than the limit."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from gateway.budgets.leases import LeasedLedger
from gateway.budgets.sql_ledger import SqlLedger
from gateway.domain.errors import BudgetSpent
from gateway.domain.money import NanoUsd
from gateway.domain.ports import Ledger, Reservation
from gateway.sql import open_engine

NEVER = 1000.0
Step: TypeAlias = "tuple[str, int, int]"

_reserve = st.tuples(st.just("reserve"), st.integers(1, 400), st.sampled_from([0, 3000, 3000, 3000, 2000, 9000]))
_settle = st.tuples(st.just("settle"), st.integers(0, 40), st.integers(0, 500))
_other = st.tuples(st.just("flush"), st.just(0), st.just(0))


async def _act(ledger: Ledger, step: Step, held: list[Reservation]) -> object:
    """What the caller gets to know of one step. A limit of 0 is none."""
    kind, first, second = step
    if kind == "reserve":
        try:
            held.append(await ledger.reserve("a", NanoUsd(first), NanoUsd(second) if second else None))
        except BudgetSpent:
            return "spent"
    elif kind == "settle" and held:
        await ledger.settle(held.pop(first % len(held)), NanoUsd(second))
    elif kind == "flush" and isinstance(ledger, LeasedLedger):
        await ledger.flush()
    return await ledger.spent("a")


async def _compare(steps: Sequence[Step], folder: str) -> None:
    engines = [open_engine(f"sqlite:///{folder}/{name}.db", durable=False) for name in ("plain", "leased")]
    plain, leased = await SqlLedger.open(engines[0]), LeasedLedger(await SqlLedger.open(engines[1]), every=NEVER)
    of_plain: list[Reservation] = []
    of_leased: list[Reservation] = []
    try:
        for step in steps:
            assert await _act(leased, step, of_leased) == await _act(plain, step, of_plain), step
    finally:
        await leased.aclose()
        await plain.aclose()
        for engine in engines:
            engine.dispose()


@given(st.lists(_reserve | _reserve | _settle | _other, min_size=5, max_size=60))
@settings(max_examples=40, deadline=None)
def test_one_process_gets_the_same_answers_as_without_leases(steps: list[Step]) -> None:
    """Every request in a sequence is granted or refused as by the plain ledger, to the last nano-dollar, with limits
    that change and costs above their reservations."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_compare(steps, folder))


@pytest.mark.parametrize("amount", [1, 7, 999])
def test_a_budget_is_used_to_the_last_request(amount: int, tmp_path: Path) -> None:
    """Asking in turn until refused uses a budget as far as without leases."""
    steps = [("reserve", amount, 3000)] * (3000 // amount + 2)
    asyncio.run(_compare(steps[-600:], str(tmp_path)))


class AnyDay(RuleBasedStateMachine):
    """Several gateways with leases on one store: the store is never above the limit and never below what was used."""

    open_reservations = Bundle("open_reservations")
    settled = Bundle("settled")
    LIMIT = 2000

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.engine = open_engine(f"sqlite:///{self.folder.name}/budgets.db", durable=False)
        self.store = self.runner.run(SqlLedger.open(self.engine))
        self.gateways = [self.open_gateway() for _ in range(3)]
        self.held = {"a": 0, "b": 0}
        self.used = {"a": 0, "b": 0}
        self.closed: set[LeasedLedger] = set()

    def open_gateway(self) -> LeasedLedger:
        return LeasedLedger(self.runner.run(SqlLedger.open(self.engine)), every=NEVER)

    def teardown(self) -> None:
        for ledger in self.gateways:
            self.runner.run(ledger.aclose())
        for scope in "ab":
            assert self.runner.run(self.store.spent(scope)) == self.used[scope] + self.held[scope]
        self.runner.run(self.store.aclose())
        self.runner.close()
        self.engine.dispose()
        self.folder.cleanup()

    @rule(
        target=open_reservations,
        plan=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 60)), min_size=1, max_size=12),
        scope=st.sampled_from("ab"),
        with_flush=st.booleans(),
    )
    def reserve(self, plan: list[tuple[int, int]], scope: str, with_flush: bool) -> object:
        """Several at once, at several gateways, perhaps while these give back."""

        async def all_at_once() -> list[Reservation | BaseException | None]:
            wanted = [self.gateways[who].reserve(scope, NanoUsd(n), NanoUsd(self.LIMIT)) for who, n in plan]
            flushed = [ledger.flush() for ledger in self.gateways] if with_flush else []
            return await asyncio.gather(*wanted, *flushed, return_exceptions=True)

        answers = self.runner.run(all_at_once())[: len(plan)]
        assert all(isinstance(item, Reservation | BudgetSpent) for item in answers)
        made = [
            (self.gateways[who], scope, item)
            for (who, _), item in zip(plan, answers, strict=True)
            if isinstance(item, Reservation)
        ]
        self.held[scope] += sum(item.amount for _, _, item in made)
        return multiple(*made)

    @rule(target=settled, held=consumes(open_reservations), share=st.integers(0, 100))
    def settle(self, held: tuple[LeasedLedger, str, Reservation], share: int) -> object:
        ledger, scope, reservation = held
        cost = reservation.amount * share // 100
        self.runner.run(ledger.settle(reservation, NanoUsd(cost)))
        if ledger not in self.closed:
            self.held[scope] -= reservation.amount
            self.used[scope] += cost
        return held

    @rule(held=settled, cost=st.integers(0, 60))
    def settle_again(self, held: tuple[LeasedLedger, str, Reservation], cost: int) -> None:
        self.runner.run(held[0].settle(held[2], NanoUsd(cost)))

    @rule(who=st.integers(0, 2))
    def flush(self, who: int) -> None:
        self.runner.run(self.gateways[who].flush())

    @rule(who=st.integers(0, 2))
    def restart(self, who: int) -> None:
        """What it has open is spent from now on."""
        self.runner.run(self.gateways[who].aclose())
        self.closed.add(self.gateways[who])
        self.gateways[who] = self.open_gateway()

    @invariant()
    def the_books_are_right(self) -> None:
        for scope in "ab":
            true = self.held[scope] + self.used[scope]
            assert true <= self.runner.run(self.store.spent(scope)) <= self.LIMIT
            known = [self.runner.run(ledger.spent(scope)) for ledger in self.gateways]
            assert true <= min(known)
            assert max(known) <= self.LIMIT


AnyDay.TestCase.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
TestAnyDay = AnyDay.TestCase
