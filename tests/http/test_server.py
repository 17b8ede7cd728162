"""The server under clients that are slow, loud or endless, without the gateway behind it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from gateway.domain.errors import ConfigurationError
from gateway.http.server import GuardedProtocol, serve

pytestmark = pytest.mark.anyio

HEADER_SECONDS = 0.3
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Answers at once, without waiting for a body; `/slow` takes a second."""
    if scope["path"] == "/slow":
        await asyncio.sleep(1.0)
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def serving(app: Any = hello, drain: float = 2.0) -> AsyncIterator[int]:
    """The port of a server that runs in the block and is ended with SIGTERM."""
    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    drained: list[bool] = []
    task = asyncio.create_task(
        serve(
            app,
            "127.0.0.1",
            0,
            drain_seconds=drain,
            on_listening=listening.set_result,
            on_drain=lambda: drained.append(True),
        )
    )
    yield await listening
    os.kill(os.getpid(), signal.SIGTERM)
    await task
    assert drained == [True]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GuardedProtocol, "header_seconds", HEADER_SECONDS)
    monkeypatch.setattr(GuardedProtocol, "rest_seconds", HEADER_SECONDS)


async def told(port: int, *parts: bytes, pause: float = 0.0) -> bytes:
    """What the server says until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(pause)
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionError:  # it did not wait for us to end
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: "])
async def test_a_head_that_does_not_come_is_answered_with_408(sent: bytes) -> None:
    """Nobody keeps a connection without saying what for."""
    async with serving() as port:
        began = time.monotonic()
        assert (await told(port, sent)).startswith(b"HTTP/1.1 408 ")
        assert HEADER_SECONDS - 0.05 <= time.monotonic() - began < 2


async def test_a_head_that_drips_gets_no_more_time() -> None:
    """The deadline is for the whole head: a byte now and then does not put it off."""
    async with serving() as port:
        began = time.monotonic()
        head = GET[:-2] + b"x-slow: " + b"y" * 100
        answer = await told(port, *(head[place : place + 1] for place in range(30)), pause=0.03)
        assert answer.startswith(b"HTTP/1.1 408 ") or answer == b""
        assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "fields",
    [b"x-large: " + b"y" * 33_000 + b"\r\n", b"".join(b"x-%d: y\r\n" % number for number in range(150))],
    ids=["large", "many"],
)
async def test_a_head_that_is_too_large_is_refused(fields: bytes) -> None:
    """431 for headers beyond 32 KiB or beyond a hundred."""
    async with serving() as port:
        assert (await told(port, b"GET / HTTP/1.1\r\nhost: x\r\n" + fields + b"\r\n")).startswith(b"HTTP/1.1 431 ")


async def test_a_head_without_end_is_cut_off() -> None:
    """A header line that never ends is not collected until the memory is full."""
    async with serving() as port:
        answer = await told(port, b"GET / HTTP/1.1\r\nx: ", *[b"y" * 16_384] * 4, pause=0.01)
        assert answer.startswith(b"HTTP/1.1 431 ") or answer == b""


async def test_the_deadline_holds_for_later_requests_of_a_connection() -> None:
    """A kept connection may be idle, but a second request that begins has to go on."""
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
        await asyncio.sleep(HEADER_SECONDS * 1.5)
        writer.write(GET[:10])
        async with asyncio.timeout(3):
            assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        writer.close()


async def test_a_long_answer_is_not_cut_by_the_header_deadline() -> None:
    """The deadline is for what the client sends, not for what it waits for."""
    async with serving() as port:
        answer = await told(port, b"GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert answer.endswith(b"ok")


async def test_the_rest_of_a_refused_request_is_not_taken_for_ever() -> None:
    """A request that was answered before its body came has a moment to end; a body without end is cut off."""
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
        closed = asyncio.create_task(reader.read())
        async with asyncio.timeout(3):
            while not closed.done():
                writer.write(b"z")
                await asyncio.sleep(0.02)
        with suppress(ConnectionError):
            assert await closed == b""
        writer.close()


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x02\x00\x01\x00", b"HELLO\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"])
async def test_what_is_no_http_is_refused(sent: bytes) -> None:
    """400 (or nothing), a closed connection, and the server lives."""
    async with serving() as port:
        assert (await told(port, sent)).startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 408 "))
        assert (await told(port, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).endswith(b"ok")


async def test_an_address_in_use_is_a_clear_error() -> None:
    """`ConfigurationError` that names the address, instead of an exit from within."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1:{port}"):
            await serve(
                hello,
                "127.0.0.1",
                port,
                drain_seconds=1,
                on_listening=lambda port: None,
                on_drain=lambda: None,
            )
