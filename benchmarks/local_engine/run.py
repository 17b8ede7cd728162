"""Speed. Each round measures everything once, so that what disturbs the machine disturbs all of it."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from llama_cpp import Llama

from adapters.llama_cpp.provider import LlamaCppProvider
from adapters.llama_cpp.supervisor import EngineConfig, EngineSupervisor
from benchmarks.local_engine.requests import CONTEXT, Text, ask
from benchmarks.local_engine.rivals import SLOTS, Rival, llama_server, python_server

TURN = 2000  # tokens of the conversation's first turn; one character is one token
CROWDS = (1, 4, 8, SLOTS)
CROWD = 8  # the requests whose first tokens are measured when they come at once
_PROMPT = 8  # tokens: what is measured is writing, not reading


@dataclass
class Round:
    """Tokens per second by concurrency (`serial` through `Llama`, `server` through llama-server), times in seconds,
    and the engine's own figures."""

    serial: float = 0.0
    speed: dict[int, float] = field(default_factory=dict)
    server: dict[int, float] = field(default_factory=dict)
    first_serial: list[float] = field(default_factory=list)
    first_python_server: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    turns: tuple[float, float] = (0.0, 0.0)
    python_share: float = 0.0


@dataclass(frozen=True)
class Setup:
    """`tokens` an answer has. `llama_server` is the program, None to do without."""

    model: Path
    threads: int
    tokens: int
    flash_attention: str
    llama_server: Path | None
    with_python_server: bool
    logs: Path


def engine_of(setup: Setup, parallel: int = SLOTS, nice: int = 0, prefix_memory: int | None = None) -> EngineSupervisor:
    """The engine under measurement, not started. It has the priority of what it is compared with."""
    config = EngineConfig(
        name="random",
        model=setup.model,
        context_tokens=CONTEXT,
        threads=setup.threads,
        parallel=parallel,
        flash_attention=setup.flash_attention,
        nice=nice,
        prefix_memory=prefix_memory,
    )
    return EngineSupervisor(config)


class _Contest:
    """Everybody who is measured, each idle while another works."""

    def __init__(self, setup: Setup, provider: LlamaCppProvider, llama: Llama, stack: ExitStack) -> None:
        self._setup, self._provider, self._llama = setup, provider, llama
        self._text = Text()
        common = (setup.model, setup.threads, CONTEXT, setup.logs)
        self._server: Rival | None = None
        self._python: Rival | None = None
        if setup.llama_server is not None:
            self._server = stack.enter_context(llama_server(setup.llama_server, *common))
        if setup.with_python_server:
            self._python = stack.enter_context(python_server(*common))

    async def warm_up(self) -> None:
        await ask(self._provider, self._take(), 4)
        await asyncio.to_thread(self._alone, 4)
        for rival in self._rivals():
            await rival.ask(self._take(), 4)

    async def round(self, *, rival_first: bool) -> Round:
        """All of it once. Whoever comes second finds the machine warmer, or busier: they change places."""
        made, setup = Round(), self._setup
        started = time.perf_counter()
        for _ in range(CROWD):  # all came at once; each waits for those before it
            first = await asyncio.to_thread(self._alone, setup.tokens)
            made.first_serial.append(first - started)
        made.serial = CROWD * setup.tokens / (time.perf_counter() - started)
        for number in CROWDS:
            with_server = self._server is not None and number >= CROWD
            if with_server and rival_first:
                made.server[number], _ = await self._crowd(self._server, number)
            made.speed[number], firsts = await self._crowd(None, number)
            if number == CROWD:
                made.first = firsts
            if with_server and not rival_first:
                made.server[number], _ = await self._crowd(self._server, number)
        if self._python is not None:
            _, made.first_python_server = await self._crowd(self._python, CROWD)
        made.python_share = (await self._provider.stats())["python_share"]
        return made

    async def aclose(self) -> None:
        for rival in self._rivals():
            await rival.aclose()

    def _rivals(self) -> list[Rival]:
        return [rival for rival in (self._server, self._python) if rival is not None]

    def _take(self) -> str:
        return self._text.take(_PROMPT)

    async def _crowd(self, rival: Rival | None, number: int) -> tuple[float, list[float]]:
        """Tokens per second of all, and the times to the first token; None is the engine."""
        tokens = self._setup.tokens
        started = time.perf_counter()
        firsts = await asyncio.gather(
            *(
                ask(self._provider, self._take(), tokens) if rival is None else rival.ask(self._take(), tokens)
                for _ in range(number)
            )
        )
        return number * tokens / (time.perf_counter() - started), firsts

    async def turns(self) -> tuple[float, float]:
        messages = [{"role": "user", "content": self._text.take(TURN)}]
        first = await ask(self._provider, messages, 1)
        messages += [{"role": "assistant", "content": "ok"}, {"role": "user", "content": self._take()}]
        return first, await ask(self._provider, messages, 1)

    def _alone(self, tokens: int) -> float:
        """The moment of the first token, for one request through `Llama`, as its users would make it."""
        first = 0.0
        prompt = self._llama.tokenize(self._take().encode())
        for count, _ in enumerate(self._llama.generate(prompt, temp=0.8), start=1):
            first = first or time.perf_counter()
            if count == tokens:
                break
        return first


