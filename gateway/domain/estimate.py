"""The most a request can cost, known before it is sent, so that a reservation is never too small."""

from __future__ import annotations

from typing import Final

from gateway.domain.money import NanoUsd, Price

MOST_OUTPUT: Final = 2**31 - 1
"""The answer of `affordable_output` where output is free: beyond any model's own bound."""

CHARACTERS_PER_TOKEN: Final = 4
"""Of English prose; for estimates only, money is reserved by the bound."""

_PER_REQUEST: Final = 16
_TOOL_PROMPT: Final = 1024
_PICO_PER_NANO: Final = 1000


def worst_cost(price: Price, prompt_token_bound: int, max_output_tokens: int, choices: int) -> NanoUsd:
    """The cost when the prompt is as long as it can be, nothing of it is cached, and every one of the `choices`
    answers is `max_output_tokens` long; rounded up."""
    pico = _prompt_cost(price, prompt_token_bound) + price.output * max_output_tokens * choices
    return NanoUsd(-(-pico // _PICO_PER_NANO))


def affordable_output(price: Price, prompt_token_bound: int, cap: NanoUsd, choices: int) -> int:
    """The largest output bound per choice, in tokens, whose worst cost is at most `cap`; 0 when there is none."""
    left = cap * _PICO_PER_NANO - _prompt_cost(price, prompt_token_bound)
    if left < 0:
        return 0
    per_token = price.output * choices
    return MOST_OUTPUT if per_token == 0 else min(MOST_OUTPUT, left // per_token)


def prompt_token_bound(size_bytes: int, *, tools: bool = False) -> int:
    """An upper bound of the prompt's tokens, from the size of the JSON that is sent; needs no tokenizer.

    * Byte-level BPE and byte fallback, which all current models use, make each token out of at least one byte of text.
      JSON only ever makes a text longer: quotes, escapes (``\\u00e9`` is 6 bytes for 2).
    * A chat template adds some 3 to 6 tokens for each message; the JSON around a message,
      ``{"role":"user","content":""},``, is 28 bytes. What it adds once per request is in a fixed 16.
    * A text to embed gets at most 2 tokens around it; its quotes and its comma are 3 bytes.
    * With tools, providers add instructions of their own (Anthropic documents up to some 500 tokens): a fixed 1,024.

    Not bounded by this: what server-side tools (web search, code execution) add while the answer is made, and
    tokenizers that expand compatibility characters (one Arabic ligature of 3 bytes to 18 letters). What that costs
    beyond the reservation is still counted when the request is settled.
    """
    return size_bytes + _PER_REQUEST + (_TOOL_PROMPT if tools else 0)


def prompt_token_estimate(characters: int) -> int:
    """The likely number of prompt tokens, for ranking targets and for policies."""
    return -(-characters // CHARACTERS_PER_TOKEN)


def _prompt_cost(price: Price, tokens: int) -> int:
    """Pico-dollars."""
    return max(price.input, price.cached_input) * tokens
