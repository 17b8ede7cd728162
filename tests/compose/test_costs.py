"""What a local target costs, from its settings and what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from adapters.llama_cpp.measurements import Measurement, Measurements
from gateway.compose import targets_of
from gateway.compose.costs import NotMeasured, conditions_now, own_cost, own_prices, per_million
from gateway.compose.declared import declared
from gateway.domain.errors import ConfigurationError
from gateway.domain.money import FREE, Price
from gateway.settings import Settings, TargetSettings, load_settings
from support.live import Setup, cloud_target, local_target

ENERGY = "energy: {watts: 100, tariff: 0.36 USD/kWh}, utilisation: 100 %"
GIVEN = f"{{{ENERGY}, tokens_per_second: {{prompt: 1000, answer: 10}}}}"
MEASURED = f"{{{ENERGY}, tokens_per_second: measured}}"
PRICE = Price(10_000, 1_000_000, 0)


def read(folder: Path, price: str, **more: str) -> tuple[Settings, TargetSettings]:
    targets = [local_target("house", price=price, **more), cloud_target("cloud", "http://127.0.0.1:9/v1")]
    settings = load_settings(Setup(folder, targets, {"auto": "{targets: [house, cloud]}"}).write(), environ={})
    return settings, settings.targets[0]


def keep(settings: Settings, conditions: Mapping[str, str | int], answer: str = "10") -> None:
    measurement = Measurement("1000", answer, 16, "2026-11-21T09:30:00+00:00", conditions)
    Measurements(settings.model_cache).keep("house", measurement)


def test_a_price_from_given_speeds(tmp_path: Path) -> None:
    """It is the target's price, in the routing, records and caps; nothing can make it higher."""
    settings, target = read(tmp_path, GIVEN)
    house, cloud = declared(settings)
    assert (house.price, house.worst_price) == (PRICE, PRICE)
    assert cloud.price == Price.per_million(1, 4)
    assert target.own_price is not None
    assert own_cost(settings, target, target.own_price).measurement is None
    assert list(own_prices(settings)) == [("house", "input 0.01 output 1 USD/M")]


def test_a_price_from_measured_speeds(tmp_path: Path) -> None:
    """The last measurement on this host counts; without one nothing starts, and the message says what to do."""
    settings, target = read(tmp_path, MEASURED)
    with pytest.raises(NotMeasured, match=r"'house'.*bailiwick models cost house --measure.*tokens_per_second"):
        declared(settings)
    keep(settings, conditions_now(settings, target), answer="20")
    keep(settings, conditions_now(settings, target))
    assert declared(settings)[0].price == PRICE


def test_a_measurement_that_no_longer_fits(tmp_path: Path) -> None:
    """After a roll-back, say, the gateway starts with the price that it has, and says that it is of something else."""
    settings, target = read(tmp_path, MEASURED)
    keep(settings, {**conditions_now(settings, target), "model": "private@2"})
    assert target.own_price is not None
    cost = own_cost(settings, target, target.own_price)
    assert (cost.price, cost.changed) == (PRICE, "model demo-helpdesk (was private@2)")
    assert declared(settings)[0].price == PRICE


def test_policy_tools_need_no_measurement(tmp_path: Path) -> None:
    """They run where there is no engine and ask for no price, so there it counts as free."""
    settings, _ = read(tmp_path, MEASURED)
    assert targets_of(settings.file)[0].price == FREE
    settings, _ = read(tmp_path, GIVEN)
    assert targets_of(settings.file)[0].price == PRICE


def test_a_measured_price_that_can_only_be_a_slip(tmp_path: Path) -> None:
    """A measurement of next to nothing is refused like such a number in the settings."""
    settings, target = read(tmp_path, MEASURED.replace("100 %", "0.01 %").replace("watts: 100", "watts: 1000000"))
    keep(settings, conditions_now(settings, target), answer="0.0001")
    with pytest.raises(ConfigurationError, match=r"'house'.*more than a dollar"):
        declared(settings)


def test_prices_are_shown_with_every_digit() -> None:
    """Dollars a million tokens."""
    assert [per_million(pico) for pico in (0, 1, 50_000, 2_000_000, 56_624)] == [
        "0",
        "0.000001",
        "0.05",
        "2",
        "0.056624",
    ]
