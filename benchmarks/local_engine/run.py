"""The measurements. Each round measures everything once, so that what disturbs the machine disturbs all of it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import statistics
import sys
import time
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llama_cpp import Llama

from adapters.llama_cpp.provider import LlamaCppProvider
from adapters.llama_cpp.supervisor import EngineConfig, EngineSupervisor
from gateway.domain.call import Chunk, EgressPermit, ProviderCall, Timeouts
from gateway.domain.money import Price
from gateway.domain.target import Target, Zone

PLACES = 16
TURN = 2000  # tokens of the conversation's first turn; one character is one token
_PROMPT = 8  # tokens: what is measured is writing, not reading
_TARGET = Target(
    id="bench",
    zone=Zone.LOCAL,
    region="EU",
    labels=frozenset(),
    provider="llama_cpp",
    model="random",
    dialect="openai_chat",
    price=Price(0, 0, 0),
    max_output_tokens=4096,
    context_tokens=8192,
)


@dataclass
class Round:
    """Tokens per second by concurrency (`serial` through `Llama`), times in seconds, and the engine's own figures."""

    serial: float = 0.0
    speed: dict[int, float] = field(default_factory=dict)
    first_serial: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    turns: tuple[float, float] = (0.0, 0.0)
    python_share: float = 0.0


@dataclass(frozen=True)
class Setup:
    """`tokens` an answer has; the first tokens are measured for `crowd` requests that come at once."""

    model: Path
    threads: int
    tokens: int
    flash_attention: str
    crowd: int = 8


class _Text:
    """Text that never comes twice, so that nothing is found in a cache."""

    def __init__(self) -> None:
        self._random = random.Random(5)

    def take(self, size: int) -> str:
        return "".join(self._random.choices("abcdefghijklmnopqrstuvwxyz ", k=size))


async def measure(setup: Setup, rounds: int) -> list[Round]:
    """One engine for all rounds, and one `Llama`, each idle while the other works."""
    engine = EngineSupervisor(
        EngineConfig(
            name="random",
            model=setup.model,
            context_tokens=_TARGET.context_tokens,
            threads=setup.threads,
            parallel=PLACES,
            flash_attention=setup.flash_attention,
            nice=0,
        )
    )
    await engine.start()
    provider = LlamaCppProvider(engine)
    llama = Llama(str(setup.model), n_ctx=2048, n_threads=setup.threads, n_threads_batch=setup.threads, verbose=False)
    text = _Text()
    try:
        await _ask(provider, text.take(_PROMPT), 4)
        await asyncio.to_thread(_alone, llama, text.take(_PROMPT), 4)
        made = []
        for number in range(1, rounds + 1):
            made.append(await _round(setup, provider, llama, text))
            print(f"round {number} of {rounds}: {made[-1]}", file=sys.stderr, flush=True)
        return made
    finally:
        llama.close()
        await provider.aclose()


async def _round(setup: Setup, provider: LlamaCppProvider, llama: Llama, text: _Text) -> Round:
    made = Round()
    started = time.perf_counter()
    for _ in range(setup.crowd):  # all came at once; each waits for those before it
        first = await asyncio.to_thread(_alone, llama, text.take(_PROMPT), setup.tokens)
        made.first_serial.append(first - started)
    made.serial = setup.crowd * setup.tokens / (time.perf_counter() - started)
    for number in (1, 4, 8, PLACES):
        started = time.perf_counter()
        firsts = await asyncio.gather(*(_ask(provider, text.take(_PROMPT), setup.tokens) for _ in range(number)))
        made.speed[number] = number * setup.tokens / (time.perf_counter() - started)
        if number == setup.crowd:
            made.first = firsts
    story = text.take(TURN)
    messages = [{"role": "user", "content": story}]
    first = await _ask(provider, messages, 1)
    messages += [{"role": "assistant", "content": "ok"}, {"role": "user", "content": text.take(_PROMPT)}]
    made.turns = (first, await _ask(provider, messages, 1))
    made.python_share = (await provider.stats())["python_share"]
    return made


async def _ask(provider: LlamaCppProvider, prompt: str | list[dict[str, str]], tokens: int) -> float:
    """Seconds to the first token; returns when the answer is complete."""
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    request: dict[str, Any] = {
        "messages": messages, "max_tokens": tokens, "stream": True,
        "logit_bias": {"0": -100, "2": -100},  # no answer ends by itself
    }  # fmt: skip
    body = json.dumps(request).encode()
    permit = EgressPermit("bench", _TARGET.id, hashlib.sha256(body).digest())
    call = ProviderCall(_TARGET, body, True, permit, Timeouts(5, 600, 600))
    started, first = time.perf_counter(), 0.0
    async with aclosing(provider.stream(call)) as events:
        async for event in events:
            if not first and isinstance(event, Chunk):
                first = time.perf_counter() - started
    return first


def _alone(llama: Llama, prompt: str, tokens: int) -> float:
    """The moment of the first token, for one request through `Llama`, as its users would make it."""
    first = 0.0
    for count, _ in enumerate(llama.generate(llama.tokenize(prompt.encode()), temp=0.8), start=1):
        first = first or time.perf_counter()
        if count == tokens:
            break
    return first


def table(name: str, rounds: list[Round]) -> list[str]:
    """The figures as lines: medians over the rounds of ratios within a round."""

    def middle(values: list[float]) -> str:
        return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"

    lines = [f"{name}: Llama, one at a time: {middle([one.serial for one in rounds])} tokens/s"]
    for number in rounds[0].speed:
        speeds = middle([one.speed[number] for one in rounds])
        ratio = middle([one.speed[number] / one.serial for one in rounds])
        lines.append(f"{name}: engine, {number:2} at once: {speeds} tokens/s, ratio {ratio}")
    firsts = [_late(one.first) / _late(one.first_serial) for one in rounds]
    lines.append(f"{name}: first token of 8 at once, p95, engine : one at a time: {middle(firsts)}")
    turns = [one.turns[1] / one.turns[0] for one in rounds]
    lines.append(f"{name}: first token of the second turn : of the first, {TURN} tokens: {middle(turns)}")
    lines.append(f"{name}: part of the steps outside llama.cpp: {rounds[-1].python_share:.1%}")
    return lines


def _late(times: list[float]) -> float:
    return statistics.quantiles(times, n=20, method="inclusive")[-1]
