"""Published prices: exact where they are simple, the highest where they depend, none where in doubt."""

from __future__ import annotations

import subprocess
import sys
from datetime import date

import pytest
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, StartDateConstraint, Tier, TieredPrices, TimeOfDateConstraint

from gateway.budgets.prices import price_of
from gateway.domain.money import Price

DAY = date(2026, 11, 21)


@pytest.mark.parametrize(
    ("provider", "model", "price"),
    [
        ("openai", "gpt-4o-mini", Price.per_million("0.15", "0.60", "0.075")),
        ("openai", "gpt-4o-mini-2024-07-18", Price.per_million("0.15", "0.60", "0.075")),
        ("azure.ai.openai", "gpt-4o", Price.per_million("2.50", "10", "1.25")),
    ],
)
def test_a_known_model_has_its_published_price(provider: str, model: str, price: Price) -> None:
    """Under the provider's name in the conventions, dated or not."""
    assert price_of(provider, model, DAY) == price


def test_a_model_without_output_needs_no_price_for_it() -> None:
    """What makes embeddings is charged for its input alone; a chat without an output price has none."""
    assert price_of("openai", "text-embedding-3-small", DAY) is None
    assert price_of("openai", "text-embedding-3-small", DAY, output=False) == Price.per_million("0.02", "0")
    assert price_of("openai", "gpt-4o-mini", DAY, output=False) == price_of("openai", "gpt-4o-mini", DAY)


def test_the_highest_tier_of_a_long_prompt_is_taken() -> None:
    """A price that rises with the length of the prompt is the risen one, so that no cost is understated."""
    published = model("google", "gemini-2.5-pro").prices
    assert isinstance(published, ModelPrice)
    tiered = published.input_mtok
    assert isinstance(tiered, TieredPrices)
    price = price_of("gcp.gemini", "gemini-2.5-pro", DAY)
    assert price is not None
    assert price.input == max(tier.price for tier in tiered.tiers) * 10**6 > tiered.base * 10**6


def test_the_highest_time_of_day_is_taken() -> None:
    """A price that is lower at night is the one of the day."""
    published = model("deepseek", "deepseek-chat").prices
    assert isinstance(published, list)
    assert any(isinstance(entry.constraint, TimeOfDateConstraint) for entry in published)
    price = price_of("deepseek", "deepseek-chat", DAY)
    assert price is not None
    assert price.input == max(entry.prices.input_mtok for entry in published) * 10**6


def test_a_price_that_rises_later_is_taken_at_once_and_an_old_one_is_forgotten() -> None:
    """A gateway that runs for months does not understate a price announced today; what is over does not count."""
    for provider in get_snapshot().providers:
        for info in provider.models:
            entries = info.prices if isinstance(info.prices, list) else []
            if len(entries) == 2 and isinstance(entries[1].constraint, StartDateConstraint):
                old, new = (entry.prices.input_mtok for entry in entries)
                start = entries[1].constraint.start_date
                before = price_of(provider.id, info.id, date(start.year - 1, 1, 1))
                after = price_of(provider.id, info.id, start)
                if before is None or after is None or isinstance(old, TieredPrices) or isinstance(new, TieredPrices):
                    continue
                assert before.input == max(old, new) * 10**6
                assert after.input == new * 10**6
                return
    pytest.fail("the bundled data have no model whose price changed")


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        ("openai", "no-such-model"),
        ("my-openai", "gpt-4o"),
        ("", "gpt-4o"),
        ("perplexity", "sonar"),  # a fee for each request
        ("openai", "text-embedding-3-small"),  # no output price
    ],
)
def test_in_doubt_there_is_no_price(provider: str, name: str) -> None:
    """A price that is not known for certain has to be given in the settings."""
    assert price_of(provider, name, DAY) is None


def test_the_worst_price_covers_what_a_caller_can_ask_for() -> None:
    """Priority service and cache writes cost more than the ordinary price, and the worst price knows."""
    ordinary, worst = (price_of("openai", "gpt-4o-mini", DAY, worst=flag) for flag in (False, True))
    assert ordinary is not None
    assert worst is not None
    assert worst.output > ordinary.output
    writes = model("anthropic", "claude-sonnet-4-5").prices
    assert isinstance(writes, ModelPrice)
    worst = price_of("anthropic", "claude-sonnet-4-5", DAY, worst=True)
    assert worst is not None
    assert worst.input >= 2 * 3_000_000


def test_no_published_price_is_understated() -> None:
    """For every model of the bundled data that has a price here, it is at least what the package itself asks now."""
    from genai_prices import Usage, calc_price

    checked = 0
    usage = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
    for provider in get_snapshot().providers:
        for info in provider.models:
            price = price_of(provider.id, info.id, DAY)
            if price is None or provider.find_model(info.id) is not info:
                continue
            asked = calc_price(usage, info.id, provider_id=provider.id).total_price
            assert price.input + price.output >= int(asked * 10**6), f"{provider.id} {info.id}"
            checked += 1
    assert checked > 500


def test_importing_budgets_does_not_import_the_price_data() -> None:
    """Who gives prices in the settings does not pay for the package's import."""
    code = "import sys, gateway.budgets.prices; sys.exit('genai_prices' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_tiers_of_one_price_are_all_looked_at() -> None:
    """The highest tier counts wherever it stands."""
    from decimal import Decimal

    from gateway.budgets.prices import _highest

    tiers = TieredPrices(Decimal(1), [Tier(10, Decimal(5)), Tier(20, Decimal("2.0000001"))])
    assert _highest([ModelPrice(input_mtok=tiers)], ("input_mtok",)) == 5_000_000
    assert _highest([ModelPrice(input_mtok=Decimal("0.0000001"))], ("input_mtok",)) == 1
    assert _highest([ModelPrice()], ("input_mtok",)) is None


def model(provider: str, name: str) -> ModelInfo:
    found = next(item for item in get_snapshot().providers if item.id == provider).find_model(name)
    assert found is not None
    return found
