"""What a day at a company brings to its gateway, in small: every kind of request, from several tenants."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import httpx

TENANTS = 5
_WORDS = re.findall(
    r"\w+",
    """the invoice that we sent to your office last week has not been paid yet and our team would like to know whether
    you need another copy of it please tell us when the payment can be expected so that shipping may continue as planned
    could you also explain how to reset a password for the printer on the second floor and who answers for the keys""",
)
_SYSTEM = "You are the help desk of a company of medium size. Answer shortly and kindly. " * 3
_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}, "urgent": {"type": "boolean"}},
    "required": ["city", "urgent"],
    "additionalProperties": False,
}
_TOOL = {"type": "function", "function": {"name": "open_ticket", "parameters": _SCHEMA}}
KINDS: Mapping[str, int] = {
    "short": 36, "stream": 20, "left": 8, "long": 3, "too long": 2, "conversation": 10, "several": 3,
    "tool": 3, "schema": 2, "cloud": 5, "private": 3, "bad request": 2, "unknown model": 2, "wrong key": 1,
}  # fmt: skip
"""How many in a hundred are of a kind."""

CLOUD_KINDS = {kind: share for kind, share in KINDS.items() if kind not in ("too long", "private", "bad request")}
"""Those that end in the same way where a scripted cloud takes the place of the local model."""

_EXPECTED = {"too long": {400}, "bad request": {400}, "unknown model": {404}, "wrong key": {401}}


class Traffic:
    """Sends one request after the other through `client`, as one of the tenants of these keys. `outcomes` counts by
    kind and by what came of it; `surprises` are those that should not have been, with their error code. `kinds` has
    the share of each kind."""

    def __init__(self, client: httpx.AsyncClient, keys: list[str], seed: int, kinds: Mapping[str, int] = KINDS) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.surprises: Counter[tuple[str, str]] = Counter()
        self._client = client
        self._keys = keys
        self._kinds = kinds
        self._random = random.Random(seed)
        self._turns: dict[str, list[dict[str, str]]] = {}

    @property
    def done(self) -> int:
        return self.outcomes.total()

    async def one(self) -> None:
        """One request to its end. A full queue is an answer, too; the client comes back later."""
        kind = self._random.choices(list(self._kinds), weights=list(self._kinds.values()))[0]
        tenant = self._random.randrange(len(self._keys))
        key = "bk_wrong" if kind == "wrong key" else self._keys[tenant]
        headers = {"authorization": f"Bearer {key}"}
        body = self._body(kind)
        if kind == "conversation":
            headers["x-bailiwick-conversation"] = self._continued(tenant, body)
        try:
            status, code = await self._send(kind, headers, body)
        except httpx.HTTPError as error:
            status, code = 0, type(error).__name__
        self.outcomes[kind, str(status)] += 1
        if status == 429 and code == "target_busy":
            await asyncio.sleep(0.2)
        elif status not in _EXPECTED.get(kind, {200}):
            self.surprises[kind, f"{status} {code}"] += 1

    def _text(self, words: int) -> str:
        return " ".join(self._random.choices(_WORDS, k=words))

    def _body(self, kind: str) -> dict[str, Any]:
        draw = self._random
        text = self._text(draw.randint(40, 120) if kind == "long" else draw.randint(3, 30))
        if kind == "too long":  # by tokens, not by what is estimated of its characters: the engine has to say so
            text = " ".join("".join(draw.choices("bcdfghjklmnpqrstvwxz", k=6)) for _ in range(900))
        messages = [{"role": "user", "content": text}]
        if draw.random() < 0.3 and kind != "long":
            messages.insert(0, {"role": "system", "content": _SYSTEM})
        body: dict[str, Any] = {"model": "local", "messages": messages, "max_tokens": draw.choice((1, 2, 4, 8))}
        if kind in ("stream", "left") or (kind == "cloud" and draw.random() < 0.5):
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        more: dict[str, dict[str, Any]] = {
            "left": {"max_tokens": 24},
            "several": {"n": 2, "logprobs": True, "top_logprobs": 3},
            "tool": {"tools": [_TOOL], "tool_choice": "required", "max_tokens": 24},
            "schema": {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": _SCHEMA}}},
            "cloud": {"model": "cloud"},
            "private": {"model": "auto"},
            "bad request": {"temperature": "warm"},
            "unknown model": {"model": "gpt-99"},
        }
        body |= more.get(kind, {})
        if kind in ("cloud", "private"):
            messages[-1]["content"] += f" Write to customer{draw.randrange(10**6)}@example.com"
        if kind == "private":
            messages[-1]["content"] += " about card 4111 1111 1111 1111"
        return body

    def _continued(self, tenant: int, body: dict[str, Any]) -> str:
        """The body goes on with a conversation of its tenant, which begins anew after six turns."""
        name = f"talk-{tenant}-{self._random.randrange(4)}"
        turns = self._turns.setdefault(name, [])
        if len(turns) >= 12:
            turns.clear()
        turns += [body["messages"][-1], {"role": "assistant", "content": self._text(8)}]
        body["messages"] = turns[:-1]
        return name if len(turns) > 2 else f"{name}-{self._random.randrange(10**9)}"

    async def _send(self, kind: str, headers: dict[str, str], body: dict[str, Any]) -> tuple[int, str]:
        path = "/v1/chat/completions"
        async with self._client.stream("POST", path, headers=headers, json=body) as answer:
            if answer.status_code != 200:
                error = json.loads(await answer.aread())["error"]
                return answer.status_code, str(error["code"])
            last = ""
            async for line in answer.aiter_lines():
                last = line or last
                if kind == "left" and '"content"' in line:
                    return 200, ""
            if body.get("stream") and last != "data: [DONE]":
                return 0, "broken"
            return 200, ""
