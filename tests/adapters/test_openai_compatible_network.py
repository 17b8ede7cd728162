"""The adapter for OpenAI-compatible servers, against the scripted cloud: deadlines, connections, configuration."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import shutil
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from adapters.openai_compatible import OpenAICompatible, OpenAICompatibleConfig
from adapters.scripted_cloud import ScriptedCloud
from gateway.domain.call import Chunk, End, Timeouts, Whole
from gateway.domain.errors import Code, ConfigurationError, ProviderError
from gateway.domain.target import Zone
from support.provider_calls import CONTENT, KEY, TARGET, call, events, eventually, failure, text_of

pytestmark = pytest.mark.anyio


@pytest.fixture
async def cloud() -> AsyncIterator[ScriptedCloud]:
    """A running scripted cloud that wants the key."""
    async with ScriptedCloud(api_key=KEY) as running:
        yield running


@pytest.fixture
async def provider(cloud: ScriptedCloud) -> AsyncIterator[OpenAICompatible]:
    """The adapter, pointed at it."""
    adapter = OpenAICompatible(OpenAICompatibleConfig(cloud.base_url, api_key=KEY))
    yield adapter
    await adapter.aclose()


@pytest.mark.parametrize(
    ("model", "stream"), [("scripted-hang", False), ("scripted-hang", True), ("scripted-comments", True)]
)
async def test_first_event_timeout(provider: OpenAICompatible, model: str, stream: bool, cloud: ScriptedCloud) -> None:
    """A server that gives no event in time is given up and left, also when it sends comments."""
    started = time.monotonic()
    error = await failure(provider, call(model, stream=stream, timeouts=Timeouts(first_event=0.15)))
    assert 0.1 < time.monotonic() - started < 2
    assert (error.code, error.retryable) == (Code.TARGET_TIMEOUT, True)
    await eventually(lambda: cloud.counters.open_connections == 0)


async def test_idle_timeout(provider: OpenAICompatible) -> None:
    """A stream that stops in the middle is given up after the idle time."""
    started = time.monotonic()
    error = await failure(provider, call("scripted-stall", stream=True, timeouts=Timeouts(idle=0.1)))
    assert error.code is Code.TARGET_TIMEOUT
    assert time.monotonic() - started < 2


async def test_slow_readers_are_not_timed_out() -> None:
    """The idle time counts while the adapter waits for the server, not while its caller is busy."""
    async with ScriptedCloud(chunk_delay=0.28) as cloud:
        provider = OpenAICompatible(OpenAICompatibleConfig(cloud.base_url))
        async with aclosing(provider.stream(call(stream=True, timeouts=Timeouts(idle=0.15)))) as stream:
            for _ in range(3):
                assert isinstance(await anext(stream), Chunk)
                await asyncio.sleep(0.2)
        await provider.aclose()


async def test_no_connection() -> None:
    """A server that is not there, a name that is not known and a wrong protocol send nothing, and say so."""
    async with ScriptedCloud() as cloud:
        gone, talking = cloud.base_url, cloud.base_url.replace("http:", "https:")
        provider = OpenAICompatible(OpenAICompatibleConfig(talking))
        error = await failure(provider, call())
        assert (error.code, error.sent, "TLS" in error.detail) == (Code.TARGET_UNAVAILABLE, False, True)
        await provider.aclose()
    for url, detail in ((gone, "no connection"), ("http://no-such-host.invalid/v1", "host name")):
        provider = OpenAICompatible(OpenAICompatibleConfig(url))
        error = await failure(provider, call(timeouts=Timeouts(connect=5)))
        assert (error.code, error.retryable, error.sent) == (Code.TARGET_UNAVAILABLE, True, False)
        assert detail in error.detail
        await provider.aclose()


async def test_connect_timeout(cloud: ScriptedCloud) -> None:
    """A call that finds every connection taken waits no longer than the connect time."""
    provider = OpenAICompatible(OpenAICompatibleConfig(cloud.base_url, api_key=KEY, max_connections=1))
    async with aclosing(provider.stream(call("scripted-stall", stream=True))) as busy:
        await anext(busy)
        error = await failure(provider, call(timeouts=Timeouts(connect=0.1)))
        assert (error.code, error.sent) == (Code.TARGET_TIMEOUT, False)
    await events(provider, call())
    await provider.aclose()


@pytest.mark.parametrize("stream", [False, True])
async def test_connections_are_used_again(provider: OpenAICompatible, cloud: ScriptedCloud, stream: bool) -> None:
    """Calls one after the other share one connection, as do calls that end in an error answer."""
    for model in ("m", "scripted-400", "m", "scripted-429", "m"):
        if model == "m":
            await events(provider, call(stream=stream))
        else:
            await failure(provider, call(model, stream=stream))
    assert cloud.counters.connections <= 2  # the body of a 429 is not read, so its connection may be closed
    assert cloud.counters.requests == 5


async def test_a_caller_who_stops_at_the_end_keeps_the_connection(
    provider: OpenAICompatible, cloud: ScriptedCloud
) -> None:
    """Closing the generator after its end leaves the connection for the next call."""
    for _ in range(3):
        async with aclosing(provider.stream(call(stream=True))) as answer:
            async for event in answer:
                if event == End():
                    break
    assert cloud.counters.connections == 1


@pytest.mark.parametrize(("pause", "connections"), [(0.05, 1), (5.0, 2)])
async def test_what_follows_the_end_mark_is_waited_for_a_little(pause: float, connections: int) -> None:
    """A server that ends the HTTP body a moment after its end mark keeps its connection, one that dawdles loses it."""
    opened = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        for _ in range(2):
            try:
                await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            await reader.readexactly(len(call(stream=True).body))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            writer.write(b"e\r\ndata: [DONE]\n\n\r\n")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1), pause)
                break
            writer.write(b"0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    provider = OpenAICompatible(OpenAICompatibleConfig(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"))
    for _ in range(2):
        assert await events(provider, call(stream=True)) == [End()]
    assert opened == connections
    await provider.aclose()
    server.close()


async def test_closing_a_stream_closes_the_connection(provider: OpenAICompatible, cloud: ScriptedCloud) -> None:
    """A caller who leaves in the middle ends the upstream request at once."""
    stream = provider.stream(call("scripted-stall", stream=True))
    await anext(stream)
    assert cloud.counters.open_streams == 1
    await stream.aclose()
    await eventually(lambda: cloud.counters.open_streams == 0 and cloud.counters.open_connections == 0, 0.5)
    assert cloud.counters.client_disconnects == 1


@pytest.mark.parametrize("model", ["scripted-stall", "scripted-hang"])
async def test_cancelling_a_call_closes_the_connection(
    provider: OpenAICompatible, cloud: ScriptedCloud, model: str
) -> None:
    """A call that is cancelled, before or within its answer, ends the upstream request at once."""
    with anyio.move_on_after(0.1) as scope:
        async with aclosing(provider.stream(call(model, stream=True))) as stream:
            async for _ in stream:
                pass
    assert scope.cancelled_caught
    await eventually(lambda: cloud.counters.open_connections == 0, 0.5)
    assert cloud.counters.client_disconnects == 1
    await events(provider, call())


async def test_after_aclose(provider: OpenAICompatible, cloud: ScriptedCloud) -> None:
    """Closed, the adapter is not ready, holds no connection and sends nothing."""
    assert await provider.ready()
    await events(provider, call())
    await provider.aclose()
    assert not await provider.ready()
    error = await failure(provider, call())
    assert (error.code, error.sent) == (Code.TARGET_UNAVAILABLE, False)
    await eventually(lambda: cloud.counters.open_connections == 0)


@pytest.mark.parametrize("model", ["scripted-stall", "scripted-hang"])
async def test_aclose_ends_what_is_running(provider: OpenAICompatible, cloud: ScriptedCloud, model: str) -> None:
    """A call that is running when the adapter is closed ends with an error at once, not with a silence."""

    async def close() -> None:
        await eventually(lambda: cloud.counters.requests == 1)
        await asyncio.sleep(0.05)
        await provider.aclose()

    with anyio.fail_after(2):
        async with anyio.create_task_group() as group:
            group.start_soon(close)
            error = await failure(provider, call(model, stream=True))
    assert (error.code, "closed" in error.detail) == (Code.TARGET_UNAVAILABLE, True)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command to make a certificate")
async def test_certificates_are_checked(tmp_path: Path) -> None:
    """A server with a certificate of nobody's is not spoken to, unless the configuration trusts it."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    await anyio.run_process([*command.split(), "-keyout", str(key), "-out", str(certificate)])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    url = f"https://localhost:{server.sockets[0].getsockname()[1]}/v1"
    strict = OpenAICompatible(OpenAICompatibleConfig(url, api_key=KEY))
    error = await failure(strict, call())
    assert ("TLS" in error.detail, error.sent) == (True, False)
    await strict.aclose()
    trusting = OpenAICompatible(OpenAICompatibleConfig(url, api_key=KEY, ca_file=str(certificate)))
    assert len(await events(trusting, call())) == 1
    await trusting.aclose()
    server.close()


