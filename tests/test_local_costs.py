"""docs/local-costs.md: its example is worked out again, by the command and by hand."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

from click.testing import CliRunner
from ruamel.yaml import YAML

from gateway.cli import main
from gateway.domain.money import NanoUsd, Usage, in_usd
from gateway.settings import load_settings
from gateway.settings.prices import OwnPrice

PAGE = Path(__file__).resolve().parents[1] / "docs" / "local-costs.md"
(TARGET,) = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
(SHOWN,) = re.findall(r"^\$ bailiwick models cost house\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
CLOUD = """\
  - id: {id}
    adapter: openai
    zone: cloud
    region: EU
    model: m
    base_url: https://api.example/v1
    price: {{input: {prompt} USD, output: {answer} USD, cached_input: {cached} USD}}
    context_tokens: 1000
    max_output_tokens: 100
"""


def rows() -> list[list[str]]:
    """The table of the page, without its head."""
    return [re.split(r" {2,}", line.rstrip()) for line in SHOWN.splitlines()[-3:]]


def config(folder: Path) -> Path:
    clouds = "".join(CLOUD.format(id=row[0], prompt=row[2], cached=row[3], answer=row[4]) for row in rows()[1:])
    path = folder / "bailiwick.yaml"
    path.write_text(f"schema: 1\npolicy: p.yaml\ntargets:\n{TARGET}{clouds}models:\n  auto: {{targets: [house]}}\n")
    return path


def test_the_command_says_what_the_page_shows(tmp_path: Path) -> None:
    """To the last digit, with the settings of the page."""
    result = CliRunner().invoke(main, ["--config", str(config(tmp_path)), "models", "cost", "house"])
    assert result.exit_code == 0, result.output
    *formula, head, house, mini, nano = SHOWN.splitlines()
    said = result.stdout.splitlines()
    assert said[:-4] == formula
    for line, shown in zip(said[-4:], (head, house, mini, nano), strict=True):
        assert [cell for cell in line.split("\t") if cell] == re.split(r" {2,}", shown.rstrip())


def test_the_formula_is_worked_out_again(tmp_path: Path) -> None:
    """From the page's YAML with the page's formula, without any code of the gateway; the gateway comes to the same."""
    price = YAML(typ="safe").load(TARGET)[0]["price"]
    u = Fraction(price["utilisation"].removesuffix(" %")) / 100
    energy, hardware = price["energy"], price["hardware"]
    tariff = Fraction(energy["tariff"].removesuffix(" USD/kWh"))
    lost = Fraction(hardware["price"].removesuffix(" USD")) - Fraction(hardware["residual"].removesuffix(" USD"))
    hour = (energy["watts"] + energy["idle_watts"] * (1 - u) / u) / 1000 * tariff
    hour += lost / (hardware["years"] * 8766 * u)
    speeds = price["tokens_per_second"]
    a_million = {name: hour / 3600 / speeds[name] * 10**6 for name in ("prompt", "answer")}
    (house, *clouds) = rows()
    assert float(house[2]) == round(float(a_million["prompt"]), 6)
    assert float(house[4]) == round(float(a_million["answer"]) + 5e-7, 6)
    request = (1000 * a_million["prompt"] + 250 * a_million["answer"]) / 10**6
    assert abs(float(request) - float(house[5])) < 2e-9
    own = load_settings(config(tmp_path), environ={}).targets[0].own_price
    assert isinstance(own, OwnPrice)
    assert own.speeds is not None
    assert in_usd(NanoUsd(own.at(own.speeds).cost(Usage(1000, 250)))) == house[5]
    for cloud in clouds:
        told = Fraction(re.findall(r"from (\S+) %", cloud[6])[0]) / 100
        there = (1000 * Fraction(cloud[2]) + 250 * Fraction(cloud[4])) / 10**6
        seconds = Fraction(1000, speeds["prompt"]) + Fraction(250, speeds["answer"])
        here = (energy["watts"] + energy["idle_watts"] * (1 - told) / told) / 1000 * tariff
        here += lost / (hardware["years"] * 8766 * told)
        assert abs(here / 3600 * seconds / there - 1) < Fraction(1, 50)  # the page rounds the share to two digits


def test_the_sums_by_hand() -> None:
    """The numbers of the text between the tables."""
    text = " ".join(PAGE.read_text().split())
    watts = Fraction(350) + 60 * Fraction(7, 3)
    assert f"are {watts} W for each hour of work, which is {float(watts / 1000 * Fraction('0.30')):g} USD" in text
    wear = Fraction(3600) / (4 * 8766) / Fraction(3, 10)
    assert f"{4 * 8766:,} hours" in text
    assert f"are {float(wear):.5f} USD" in text
    hour = watts / 1000 * Fraction("0.30") + wear
    assert f"Together they are {float(hour):.5f} USD" in text
    seconds = Fraction(1000, 2400) + Fraction(250, 310)
    assert f"= {float(seconds):.4f} seconds of work, which is {float(hour / 3600 * seconds):.6f} USD" in text
