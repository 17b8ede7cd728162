"""What the event loop feels of 32 requests of 20 kB that are being inspected."""

import asyncio
import itertools
import time
from dataclasses import dataclass

from benchmarks.inspection.texts import dense, prose
from gateway.dialects.openai_chat import GRAMMAR
from gateway.inspection.detector import PresidioDetector
from gateway.inspection.inspector import Inspector

IN_FLIGHT = 32
SIZE = 20_000
_TICK = 0.001


@dataclass(frozen=True)
class Stall:
    """Milliseconds by which a timer fired late, and requests inspected a second."""

    p50_ms: float
    p99_ms: float
    worst_ms: float
    requests_per_s: float


async def stall(processes: int, seconds: float, *, inline: bool) -> Stall:
    """Keep 32 requests in flight, in processes or (`inline`) all in the loop as a plain call of the engine would."""
    detector = PresidioDetector(processes=processes)
    await detector.start()
    bodies = itertools.cycle([_body(seed) for seed in range(64)])
    inspector = Inspector(detector, timeout=60.0)
    late: list[float] = []
    done = 0
    until = time.perf_counter() + seconds

    async def client() -> None:
        nonlocal done
        while time.perf_counter() < until:
            body = next(bodies)
            if inline:
                assert detector._engine is not None
                for message in body["messages"]:
                    detector._engine.scan(message["content"])
                await asyncio.sleep(0)
            else:
                await inspector.inspect(body, GRAMMAR)
            done += 1

    async def clock() -> None:
        while time.perf_counter() < until:
            before = time.perf_counter()
            await asyncio.sleep(_TICK)
            late.append((time.perf_counter() - before - _TICK) * 1e3)

    async def clients() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(client())
                await asyncio.sleep(0.002)  # requests do not arrive in one instant

    try:
        await asyncio.gather(clock(), clients())
    finally:
        await detector.aclose()
    late.sort()
    return Stall(late[len(late) // 2], late[int(len(late) * 0.99)], late[-1], done / seconds)


def _body(seed: int) -> dict[str, object]:
    """A conversation: half prose in short messages, and one long document with data in it."""
    messages = [{"role": "user", "content": prose(500, seed * 100 + turn)} for turn in range(20)]
    messages.append({"role": "user", "content": prose(8_000, seed) + dense(2_000, seed)})
    return {"model": "bench", "messages": messages}
