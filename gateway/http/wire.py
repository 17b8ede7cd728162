"""ASGI by hand, for the one path where microseconds count: reading a bounded body, writing answers, noticing that the
client has left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from gateway.domain.deadlines import Deadlines
from gateway.domain.errors import Code, GatewayError
from gateway.http.errors import Rendered

Scope = Any
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes and seconds. `body_seconds` is for the whole body to arrive, `write_seconds` for one piece of an answer to
    be taken by a client, `in_flight` the number of requests worked on at once."""

    body_bytes: int = 10 * 1024 * 1024
    body_seconds: float = 30.0
    write_seconds: float = 60.0
    in_flight: int = 512


_OURS = b"x-bailiwick-"


class ClientGone(Exception):
    """The client closed the connection before its request was complete; there is nobody to answer."""


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """The request's headers, names in lower case; of repeated ones the last, of our own all, with commas between: to
    leave one out would be looser than was asked for. Their size is bounded by the server."""
    pairs = scope["headers"]
    headers = {bytes(name): bytes(value) for name, value in pairs}
    if len(headers) < len(pairs):
        for ours in [name for name in headers if name.startswith(_OURS)]:
            headers[ours] = b",".join([bytes(value) for name, value in pairs if name == ours])
    return headers


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], limits: Limits, deadlines: Deadlines) -> bytes:
    """The whole body. Raises `GatewayError` when it is too large or too slow, `ClientGone` when it was cut."""
    declared = headers.get(b"content-length", b"0")
    if not declared.isdigit() or int(declared) > limits.body_bytes:
        raise _too_large(limits)
    try:
        return await deadlines.until(_in(limits.body_seconds), _read(receive, limits))
    except TimeoutError:
        raise GatewayError(
            Code.REQUEST_TIMEOUT, f"The request's body did not arrive within {limits.body_seconds:g} seconds."
        ) from None


def _in(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def _read(receive: Receive, limits: Limits) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone
        part = bytes(message.get("body", b""))
        size += len(part)
        if size > limits.body_bytes:
            raise _too_large(limits)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(limits: Limits) -> GatewayError:
    return GatewayError(Code.REQUEST_TOO_LARGE, f"The request's body is larger than {limits.body_bytes} bytes.")


async def send_whole(send: Send, status: int, headers: Mapping[str, str], body: bytes) -> None:
    await send(_start(status, {**headers, "content-length": str(len(body))}))
    await send({"type": "http.response.body", "body": body})


async def send_rendered(send: Send, rendered: Rendered) -> None:
    await send_whole(send, rendered.status, rendered.headers, rendered.body)


def _start(status: int, headers: Mapping[str, str]) -> dict[str, Any]:
    pairs = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": pairs}


class StreamWriter:
    """Writes a streamed answer. A client that takes nothing for `seconds` is treated as gone."""

    def __init__(self, send: Send, seconds: float, deadlines: Deadlines) -> None:
        self._send = send
        self._seconds = seconds
        self._until = deadlines.until
        self._now = asyncio.get_running_loop().time

    async def start(self, headers: Mapping[str, str]) -> None:
        await self._send(_start(200, headers))

    async def write(self, data: bytes) -> None:
        message = {"type": "http.response.body", "body": data, "more_body": True}
        await self._until(self._now() + self._seconds, self._send(message))

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


DEPARTURE = "bailiwick.departure"
"""The ASGI extension under which our server keeps a connection's `Departure`."""


class Departure:
    """The end of a client's connection, told to whoever is answering it."""

    __slots__ = ("is_over", "tell")

    def __init__(self) -> None:
        self.is_over = False
        self.tell: Callable[[], None] | None = None

    def happened(self) -> None:
        self.is_over = True
        if self.tell is not None:
            self.tell()


class CancelWhenGone:
    """Inside this block the current task is cancelled when the client leaves. The cancellation ends at the block: what
    led to it is known (`left`), so the task itself goes on and can finish its connection properly.

    Our own server tells of a `Departure`; for another one a second task waits for its disconnect message."""

    def __init__(self, receive: Receive, departure: Departure | None = None) -> None:
        self._receive = receive
        self._departure = departure
        self._watch: asyncio.Task[None] | None = None
        self.left = False

    async def __aenter__(self) -> CancelWhenGone:
        self._task = asyncio.current_task()
        if self._departure is None:
            self._watch = asyncio.get_running_loop().create_task(self._until_gone())
        else:
            self._departure.tell = self._gone
            if self._departure.is_over:
                self._gone()
        return self

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            continue
        self._gone()

    def _gone(self) -> None:
        if not self.left:
            self.left = True
            assert self._task is not None
            self._task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if self._watch is not None:
            self._watch.cancel()
        if self._departure is not None:
            self._departure.tell = None
        if self.left and kind is asyncio.CancelledError:
            assert self._task is not None
            self._task.uncancel()
            return True
        return False
