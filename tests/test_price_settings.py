"""The settings file: a local model's price from energy, hardware and speed."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from gateway.domain.money import Price
from gateway.domain.running_cost import RunningCost, TokenSpeeds
from gateway.settings.prices import OwnPrice
from support.settings_files import CLOUD, LEAST, LOCAL, line_of, problems, settings

PRICE = """\
    price:
      energy: {watts: 350, idle_watts: 60, tariff: 0.30 USD/kWh}
      hardware: {price: 4000 USD, residual: 400 USD, years: 4}
      utilisation: 30 %
      tokens_per_second: {prompt: 2400, answer: 310.5}
"""
OWN = LEAST.replace(LOCAL, LOCAL + PRICE)
REMOTE = CLOUD.replace("zone: cloud", "zone: local").replace("id: cloud", "id: local")


def test_a_price_in_its_parts(tmp_path: Path) -> None:
    """Every number is kept exactly; what the hardware is worth at the end is not lost."""
    (target,) = settings(tmp_path, OWN).targets
    cost = RunningCost(Decimal(350), Decimal(60), Decimal("0.30"), Decimal(3600), Decimal(4), Fraction(3, 10))
    assert target.price is None
    assert target.own_price == OwnPrice(cost, TokenSpeeds(Decimal(2400), Decimal("310.5")))


def test_energy_or_hardware_alone(tmp_path: Path) -> None:
    """Either may be left out, and so may what is 0: idle watts, what it is worth at the end."""
    lines = PRICE.splitlines(keepends=True)
    for left_out, kept in ((1, "hardware_per_hour"), (2, "energy_per_hour")):
        (target,) = settings(
            tmp_path, LEAST.replace(LOCAL, LOCAL + "".join(lines[:left_out] + lines[left_out + 1 :]))
        ).targets
        assert target.own_price is not None
        assert target.own_price.cost.per_hour == getattr(target.own_price.cost, kept) > 0
    (target,) = settings(tmp_path, OWN.replace("idle_watts: 60, ", "").replace("residual: 400 USD, ", "")).targets
    assert target.own_price is not None
    assert (target.own_price.cost.idle_watts, target.own_price.cost.hardware) == (0, 4000)


def test_speeds_can_be_left_to_a_measurement(tmp_path: Path) -> None:
    """The file says so, and has none of its own."""
    (target,) = settings(tmp_path, OWN.replace("{prompt: 2400, answer: 310.5}", "measured")).targets
    assert target.own_price is not None
    assert target.own_price.speeds is None


def test_an_engine_in_ones_own_cluster(tmp_path: Path) -> None:
    """A vLLM or a llama-server in the local zone has such a price too; its speeds cannot be measured here."""
    text = LEAST.replace(LOCAL, REMOTE + PRICE)
    (target,) = settings(tmp_path, text).targets
    assert target.own_price is not None
    text = text.replace("{prompt: 2400, answer: 310.5}", "measured")
    ((line, message),) = problems(tmp_path, text)
    assert line == line_of(text, "tokens_per_second")
    assert "only the engine of the adapter llama_cpp is measured" in message


def test_what_is_asked_stays_as_it_was(tmp_path: Path) -> None:
    """A price a million tokens, for a local target as for a cloud."""
    asked = "    price: {input: 0.10 USD, output: 0.60 USD}\n"
    (target,) = settings(tmp_path, LEAST.replace(LOCAL, LOCAL + asked)).targets
    assert (target.price, target.own_price) == (Price.per_million("0.10", "0.60"), None)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("watts: 350, ", "", "missing key 'watts'"),
        ("watts: 350", "watts: 350 W", "expected a number"),
        ("watts: 350", "watts: -1", "-1 is less than 1"),
        ("idle_watts: 60", "idle_watts: 400", "400 is more than the 350 watts under load"),
        ("0.30 USD/kWh", "0.30 USD", "such as '0.30 USD/kWh'"),
        ("0.30 USD/kWh", "0.30 EUR/kWh", "such as '0.30 USD/kWh'"),
        ("0.30 USD/kWh", "0.30", "such as '0.30 USD/kWh'"),
        ("4000 USD", "4000", "expected an amount in dollars"),
        ("residual: 400 USD", "residual: 4001 USD", "it cannot be worth more at the end"),
        ("years: 4", "years: 0", "0 is less than 0.25"),
        ("      utilisation: 30 %\n", "", "missing key 'utilisation'"),
        ("utilisation: 30 %", "utilisation: 0 %", "more than 0 % and at most 100 %"),
        ("utilisation: 30 %", "utilisation: 101 %", "more than 0 % and at most 100 %"),
        ("utilisation: 30 %", "utilisation: 0.3", "more than 0 % and at most 100 %"),
        ("utilisation: 30 %", "utilization: 30 %", "unknown key 'utilization'"),
        ("{prompt: 2400, answer: 310.5}", "310", "both speeds"),
        ("{prompt: 2400, answer: 310.5}", "mesured", "'mesured' is not one of measured"),
        ("{prompt: 2400, answer: 310.5}", "{prompt: 2400}", "missing key 'answer'"),
        ("answer: 310.5", "answer: 0", "0 is less than 0.125"),
        ("      utilisation", "      input: 1 USD\n      utilisation", "either 'input' and 'output', or 'energy'"),
    ],
)
def test_what_is_wrong_is_said_at_its_place(tmp_path: Path, old: str, new: str, expected: str) -> None:
    """One problem, at the line of the slip or of what lacks something, which names it."""
    text = OWN.replace(old, new)
    assert text != OWN
    ((line, message),) = problems(tmp_path, text)
    assert expected in message
    near = line_of(OWN, old.strip())
    assert line in (near, line_of(OWN, "    price:"), line_of(OWN, "      energy"))


def test_a_price_that_can_only_be_a_slip(tmp_path: Path) -> None:
    """Numbers that are each possible and together make a token cost more than a dollar."""
    text = OWN.replace("utilisation: 30 %", "utilisation: 0.01 %").replace("answer: 310.5", "answer: 0.125")
    ((line, message),) = problems(tmp_path, text)
    assert line == line_of(text, "      energy")
    assert "a token would cost more than a dollar" in message


def test_it_needs_energy_or_hardware(tmp_path: Path) -> None:
    """Utilisation and speed alone are no price."""
    text = LEAST.replace(LOCAL, LOCAL + "".join(line for line in PRICE.splitlines(keepends=True) if "USD" not in line))
    ((_, message),) = problems(tmp_path, text)
    assert "'energy', 'hardware' or both" in message


def test_a_cloud_sends_a_bill(tmp_path: Path) -> None:
    """What a provider asks does not come from its energy."""
    text = LEAST.replace(LOCAL, LOCAL + CLOUD + PRICE)
    ((line, message),) = problems(tmp_path, text)
    assert line == line_of(text, "      energy")
    assert "give 'input' and 'output'" in message
