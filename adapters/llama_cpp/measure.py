"""Measures how fast an engine is when it has enough to do. It starts an engine of its own, as the gateway would.

Prompts are measured first, alone. Then so many answers are made at a time, each with a short prompt before it, as in
service. What reading those prompts has taken is known from the first part and is taken off::

    answer speed = answer tokens / (seconds - prompt tokens / prompt speed)

Every prompt is new and random: nothing of it comes from the prefix cache.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal
from typing import Any

import orjson

from adapters.llama_cpp.client import ConnectionCut, Exchange
from adapters.llama_cpp.frames import Kind
from adapters.llama_cpp.measurements import Measurement, conditions
from adapters.llama_cpp.supervisor import EngineConfig, EngineSupervisor
from gateway.domain.errors import ConfigurationError

_LONGEST_PROMPT, _LONGEST_ANSWER = 1024, 128  # tokens
_SHORT_WORDS = 6
_LEAST_ROOM = 48  # tokens of context for each answer with its prompt
_MORE_WORDS = 12
_SLOWEST = 600.0  # seconds for one request: more is not worth waiting for
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class _Used:
    """Tokens that were read (what came from the cache is not counted) and written."""

    prompt: int = 0
    answer: int = 0

    def __add__(self, other: _Used) -> _Used:
        return _Used(self.prompt + other.prompt, self.answer + other.answer)


async def measure(config: EngineConfig, seconds: float, tell: Callable[[str], None]) -> Measurement:
    """Some `seconds` for each of the two speeds, and at least one round. `tell` hears what is done. Raises
    `ConfigurationError`."""
    # All answers come at once, and wait for a moment until the engine has taken them.
    engine = EngineSupervisor(replace(config, queue=max(config.queue, config.parallel)))
    await engine.start()
    try:
        return await _Bench(engine, config, seconds, tell).run()
    except (ConnectionCut, TimeoutError) as error:
        reason = str(error) or "no answer in time"
        raise ConfigurationError(f"the engine did not finish the measurement: {reason}") from error
    finally:
        await engine.aclose()


class _Bench:
    def __init__(
        self, engine: EngineSupervisor, config: EngineConfig, seconds: float, tell: Callable[[str], None]
    ) -> None:
        self._engine = engine
        self._config = config
        self._seconds = seconds
        self._tell = tell
        self._words = _words()

    async def run(self) -> Measurement:
        context = (await self._engine.stats())["context_tokens"]
        short = await self._ask(_SHORT_WORDS, 1)  # also the first touch of the weights, which is slower
        longer = await self._ask(_SHORT_WORDS + _MORE_WORDS, 1)
        per_word = max((longer.prompt - short.prompt) / _MORE_WORDS, 1.0)
        words = max(1, int(min(_LONGEST_PROMPT, context / 2) / per_word))
        self._tell(f"reading prompts of about {words * per_word:.0f} tokens")
        prompt = await self._prompts(words)
        # All answers of a moment share the context, with their prompts; what does not fit would be read twice.
        answers = max(1, min(self._config.parallel, context // _LEAST_ROOM))
        length = max(8, min(_LONGEST_ANSWER, context // answers - 2 * short.prompt))
        self._tell(f"making {answers} answers of at most {length} tokens at a time")
        answer = await self._answers(answers, length, prompt)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        return Measurement(_number(prompt), _number(answer), answers, at, conditions(self._config))

    async def _prompts(self, words: int) -> float:
        began, used = time.monotonic(), _Used()
        while used.prompt == 0 or time.monotonic() - began < self._seconds:
            used += await self._ask(words, 1)
        return used.prompt / (time.monotonic() - began)

    async def _answers(self, count: int, length: int, prompt_speed: float) -> float:
        began = time.monotonic()

        async def one_after_the_other() -> _Used:
            used = await self._ask(_SHORT_WORDS, length)
            while time.monotonic() - began < self._seconds:
                used += await self._ask(_SHORT_WORDS, length)
            return used

        used = sum(await asyncio.gather(*(one_after_the_other() for _ in range(count))), _Used())
        took = time.monotonic() - began
        writing = took - used.prompt / prompt_speed
        if used.answer < 2 * count or writing <= 0:
            raise ConfigurationError("the model ends its answers at once: give its tokens_per_second in the settings")
        return used.answer / writing

    async def _ask(self, words: int, max_tokens: int) -> _Used:
        """One request to the engine. The answer is thrown away."""
        text = " ".join(next(self._words) for _ in range(words))
        body = {
            "messages": [{"role": "user", "content": text}],
            "max_tokens": max_tokens,
            "temperature": 1.0,
            "stream": False,
        }
        exchange = await Exchange.open(self._engine.socket)
        try:
            exchange.send(Kind.CHAT, orjson.dumps(body))
            frame = await exchange.next(_SLOWEST)
        finally:
            exchange.close()
        if frame.kind is not Kind.WHOLE:
            raise ConfigurationError("the engine refuses the requests of the measurement")
        usage: dict[str, Any] = orjson.loads(frame.payload)["usage"]
        cached = usage["prompt_tokens_details"]["cached_tokens"]
        return _Used(usage["prompt_tokens"] - cached, usage["completion_tokens"])


def _words() -> Iterator[str]:
    """Made-up words without end, other ones each time."""
    draw = random.Random()
    while True:
        yield "".join(draw.choice("bdfklmnprst") + draw.choice("aeiou") for _ in range(draw.randint(1, 3)))


def _number(speed: float) -> str:
    """Four digits, rounded down: a speed that is overstated would understate the price."""
    exact = Decimal(speed)
    step = Decimal(1).scaleb(max(exact.adjusted() - _DIGITS + 1, -_DIGITS))
    return format(exact.quantize(step, ROUND_DOWN).normalize(), "f")
