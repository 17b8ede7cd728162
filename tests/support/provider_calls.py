"""Calls to a provider in tests, with their permits, and what comes of them."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.domain.call import Chunk, EgressPermit, ProviderCall, ProviderEvent
from gateway.domain.errors import ProviderError
from gateway.domain.money import FREE
from gateway.domain.ports import Provider
from gateway.domain.target import Target, Zone

TARGET = Target("cloud-a", Zone.CLOUD, "EU", frozenset(), "openai", "m", "openai_chat", FREE, 100, 1000)
CONTENT = "kangaroo"
KEY = "sk-test-key"


def call(model: str = "m", *, stream: bool = False, text: str = CONTENT, **more: Any) -> ProviderCall:
    """A call with its permit."""
    messages = [{"role": "user", "content": text}]
    body = json.dumps({"model": model, "messages": messages, "stream": stream}).encode()
    permit = EgressPermit("d-1", TARGET.id, hashlib.sha256(body).digest())
    return ProviderCall(TARGET, body, stream, permit, **more)


async def events(provider: Provider, request: ProviderCall) -> list[ProviderEvent]:
    """All events of one call."""
    return [event async for event in provider.stream(request)]


async def failure(provider: Provider, request: ProviderCall) -> ProviderError:
    """The error that a call ends with; it must tell nothing of content or key, in any way of printing it."""
    with pytest.raises(ProviderError) as caught:
        await events(provider, request)
    error = caught.value
    shown = f"{error} {error!r} {error.public} {error.detail} {error.__cause__!r} {error.__context__!r}"
    assert CONTENT not in shown
    assert KEY not in shown
    assert error.__cause__ is None
    assert error.__context__ is None
    return error


async def eventually(condition: Callable[[], bool], seconds: float = 2) -> None:
    """Wait until the other side of a socket has noticed something."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # the server's side of a socket sets no event
            await asyncio.sleep(0.002)


def text_of(chunks: list[ProviderEvent]) -> str:
    """What a client puts together from a stream."""
    trees = [json.loads(event.data) for event in chunks if isinstance(event, Chunk)]
    return "".join(choice["delta"].get("content") or "" for tree in trees for choice in tree["choices"])
