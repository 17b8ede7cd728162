"""What a token costs on one's own machine: energy and wear, over the speed at which it works.

The machine works during a share of all time, its `utilisation`. What it costs while it waits is paid by the tokens of
the time in which it works, so each hour of work carries ``(1 - utilisation) / utilisation`` hours of waiting::

    energy   = (watts + idle_watts * (1 - utilisation) / utilisation) / 1000 * tariff      USD for an hour of work
    hardware = (price - residual) / (years * 8766 h * utilisation)                         USD for an hour of work
    a token  = (energy + hardware) / 3600 / speed                                          USD

with one speed for prompts and one for answers. It is the usual levelised cost (total cost of ownership over its whole
life, divided by all tokens of that life), without interest. Exact fractions; only the price at the end is rounded, up.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final

from gateway.domain.money import Price, Usage

HOURS_PER_YEAR: Final = Fraction(8766)
"""365.25 days."""

_SECONDS_PER_HOUR: Final = 3600
_NANO: Final = 10**9
_PICO: Final = 10**12


@dataclass(frozen=True, slots=True)
class TokenSpeeds:
    """Tokens per second of an engine that has enough to do: of prompts while it reads, and of all answers together
    while it writes. Both are more than 0."""

    prompt: Decimal
    answer: Decimal


@dataclass(frozen=True, slots=True)
class RunningCost:
    """What a machine costs. `watts` under load and `idle_watts` without, `tariff` in dollars per kWh; `hardware` is
    what it loses of its price, in dollars, over `years`; `utilisation` is the share of all time in which it works, more
    than 0 and at most 1."""

    watts: Decimal
    idle_watts: Decimal
    tariff: Decimal
    hardware: Decimal
    years: Decimal
    utilisation: Fraction

    @property
    def waiting(self) -> Fraction:
        """Hours of waiting for each hour of work."""
        return (1 - self.utilisation) / self.utilisation

    @property
    def energy_per_hour(self) -> Fraction:
        """Dollars for each hour of work, what is used while waiting included."""
        watts = Fraction(self.watts) + Fraction(self.idle_watts) * self.waiting
        return watts / 1000 * Fraction(self.tariff)

    @property
    def hardware_per_hour(self) -> Fraction:
        """Dollars for each hour of work."""
        return Fraction(self.hardware) / (Fraction(self.years) * HOURS_PER_YEAR * self.utilisation)

    @property
    def per_hour(self) -> Fraction:
        """Dollars for each hour of work."""
        return self.energy_per_hour + self.hardware_per_hour

    def price(self, speeds: TokenSpeeds) -> Price:
        """Per token, rounded up to a pico-dollar. A prompt token that is in the prefix cache is not read again, so it
        costs nothing; that answers take longer over a long prompt is in their speed."""
        second = self.per_hour / _SECONDS_PER_HOUR * _PICO
        return Price(_up(second / Fraction(speeds.prompt)), _up(second / Fraction(speeds.answer)), cached_input=0)

    def even_with(self, price: Price, speeds: TokenSpeeds, usage: Usage) -> Fraction | None:
        """The utilisation from which a request of this usage costs no more here than at `price`. None when it is
        dearer here even if the machine never waits; 0 when waiting costs nothing and work is not dearer."""
        fresh = usage.input_tokens - usage.cached_input_tokens
        seconds = fresh / Fraction(speeds.prompt) + usage.output_tokens / Fraction(speeds.answer)
        hours = seconds / _SECONDS_PER_HOUR
        always = Fraction(self.idle_watts) / 1000 * Fraction(self.tariff)  # of each hour, of work or not
        always += Fraction(self.hardware) / (Fraction(self.years) * HOURS_PER_YEAR)
        working = Fraction(self.watts - self.idle_watts) / 1000 * Fraction(self.tariff)  # what work adds
        left = Fraction(price.cost(usage), _NANO) - hours * working
        if hours * always > left:
            return None
        return hours * always / left if left else Fraction(0)


def _up(amount: Fraction) -> int:
    return -(-amount.numerator // amount.denominator)
