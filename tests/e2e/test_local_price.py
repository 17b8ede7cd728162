"""A local model's own price, from the settings and a measurement to the header, the metrics and the audit log."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.domain.money import NanoUsd, Price, in_usd
from gateway.domain.record import RecordKind
from support.evidence import eventually, outcomes, records
from support.live import Gateway, Setup, live_gateway, local_target

OWN = (
    "{energy: {watts: 350, idle_watts: 60, tariff: 0.30 USD/kWh}, hardware: {price: 4000 USD, years: 4}, "
    "utilisation: 30 %, tokens_per_second: measured}"
)
NEXT_TO_NOTHING = "{input: 0.000001 USD, output: 0.000001 USD}"


def run(setup: Setup, *arguments: str) -> str:
    result = CliRunner().invoke(main, ["--config", str(setup.write()), "models", "cost", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    """Two local models: one whose speed is measured, one for which next to nothing is asked."""
    targets = [local_target("house", price=OWN), local_target("cheap", price=NEXT_TO_NOTHING)]
    models = {"auto": "{targets: [house, cheap]}", "private": "{targets: [house]}"}
    return Setup(tmp_path_factory.mktemp("own-price"), targets, models)


@pytest.fixture(scope="module")
def price(setup: Setup) -> Price:
    """What the command says after its measurement."""
    (house, _) = json.loads(run(setup, "house", "--measure", "--seconds", "0.3", "--json"))["targets"]
    return Price.per_million(house["prompt"], house["answer"], house["cached"])


@pytest.fixture(scope="module")
def gateway(setup: Setup, price: Price) -> Iterator[Gateway]:
    assert price.input < price.output
    with live_gateway(setup) as gateway:
        yield gateway


def test_an_answer_costs_what_it_took(gateway: Gateway, price: Price) -> None:
    """Tokens times the price that was worked out: in the header, the audit log and the metrics; what came from the
    prefix cache costs nothing."""
    total = 0
    for again in range(2):
        answer = gateway.chat("My printer does not turn on.", model="private")
        assert answer.headers["x-bailiwick-target"] == "house"
        usage = answer.json()["usage"]
        cached = usage["prompt_tokens_details"]["cached_tokens"]
        assert bool(cached) == bool(again)
        pico = (usage["prompt_tokens"] - cached) * price.input + usage["completion_tokens"] * price.output
        cost = -(-pico // 1000)
        total += cost
        assert answer.headers["x-bailiwick-cost"] == in_usd(NanoUsd(cost))
        eventually(lambda expected=again: len(outcomes(gateway.state)) == expected + 1)  # type: ignore[misc]
        assert outcomes(gateway.state)[-1].cost == cost
    metrics = gateway.client.get("/metrics").text
    (counted,) = [line for line in metrics.splitlines() if line.startswith("bailiwick_cost_usd_total{")]
    assert float(counted.split()[-1]) == pytest.approx(total / 10**9)


def test_the_cheaper_one_goes_first(gateway: Gateway) -> None:
    """Ranking by cost compares this price with those that are asked."""
    assert gateway.chat("Where is my order?").headers["x-bailiwick-target"] == "cheap"


def test_the_log_says_which_price_held(gateway: Gateway, price: Price) -> None:
    """The measurement, and the price from each start on."""
    events = [record for record in records(gateway.state) if record.kind is RecordKind.EVENT]
    (measured,) = [record for record in events if record.event == "speed measured"]
    assert (measured.target, measured.model) == ("house", "demo-helpdesk")
    assert measured.outcome.startswith("prompts ")
    (priced,) = [record for record in events if record.event == "local price"]
    words = priced.error.split()
    assert (words[0], words[2], words[4]) == ("input", "output", "USD/M")
    assert Price.per_million(words[1], words[3], 0) == price
    assert events.index(measured) < events.index(priced)
