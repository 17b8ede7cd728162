"""Upper bounds on what a call can cost, before it is made."""

from __future__ import annotations

from gateway.domain.money import NanoUsd, Price, Usage

CHARACTERS_PER_TOKEN = 4  # of English prose; for estimates only, money is reserved by the bound below


def prompt_token_bound(size: int) -> int:
    """The most tokens a JSON body of `size` bytes can be.

    Every tokenizer in use is byte-level or falls back to bytes, so no token is shorter than one byte; and the tokens
    that a chat template adds around a message (3 or 4) are fewer than the JSON syntax around it
    (``{"role":"user","content":""},`` is 29 bytes).
    """
    return size


def prompt_token_estimate(characters: int) -> int:
    return -(-characters // CHARACTERS_PER_TOKEN)


def worst_cost(price: Price, prompt_bound: int, max_output: int, choices: int) -> NanoUsd:
    """The most a call can cost: no cached tokens, every choice as long as allowed."""
    return price.cost(Usage(prompt_bound, max_output * choices))


def affordable_output(price: Price, prompt_bound: int, cap: NanoUsd, choices: int) -> int:
    """The largest output bound per choice, in tokens, whose worst cost stays within `cap`; 0 when none does."""
    left = cap * 1000 - prompt_bound * price.input
    if left < 0:
        return 0
    if price.output == 0:
        return 2**31
    return left // (price.output * choices)
