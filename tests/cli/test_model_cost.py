"""``bailiwick models cost``, and what ``bailiwick doctor`` says of such prices."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from adapters.llama_cpp.measurements import Measurement, Measurements
from gateway.cli import main
from gateway.settings import load_settings
from support.evidence import records
from support.live import Setup, cloud_target, local_target

GIVEN = (
    "{energy: {watts: 100, idle_watts: 20, tariff: 0.36 USD/kWh}, hardware: {price: 8766 USD, years: 1}, "
    "utilisation: 25 %, tokens_per_second: {prompt: 1000, answer: 10}}"
)
MEASURED = re.sub(r"\{prompt.*?\}", "measured", GIVEN)


def setup(folder: Path, price: str) -> Setup:
    targets = [local_target("house", price=price), cloud_target("cloud", "http://127.0.0.1:9/v1", region="EU")]
    return Setup(folder, targets, {"auto": "{targets: [house, cloud]}"})


def run(setup: Setup, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["--config", str(setup.write()), *arguments])
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_the_formula_with_its_numbers(tmp_path: Path) -> None:
    """Each line is a calculation that anybody can do again; below it the others, and from when on this one is
    cheaper."""
    lines = run(setup(tmp_path, GIVEN), "models", "cost", "house").stdout.splitlines()
    formula = {line.split()[0]: line for line in lines[1:7]}
    assert "(100 W + 20 W * 75 % / 25 %) * 0.36 USD/kWh" in formula["energy"]
    assert formula["energy"].endswith("= 0.0576 USD an hour of work")
    assert "8766 USD / (1 years * 8,766 h * 25 %)" in formula["hardware"]
    assert formula["hardware"].endswith("= 4 USD an hour of work")
    assert formula["answer"].endswith("= 112.711112 USD a million tokens")
    rows = [line.split("\t") for line in lines[-2:]]
    assert rows[0][:5] == ["house", "local", "1.127112", "0", "112.711112"]
    assert rows[1] == ["cloud", "cloud", "1", "1", "4", "0.002", "never"]


def test_what_is_left_out_is_not_shown(tmp_path: Path) -> None:
    """With energy alone there is one line of cost and nothing to add up."""
    price = re.sub(r"hardware: \{.*?\}, ", "", GIVEN)
    lines = run(setup(tmp_path, price), "models", "cost", "house").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["energy", "prompt", "answer", "cached"]
    assert lines[2].endswith("= 0.016 USD a million tokens")


def test_the_share_from_which_it_is_cheaper(tmp_path: Path) -> None:
    """At the utilisation that it tells, a request of that size costs here what it costs there."""
    cheap = setup(tmp_path, GIVEN.replace("8766 USD", "87.66 USD"))
    arguments = ("models", "cost", "house", "--prompt", "2000", "--answer", "10", "--json")
    found = json.loads(run(cheap, *arguments).stdout)
    share = found["targets"][1]["even_at_utilisation"]
    assert 0 < share < 1
    again = setup(tmp_path, GIVEN.replace("8766 USD", "87.66 USD").replace("25 %", f"{share * 100:.2f} %"))
    here, there = json.loads(run(again, *arguments).stdout)["targets"]
    assert float(here["request"]) == pytest.approx(float(there["request"]), rel=0.01)


def test_all_targets_at_once(tmp_path: Path) -> None:
    """Without a target, the prices alone; what was not measured yet is said and stops nothing."""
    result = run(setup(tmp_path, MEASURED), "models", "cost")
    assert [line.split("\t") for line in result.stdout.splitlines()[1:]] == [
        ["house", "local", "?", "?", "?", "not measured yet"],
        ["cloud", "cloud", "1", "1", "4", "0.002"],
    ]


def test_a_measurement_is_recorded_and_kept(tmp_path: Path) -> None:
    """Before it there is no price, after it there is; the audit log has it, and the numbers can be pasted."""
    house = setup(tmp_path, MEASURED)
    assert "bailiwick models cost house --measure" in run(house, "models", "cost", "house", code=1).output
    result = run(house, "models", "cost", "house", "--measure", "--seconds", "0.2")
    settings = load_settings(house.write(), environ={})
    kept = Measurements(settings.model_cache).of("house")
    assert kept is not None
    assert f"tokens_per_second: {{prompt: {kept.prompt}, answer: {kept.answer}}}" in result.stdout
    (record,) = records(tmp_path / "state")
    assert (record.event, record.target) == ("speed measured", "house")
    assert record.outcome == f"prompts {kept.prompt} answers {kept.answer} tokens/s at {kept.answers} a time"
    pasted = MEASURED.replace("measured", f"{{prompt: {kept.prompt}, answer: {kept.answer}}}")
    rows = [run(setup(tmp_path, price), "models", "cost").stdout.splitlines()[1] for price in (MEASURED, pasted)]
    assert rows[0] == rows[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("cost", "nothing"), "there is no target 'nothing' (there are: house, cloud)"),
        (("cost", "cloud"), "nothing is to be worked out"),
        (("cost", "cloud", "--measure"), "nothing is to be worked out"),
    ],
)
def test_what_cannot_be_told(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    """A sentence that names the target."""
    assert said in run(setup(tmp_path, GIVEN), "models", *arguments, code=1).output
    assert "needs a TARGET" in run(setup(tmp_path, GIVEN), "models", "cost", "--measure", code=2).output


def test_doctor_knows_the_price(tmp_path: Path) -> None:
    """What running it costs, that it was not measured, and that it was measured under other conditions."""

    def line(price: str, state: str) -> str:
        checks = json.loads(
            CliRunner().invoke(main, ["--config", str(setup(tmp_path, price).write()), "doctor", "--json"]).stdout
        )
        return next(
            check["detail"] for check in checks["checks"] if check["state"] == state and check["name"] == "target house"
        )

    assert "1.12711 USD in, 112.711 USD out a million tokens to run" in line(GIVEN, "ok")
    assert "models cost house --measure" in line(MEASURED, "failed")
    settings = load_settings(setup(tmp_path, MEASURED).write(), environ={})
    Measurements(settings.model_cache).keep(
        "house", Measurement("9", "1", 1, "2026-11-21T09:30:00+00:00", {"threads": 96})
    )
    assert "(was 96)" in line(MEASURED, "warning")
