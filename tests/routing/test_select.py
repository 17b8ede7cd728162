"""Filters are hard, latency and price only rank, and nothing is added that the decision does not permit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.decision import Decision, TargetVerdict
from gateway.domain.money import NanoUsd, Price
from gateway.domain.request import Plan
from gateway.domain.standing import ServerState, Standing
from gateway.domain.target import Route, Target, Zone
from gateway.routing.breaker import Breaker
from gateway.routing.latency import LatencyBook
from gateway.routing.select import Demand, Selector
from support.assembly import a_target
from support.checkpoint import allowing
from support.clock import FakeClock

DEAR = replace(a_target("dear"), price=Price(2_000_000, 8_000_000, 0))
CHEAP = replace(a_target("cheap"), price=Price(1_000, 4_000, 0))
FREE = a_target("free", Zone.LOCAL)
ALL = (DEAR, CHEAP, FREE)
DEMAND = Demand(token_bound=100, token_estimate=25, max_output=None, choices=1)


class Bench:
    """A selector with its figures."""

    def __init__(self, *targets: Target) -> None:
        self.clock = FakeClock()
        self.latency = LatencyBook()
        self.breaker = Breaker(self.clock.monotonic, threshold=1)
        self.targets = targets
        self.selector = Selector({target.id: target for target in targets}, self.latency, self.breaker)

    def plan(
        self, decision: Decision, rank: str = "cost", shares: tuple[tuple[str, int], ...] = (), **demand: Any
    ) -> Plan:
        route = Route("auto", tuple(target.id for target in self.targets), rank, shares)
        return self.selector.select(decision, route, replace(DEMAND, **demand))

    def order(self, decision: Decision, rank: str = "cost", **demand: Any) -> list[str]:
        return [candidate.target.id for candidate in self.plan(decision, rank, **demand).candidates]


def test_the_cheapest_comes_first_or_the_first_listed() -> None:
    """As the route says."""
    assert Bench(*ALL).order(allowing(*ALL)) == ["free", "cheap", "dear"]
    assert Bench(*ALL).order(allowing(*ALL), "listed") == ["dear", "cheap", "free"]


@given(st.sets(st.sampled_from(ALL)), st.none() | st.integers(0, 10**7), st.none() | st.integers(1, 10**5))
def test_nothing_is_added_and_nothing_is_lost(permitted: set[Target], cap: int | None, bound: int | None) -> None:
    """Each target is a candidate or has a reason; a candidate is permitted and within the cap at the bound it gets."""
    verdicts = tuple(TargetVerdict(target.id, target in permitted, "no") for target in ALL)
    decision = allowing(targets=verdicts, cost_cap=None if cap is None else NanoUsd(cap))
    plan = Bench(*ALL).plan(decision, max_output=bound)
    chosen = {candidate.target for candidate in plan.candidates}
    assert chosen <= permitted
    assert {target.id for target in chosen} | {verdict.target for verdict in plan.rejected} == {t.id for t in ALL}
    for candidate in plan.candidates:
        assert cap is None or candidate.worst_cost <= cap
        assert bound is None or candidate.clamp is None or candidate.clamp <= bound
        assert bound is not None or candidate.clamp is not None, "without a bound of its own it gets one"
    assert all(verdict.reason and not verdict.permitted for verdict in plan.rejected)


def test_a_paused_target_comes_last_but_stays() -> None:
    """If all else fails it is still tried."""
    bench = Bench(*ALL)
    bench.breaker.failed("free")
    assert bench.order(allowing(*ALL)) == ["cheap", "dear", "free"]
    bench.clock.move(11)
    assert bench.order(allowing(*ALL)) == ["free", "cheap", "dear"]


def test_a_target_that_is_too_slow_comes_after_those_in_time() -> None:
    """The policy's time to the first token ranks by what was measured, and an unknown one is given a chance."""
    bench = Bench(*ALL)
    bench.latency.observe("free", 3.0)
    bench.latency.observe("cheap", 0.5)
    assert bench.order(allowing(*ALL, first_token=2.0)) == ["cheap", "dear", "free"]
    assert bench.order(allowing(*ALL, first_token=5.0)) == ["free", "cheap", "dear"]


@pytest.mark.parametrize("rank", ["cost", "listed"])
def test_a_share_goes_first_and_the_rest_stay_as_fallbacks(rank: str) -> None:
    """About 5 % of the requests begin with the target that has that share, always the same ones, whatever it costs;
    the other targets follow in their usual order."""
    bench, shares = Bench(*ALL), (("cheap", 9500), ("dear", 500))
    usual = bench.order(allowing(*ALL), rank)
    drawn = []
    for number in range(4000):
        order = bench.order(allowing(*ALL), rank, shares=shares, id=f"request-{number}")
        assert order[1:] == [name for name in usual if name != order[0]]
        drawn.append(order[0])
    assert set(drawn) == {"cheap", "dear"}
    assert 150 < drawn.count("dear") < 250
    assert bench.order(allowing(*ALL), rank, shares=shares, id="request-7")[0] == drawn[7]


