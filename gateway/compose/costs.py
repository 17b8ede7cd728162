"""What running a local model costs, with the speeds that the settings give or that were measured on this host.

A price is worked out once, when the gateway starts, and holds until it ends: whatever is compared, capped, recorded or
budgeted with it in between is so by one and the same number. A new measurement counts from the next start on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from adapters.llama_cpp.measurements import Conditions, Measurement, Measurements, conditions
from adapters.llama_cpp.shelf import locate
from gateway.compose.targets import engine_config
from gateway.domain.errors import ConfigurationError
from gateway.domain.money import Price
from gateway.domain.running_cost import RunningCost, TokenSpeeds
from gateway.settings import Settings, TargetSettings
from gateway.settings.prices import OwnPrice
from gateway.telemetry.logs import log_event

_log = logging.getLogger(__name__)


class NotMeasured(ConfigurationError):
    """The settings leave the speed of a target to a measurement, and there is none."""


@dataclass(frozen=True, slots=True)
class OwnCost:
    """The price of a local target and where it comes from. `measurement` None: the settings give the speeds. `changed`
    says what is no longer as it was when they were measured."""

    running: RunningCost
    speeds: TokenSpeeds
    price: Price
    measurement: Measurement | None = None
    changed: str = ""


def own_cost(settings: Settings, target: TargetSettings, own: OwnPrice) -> OwnCost:
    """Raises `ConfigurationError`, `NotMeasured` among them."""
    where = f"{settings.file}: the price of the target {target.id!r}"
    try:
        if own.speeds is not None:
            return OwnCost(own.cost, own.speeds, own.at(own.speeds))
        measurement = Measurements(settings.model_cache).of(target.id)
        if measurement is not None:
            changed = measurement.changed(conditions_now(settings, target))
            return OwnCost(own.cost, measurement.speeds, own.at(measurement.speeds), measurement, changed)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from error
    raise NotMeasured(
        f"{where}: its speed was not measured on this host yet: run `bailiwick models cost {target.id} --measure`, or "
        "give it: tokens_per_second: {prompt: …, answer: …}"
    )


def own_prices(settings: Settings) -> Iterator[tuple[str, str]]:
    """Each target whose price was worked out, with that price as a label, for the audit log. Says in the log where a
    measurement no longer fits. Raises `ConfigurationError`."""
    for target in settings.targets:
        if target.own_price is not None:
            cost = own_cost(settings, target, target.own_price)
            if cost.changed:
                log_event(
                    _log,
                    logging.WARNING,
                    "the speed of a local model was measured under other conditions - see: bailiwick models cost",
                    target=target.id,
                )
            yield target.id, f"input {per_million(cost.price.input)} output {per_million(cost.price.output)} USD/M"


def per_million(pico: int) -> str:
    """A price per token in pico-dollars as dollars per million tokens, with nothing rounded."""
    text = format(Decimal(pico) / 10**6, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def conditions_now(settings: Settings, target: TargetSettings) -> Conditions:
    """What its speed depends on. Raises `ConfigurationError`."""
    backend = target.model_file
    if backend is None:
        raise ConfigurationError("only an engine that Bailiwick runs can be measured")
    located = locate(backend, settings.model_registry)
    place = located.file.place(settings.model_cache)
    return conditions(engine_config(target, backend, place, located.version))
