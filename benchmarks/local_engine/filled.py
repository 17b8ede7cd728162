"""What a cache full of earlier prompts costs those who come later, with idle prefixes parked and without."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from dataclasses import dataclass

from adapters.llama_cpp.provider import LlamaCppProvider
from benchmarks.local_engine.requests import Text, ask
from benchmarks.local_engine.run import CROWD, Setup, engine_of

_EARLIER = 400  # tokens of a prompt that is idle when it is measured
_FIRST, _THEN = 24, 8  # so many fill the cache of 8,192 tokens, and keep it full from one round to the next
_PROMPT = 8


@dataclass(frozen=True)
class Filled:
    """Tokens per second of eight answers at once, one figure a round. `empty` is before the first earlier prompt."""

    empty: list[float]
    parked: list[float]
    kept: list[float]

    def lines(self, name: str) -> list[str]:
        ratio = [parked / kept for parked, kept in zip(self.parked, self.kept, strict=True)]
        empty = statistics.median(self.empty)
        return [
            f"{name}: tokens/s of {CROWD} at once after earlier prompts, parked : kept in the cache: {_middle(ratio)}",
            f"{name}: the same, parked : before any prompt: {_middle([one / empty for one in self.parked])}",
            f"{name}: the same, kept in the cache : before any prompt: {_middle([one / empty for one in self.kept])}",
        ]


class _Side:
    def __init__(self, setup: Setup, provider: LlamaCppProvider, seed: int) -> None:
        self._setup, self.provider, self._text = setup, provider, Text(seed)

    async def earlier(self, count: int) -> None:
        for start in range(0, count, CROWD):
            await asyncio.gather(*(self._ask(_EARLIER, 2) for _ in range(start, min(start + CROWD, count))))

    async def speed(self) -> float:
        started = time.perf_counter()
        await asyncio.gather(*(self._ask(_PROMPT, self._setup.tokens) for _ in range(CROWD)))
        return CROWD * self._setup.tokens / (time.perf_counter() - started)

    async def _ask(self, size: int, tokens: int) -> None:
        await ask(self.provider, self._text.take(size), tokens)


async def filled(setup: Setup, rounds: int) -> Filled:
    """Two engines that differ in this alone. They take turns, each idle while the other works."""
    engines = [engine_of(setup), engine_of(setup, prefix_memory=0)]
    sides = [_Side(setup, LlamaCppProvider(engine), seed) for seed, engine in enumerate(engines)]
    found = Filled([], [], [])
    try:
        for engine, side in zip(engines, sides, strict=True):
            await engine.start()
            await side.speed()  # the first one warms up
            found.empty.append(await side.speed())
        for number in range(rounds):
            for side in sides:
                await side.earlier(_THEN if number else _FIRST)
            for place in (0, 1) if number % 2 else (1, 0):
                (found.parked, found.kept)[place].append(await sides[place].speed())
            stats = [await side.provider.stats() for side in sides]
            idle = [(one["idle_prefixes"], one["parked_prefixes"]) for one in stats]
            print(f"round {number + 1} of {rounds}: {found}, idle and parked {idle}", file=sys.stderr, flush=True)
    finally:
        for side in sides:
            await side.provider.aclose()
    return found


def _middle(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
