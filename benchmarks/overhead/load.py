"""The load generator: N keep-alive connections, each sending its next request when the last one ended.

It runs as its own process, so that it can be pinned to a core and its own CPU time can be reported: a
generator that is busy nearly all the time is measuring itself. Every answer is checked.
"""

import argparse
import asyncio
import json
import socket
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httptools
import uvloop

from benchmarks.overhead.prompts import MAIL_DOMAIN, PromptKind, PromptSource
from benchmarks.overhead.upstream import ANSWER, CHUNKS

STOCK_BYTES = 24_000_000
STOCK_REQUESTS = 10_000
REQUEST_TIMEOUT_S = 120.0
PATH = "/v1/chat/completions"
_MAIL = f"@{MAIL_DOMAIN}".encode()


@dataclass(slots=True)
class Exchange:
    """One request and what came back. Times are `time.perf_counter` seconds."""

    started: float
    status: int = 0
    first_content: float = 0.0
    ended: float = 0.0
    events: int = 0
    done_seen: bool = False
    keep_alive: bool = False
    body: list[bytes] = field(default_factory=list)


class ClientConnection(asyncio.Protocol):
    """A keep-alive HTTP/1.1 connection carrying one request at a time."""

    def __init__(self, stream: bool) -> None:
        """Start unconnected; `stream` tells how to read a successful body."""
        self.alive = False
        self._stream = stream
        self._partial = b""
        self._exchange: Exchange
        self._finished: asyncio.Future[str | None] | None = None
        self._parser: httptools.HttpResponseParser
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Switch Nagle's algorithm off."""
        self._transport, self.alive = transport, True
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the request in flight, if there is one, as an error."""
        self.alive = False
        self._finish("connection lost")

    async def exchange(self, request: bytes) -> tuple[Exchange, str | None]:
        """Send a whole request; return what came back and the error, if any."""
        loop = asyncio.get_running_loop()
        self._finished = loop.create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._partial = b""
        self._exchange = Exchange(started=time.perf_counter())
        deadline = loop.call_later(REQUEST_TIMEOUT_S, self._finish, "timeout")
        self._transport.write(request)
        error = await self._finished
        deadline.cancel()
        return self._exchange, error

    def close(self) -> None:
        """Close the connection."""
        self.alive = False
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, which calls the `on_` methods."""
        if self._finished is None or self._finished.done():
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._finish("bad HTTP")

    def on_headers_complete(self) -> None:
        """Note the status (called by httptools)."""
        self._exchange.status = self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        """Keep a plain body; count the events of a stream (called by httptools)."""
        exchange = self._exchange
        if not self._stream or exchange.status != 200:
            exchange.body.append(data)
            return
        *events, self._partial = (self._partial + data).split(b"\n\n")
        for event in events:
            if b'"content":"' in event.replace(b'": "', b'":"') and b'"content":""' not in event:
                exchange.first_content = exchange.first_content or time.perf_counter()
                exchange.events += 1
            elif b"[DONE]" in event:
                exchange.done_seen = True

    def on_message_complete(self) -> None:
        """End the request (called by httptools)."""
        self._exchange.keep_alive = self._parser.should_keep_alive()
        self._finish(None)

    def _finish(self, error: str | None) -> None:
        if self._finished is not None and not self._finished.done():
            self._exchange.ended = time.perf_counter()
            self._finished.set_result(error)


@dataclass
class Tally:
    """What a run saw. Latencies are in seconds."""

    latencies: list[float] = field(default_factory=list)
    first_tokens: list[float] = field(default_factory=list)
    chunks: int = 0
    restored: int = 0
    unchanged: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    error_sample: str = ""


