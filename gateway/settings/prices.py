"""What a target costs: the price that a provider asks, or the parts from which the price of one's own machine is
worked out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from gateway.documents import Node
from gateway.domain.errors import ConfigurationError
from gateway.domain.money import Price
from gateway.domain.running_cost import RunningCost, TokenSpeeds

_ASKED = ("input", "output", "cached_input")
_WORKED_OUT = ("energy", "hardware", "utilisation", "tokens_per_second")
_TARIFF = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?USD ?/ ?kWh")
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,2})?) ?%", re.ASCII)
_LEAST_WATTS, _MOST_WATTS = 1, 10_000_000
_LEAST_YEARS, _MOST_YEARS = 0.25, 100
_LEAST_SPEED, _MOST_SPEED = 0.125, 100_000_000
_MOST_PICO = 10**12  # a dollar for one token


@dataclass(frozen=True, slots=True)
class OwnPrice:
    """The price of one's own machine. `speeds` None are those that ``bailiwick models cost --measure`` has measured."""

    cost: RunningCost
    speeds: TokenSpeeds | None

    def at(self, speeds: TokenSpeeds) -> Price:
        """Per token. Raises `ConfigurationError` for a price that can only be a slip."""
        price = self.cost.price(speeds)
        if max(price.input, price.output) > _MOST_PICO:
            raise ConfigurationError("a token would cost more than a dollar: one of these numbers must be wrong")
        return price


def read_price(
    node: Node | None, *, local: bool, measurable: bool, output: bool = True
) -> tuple[Price | None, OwnPrice | None]:
    """One of the two, or neither. Only a `local` target can have a price that is worked out, and only a `measurable`
    one can leave its speeds to a measurement. Without `output`, none is needed for it."""
    if node is None:
        return None, None
    written = {key.text(): key for key, _ in node.items()} if node.kind == "mapping" else {}
    parts = [key for key in _WORKED_OUT if key in written]
    if not parts:
        needed = ("input", "output") if output else ("input",)
        return _asked(node.mapping((*_ASKED, *_WORKED_OUT), needed)), None
    if not local:
        written[parts[0]].fail("what a cloud asks does not come from energy and hardware: give 'input' and 'output'")
    for key in _ASKED:
        if key in written:
            written[key].fail(f"a price has either 'input' and 'output', or {', '.join(map(repr, _WORKED_OUT))}")
    return None, _worked_out(node, measurable)


def _asked(found: Mapping[str, Node]) -> Price:
    scaled = {
        key: found[key].money() // 1000 for key in _ASKED if key in found
    }  # nano-dollars a million tokens → pico-dollars a token
    return Price(scaled["input"], scaled.get("output", 0), scaled.get("cached_input", scaled["input"]))


def _worked_out(node: Node, measurable: bool) -> OwnPrice:
    before = len(node.problems.found)
    found = node.mapping((*_ASKED, *_WORKED_OUT), ("utilisation", "tokens_per_second"))
    if "energy" not in found and "hardware" not in found:
        node.fail("what does it cost: 'energy', 'hardware' or both?")
    watts, idle_watts, tariff = _energy(found["energy"]) if "energy" in found else (Decimal(0),) * 3
    hardware, years = _hardware(found["hardware"]) if "hardware" in found else (Decimal(0), Decimal(1))
    utilisation = _utilisation(found["utilisation"])
    own = OwnPrice(
        RunningCost(watts, idle_watts, tariff, hardware, years, utilisation),
        _speeds(found["tokens_per_second"], measurable),
    )
    if own.speeds is not None and len(node.problems.found) == before:
        try:
            own.at(own.speeds)
        except ConfigurationError as error:
            node.fail(str(error))
    return own


def _energy(node: Node) -> tuple[Decimal, Decimal, Decimal]:
    before = len(node.problems.found)
    found = node.mapping(("watts", "idle_watts", "tariff"), ("watts", "tariff"))
    watts = found["watts"].decimal(_LEAST_WATTS, _MOST_WATTS)
    idle_watts = found["idle_watts"].decimal(0, _MOST_WATTS) if "idle_watts" in found else Decimal(0)
    if idle_watts > watts and len(node.problems.found) == before:
        found["idle_watts"].fail(f"{idle_watts} is more than the {watts} watts under load")
    tariff = found["tariff"]
    written = _TARIFF.fullmatch(tariff.text()) if tariff.kind == "text" else None
    if written is None:
        tariff.fail("expected the price of energy, such as '0.30 USD/kWh'")
    return watts, idle_watts, Decimal(written[1]) if written else Decimal(0)


def _hardware(node: Node) -> tuple[Decimal, Decimal]:
    """What it loses of its price in dollars, and in how many years."""
    before = len(node.problems.found)
    found = node.mapping(("price", "years", "residual"), ("price", "years"))
    price = found["price"].money()
    residual = found["residual"].money() if "residual" in found else 0
    if residual > price and len(node.problems.found) == before:
        found["residual"].fail("it cannot be worth more at the end than it cost")
    return Decimal(price - residual) / 10**9, found["years"].decimal(_LEAST_YEARS, _MOST_YEARS)


def _utilisation(node: Node) -> Fraction:
    written = _PERCENT.fullmatch(node.text()) if node.kind == "text" else None
    share = Fraction(written[1]) / 100 if written else Fraction(0)
    if not 0 < share <= 1:
        node.fail("expected the share of all time in which it works, more than 0 % and at most 100 %, such as 30 %")
        return Fraction(1)
    return share


def _speeds(node: Node, measurable: bool) -> TokenSpeeds | None:
    if node.kind == "text":
        if node.one_of(("measured",)) == "measured" and not measurable:
            node.fail(
                "only the engine of the adapter llama_cpp is measured by Bailiwick: give the speeds of this one, "
                "such as {prompt: 2400, answer: 310}"
            )
        return None
    if node.kind != "mapping" and node.present:
        node.fail("expected 'measured', or both speeds, such as {prompt: 800, answer: 90}: they differ tenfold")
        return None
    found = node.mapping(("prompt", "answer"), ("prompt", "answer"))
    return TokenSpeeds(
        found["prompt"].decimal(_LEAST_SPEED, _MOST_SPEED), found["answer"].decimal(_LEAST_SPEED, _MOST_SPEED)
    )
