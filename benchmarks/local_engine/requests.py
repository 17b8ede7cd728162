"""The requests that the benchmark sends, and their time to the first token."""

from __future__ import annotations

import hashlib
import json
import random
import time
from contextlib import aclosing
from typing import Any

from adapters.llama_cpp.provider import LlamaCppProvider
from gateway.domain.call import Chunk, EgressPermit, ProviderCall, Timeouts
from gateway.domain.money import Price
from gateway.domain.target import Target, Zone

CONTEXT = 8192
TARGET = Target(
    id="bench",
    zone=Zone.LOCAL,
    region="EU",
    labels=frozenset(),
    provider="llama_cpp",
    model="random",
    dialect="openai_chat",
    price=Price(0, 0, 0),
    max_output_tokens=4096,
    context_tokens=CONTEXT,
)
ENDLESS = {"0": -100, "2": -100}
"""The bias under which no answer ends by itself."""


class Text:
    """Text that never comes twice, so that nothing is found in a cache. A character is a token."""

    def __init__(self, seed: int = 5) -> None:
        self._random = random.Random(seed)

    def take(self, size: int) -> str:
        return "".join(self._random.choices("abcdefghijklmnopqrstuvwxyz ", k=size))


async def ask(provider: LlamaCppProvider, prompt: str | list[dict[str, str]], tokens: int) -> float:
    """Seconds to the first token; returns when the answer is complete."""
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    request: dict[str, Any] = {"messages": messages, "max_tokens": tokens, "stream": True, "logit_bias": ENDLESS}
    body = json.dumps(request).encode()
    permit = EgressPermit("bench", TARGET.id, hashlib.sha256(body).digest())
    call = ProviderCall(TARGET, body, True, permit, Timeouts(5, 600, 600))
    started, first = time.perf_counter(), 0.0
    async with aclosing(provider.stream(call)) as events:
        async for event in events:
            if not first and isinstance(event, Chunk):
                first = time.perf_counter() - started
    return first
