"""A local model's own price, from the settings and a measurement to the header, the metrics and the audit log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.compose.tools import day_budget
from gateway.domain.estimate import prompt_token_bound
from gateway.domain.money import NanoUsd, Price, in_usd, usd
from gateway.domain.record import RecordKind
from gateway.policy.replay import DayBudget
from gateway.settings import load_settings
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


def test_a_cap_holds_to_the_last_nano_dollar(gateway: Gateway, price: Price) -> None:
    """An answer is cut so that it cannot cost more than its request may, at this price too; where not even the prompt
    can be paid, nothing is asked of the model."""
    body = {
        "model": "private",
        "messages": [{"role": "user", "content": "Write a short reply to Anna about her order."}],
    }
    raw = json.dumps(body).encode()
    length = prompt_token_bound(len(raw))
    for tokens in (20, 30):  # an answer of fewer than 16 is of no use
        cap = NanoUsd((length * price.input + tokens * price.output) // 1000)
        headers = {"content-type": "application/json", "x-bailiwick-max-cost": in_usd(cap)}
        answer = gateway.client.post("/v1/chat/completions", content=raw, headers=headers)
        assert answer.status_code == 200, answer.text
        assert 0 < usd(answer.headers["x-bailiwick-cost"]) <= cap
        assert answer.json()["usage"]["completion_tokens"] <= tokens
    headers = {
        "content-type": "application/json",
        "x-bailiwick-max-cost": in_usd(NanoUsd(length * price.input // 2000)),
    }
    refused = gateway.client.post("/v1/chat/completions", content=raw, headers=headers)
    assert refused.status_code == 403
    assert "house: could cost more than the cap" in refused.json()["error"]["message"]


def test_nobody_sends_a_bill(gateway: Gateway) -> None:
    """What running a local model costs does not count against the app's budget."""
    settings = load_settings(gateway.config, environ={})
    assert any(outcome.cost for outcome in outcomes(gateway.state))
    assert day_budget(settings, "acme", "support-bot", datetime.now(UTC).date()) == DayBudget(0, 0)


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
