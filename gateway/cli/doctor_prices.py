"""What ``bailiwick doctor`` says of prices: what a target costs, and whether that is known."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from gateway.budgets.prices import price_of
from gateway.cli.checks import Check, failed, warning
from gateway.compose.costs import own_cost
from gateway.domain.errors import ConfigurationError
from gateway.domain.money import Price
from gateway.domain.target import Zone
from gateway.settings import Settings, TargetSettings


def price_in_words(settings: Settings, target: TargetSettings) -> str:
    """Never raises: what is wrong with it, `price_checks` says."""
    if target.price is not None:
        return _per_million(target.price)
    if target.own_price is not None:
        try:
            return f"{_per_million(own_cost(settings, target, target.own_price).price)} to run"
        except ConfigurationError:
            return "price unknown"
    listed = price_of(target.provider, target.model, datetime.now(UTC).date(), output=not target.embeddings)
    if listed is not None:
        return f"{_per_million(listed)} by the price table"
    return "free" if target.zone is Zone.LOCAL else "price unknown"


def price_checks(name: str, settings: Settings, target: TargetSettings) -> Iterator[Check]:
    """Nothing where all is well."""
    if target.own_price is not None:
        try:
            cost = own_cost(settings, target, target.own_price)
        except ConfigurationError as error:
            yield failed(name, str(error))
            return
        if cost.changed:
            again = f"bailiwick models cost {target.id} --measure"
            yield warning(
                name, f"its speed was measured under other conditions: {cost.changed}; measure again: {again}"
            )
    elif price_in_words(settings, target) == "price unknown":
        yield failed(name, f"nobody knows the price of {target.model!r} of {target.provider!r}: it needs a 'price'")


def _per_million(price: Price) -> str:
    """Pico-dollars a token are micro-dollars a million tokens."""
    return f"{price.input / 1e6:g} USD in, {price.output / 1e6:g} USD out a million tokens"
