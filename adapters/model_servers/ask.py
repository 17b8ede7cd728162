"""Asking a server how it is: GET, no body, an answer of bounded size, in bounded time, over the same network, TLS and
credentials as its requests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import httpx
import orjson

from adapters.http_faults import FAULT_CLASSES, fault_of
from adapters.http_transport import endpoint, network

MAX_PAGE: Final = 2 * 1024 * 1024
"""Bytes. vLLM's page of metrics, the longest there is, has some 100 KiB for each engine."""

ANSWER_SECONDS: Final = 2.0
"""How long a server may take for one page, from connecting to the last byte."""

_CONNECTIONS: Final = 2
_KEEPALIVE: Final = 30.0


class NoAnswer(Exception):
    """A page that cannot be had or used. `str()` is in our own words: nothing of what the server sent is in it. `slow`:
    it did not come in time, which a busy server may be excused for once."""

    def __init__(self, reason: str, *, slow: bool = False) -> None:
        super().__init__(reason)
        self.slow = slow


@dataclass(frozen=True, slots=True, repr=False)
class Page:
    """An answer with any status."""

    path: str
    status: int
    body: bytes

    def json(self) -> dict[str, object]:
        """Its JSON object. Raises `NoAnswer`."""
        try:
            tree = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            tree = None
        if not isinstance(tree, dict):
            raise NoAnswer(f"{self.path} is not a JSON object")
        return tree


class Asker:
    """Asks one server. `root` is the server's own address, `base_url` where its OpenAI API begins; the two differ by
    ``/v1``. `headers` are those of its requests. Raises `ConfigurationError`. `transport` takes the network's place."""

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str],
        *,
        ca_file: str | None = None,
        proxy: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._base = base_url.rstrip("/")
        self._root = self._base.removesuffix("/v1")
        kept = {name: value for name, value in headers.items() if name not in ("content-type", "accept")}
        # Not compressed: then an answer cannot grow after its size was looked at.
        self._headers = {**kept, "accept": "*/*", "accept-encoding": "identity"}
        self._transport = transport or network(
            ca_file=ca_file, proxy=proxy, max_connections=_CONNECTIONS, keepalive=_KEEPALIVE
        )

    async def get(self, path: str, *, most: int = MAX_PAGE) -> Page:
        """A page of the server itself, such as ``/health``. Raises `NoAnswer`."""
        return await self._get(endpoint(self._root, path), path, most)

    async def api(self, path: str, *, most: int = MAX_PAGE) -> Page:
        """A page of its OpenAI API, such as ``/models``. Raises `NoAnswer`."""
        return await self._get(endpoint(self._base, path), path, most)

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def _get(self, url: httpx.URL, path: str, most: int) -> Page:
        request = httpx.Request(
            "GET",
            url,
            headers=self._headers,
            extensions={"timeout": {"connect": ANSWER_SECONDS, "pool": ANSWER_SECONDS}},
        )
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._read(request, path, most)
        except TimeoutError:
            problem = NoAnswer(f"{path} did not come within {ANSWER_SECONDS:g} s", slow=True)
        except FAULT_CLASSES as error:
            problem = NoAnswer(f"{path}: {fault_of(error).detail}")
        # Raised out here, so that the library's exception, which may quote the answer, is not attached to it.
        raise problem

    async def _read(self, request: httpx.Request, path: str, most: int) -> Page:
        response = await self._transport.handle_async_request(request)
        try:
            if response.headers.get("content-encoding", "identity") != "identity":
                raise NoAnswer(f"{path} is compressed without being asked to")
            parts: list[bytes] = []
            size = 0
            stream = response.stream
            assert isinstance(stream, httpx.AsyncByteStream)
            async for part in stream:
                size += len(part)
                if size > most:
                    raise NoAnswer(f"{path} is longer than {most} bytes")
                parts.append(part)
            return Page(path, response.status_code, b"".join(parts))
        finally:
            await response.aclose()
