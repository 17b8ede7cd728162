"""Money for one attempt: the most it can cost is set aside, no more than there is, and settled once."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialects import openai_chat
from gateway.domain.errors import BudgetSpent, Code, GatewayError
from gateway.domain.estimate import prompt_token_bound
from gateway.domain.money import NanoUsd, Price
from gateway.domain.ports import Reservation
from gateway.domain.request import Candidate, InferenceRequest
from gateway.domain.target import Zone
from gateway.pipeline.purse import CostCapExceeded, Purchase, Purse
from support.assembly import CALLER, a_target
from support.checkpoint import allowing
from support.clock import FakeClock
from support.playing import Counting

pytestmark = pytest.mark.anyio

CLOUD = a_target("cloud")
INPUT, OUTPUT = 1000, 4000


def request(**fields: Any) -> InferenceRequest:
    return openai_chat.parse(
        json.dumps({"model": "auto", "messages": [{"role": "user", "content": "Hello"}], **fields}).encode()
    )


def candidate(asked: InferenceRequest, clamp: int | None = None) -> Candidate:
    output = clamp or asked.max_output_tokens or CLOUD.max_output_tokens
    worst = prompt_token_bound(asked.size) * INPUT + output * OUTPUT * asked.choices
    return Candidate(CLOUD, NanoUsd(worst), clamp, None)


async def test_what_is_reserved_is_the_worst_cost() -> None:
    """Where there is enough, the candidate stays as it is."""
    ledger, asked = Counting(), request(max_tokens=100)
    chosen = candidate(asked)
    reservation, paid = await Purse(ledger, FakeClock()).reserve(
        Purchase(CALLER, asked, asked.size), allowing(day_limit=NanoUsd(10**9)), chosen
    )
    assert paid == chosen
    assert reservation.amount == chosen.worst_cost
    assert list(ledger.open.values()) == [chosen.worst_cost]


@settings(max_examples=200)
@given(
    left=st.integers(0, 3_000_000),
    bound=st.none() | st.integers(1, 2000),
    clamp=st.none() | st.integers(1, 600),
    choices=st.integers(1, 4),
    grown=st.integers(0, 2000),
    cap=st.none() | st.integers(1, 3_000_000),
)
async def test_a_reservation_never_exceeds_what_is_left_nor_the_cap(
    left: int, bound: int | None, clamp: int | None, choices: int, grown: int, cap: int | None
) -> None:
    """Whatever the request, the money and the size of the bytes to send: what is reserved covers them at the bound
    that will be sent, and stays within both limits; the bound never grows."""
    asked = request(n=choices, **({"max_tokens": bound} if bound else {}))
    chosen = candidate(asked, clamp)
    if cap is not None and chosen.worst_cost > cap:
        return  # the selector would not have let it through
    limit = NanoUsd(10_000_000)
    ledger = Counting()
    ledger.paid = limit - left
    size = asked.size + grown
    decision = allowing(day_limit=limit, cost_cap=cap)
    try:
        reservation, paid = await Purse(ledger, FakeClock()).reserve(Purchase(CALLER, asked, size), decision, chosen)
    except (BudgetSpent, CostCapExceeded):
        assert ledger.open == {}
        return
    wanted = clamp or bound or CLOUD.max_output_tokens
    output = paid.clamp or wanted
    assert output <= wanted
    assert reservation.amount >= prompt_token_bound(size) * INPUT + output * OUTPUT * choices
    assert reservation.amount <= left
    assert cap is None or reservation.amount <= cap


async def test_stand_ins_beyond_the_cap_are_refused() -> None:
    """The prompt grew so much that nothing is left for an answer: an error that names target and cap."""
    asked = request(max_tokens=100)
    cap = NanoUsd(candidate(asked).worst_cost)
    with pytest.raises(CostCapExceeded) as caught:
        await Purse(Counting(), FakeClock()).reserve(
            Purchase(CALLER, asked, asked.size + 10_000), allowing(cost_cap=cap), candidate(asked)
        )
    assert caught.value.code is Code.COST_CAP
    assert "cloud" in caught.value.public


async def test_money_is_reserved_at_the_highest_price_a_caller_can_cause() -> None:
    """With stand-ins too, a paid service tier is counted on."""
    dear = replace(CLOUD, ceiling=Price(2_000_000, 8_000_000, 2_000_000))
    asked = request(max_tokens=10)
    chosen = replace(candidate(asked), target=dear)
    size = asked.size + 100
    reservation, _ = await Purse(Counting(), FakeClock()).reserve(Purchase(CALLER, asked, size), allowing(), chosen)
    assert reservation.amount == prompt_token_bound(size) * 2 * INPUT + 10 * 2 * OUTPUT


async def test_tools_make_a_prompt_longer() -> None:
    """What providers add for tools is in the bound, with stand-ins as without."""
    asked = request(max_tokens=10, tools=[])
    size = asked.size + 100
    _, paid = await Purse(Counting(), FakeClock()).reserve(Purchase(CALLER, asked, size), allowing(), candidate(asked))
    assert paid.worst_cost == prompt_token_bound(size, tools=True) * INPUT + 10 * OUTPUT


async def test_a_local_model_needs_no_money() -> None:
    """Its price is for ranking and reports; no budget pays it."""
    ledger, asked = Counting(), request()
    here = Candidate(a_target("here", Zone.LOCAL), NanoUsd(5), None, None)
    reservation, _ = await Purse(ledger, FakeClock()).reserve(
        Purchase(CALLER, asked, asked.size), allowing(day_limit=NanoUsd(0)), here
    )
    assert (reservation.id, ledger.open) == ("", {})


async def test_each_app_has_a_budget_for_each_day() -> None:
    """Tenant, app and the day (UTC) name the budget."""
    seen: list[str] = []

    class Noting(Counting):
        async def reserve(self, scope: str, amount: NanoUsd, limit: NanoUsd | None) -> Reservation:
            seen.append(scope)
            return await super().reserve(scope, amount, limit)

    clock, asked = FakeClock(), request()
    purse = Purse(Noting(), clock)
    for _ in range(2):
        await purse.reserve(Purchase(CALLER, asked, asked.size), allowing(), candidate(asked))
        clock.move(12 * 3600)
    assert seen == ["acme/support-bot/2026-09-01", "acme/support-bot/2026-09-02"]


async def test_settling_goes_on_by_itself_and_is_waited_for_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """`settle` does not wait; `drain` does; a ledger that is away leaves the money reserved and a line in the log."""

    class Away(Counting):
        async def settle(self, reservation: Reservation, cost: NanoUsd) -> None:
            await asyncio.sleep(0.01)
            if cost == 13:
                raise GatewayError(Code.INTERNAL, "Away.")
            await super().settle(reservation, cost)

    ledger = Away()
    purse = Purse(ledger, FakeClock())
    first, second = [await ledger.reserve("s", NanoUsd(100), None) for _ in range(2)]
    purse.settle(first, NanoUsd(7))
    purse.settle(second, NanoUsd(13))
    assert ledger.paid == 0
    await purse.drain()
    assert (ledger.paid, ledger.open) == (7, {second.id: 100})
    assert "could not be settled" in caplog.text