async def test_nothing_comes_from_the_environment(
    cloud: ScriptedCloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Proxies and credentials in the environment are not used: a permit is for one place only."""
    async with ScriptedCloud() as stranger:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, stranger.url)
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login a password b")
        monkeypatch.setenv("NETRC", str(netrc))
        monkeypatch.delenv("no_proxy", raising=False)
        provider = OpenAICompatible(OpenAICompatibleConfig(cloud.base_url, api_key=KEY))
        await events(provider, call())
        await provider.aclose()
        assert (stranger.counters.connections, cloud.counters.requests) == (0, 1)


async def test_a_configured_proxy_is_used() -> None:
    """A forward proxy from the configuration takes the call."""
    async with ScriptedCloud(api_key=KEY) as proxy:
        config = OpenAICompatibleConfig("http://model.invalid/v1", api_key=KEY, proxy=proxy.url)
        provider = OpenAICompatible(config)
        assert len(await events(provider, call())) == 1
        assert dict(proxy.received[0].headers)["host"] == "model.invalid"
        await provider.aclose()


async def test_cookies_are_not_kept() -> None:
    """A server that sets a cookie does not get it back."""
    seen: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            head = await reader.readuntil(b"\r\n\r\n")
            seen.append(head)
            await reader.readexactly(len(call().body))
            writer.write(b"HTTP/1.1 200 OK\r\nset-cookie: a=b; Path=/\r\ncontent-length: 2\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    provider = OpenAICompatible(OpenAICompatibleConfig(f"http://localhost:{port}/v1"))
    for _ in range(2):
        await events(provider, call())
    await provider.aclose()
    server.close()
    assert len(seen) == 2
    assert not any(b"cookie" in head.lower() for head in seen)


async def test_configured_headers(cloud: ScriptedCloud) -> None:
    """Organisation, project and further headers are sent; the trace goes to local targets only."""
    config = OpenAICompatibleConfig(
        cloud.base_url, api_key=KEY, organisation="org-1", project="proj-1", headers={"X-Extra": "1"}
    )
    provider = OpenAICompatible(config)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await events(provider, call(traceparent=trace))
    await events(provider, replace(call(traceparent=trace), target=replace(TARGET, zone=Zone.LOCAL)))
    await provider.aclose()
    remote, local = (dict(item.headers) for item in cloud.received)
    assert (remote["openai-organization"], remote["openai-project"]) == ("org-1", "proj-1")
    assert (remote["x-extra"], remote["user-agent"]) == ("1", "bailiwick")
    assert "traceparent" not in remote
    assert local["traceparent"] == trace


async def test_wrong_key(cloud: ScriptedCloud) -> None:
    """A key that the provider refuses is the operator's fault: the caller sees none of the provider's words."""
    provider = OpenAICompatible(OpenAICompatibleConfig(cloud.base_url, api_key="wrong"))
    error = await failure(provider, call())
    assert (error.status, error.answer, error.code) == (401, None, Code.TARGET_UNAVAILABLE)
    await provider.aclose()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (OpenAICompatibleConfig("api.openai.com/v1"), "must begin with https"),
        (OpenAICompatibleConfig("ftp://x/v1"), "must begin with https"),
        (OpenAICompatibleConfig("http:///v1"), "must begin with https"),
        (OpenAICompatibleConfig("https://user:kangaroo@x/v1"), "no user"),
        (OpenAICompatibleConfig("https://x/v1?key=kangaroo"), "no user"),
        (OpenAICompatibleConfig("https://x:port/v1"), "not a URL"),
        (OpenAICompatibleConfig("https://x/v1", api_key="kangaroo\nx: y"), "'authorization'"),
        (OpenAICompatibleConfig("https://x/v1", headers={"X Y": "kangaroo"}), "'x y'"),
        (OpenAICompatibleConfig("https://x/v1", headers={"Content-Length": "kangaroo"}), "'content-length'"),
        (OpenAICompatibleConfig("https://x/v1", ca_file="/no/such/kangaroo"), "ca_file"),
        (OpenAICompatibleConfig("https://x/v1", proxy="kangaroo"), "proxy"),
    ],
)
async def test_wrong_configurations(config: OpenAICompatibleConfig, message: str) -> None:
    """A configuration that cannot work is refused at the start, and its secrets are not shown."""
    with pytest.raises(ConfigurationError, match=message) as caught:
        OpenAICompatible(config)
    assert CONTENT not in str(caught.value)
    shown = repr(replace(config, api_key="sk-secret", headers={"api-key": "sk-secret"}))
    assert "sk-secret" not in shown


async def test_logs_hold_no_content(provider: OpenAICompatible, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever happens, no log line of any library holds content or key, down to DEBUG."""
    caplog.set_level(logging.DEBUG)
    for model in ("m", "scripted-400", "scripted-reset", "scripted-badchunk", "scripted-html", "scripted-truncated"):
        for stream in (False, True):
            try:
                await events(provider, call(model, stream=stream))
            except ProviderError:
                continue
    assert CONTENT not in caplog.text
    assert KEY not in caplog.text


async def test_many_at_once(provider: OpenAICompatible, cloud: ScriptedCloud) -> None:
    """Calls in flight together get each its own answer."""

    async def one(number: int) -> None:
        stream = number % 2 == 0
        found = await events(provider, call(stream=stream, text=f"<{number}>"))
        if stream:
            assert text_of(found) == f"You wrote: «<{number}>»"
        else:
            assert isinstance(found[0], Whole)
            assert f"«<{number}>»".encode() in found[0].body

    async with anyio.create_task_group() as group:
        for number in range(60):
            group.start_soon(one, number)
    assert cloud.counters.client_disconnects == 0


async def test_a_forgotten_stream_does_not_stay_open(provider: OpenAICompatible, cloud: ScriptedCloud) -> None:
    """A generator that nobody closed gives its connection up when it is collected."""
    stream = provider.stream(call("scripted-stall", stream=True))
    await anext(stream)
    del stream
    gc.collect()
    await eventually(lambda: cloud.counters.open_connections == 0)