def test_a_share_permits_nothing_and_hides_no_trouble() -> None:
    """A target that is drawn is not used when the policy does not permit it, and comes last while it is paused."""
    bench, shares = Bench(*ALL), (("dear", 10_000),)
    assert bench.order(allowing(CHEAP, FREE), shares=shares, id="a") == ["free", "cheap"]
    bench.breaker.failed("dear")
    assert bench.order(allowing(*ALL), shares=shares, id="a") == ["free", "cheap", "dear"]


def test_the_cap_becomes_a_bound_or_a_reason() -> None:
    """As many tokens as it pays for; too few to be of use, and the target is rejected with the cap in words."""
    decision = allowing(DEAR, cost_cap=NanoUsd(1_000_000))
    (candidate,) = Bench(DEAR).plan(decision, max_output=5000).candidates
    assert candidate.clamp == (1_000_000 - 100 * 2000) // 8000
    assert candidate.worst_cost <= 1_000_000
    plan = Bench(DEAR).plan(allowing(DEAR, cost_cap=NanoUsd(250_000)))
    assert plan.candidates == ()
    assert "0.00025 USD" in plan.rejected[0].reason
    assert len(Bench(DEAR).plan(allowing(DEAR, cost_cap=NanoUsd(250_000)), max_output=5).candidates) == 1


def test_money_is_counted_at_the_highest_price_a_caller_can_cause() -> None:
    """A paid service tier is in the worst cost, and not in the ranking."""
    tiered = replace(CHEAP, ceiling=DEAR.price)
    bench = Bench(DEAR, tiered)
    assert bench.order(allowing(DEAR, tiered)) == ["cheap", "dear"]
    costs = {candidate.worst_cost for candidate in bench.plan(allowing(DEAR, tiered)).candidates}
    assert len(costs) == 1


def test_a_prompt_that_does_not_fit_is_rejected_with_both_numbers() -> None:
    """By the estimate: the reason says how long it is and what would fit."""
    small = replace(FREE, context_tokens=20)
    plan = Bench(small, CHEAP).plan(allowing(small, CHEAP))
    assert [candidate.target.id for candidate in plan.candidates] == ["cheap"]
    assert "25 tokens" in plan.rejected[0].reason
    assert "20" in plan.rejected[0].reason


class Known:
    """A target's servers, of which this is known."""

    def __init__(self, standing: Standing) -> None:
        self.standing_now = standing
        self.asked: list[int] = []

    def standing(self, prompt_tokens: int) -> Standing:
        self.asked.append(prompt_tokens)
        return self.standing_now

    def states(self) -> list[ServerState]:
        return []


def live(**standings: Standing) -> Bench:
    bench = Bench(*ALL)
    targets = {target.id: target for target in ALL}
    known = {name: Known(standing) for name, standing in standings.items()}
    bench.selector = Selector(targets, bench.latency, bench.breaker, known)
    return bench


def test_what_is_known_to_be_down_comes_last_but_stays() -> None:
    """As one that is paused; nothing is held against a target of which nothing is known."""
    assert live(free=Standing(up=False)).order(allowing(*ALL)) == ["cheap", "dear", "free"]
    assert live(free=Standing(up=None)).order(allowing(*ALL)) == ["free", "cheap", "dear"]
    plan = live(free=Standing(up=False)).plan(allowing(*ALL))
    assert [candidate.paused for candidate in plan.candidates] == [False, False, True]


def test_what_is_full_comes_after_what_has_room() -> None:
    """And before what is down."""
    bench = live(free=Standing(up=True, full=True), cheap=Standing(up=False))
    assert bench.order(allowing(*ALL)) == ["dear", "free", "cheap"]


def test_what_the_servers_say_goes_before_what_was_measured() -> None:
    """The prediction for this prompt at this moment counts; where there is none, the measured mean does."""
    bench = live(free=Standing(up=True, first_token=0.5))
    bench.latency.observe("free", 3.0)
    assert bench.order(allowing(*ALL, first_token=2.0)) == ["free", "cheap", "dear"]
    bench = live(free=Standing(up=True, first_token=9.0), cheap=Standing(up=True))
    bench.latency.observe("cheap", 3.0)
    plan = bench.plan(allowing(*ALL, first_token=2.0))
    assert [(one.target.id, one.expected_first_token) for one in plan.candidates] == [
        *(("dear", None), ("free", 9.0), ("cheap", 3.0))
    ]


def test_servers_are_asked_about_this_prompt() -> None:
    """With the likely number of its tokens, once, and not where the target is not permitted."""
    asked = Known(Standing())
    selector = Selector(
        {target.id: target for target in ALL},
        LatencyBook(),
        Breaker(FakeClock().monotonic),
        {"free": asked, "dear": asked},
    )
    selector.select(allowing(FREE), Route("auto", ("free", "dear")), DEMAND)
    assert asked.asked == [25]
