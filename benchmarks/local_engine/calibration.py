"""Does the predicted bound on the time to first token hold for 95 of 100 requests?

Clients ask, wait a random time, and ask again; there are more of them than places, prompts have very different
lengths, and so have answers. Just before a request each asks what bound the engine gives for its prompt.
"""

from __future__ import annotations

import asyncio
import random
import statistics
from dataclasses import dataclass

from adapters.llama_cpp.provider import LlamaCppProvider
from benchmarks.local_engine.requests import Text, ask
from benchmarks.local_engine.run import Setup, engine_of

_PLACES, _CLIENTS = 4, 8
_PAUSE = 1.0  # mean seconds between two requests of a client
_LEARNING = 20  # requests that come before the count


@dataclass(frozen=True)
class Calibration:
    """The share of the requests that kept their bound, as their clients saw it and as the engine counted it (with the
    first few), and how far above the true time the bound lay in the median."""

    requests: int
    held: float
    counted: float
    width: float

    def line(self, name: str) -> str:
        return (
            f"{name}: the p95 bound on the time to first token held for {self.held:.1%} of {self.requests} requests "
            f"({self.counted:.1%} as the engine counts), and was {self.width:.2f} times the true time in the median"
        )


async def calibrate(setup: Setup, requests: int) -> Calibration:
    """One engine, `requests` requests after the first few."""
    engine = engine_of(setup, _PLACES)
    await engine.start()
    provider = LlamaCppProvider(engine)
    seen: list[tuple[float, float]] = []
    chance, text = random.Random(11), Text(11)

    async def client() -> None:
        while len(seen) < requests + _LEARNING:
            await asyncio.sleep(chance.expovariate(1 / _PAUSE))
            length = int(8 * 2 ** chance.uniform(0, 6))  # 8 to 512, short ones most often
            bound = (await provider.stats(prompt_tokens=length))["first_token_p95_seconds"]
            seen.append((bound, await ask(provider, text.take(length), chance.randint(2, 32))))

    try:
        await ask(provider, text.take(64), 4)
        await asyncio.gather(*(client() for _ in range(_CLIENTS)))
        kept: float = (await provider.stats())["bound_kept_rate"]
    finally:
        await provider.aclose()
    counted = seen[_LEARNING:]
    held = sum(seconds <= bound for bound, seconds in counted) / len(counted)
    return Calibration(len(counted), held, kept, statistics.median(bound / seconds for bound, seconds in counted))
