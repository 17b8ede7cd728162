"""Estimates: never too low, and no lower than they have to be."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.estimate import MOST_OUTPUT, affordable_output, prompt_token_bound, worst_cost
from gateway.domain.money import FREE, NanoUsd, Price, Usage, usd

tokens = st.integers(0, 2_000_000)
prices = st.builds(Price, st.integers(0, 10**8), st.integers(0, 10**8), st.integers(0, 10**8))


@given(prices, tokens, st.integers(0, 200_000), st.integers(1, 8), st.data())
def test_no_usage_within_the_bounds_costs_more(
    price: Price, prompt: int, output: int, choices: int, data: st.DataObject
) -> None:
    """Whatever part of the prompt is cached and however long the answers are, the reservation covers it."""
    used = data.draw(st.integers(0, prompt))
    cached = data.draw(st.integers(0, used))
    answered = data.draw(st.integers(0, output * choices))
    assert price.cost(Usage(used, answered, cached)) <= worst_cost(price, prompt, output, choices)


def test_the_worst_cost_is_the_published_price() -> None:
    """A million tokens in and out at 1 and 2 dollars are 3 dollars, exactly."""
    assert worst_cost(Price.per_million("1", "2"), 1_000_000, 1_000_000, 1) == usd(3)
    assert worst_cost(Price.per_million("1", "2"), 1_000_000, 500_000, 4) == usd(5)
    assert worst_cost(FREE, 1_000_000, 1_000_000, 4) == 0


@given(prices, tokens, st.integers(0, 10**10), st.integers(1, 8))
def test_what_is_affordable_is_the_largest_that_fits(price: Price, prompt: int, cap: int, choices: int) -> None:
    """The bound fits under the cap and one token more does not."""
    bound = affordable_output(price, prompt, NanoUsd(cap), choices)
    if bound:
        assert worst_cost(price, prompt, bound, choices) <= cap
    if bound < MOST_OUTPUT:
        assert worst_cost(price, prompt, bound + 1, choices) > cap


def test_nothing_is_affordable_when_the_prompt_alone_is_too_dear() -> None:
    """Then the answer is 0, not a negative number."""
    assert affordable_output(Price.per_million("10", "10"), 1_000_000, usd(1), 1) == 0


@given(st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.text(max_size=40)), max_size=20), st.booleans())
def test_the_prompt_bound_covers_a_tokenizer_that_makes_a_token_of_each_byte(
    messages: list[tuple[str, str]], ascii_only: bool
) -> None:
    """Even one token for each byte of text, and six for each message, stays within the bound."""
    body = {"model": "m", "messages": [{"role": role, "content": text} for role, text in messages]}
    sent = re.sub("[\ud800-\udfff]", "?", json.dumps(body, ensure_ascii=ascii_only, separators=(",", ":"))).encode()
    worst = sum(len(text.encode()) + 6 for _, text in messages) + 3
    assert worst <= prompt_token_bound(len(sent))


def test_tools_add_the_providers_own_instructions() -> None:
    """A request with tools is given room for what the provider writes around them."""
    assert prompt_token_bound(100, tools=True) - prompt_token_bound(100) >= 500
