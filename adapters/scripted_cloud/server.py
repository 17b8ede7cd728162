"""HTTP/1.1 on a raw asyncio protocol, with h11 for the framing, so that each byte and each write can be scripted."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import h11

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 64 * 1024 * 1024

Headers: TypeAlias = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """`headers` have lower-case names, in the order in which they came."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first value of a header, by its lower-case name."""
        return next((value for key, value in self.headers if key == name), None)


@dataclass(slots=True)
class Connections:
    """What the server has seen of its clients."""

    opened: int = 0
    open: int = 0
    client_disconnects: int = 0


Handler: TypeAlias = "Callable[[Exchange, HttpRequest], Awaitable[None]]"


class HttpProtocol(asyncio.Protocol):
    """One connection. Each request is handed to `handler` in a task, which the loss of the connection cancels."""

    def __init__(self, handler: Handler, connections: Connections, registry: set[HttpProtocol]) -> None:
        self._handler = handler
        self._connections = connections
        self._registry = registry
        self._http = h11.Connection(h11.SERVER)
        self._request: h11.Request | None = None
        self._body = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._ended_here = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's has the methods, not the base class
        self._connections.opened += 1
        self._connections.open += 1
        self._registry.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.open -= 1
        self._registry.discard(self)
        self._writable.set()
        if self._task is not None:
            if not self._ended_here:
                self._connections.client_disconnects += 1
            self._task.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._http.receive_data(data)
        if self._task is None:
            self._advance()

    def _advance(self) -> None:
        """Take in what has arrived until a request is complete."""
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                self._refuse(error.error_status_hint)
                return
            if isinstance(event, h11.Request):
                self._request = event
                if self._http.they_are_waiting_for_100_continue:
                    self.write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])))
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > MAX_BODY_BYTES:
                    self._refuse(413)
                    return
            elif isinstance(event, h11.EndOfMessage) and self._request is not None:
                self._start(self._request)
                return
            else:  # NEED_DATA, PAUSED or ConnectionClosed
                return

    def _start(self, head: h11.Request) -> None:
        headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers)
        request = HttpRequest(head.method.decode(), head.target.decode("latin-1"), headers, bytes(self._body))
        self._body.clear()
        self._request = None
        self._task = asyncio.get_running_loop().create_task(self._run(request))

    async def _run(self, request: HttpRequest) -> None:
        try:
            await self._handler(Exchange(self, self._http), request)
        except Exception as error:  # the border of the server: a client must not wait for an answer that never comes
            logger.error("no answer because of %s", type(error).__name__)
            self.close()
        self._task = None
        if self.transport.is_closing():
            return
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            self._advance()
        else:
            self.close()

    def _refuse(self, status: int) -> None:
        self.write(self._http.send(h11.Response(status_code=status, headers=[("connection", "close")])))
        self.write(self._http.send(h11.EndOfMessage()))
        self.close()

    def write(self, data: bytes | None) -> None:
        if data and not self.transport.is_closing():
            self.transport.write(data)

    async def drain(self) -> None:
        """Wait until the client has taken enough of what was written."""
        await self._writable.wait()

    def close(self) -> None:
        """End the connection in order, from this side."""
        self._ended_here = True
        self.transport.close()

    def reset(self) -> None:
        """End the connection with a TCP reset, as a crash or a firewall does."""
        self._ended_here = True
        connection = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


class Exchange:
    """The writing side of one answer. `cut` bytes go into each write to the network; 0 leaves writes whole."""

    def __init__(self, protocol: HttpProtocol, http: h11.Connection) -> None:
        self._protocol = protocol
        self._http = http
        self.cut = 0

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """A complete answer."""
        await self.begin(status, [*headers, ("content-length", str(len(body)))])
        await self.send(body)
        await self.end()

    async def begin(self, status: int, headers: Headers) -> None:
        """The head of an answer; without a content-length the body is chunked."""
        await self._write(self._http.send(h11.Response(status_code=status, headers=list(headers))))

    async def send(self, body: bytes) -> None:
        """A piece of the body."""
        await self._write(self._http.send(h11.Data(data=body)))

    async def end(self) -> None:
        """The end of the body."""
        await self._write(self._http.send(h11.EndOfMessage()))

    def break_off(self) -> None:
        """Close the connection in the middle of the body."""
        self._protocol.close()

    async def reset(self) -> None:
        """Reset the connection, once what was written had a moment to arrive."""
        await asyncio.sleep(0.02)
        self._protocol.reset()

    async def _write(self, data: bytes | None) -> None:
        if not data:
            return
        if not self.cut:
            self._protocol.write(data)
        else:
            for start in range(0, len(data), self.cut):
                self._protocol.write(data[start : start + self.cut])
                await asyncio.sleep(0)  # lets a reader in the same process see each write alone
        await self._protocol.drain()
