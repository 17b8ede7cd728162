"""Names and states of budgets."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.budgets.keeper import BudgetKeeper
from gateway.domain.decision import BudgetState
from gateway.domain.money import NanoUsd
from gateway.domain.ports import Reservation

DAY = date(2026, 11, 21)
names = st.text(st.sampled_from("ab/+.-2fé "), max_size=6)


class Spent:
    """A ledger in which everything costs the same."""

    def __init__(self, amount: int) -> None:
        self.amount = NanoUsd(amount)

    async def reserve(self, scope: str, amount: NanoUsd, limit: NanoUsd | None) -> Reservation:
        return Reservation("", amount)

    async def settle(self, reservation: Reservation, cost: NanoUsd) -> None: ...

    async def spent(self, scope: str) -> NanoUsd:
        return self.amount

    async def aclose(self) -> None: ...


def test_a_budget_is_named_for_people() -> None:
    """The name says whose budget it is and of which day."""
    assert BudgetKeeper.day_scope("acme", "support-bot", DAY) == "acme/support-bot/2026-11-21"


@given(names, names, names, names)
def test_different_applications_never_share_a_budget(tenant: str, app: str, other: str, another: str) -> None:
    """Whatever characters names hold, two of them cannot come to the same budget."""
    same = (tenant, app) == (other, another)
    first, second = BudgetKeeper.day_scope(tenant, app, DAY), BudgetKeeper.day_scope(other, another, DAY)
    assert (first == second) == same
    assert first.count("/") == 2


@pytest.mark.anyio
@pytest.mark.parametrize(("spent", "state"), [(0, "ok"), (99, "ok"), (100, "spent"), (101, "spent")])
async def test_a_budget_is_spent_when_nothing_is_left(spent: int, state: str) -> None:
    """The policy sees SPENT from the moment that not even a nano-dollar can be reserved."""
    assert await BudgetKeeper(Spent(spent)).state("s", NanoUsd(100)) is BudgetState(state)
    assert await BudgetKeeper(Spent(spent)).state("s", None) is BudgetState.OK