@dataclass
class Load:
    """One run against one target."""

    url: str
    headers: list[str]
    source: PromptSource
    in_flight: int
    _stock: deque[bytes] = field(default_factory=deque)
    _tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        """Split the address and prepare the request head."""
        address = urlsplit(self.url)
        self._host, self._port = address.hostname or "127.0.0.1", address.port or 80
        lines = [
            f"POST {PATH} HTTP/1.1",
            f"Host: {self._host}:{self._port}",
            "Content-Type: application/json",
        ]
        self._head = "\r\n".join([*lines, "Accept: */*", *self.headers, "Content-Length: "]).encode()

    def fill_stock(self) -> None:
        """Make requests in advance, so that making them costs nothing while the clock runs."""
        size = sum(map(len, self._stock))
        while size < STOCK_BYTES and len(self._stock) < STOCK_REQUESTS:
            self._stock.append(self._make_request())
            size += len(self._stock[-1])

    async def run(self, seconds: float) -> tuple[Tally, float]:
        """Load the target for that time; return what was seen and the seconds it really took."""
        self._tally = Tally()
        started = time.perf_counter()
        async with asyncio.TaskGroup() as workers:
            for _ in range(self.in_flight):
                workers.create_task(self._worker(started + seconds))
        return self._tally, time.perf_counter() - started

    def _make_request(self) -> bytes:
        body = self.source.body()
        return b"%b%d\r\n\r\n%b" % (self._head, len(body), body)

    async def _worker(self, stop_at: float) -> None:
        connection: ClientConnection | None = None
        while time.perf_counter() < stop_at:
            request = self._stock.popleft() if self._stock else self._make_request()
            if connection is None or not connection.alive:
                connection = await self._connect()
            if connection is None:
                self._count_error("cannot connect", b"")
                await asyncio.sleep(0.05)
                continue
            exchange, error = await connection.exchange(request)
            self._record(request, exchange, error)
            if error is not None or not exchange.keep_alive:
                connection.close()
        if connection is not None:
            connection.close()

    async def _connect(self) -> ClientConnection | None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                lambda: ClientConnection(self.source.stream), self._host, self._port
            )
        except OSError:
            return None
        return connection

    def _record(self, request: bytes, exchange: Exchange, error: str | None) -> None:
        body = b"".join(exchange.body)
        error = error or self._fault(exchange, body)
        if error is not None:
            self._count_error(error, body)
            return
        tally = self._tally
        tally.latencies.append(exchange.ended - exchange.started)
        if self.source.stream:
            tally.first_tokens.append(exchange.first_content - exchange.started)
            tally.chunks += exchange.events
        elif self.source.kind is PromptKind.PERSONAL:
            tally.restored += _MAIL in body
            tally.unchanged += _last_content(request) in body

    def _fault(self, exchange: Exchange, body: bytes) -> str | None:
        """Say what is wrong with an answer; None when nothing is."""
        if exchange.status != 200:
            return f"status {exchange.status}"
        if self.source.stream:
            if not exchange.done_seen:
                return "stream without [DONE]"
            return None if exchange.events == CHUNKS else f"{exchange.events} chunks"
        if self.source.kind is PromptKind.PERSONAL:
            return None if b'"content"' in body else "unexpected body"
        return None if ANSWER.encode() in body else "unexpected body"

    def _count_error(self, error: str, body: bytes) -> None:
        self._tally.errors[error] += 1
        self._tally.error_sample = self._tally.error_sample or body[:300].decode(errors="replace")


def _last_content(request: bytes) -> bytes:
    """Return the last message of a request of ours; its text has nothing that JSON escapes."""
    return request.rpartition(b'"content":"')[2].partition(b'"')[0]


def percentile_ms(seconds: list[float], share: float) -> float | None:
    """Return the nearest-rank percentile in milliseconds; None of nothing."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    return round(ordered[round(share * (len(ordered) - 1))] * 1000, 4)


async def measure(load: Load, warm_up_s: float, seconds: float) -> dict[str, object]:
    """Warm up, measure, and return the figures."""
    load.fill_stock()
    await load.run(warm_up_s)
    load.fill_stock()
    cpu_before = time.process_time()
    tally, wall = await load.run(seconds)
    cpu = time.process_time() - cpu_before
    return {
        "requests": len(tally.latencies),
        "requests_per_s": round(len(tally.latencies) / wall, 2),
        "chunks_per_s": round(tally.chunks / wall, 1) if load.source.stream else None,
        "latency_p50_ms": percentile_ms(tally.latencies, 0.50),
        "latency_p99_ms": percentile_ms(tally.latencies, 0.99),
        "first_token_p50_ms": percentile_ms(tally.first_tokens, 0.50),
        "first_token_p99_ms": percentile_ms(tally.first_tokens, 0.99),
        "restored": tally.restored,
        "unchanged": tally.unchanged,
        "errors": dict(tally.errors),
        "error_sample": tally.error_sample,
        "generator_cpu_share": round(cpu / wall, 3),
    }


def main() -> None:
    """Run from the command line; the figures go to the file as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--header", action="append", default=[], help='"Name: value", may be repeated')
    parser.add_argument("--prompt", type=PromptKind, choices=list(PromptKind), default=PromptKind.SMALL)
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--warm-up", type=float, default=1.0, help="seconds")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    load = Load(options.url, options.header, PromptSource(options.prompt, options.stream), options.in_flight)
    text = json.dumps(uvloop.run(measure(load, options.warm_up, options.seconds)), indent=1)
    if options.output:
        options.output.write_text(text)
    else:
        sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
