"""Published prices from the data bundled with the `genai-prices` package. Nothing is fetched.

A price here never understates what one ordinary request costs: where a price depends on the length of the prompt, the
time of day or a date that has yet to come, the highest is taken. Prices in the settings go before these.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Final

from gateway.domain.money import Price

if TYPE_CHECKING:
    from datetime import date

    from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

_NAMES: Final = {
    "aws.bedrock": "aws",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "mistral_ai": "mistral",
    "x_ai": "x-ai",
}
"""Values of ``gen_ai.provider.name`` that the package calls something else."""

_INPUT: Final = ("input_mtok",)
_CACHE_WRITES: Final = ("cache_write_mtok", "cache_write_1h_mtok")
_CACHED: Final = ("cache_read_mtok",)
_OUTPUT: Final = ("output_mtok", "output_reasoning_mtok", "output_citation_mtok")
_NOT_BY_TOKEN: Final = ("requests_kcount", "input_text_messages_kcount", "input_mchars")
_PICO: Final = Decimal(10) ** 6  # dollars per million tokens to pico-dollars per token


def price_of(provider: str, model: str, day: date, *, worst: bool = False, output: bool = True) -> Price | None:
    """The published price of a provider's model from `day` (UTC) on, or None when there is none.

    `provider` is a value of ``gen_ai.provider.name`` or the package's own id; a provider that is not known by exactly
    that name has no price, since a similar name may have another. None too where tokens are not all that is charged
    (a fee for each request), since a `Price` cannot say so, and where no output price is known; without `output`, which
    is for models that make none (embeddings), none is needed.

    With `worst`, the highest that the caller's own fields can make of it: a paid service tier (``service_tier``,
    ``speed``), every prompt token written to the cache. Never included: fees of server-side tools such as web search.

    The first call takes a quarter of a second of CPU time, for the import.
    """
    from genai_prices.data_snapshot import get_snapshot

    providers = get_snapshot().providers
    name = _NAMES.get(provider, provider)
    found = next((item for item in providers if item.id == name), None)
    info = found.find_model(model, all_providers=providers) if found else None
    if info is None:
        return None
    prices = _prices(info, day, worst)
    if any(getattr(price, unit) for price in prices for unit in _NOT_BY_TOKEN):
        return None
    input_, made = _highest(prices, _INPUT + (_CACHE_WRITES if worst else ())), _highest(prices, _OUTPUT)
    if input_ is None or (made is None and output):
        return None
    cached = _highest(prices, _CACHED)
    return Price(input_, made or 0, input_ if cached is None else cached)


def _prices(info: ModelInfo, day: date, worst: bool) -> list[ModelPrice]:
    """Every price that can apply on `day` or later."""
    from genai_prices.types import ModelPrice, StartDateConstraint

    prices: list[ModelPrice] = []
    if isinstance(info.prices, ModelPrice):
        prices.append(info.prices)
    else:  # of several, the last one whose condition holds applies; so whatever stands before one that holds is over
        for entry in info.prices:
            constraint = entry.constraint
            if constraint is None or (isinstance(constraint, StartDateConstraint) and constraint.start_date <= day):
                prices.clear()
            prices.append(entry.prices)
    if worst:
        prices += [variant.prices for variant in info.price_variants or ()]
    return prices


def _highest(prices: list[ModelPrice], units: tuple[str, ...]) -> int | None:
    """The highest price of any of the units, in pico-dollars per token, rounded up; None when none has one."""
    amounts = [amount for price in prices for unit in units for amount in _amounts(getattr(price, unit))]
    return int((max(amounts) * _PICO).to_integral_value(ROUND_CEILING)) if amounts else None


def _amounts(price: Decimal | TieredPrices | None) -> list[Decimal]:
    if price is None:
        return []
    return [price] if isinstance(price, Decimal) else [price.base, *(tier.price for tier in price.tiers)]
