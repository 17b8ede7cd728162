"""Asking a server, on the wire: certificates, and servers that break every rule of HTTP."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from adapters.model_servers.ask import Asker, NoAnswer
from adapters.model_servers.provider import ModelServers, ModelServersConfig
from adapters.openai_compatible import OpenAICompatibleConfig
from gateway.telemetry.values import REDACTED, clean

pytestmark = pytest.mark.anyio
SECRET = b"kangaroo"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\nconnection: close\r\n\r\n" + b'{"status":"ok"}'


@asynccontextmanager
async def speaking(
    say: Callable[[asyncio.StreamWriter], Awaitable[None]], context: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """The port of a server that does `say` after each head of a request."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await say(writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # whoever asked has left
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def saying(answer: bytes) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    return say


async def without_end(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(SECRET * 10_000)
        await writer.drain()


async def drop_by_drop(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def headers_without_end(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"x-more: " + SECRET * 100 + b"\r\n")
        await writer.drain()


RUDE = {
    "nothing": saying(b""),
    "no-http": saying(SECRET * 1000),
    "zeros": saying(b"\x00" * 5000),
    "status": saying(b"HTTP/1.1 9999 " + SECRET + b"\r\n\r\n"),
    "length": saying(b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n{}"),
    "cut": saying(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{" + SECRET),
    "chunks": saying(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n" + SECRET),
    "gzip": saying(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 8\r\n\r\n" + SECRET),
    "unknown-encoding": saying(b"HTTP/1.1 200 OK\r\ncontent-encoding: kangaroo\r\ncontent-length: 2\r\n\r\n{}"),
    "long-header": saying(b"HTTP/1.1 200 OK\r\nx-a: " + SECRET * 20_000 + b"\r\n\r\n{}"),
    "bytes-in-header": saying(b"HTTP/1.1 200 OK\r\nx-\xff\xfe: \x01\x02\r\ncontent-length: 2\r\n\r\n{}"),
    "switching": saying(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"),
    "redirect": saying(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/kangaroo\r\ncontent-length: 0\r\n\r\n"),
    "without-end": without_end,
    "drop-by-drop": drop_by_drop,
    "headers-without-end": headers_without_end,
}


@pytest.mark.parametrize("rude", RUDE)
@pytest.mark.parametrize("kind", ["llama_server", "generic"])
async def test_rude_servers(kind: str, rude: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a server says, a look at it ends soon, raises nothing, quotes nothing of what came, and does not find
    it well; of a server of unknown kind it may find nothing out."""
    monkeypatch.setattr("adapters.model_servers.ask.ANSWER_SECONDS", 0.3)
    async with speaking(RUDE[rude]) as port:
        url = f"http://127.0.0.1:{port}/v1"
        provider = ModelServers(ModelServersConfig("m", kind, (url,), OpenAICompatibleConfig(url)))
        began = time.monotonic()
        for _ in range(2):
            await provider.look()
        assert time.monotonic() - began < 2.5
        (state,) = provider.states()
        await provider.aclose()
    assert state.up is False or (kind == "generic" and state.up is None)
    assert clean(state.reason) != REDACTED
    assert SECRET.decode() not in state.reason


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command to make a certificate")
async def test_certificates_are_checked_for_looks_too(tmp_path: Path) -> None:
    """A server that the requests would not trust is not asked how it is."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    await anyio.run_process([*command.split(), "-keyout", str(key), "-out", str(certificate)])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    async with speaking(saying(OK), context) as port:
        strict = Asker(f"https://localhost:{port}/v1", {})
        with pytest.raises(NoAnswer, match="TLS"):
            await strict.get("/health")
        await strict.aclose()
        trusting = Asker(f"https://localhost:{port}/v1", {}, ca_file=str(certificate))
        assert (await trusting.get("/health")).json() == {"status": "ok"}
        await trusting.aclose()
