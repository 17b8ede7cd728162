"""``bailiwick models cost``: what a token costs here and elsewhere, and how that comes about."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import click
import orjson

from adapters.llama_cpp.files import resolve
from adapters.llama_cpp.measure import measure
from adapters.llama_cpp.measurements import Measurement, Measurements
from adapters.llama_cpp.shelf import locate
from gateway.cli.common import CliContext
from gateway.cli.models.common import record_event, sentences, table
from gateway.compose.costs import NotMeasured, OwnCost, own_cost, per_million
from gateway.compose.declared import price_of_target
from gateway.compose.targets import engine_config
from gateway.domain.errors import ConfigurationError
from gateway.domain.money import Price, Usage, in_usd
from gateway.settings import LlamaCppSettings, Settings, TargetSettings

_COLUMNS = ("target", "zone", "prompt", "cached", "answer", "request", "the local one is cheaper")


@click.command("cost")
@click.argument("target", required=False)
@click.option("--measure", "wanted", is_flag=True, help="Measure how fast the model of TARGET is here, and keep that.")
@click.option("--seconds", type=click.FloatRange(0.1, 3600), default=10.0, show_default=True, help="For each speed.")
@click.option("--prompt", type=click.IntRange(1, 10**9), default=1000, show_default=True, help="Tokens of a request.")
@click.option("--answer", type=click.IntRange(0, 10**9), default=250, show_default=True, help="Tokens of its answer.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def cost_command(
    obj: CliContext,
    target: str | None,
    wanted: bool,
    seconds: float,
    prompt: int,
    answer: int,
    as_json: bool,
) -> None:
    """What a token of each target costs; with TARGET, a local one, how its price comes about, and from which
    utilisation on it is cheaper than the others.

    --measure starts a second engine for it. Do it while nobody uses the machine: what disturbs it makes the price
    higher. A running gateway takes the new price up when it starts again.
    """
    settings, usage = obj.settings(), Usage(prompt, answer)
    with sentences():
        chosen = _own(settings, target) if target is not None else None
        if wanted:
            if chosen is None:
                raise click.UsageError("--measure needs a TARGET")
            _measure(settings, chosen, seconds)
        rows = [_priced(settings, each) for each in settings.targets]
        cost = own_cost(settings, chosen, chosen.own_price) if chosen is not None and chosen.own_price else None
    if as_json:
        click.echo(orjson.dumps(_as_json(rows, cost, usage)))
        return
    if chosen is not None and cost is not None:
        click.echo("\n".join([*_formula(chosen.id, cost), ""]))
    columns = _COLUMNS if cost is not None else _COLUMNS[:-1]
    table(columns, [row.cells(usage, cost)[: len(columns)] for row in rows], "There are no targets.")
    click.echo(f"Prices in USD a million tokens. A request has {prompt:,} tokens and {answer:,} of answer.", err=True)


@dataclass(frozen=True, slots=True)
class _Row:
    """A target with its price; None where it is not known, and then `problem` says why."""

    target: TargetSettings
    price: Price | None
    problem: str = ""

    def cells(self, usage: Usage, cost: OwnCost | None) -> list[str]:
        first = [self.target.id, self.target.zone.value]
        if self.price is None:
            return [*first, *["?"] * 3, self.problem, ""]
        asked = [per_million(each) for each in (self.price.input, self.price.cached_input, self.price.output)]
        return [*first, *asked, in_usd(self.price.cost(usage)), self.even(usage, cost) if cost else ""]

    def even(self, usage: Usage, cost: OwnCost) -> str:
        """From which utilisation on the local target is cheaper than this one."""
        share = self.even_share(usage, cost)
        if self.price is None or self.price == cost.price:
            return ""
        if share is None:
            return "never"
        return f"from {float(share * 100):.2g} % utilisation"

    def even_share(self, usage: Usage, cost: OwnCost) -> Fraction | None:
        return None if self.price is None else cost.running.even_with(self.price, cost.speeds, usage)


def _own(settings: Settings, name: str) -> TargetSettings:
    for target in settings.targets:
        if target.id == name and target.own_price is not None:
            return target
        if target.id == name:
            raise ConfigurationError(
                f"nothing is to be worked out: the settings or the price table have the price of {name!r}"
            )
    known = ", ".join(target.id for target in settings.targets)
    raise ConfigurationError(f"there is no target {name!r} (there are: {known})")


def _priced(settings: Settings, target: TargetSettings) -> _Row:
    try:
        return _Row(target, price_of_target(settings, target, datetime.now(UTC).date()))
    except NotMeasured:
        return _Row(target, None, "not measured yet")
    except ConfigurationError:
        return _Row(target, None, "not known: bailiwick doctor")


def _measure(settings: Settings, target: TargetSettings, seconds: float) -> None:
    """Measure, write it to the audit log, keep it."""
    backend = target.backend
    if not isinstance(backend, LlamaCppSettings):
        raise ConfigurationError(f"the target {target.id!r} is not run by Bailiwick: measure it with its own tools")
    located = locate(backend, settings.model_registry)
    config = engine_config(target, backend, resolve(located.file, settings.model_cache), located.version)
    click.echo(f"Measuring {target.id}, about {2 * seconds:.0f} seconds:", err=True)
    began = time.monotonic()
    found = asyncio.run(measure(config, seconds, lambda what: click.echo(f"  {what} …", err=True)))
    click.echo(f"  done after {time.monotonic() - began:.0f} seconds", err=True)
    said = f"prompts {found.prompt} answers {found.answer} tokens/s at {found.answers} a time"
    record_event(settings, "speed measured", target=target.id, model=config.name, outcome=said)
    Measurements(settings.model_cache).keep(target.id, found)


def _formula(target: str, cost: OwnCost) -> list[str]:
    """The formula with its numbers."""
    running, speeds = cost.running, cost.speeds
    busy = f"{_plain(running.utilisation * 100)} %"
    rest = f"{_plain(100 - running.utilisation * 100)} %"
    lines = [f"{target}: {_origin(cost.measurement)}"]
    if cost.changed:
        lines.append(f"measured under other conditions, measure again: {cost.changed}")
    energy = f"({running.watts} W + {running.idle_watts} W * {rest} / {busy}) * {running.tariff} USD/kWh"
    hardware = f"{_plain(Fraction(running.hardware))} USD / ({running.years} years * 8,766 h * {busy})"
    parts = [
        (name, formula, f"{_dollars(amount)} USD an hour of work")
        for name, formula, amount in (
            ("energy", energy, running.energy_per_hour),
            ("hardware", hardware, running.hardware_per_hour),
        )
        if amount  # what is left out in the settings is left out here
    ]
    together = ("together", "energy + hardware", f"{_dollars(running.per_hour)} USD an hour of work")
    rows = [*parts, together] if len(parts) == 2 else parts
    for name, speed, price in (
        ("prompt", speeds.prompt, cost.price.input),
        ("answer", speeds.answer, cost.price.output),
    ):
        formula = f"{_dollars(running.per_hour)} USD / ({speed} tokens/s * 3,600 s)"
        rows.append((name, formula, f"{per_million(price)} USD a million tokens"))
    rows.append(("cached", "not read again", f"{per_million(cost.price.cached_input)} USD a million tokens"))
    width = max(len(formula) for _, formula, _ in rows)
    return lines + [f"  {name:9}{formula:{width}}  = {result}" for name, formula, result in rows]


def _origin(measurement: Measurement | None) -> str:
    if measurement is None:
        return "speeds as the settings give them"
    line = f"{{prompt: {measurement.prompt}, answer: {measurement.answer}}}"
    return f"measured {measurement.at}, {measurement.answers} answers at a time, tokens_per_second: {line}"


def _plain(number: Fraction) -> str:
    return f"{float(number):.10g}"


def _dollars(amount: Fraction) -> str:
    return f"{float(amount):.4g}"


def _as_json(rows: list[_Row], cost: OwnCost | None, usage: Usage) -> dict[str, Any]:
    """Prices in dollars a million tokens, as text, so that no digit is lost."""
    found: list[dict[str, Any]] = []
    for row in rows:
        price = row.price
        each: dict[str, Any] = {"target": row.target.id, "zone": row.target.zone.value, "problem": row.problem or None}
        if price is not None:
            each |= {"prompt": per_million(price.input), "cached": per_million(price.cached_input)}
            each |= {"answer": per_million(price.output), "request": in_usd(price.cost(usage))}
            if cost is not None and price != cost.price:
                share = row.even_share(usage, cost)
                each["even_at_utilisation"] = None if share is None else float(share)
        found.append(each)
    document: dict[str, Any] = {"targets": found}
    if cost is not None:
        document["own"] = {
            "energy_per_hour": _dollars(cost.running.energy_per_hour),
            "hardware_per_hour": _dollars(cost.running.hardware_per_hour),
            "utilisation": float(cost.running.utilisation),
            "tokens_per_second": {"prompt": str(cost.speeds.prompt), "answer": str(cost.speeds.answer)},
            "measured_at": cost.measurement.at if cost.measurement else None,
            "changed": cost.changed or None,
        }
    return document
