"""Calls to a local engine, as the pipeline would make them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio

from adapters.llama_cpp.provider import LlamaCppProvider
from adapters.llama_cpp.supervisor import EngineConfig
from gateway.domain.call import Chunk, EgressPermit, End, ProviderCall, Timeouts, Whole
from gateway.domain.money import Price
from gateway.domain.target import Target, Zone

LONG = 12_000  # tokens: seconds of decoding with the tiny model


def config(model: Path, **changes: Any) -> EngineConfig:
    """A small engine that is pinged and restarted quickly."""
    return EngineConfig(
        **{"name": "tiny", "model": model, "threads": 1, "ping_interval": 0.5, "backoff_first": 0.1, **changes}
    )


def target() -> Target:
    """The local target that `call` is for."""
    return Target(
        id="local",
        zone=Zone.LOCAL,
        region="EU",
        labels=frozenset(),
        provider="llama_cpp",
        model="tiny",
        dialect="openai_chat",
        price=Price(0, 0, 0),
        max_output_tokens=1000,
        context_tokens=16384,
    )


def call(body: dict[str, Any] | bytes, timeouts: Timeouts | None = None, **more: Any) -> ProviderCall:
    """A cleared call. A body without messages gets one; temperature is 0 unless it says otherwise. `more` are further
    members of the call (tenant, first_token)."""
    if isinstance(body, dict):
        defaults = {"model": "x", "messages": [{"role": "user", "content": "Hello."}], "temperature": 0}
        body = json.dumps({**defaults, **body}).encode()
    permit = EgressPermit("d1", "local", hashlib.sha256(body).digest())
    return ProviderCall(target(), body, b'"stream": true' in body, permit, timeouts or Timeouts(5, 20, 20), **more)


async def whole(provider: LlamaCppProvider, body: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The answer to a call without streaming."""
    async with aclosing(provider.stream(call(body, **more))) as events:
        answers = [event async for event in events]
    assert [type(answer) for answer in answers] == [Whole]
    assert isinstance(answers[0], Whole)
    answer: dict[str, Any] = json.loads(answers[0].body)
    return answer


async def chunks(provider: LlamaCppProvider, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The chunks of a complete stream."""
    async with aclosing(provider.stream(call({**body, "stream": True}))) as events:
        received = [event async for event in events]
    assert isinstance(received.pop(), End)
    return [json.loads(event.data) for event in received if isinstance(event, Chunk)]


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 10) -> None:
    """Wait for what another process does; `TimeoutError` when it does not."""
    with anyio.fail_after(seconds):
        while True:
            met = condition()
            if met if isinstance(met, bool) else await met:
                return
            await anyio.sleep(0.02)


async def waiting(provider: LlamaCppProvider, count: int) -> bool:
    """Are there so many requests in the queue?"""
    return bool((await provider.stats())["waiting"] == count)


def text(streamed: list[dict[str, Any]], index: int = 0) -> str:
    """What a client puts together from the chunks of one choice."""
    choices = [choice for chunk in streamed for choice in chunk["choices"] if choice["index"] == index]
    return "".join(choice["delta"].get("content") or "" for choice in choices)
