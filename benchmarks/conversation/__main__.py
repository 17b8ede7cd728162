"""What the turns of a conversation cost to inspect: without a cache, with the span cache, and with the history too.

All work is done in this process and counted in processor time, so that other processes make little difference. A turn
is a question of about 350 characters and the answer to the one before, of about 1,500.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import re
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from gateway.dialects import openai_chat
from gateway.domain.finding import Span
from gateway.inspection.cache import CachedDetector
from gateway.inspection.engine import Engine
from gateway.inspection.history import HistoryInspector
from gateway.inspection.inspector import Inspector
from gateway.inspection.redact import Pseudonymiser

_KEY = bytes(range(32))
_WORDS = re.findall(
    r"\w+",
    """the invoice we sent to your office last week has not been paid yet and our team would like to know whether you
    need another copy of it please tell us when payment can be expected so that shipping may continue as planned""",
)


class InPlace:
    """The recognisers as a detector, without processes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def entities(self) -> frozenset[str]:
        return self._engine.entities

    async def scan(self, texts: Sequence[str], timeout: float) -> list[list[Span]]:
        return [self._engine.scan(text) for text in texts]

    async def aclose(self) -> None:
        """Nothing to close."""


def messages(turns: int, rng: random.Random) -> list[dict[str, str]]:
    said = []
    for turn in range(turns):
        for role, sentences in (("user", 4), ("assistant", 20)):
            parts = [" ".join(rng.choices(_WORDS, k=14)).capitalize() + "." for _ in range(sentences)]
            parts.insert(1, f"Please write to customer{turn}@example.com or call +1 212-555-{1000 + turn % 9000}.")
            said.append({"role": role, "content": " ".join(parts)})
    return said[:-1]


async def cost(inspector: Inspector, said: Sequence[dict[str, str]]) -> float:
    """Milliseconds of processor time."""
    began = time.process_time()
    await inspector.inspect({"model": "auto", "messages": list(said)}, openai_chat.GRAMMAR)
    return (time.process_time() - began) * 1e3


async def main(turns: int, samples: int) -> None:
    engine = Engine()
    engine.warm()
    inner = InPlace(engine)

    def cached() -> CachedDetector:
        return CachedDetector(inner, key=_KEY, version="1")

    kinds: dict[str, Callable[[], Inspector]] = {
        "no cache": lambda: Inspector(inner),
        "span cache": lambda: Inspector(cached()),
        "span cache and history": lambda: HistoryInspector(cached(), key=_KEY),
    }
    said = messages(turns + samples, random.Random(1))
    first = 2 * turns - 1
    warm = {name: make() for name, make in kinds.items()}
    for inspector in warm.values():
        await cost(inspector, said[: first - 2])
    gc.collect()
    gc.freeze()  # as the gateway does
    alone: list[float] = []
    costs: dict[str, list[float]] = {name: [] for name in kinds}
    for length in range(first, len(said) + 1, 2):
        alone.append(await cost(kinds["span cache and history"](), said[length - 2 : length]))
        for name, inspector in warm.items():
            costs[name].append(await cost(inspector, said[:length]))
    base = statistics.median(alone)
    characters = sum(len(message["content"]) for message in said[:first])
    print(f"turn {turns} of a conversation of {characters:,} characters, medians of {samples} turns\n")
    print(f"{'one turn alone':26}{base:8.2f} ms")
    for name, values in costs.items():
        print(f"{name:26}{statistics.median(values):8.2f} ms  {statistics.median(values) / base:6.2f} x")
    await redaction(inner, said[:first])


async def redaction(inner: InPlace, said: Sequence[dict[str, str]]) -> None:
    """What is not cached: every turn is masked anew."""
    tree: dict[str, Any] = {"model": "auto", "messages": list(said)}
    findings = (await Inspector(inner).inspect(tree, openai_chat.GRAMMAR)).findings
    began = time.process_time()
    Pseudonymiser(_KEY).redact(tree, findings, "acme", openai_chat.GRAMMAR)
    print(f"\n{'masking all turns':26}{(time.process_time() - began) * 1e3:8.2f} ms  ({len(findings)} findings)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.conversation", description=__doc__)
    parser.add_argument("--turns", type=int, default=50)
    parser.add_argument("--samples", type=int, default=25)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.turns, arguments.samples))