async def measure(setup: Setup, rounds: int) -> list[Round]:
    """One engine and one of each of the others for all rounds. Raises `Unavailable`."""
    with ExitStack() as stack:
        engine = engine_of(setup)
        await engine.start()
        provider = LlamaCppProvider(engine)
        threads = {"n_threads": setup.threads, "n_threads_batch": setup.threads}
        llama = Llama(str(setup.model), n_ctx=2048, verbose=False, **threads)
        try:
            contest = _Contest(setup, provider, llama, stack)
            await contest.warm_up()
            made = []
            for number in range(1, rounds + 1):
                made.append(await contest.round(rival_first=number % 2 == 0))
                print(f"round {number} of {rounds}: {made[-1]}", file=sys.stderr, flush=True)
            for one in made:  # last, so that the engine's cache holds what llama-server's does in all rounds
                one.turns = await contest.turns()
            await contest.aclose()
            return made
        finally:
            llama.close()
            await provider.aclose()


def table(name: str, rounds: list[Round]) -> list[str]:
    """The figures as lines: medians over the rounds of ratios within a round."""

    def middle(values: list[float]) -> str:
        return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"

    lines = [f"{name}: Llama, one at a time: {middle([one.serial for one in rounds])} tokens/s"]
    for number in rounds[0].speed:
        speeds = middle([one.speed[number] for one in rounds])
        ratio = middle([one.speed[number] / one.serial for one in rounds])
        lines.append(f"{name}: engine, {number:2} at once: {speeds} tokens/s, ratio {ratio}")
    for number in rounds[0].server:
        ratio = middle([one.speed[number] / one.server[number] for one in rounds])
        lines.append(f"{name}: tokens/s of {number:2} at once, engine : llama-server: {ratio}")
    firsts = [_late(one.first) / _late(one.first_serial) for one in rounds]
    lines.append(f"{name}: first token of 8 at once, p95, engine : Llama behind a queue: {middle(firsts)}")
    if rounds[0].first_python_server:
        firsts = [_late(one.first) / _late(one.first_python_server) for one in rounds]
        lines.append(f"{name}: first token of 8 at once, p95, engine : llama_cpp.server: {middle(firsts)}")
    turns = [one.turns[1] / one.turns[0] for one in rounds]
    lines.append(f"{name}: first token of the second turn : of the first, {TURN} tokens: {middle(turns)}")
    lines.append(f"{name}: part of the steps outside llama.cpp: {rounds[-1].python_share:.1%}")
    return lines


def _late(times: list[float]) -> float:
    return statistics.quantiles(times, n=20, method="inclusive")[-1]
