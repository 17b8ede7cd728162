"""Money and prices as integers, so that a ledger adds up to the last digit.

Amounts are nano-dollars (1e-9 USD). Prices are pico-dollars (1e-12 USD) per token: the cheapest published
price today, 0.005 USD per million cached tokens, is 5,000 of them, so no price is rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import NewType

NanoUsd = NewType("NanoUsd", int)

_NANO = Decimal(10) ** 9
_PICO_PER_TOKEN = Decimal(10) ** 6  # 1 USD per million tokens = 1e12 / 1e6 pico-dollars per token


def usd(amount: Decimal | str | int) -> NanoUsd:
    """Dollars to nano-dollars, rounded up: a limit or a cost is never understated."""
    return NanoUsd(int((Decimal(amount) * _NANO).to_integral_value(ROUND_CEILING)))


def in_usd(amount: NanoUsd) -> str:
    """Nano-dollars as a plain decimal number of dollars without trailing zeros, such as ``0.000125``."""
    text = format(Decimal(amount) / _NANO, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


@dataclass(frozen=True, slots=True)
class Price:
    """What a target asks per token, in pico-dollars; `cached_input` is for prompt tokens read from its cache."""

    input: int
    output: int
    cached_input: int

    @classmethod
    def per_million(
        cls, input: Decimal | str, output: Decimal | str, cached_input: Decimal | str | None = None
    ) -> Price:
        """A price given as published: dollars per million tokens. Without `cached_input`, `input` is used."""
        cached = input if cached_input is None else cached_input
        return cls(*(int(Decimal(value) * _PICO_PER_TOKEN) for value in (input, output, cached)))

    def cost(self, usage: Usage) -> NanoUsd:
        """The cost of a usage, rounded up to a nano-dollar."""
        fresh = max(0, usage.input_tokens - usage.cached_input_tokens)
        pico = fresh * self.input + usage.cached_input_tokens * self.cached_input
        pico += usage.output_tokens * self.output
        return NanoUsd(-(-pico // 1000))


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counted them. `input_tokens` includes `cached_input_tokens`. `premium` says that the
    answer was made in a paid service tier, at a higher price."""

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int = 0
    premium: bool = False


FREE = Price(0, 0, 0)
