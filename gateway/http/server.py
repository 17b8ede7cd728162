"""uvicorn in our own event loop, with the header deadline and size limit that it lacks.

Chosen over granian by measurement (docs/performance.md): equal in speed, but at the drain deadline it cancels what
still runs and then shuts down, where granian kills the worker or waits for ever; a record always follows (promise 4).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from asyncio import TimerHandle
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.domain.errors import ConfigurationError
from gateway.http.wire import DEPARTURE, Departure

_TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class GuardedProtocol(HttpToolsProtocol):
    """A client must send complete headers, of bounded size, within `header_seconds`, or is cut off with 408 or 431. A
    request that was answered before it had arrived (it was refused) has `rest_seconds` to end."""

    header_seconds = 10.0
    rest_seconds = 10.0
    max_header_bytes = 32 * 1024
    max_headers = 100

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._in_headers = True  # until on_headers_complete, and again after on_message_complete
        self._begun = False  # a message has begun and its headers are not complete
        self._head_bytes = 0  # of the URL and the header fields seen by the parser
        self._unparsed = 0  # bytes fed since the message began and not yet accounted for
        self._deadline: TimerHandle | None = self.loop.call_later(self.header_seconds, self._expired)
        self._departure = Departure()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_deadline()
        super().connection_lost(exc)
        self._departure.happened()

    def data_received(self, data: bytes) -> None:
        self._unparsed += len(data)
        super().data_received(data)
        if not self._in_headers:
            return
        if self._unparsed > self.max_header_bytes:
            self._refuse(_TOO_LARGE)
        elif self._begun and self._deadline is None:  # a later request on a kept connection, of which a part is here
            self._deadline = self.loop.call_later(self.header_seconds, self._expired)

    def on_message_begin(self) -> None:
        self._in_headers, self._begun, self._head_bytes = True, True, 0
        super().on_message_begin()
        self.scope["extensions"] = {DEPARTURE: self._departure}  # type: ignore[dict-item]  # ours

    def on_url(self, url: bytes) -> None:
        self._head_bytes += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value) + 4
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_headers, self._begun, self._unparsed = False, False, 0
        self._cancel_deadline()
        if self._head_bytes > self.max_header_bytes or len(self.headers) > self.max_headers:
            self._refuse(_TOO_LARGE)
            raise ValueError("request headers too large")  # httptools stops parsing on it
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._cancel_deadline()
        super().on_message_complete()
        self._in_headers, self._unparsed = True, 0

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._in_headers and not self.transport.is_closing():
            self._cancel_deadline()
            self._deadline = self.loop.call_later(self.rest_seconds, self.transport.close)

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # None until the first request
        return cycle is not None and not cycle.response_complete

    def _expired(self) -> None:
        self._deadline = None
        if self._answering():  # stray bytes after a request must not cut its long answer
            self._deadline = self.loop.call_later(self.header_seconds, self._expired)
        else:
            self._refuse(_TIMEOUT)

    def _refuse(self, answer: bytes) -> None:
        self._cancel_deadline()
        if not self.transport.is_closing():
            if not self._answering():
                self.transport.write(answer)
            self.transport.close()


class _Server(uvicorn.Server):
    on_listening: Callable[[int], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.on_listening(self.servers[0].sockets[0].getsockname()[1])

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn would raise SIGTERM again after it has served, and nothing behind `serve` would run."""
        yield


async def serve(
    app: Any,
    host: str,
    port: int,
    *,
    drain_seconds: float,
    on_listening: Callable[[int], None],
    on_drain: Callable[[], None],
) -> None:
    """Serve until SIGTERM or SIGINT; then accept nothing new, let what runs finish for `drain_seconds`, cancel the
    rest. A second signal ends at once. `on_listening` gets the port, `on_drain` is called at the first signal.

    Raises `ConfigurationError` when the address cannot be listened on.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=GuardedProtocol,
        ws="none",
        lifespan="off",  # what the application needs is opened and closed around it, by gateway.compose
        interface="asgi3",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,  # longer than the pools of clients and load balancers, so that they close first
        timeout_graceful_shutdown=round(drain_seconds),
        backlog=2048,
    )
    server = _Server(config)
    server.on_listening = on_listening

    def stop() -> None:
        if server.should_exit:
            server.force_exit = True
        server.should_exit = True
        on_drain()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        await server.serve()
    except SystemExit:  # uvicorn's word for an address in use, said in its log
        raise ConfigurationError(f"cannot listen on {host}:{port}; is something else listening there?") from None
