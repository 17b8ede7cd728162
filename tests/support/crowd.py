"""Clients that ask a gateway without pause, each in its own way, and note how every request ended."""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass
from typing import Any

import httpx

CARD = "4111 1111 1111 1111"
_SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}


@dataclass(frozen=True)
class Ended:
    """One request. `how` is answered, refused (an error instead of an answer), broken (an error event in the stream),
    left (by the client itself), or what else should never be; `code` is that of the error."""

    kind: str
    how: str
    decision: str = ""
    status: int = 0
    code: str = ""
    target: str = ""
    seconds: float = 0.0


class Crowd:
    """`size` clients, as soon as `start` is called; `stop` waits for their last answers. No request may take more than
    `patience` seconds."""

    def __init__(self, url: str, key: str, size: int, patience: float, seed: int) -> None:
        self.ended: list[Ended] = []
        self._size = size
        self._patience = patience
        self._random = random.Random(seed)
        self._options = {"base_url": url, "headers": {"authorization": f"Bearer {key}"}, "timeout": patience}
        self.reopen()
        self._tasks: list[asyncio.Task[None]] = []
        self._going = True

    def start(self) -> None:
        self._going = True
        self._tasks = [asyncio.create_task(self._keep_asking()) for _ in range(self._size)]

    async def stop(self) -> None:
        self._going = False
        await asyncio.gather(*self._tasks)

    def reopen(self) -> None:
        """New connections, after `aclose`."""
        self._client = httpx.AsyncClient(trust_env=False, **self._options)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _keep_asking(self) -> None:
        while self._going:
            kind = self._random.choice(list(_KINDS))
            ended = await self.ask(kind)
            self.ended.append(ended)
            if ended.how == "refused":  # as an SDK would, but sooner
                await asyncio.sleep(self._random.uniform(0.1, 0.4))

    async def ask(self, kind: str) -> Ended:
        """One request of this kind."""
        body = {"temperature": 0.5, **_KINDS[kind]}
        body["messages"] = [{"role": "user", "content": f"{self._random.random()} {body.pop('text')}"}]
        started = time.monotonic()
        try:
            ended = await asyncio.wait_for(self._ask(kind, body), self._patience)
        except (httpx.HTTPError, TimeoutError) as error:
            ended = Ended(kind, f"{type(error).__name__} {error}")
        return Ended(**{**_members(ended), "seconds": time.monotonic() - started})

    async def _ask(self, kind: str, body: dict[str, Any]) -> Ended:
        async with self._client.stream("POST", "/v1/chat/completions", json=body) as answer:
            known = {
                "decision": answer.headers.get("x-bailiwick-decision", ""),
                "target": answer.headers.get("x-bailiwick-target", ""),
                "status": answer.status_code,
            }
            if answer.status_code != 200:
                error = json.loads(await answer.aread())["error"]
                return Ended(kind, "refused", code=error["code"], **known)
            if not body.get("stream"):
                whole = json.loads(await answer.aread())
                return Ended(kind, "answered" if whole["choices"] else "empty", **known)
            last = ""
            async for line in answer.aiter_lines():
                last = line or last
                if kind.startswith("leaving") and "content" in line:
                    return Ended(kind, "left", **known)
        if last == "data: [DONE]":
            return Ended(kind, "answered", **known)
        try:
            return Ended(kind, "broken", code=json.loads(last.removeprefix("data: "))["error"]["code"], **known)
        except (ValueError, KeyError):
            return Ended(kind, "cut without a word", **known)


def _members(ended: Ended) -> dict[str, Any]:
    return {name: getattr(ended, name) for name in Ended.__dataclass_fields__}


_STAYS = {"logit_bias": {"2": -100}}  # the tiny model never ends its turn by itself
_KINDS: dict[str, dict[str, Any]] = {
    "short": {"model": "local", "text": "Hello", "max_tokens": 4},
    "short stream": {"model": "local", "text": "Hello", "max_tokens": 8, "stream": True},
    "reading": {"model": "local", "text": "word " * 900, "max_tokens": 2},
    "decoding": {"model": "local", "text": "Go", "max_tokens": 600, "stream": True, **_STAYS},
    "decoding whole": {"model": "local", "text": "Go", "max_tokens": 300, **_STAYS},
    "leaving": {"model": "local", "text": "Go", "max_tokens": 600, "stream": True, **_STAYS},
    "schema": {
        "model": "local", "text": "JSON", "max_tokens": 40,
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": _SCHEMA}},
    },
    "either": {"model": "auto", "text": "Hello", "max_tokens": 20},
    "either stream": {"model": "auto", "text": "Go", "max_tokens": 200, "stream": True, **_STAYS},
    "private": {"model": "auto", "text": f"Card {CARD}", "max_tokens": 4},
}  # fmt: skip
