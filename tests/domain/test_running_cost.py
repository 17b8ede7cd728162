"""What a token costs on one's own machine."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.estimate import affordable_output, worst_cost
from gateway.domain.money import NanoUsd, Price, Usage
from gateway.domain.running_cost import RunningCost, TokenSpeeds

ALWAYS = RunningCost(Decimal(100), Decimal(0), Decimal("0.36"), Decimal(0), Decimal(1), Fraction(1))
SPEEDS = TokenSpeeds(Decimal(1000), Decimal(10))


def decimals(least: str, most: str) -> st.SearchStrategy[Decimal]:
    return st.decimals(least, most, allow_nan=False, allow_infinity=False, places=3)


speeds = st.builds(TokenSpeeds, decimals("0.1", "100000"), decimals("0.1", "100000"))
costs = st.builds(
    RunningCost,
    watts=decimals("100", "5000"),
    idle_watts=decimals("0", "100"),
    tariff=decimals("0", "2"),
    hardware=decimals("0", "500000"),
    years=decimals("0.5", "20"),
    utilisation=st.fractions(Fraction(1, 10_000), 1),
)
usages = st.builds(Usage, st.integers(1, 10**6), st.integers(0, 10**5))


def test_energy_alone() -> None:
    """100 W for an hour are 0.036 USD at 0.36 USD/kWh: 1e-5 USD a second, over 1,000 and 10 tokens a second."""
    assert ALWAYS.per_hour == Fraction("0.036")
    assert ALWAYS.price(SPEEDS) == Price(input=10_000, output=1_000_000, cached_input=0)


def test_what_waits_is_paid_by_what_works() -> None:
    """A quarter of the time at work: each hour of it pays three hours of waiting, and four hours of wear."""
    quarter = replace(ALWAYS, idle_watts=Decimal(20), hardware=Decimal(8766), utilisation=Fraction(1, 4))
    assert quarter.energy_per_hour == Fraction("0.16") * Fraction("0.36")
    assert quarter.hardware_per_hour == 4
    assert quarter.price(SPEEDS).output > 100 * ALWAYS.price(SPEEDS).output


def test_a_year_adds_up() -> None:
    """All tokens of a year at their prices are the year's energy and wear: nothing is lost, nothing counted twice."""
    cost = RunningCost(Decimal(350), Decimal(60), Decimal("0.30"), Decimal(3600), Decimal(4), Fraction(3, 10))
    price = cost.price(SPEEDS)
    hours = Fraction(8766) * cost.utilisation
    reading, writing = hours / 3, hours * 2 / 3
    tokens = reading * 3600 * 1000 * price.input + writing * 3600 * 10 * price.output
    year = (350 * hours + 60 * (8766 - hours)) / 1000 * Fraction("0.30") + 900
    assert 0 <= tokens / 10**12 - year < Fraction(1, 100)  # what rounding up has added


@given(costs, speeds, usages, st.integers(1, 4))
def test_what_is_reserved_is_enough(cost: RunningCost, speed: TokenSpeeds, usage: Usage, choices: int) -> None:
    """Whatever the price comes to: no answer within its bounds costs more than its worst cost, and none that was cut to
    fit a cap more than the cap."""
    price = cost.price(speed)
    worst = worst_cost(price, usage.input_tokens, usage.output_tokens, choices)
    assert price.cost(Usage(usage.input_tokens, usage.output_tokens * choices)) <= worst
    cap = NanoUsd(worst // 2)
    output = min(affordable_output(price, usage.input_tokens, cap, choices), usage.output_tokens)
    if output:
        assert price.cost(Usage(usage.input_tokens, output * choices)) <= cap


@given(costs, speeds, usages)
def test_prices_are_never_understated(cost: RunningCost, speed: TokenSpeeds, usage: Usage) -> None:
    """They are rounded up, by less than a pico-dollar; what is in the cache costs nothing."""
    second, price = cost.per_hour / 3600 * 10**12, cost.price(speed)
    for pico, tokens in ((price.input, speed.prompt), (price.output, speed.answer)):
        assert second / Fraction(tokens) <= pico < second / Fraction(tokens) + 1
    assert price.cost(Usage(usage.input_tokens, 0, usage.input_tokens)) == 0


@given(costs, speeds, usages, st.integers(1, 10**8), st.integers(1, 10**8))
def test_the_utilisation_at_which_both_cost_the_same(
    cost: RunningCost, speed: TokenSpeeds, usage: Usage, input_: int, output: int
) -> None:
    """At it the request costs here what it costs there; a little more work makes it cheaper here. Where there is none,
    it is dearer here at any utilisation."""
    there = Price(input_, output, input_)
    asked = Fraction(there.cost(usage), 10**9)

    def here(utilisation: Fraction) -> Fraction:
        seconds = usage.input_tokens / Fraction(speed.prompt) + usage.output_tokens / Fraction(speed.answer)
        return replace(cost, utilisation=utilisation).per_hour / 3600 * seconds

    even = cost.even_with(there, speed, usage)
    if even is None:
        assert here(Fraction(1)) > asked
    elif even:
        assert even <= 1
        assert here(even) == asked
    else:
        assert here(Fraction(1, 1000)) <= asked
