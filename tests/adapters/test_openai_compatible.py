"""The adapter for OpenAI-compatible servers, against the scripted cloud: real sockets, real failures."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import json
import logging
import shutil
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from adapters.openai_compatible import OpenAICompatible, OpenAICompatibleConfig
from adapters.scripted_cloud import ScriptedCloud
from gateway.domain.call import Chunk, EgressPermit, End, ProviderCall, ProviderEvent, Timeouts, Whole
from gateway.domain.errors import Code, ConfigurationError, ProviderError
from gateway.domain.money import FREE
from gateway.domain.target import Target, Zone

TARGET = Target("cloud-a", Zone.CLOUD, "EU", frozenset(), "openai", "m", "openai_chat", FREE, 100, 1000)
CONTENT = "kangaroo"
KEY = "sk-test-key"

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


def call(model: str = "m", *, stream: bool = False, text: str = CONTENT, **more: Any) -> ProviderCall:
    """A call with its permit."""
    messages = [{"role": "user", "content": text}]
    body = json.dumps({"model": model, "messages": messages, "stream": stream}).encode()
    permit = EgressPermit("d-1", TARGET.id, hashlib.sha256(body).digest())
    return ProviderCall(TARGET, body, stream, permit, **more)


async def events(provider: OpenAICompatible, request: ProviderCall) -> list[ProviderEvent]:
    """All events of one call."""
    return [event async for event in provider.stream(request)]


async def failure(provider: OpenAICompatible, request: ProviderCall) -> ProviderError:
    """The error that a call ends with; it must tell nothing of content or key, in any way of printing it."""
    with pytest.raises(ProviderError) as caught:
        await events(provider, request)
    error = caught.value
    shown = f"{error} {error!r} {error.public} {error.detail} {error.__cause__!r} {error.__context__!r}"
    assert CONTENT not in shown
    assert KEY not in shown
    assert error.__cause__ is None
    assert error.__context__ is None
    return error


async def eventually(condition: Callable[[], bool], seconds: float = 2) -> None:
    """Wait until the other side of a socket has noticed something."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # the server's side of a socket sets no event
            await asyncio.sleep(0.002)


def text_of(chunks: list[ProviderEvent]) -> str:
    """What a client puts together from a stream."""
    trees = [json.loads(event.data) for event in chunks if isinstance(event, Chunk)]
    return "".join(choice["delta"].get("content") or "" for tree in trees for choice in tree["choices"])


async def test_whole(provider: OpenAICompatible, cloud: ScriptedCloud) -> None:
    """A call that is not streamed gives one answer, and the server gets exactly the bytes of the call."""
    request = call()
    (answer,) = await events(provider, request)
    assert isinstance(answer, Whole)
    assert json.loads(answer.body)["choices"][0]["message"]["content"] == f"You wrote: «{CONTENT}»"
    assert cloud.received[0].body == request.body
    headers = dict(cloud.received[0].headers)
    assert headers["content-type"] == "application/json"
    assert headers["content-length"] == str(len(request.body))
    assert "cookie" not in headers


@pytest.mark.parametrize("model", ["m", "scripted-cut1", "scripted-cut7", "scripted-gzip", "scripted-no-blank-line"])
async def test_stream(provider: OpenAICompatible, model: str) -> None:
    """A streamed call gives chunks and then the end, however the network cuts or compresses them."""
    *chunks, end = await events(provider, call(model, stream=True))
    assert text_of(chunks) == f"You wrote: «{CONTENT}»"
    assert end == End()


@pytest.mark.parametrize("model", ["scripted-gzip", "scripted-cut1", "scripted-slow"])
async def test_whole_however_it_comes(provider: OpenAICompatible, model: str) -> None:
    """A compressed, cut or slow answer is the same answer."""
    (answer,) = await events(provider, call(model))
    assert isinstance(answer, Whole)
    assert json.loads(answer.body)["choices"][0]["message"]["content"] == f"You wrote: «{CONTENT}»"


@pytest.mark.parametrize(
    "permit",
    [
        EgressPermit("d-1", "cloud-b", hashlib.sha256(call().body).digest()),
        EgressPermit("d-1", "cloud-a", hashlib.sha256(call().body + b" ").digest()),
        EgressPermit("d-1", "cloud-a", b""),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_promise_2_nothing_leaves_without_a_permit(
    provider: OpenAICompatible, cloud: ScriptedCloud, permit: EgressPermit, stream: bool
) -> None:
    """With a permit for another target or other bytes, not even a connection is opened."""
    error = await failure(provider, replace(call(stream=stream), permit=permit))
    assert (error.code, error.retryable, error.sent) == (Code.EGRESS_REFUSED, False, False)
    assert cloud.counters.connections == 0


async def test_promise_2_nor_over_a_connection_that_is_open(provider: OpenAICompatible, cloud: ScriptedCloud) -> None:
    """A permit is checked for each call: that of an earlier one opens nothing."""
    earlier = call()
    await events(provider, earlier)
    await failure(provider, replace(call(text="another kangaroo"), permit=earlier.permit))
    assert cloud.counters.requests == 1


STATUSES = [
    ("scripted-400", Code.TARGET_REFUSED, False, 400, None),
    ("scripted-401", Code.TARGET_UNAVAILABLE, True, 401, None),
    ("scripted-403", Code.TARGET_UNAVAILABLE, True, 403, None),
    ("scripted-404", Code.TARGET_REFUSED, False, 404, None),
    ("scripted-413", Code.TARGET_REFUSED, False, 413, None),
    ("scripted-422", Code.TARGET_REFUSED, False, 422, None),
    ("scripted-408", Code.TARGET_TIMEOUT, True, 408, None),
    ("scripted-409", Code.TARGET_UNAVAILABLE, True, 409, None),
    ("scripted-429", Code.TARGET_RATE_LIMITED, True, 429, 1.0),
    ("scripted-500", Code.TARGET_UNAVAILABLE, True, 500, None),
    ("scripted-503", Code.TARGET_UNAVAILABLE, True, 503, 1.0),
    ("scripted-redirect", Code.TARGET_BAD_ANSWER, True, 307, None),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("model", "code", "retryable", "status", "wait"), STATUSES)
async def test_statuses(
    provider: OpenAICompatible,
    cloud: ScriptedCloud,
    stream: bool,
    model: str,
    code: Code,
    retryable: bool,
    status: int,
    wait: float | None,
) -> None:
    """Each status has its code; the caller's own fault comes with the provider's words; there is one attempt."""
    error = await failure(provider, call(model, stream=stream))
    assert (error.code, error.retryable, error.status, error.retry_after) == (code, retryable, status, wait)
    assert error.sent
    if code is Code.TARGET_REFUSED:
        assert error.answer is not None
        assert json.loads(error.answer)["error"]["message"] == f"Scripted error {status}."
    else:
        assert error.answer is None
    assert len(cloud.received) == 1


BROKEN = [
    ("scripted-reset-early", Code.TARGET_UNAVAILABLE, "the connection broke", "the connection broke"),
    ("scripted-reset", Code.TARGET_UNAVAILABLE, "broke", "broke"),
    ("scripted-truncated", Code.TARGET_UNAVAILABLE, "the answer broke off", "the answer broke off"),
    ("scripted-malformed", Code.TARGET_BAD_ANSWER, "answer is not a JSON object", "application/json in place of"),
    ("scripted-badchunk", Code.TARGET_BAD_ANSWER, "answer is not a JSON object", "stream event is not a JSON object"),
    ("scripted-html", Code.TARGET_BAD_ANSWER, "answer is not a JSON object", "text/html in place of"),
    ("scripted-empty", Code.TARGET_BAD_ANSWER, "answer is not a JSON object", "application/json in place of"),
    ("scripted-error-event", Code.TARGET_UNAVAILABLE, "the answer is an error", "the stream event is an error"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("model", "code", "whole", "streamed"), BROKEN)
async def test_broken_answers(
    provider: OpenAICompatible, stream: bool, model: str, code: Code, whole: str, streamed: str
) -> None:
    """An answer that breaks off or cannot be read is an error that says so, and may be tried elsewhere."""
    error = await failure(provider, call(model, stream=stream))
    assert error.code is code
    assert (streamed if stream else whole) in error.detail
    assert error.retryable
    assert error.sent


@pytest.mark.parametrize("model", ["scripted-reset", "scripted-truncated", "scripted-badchunk", "scripted-error-event"])
async def test_what_came_before_a_break_is_handed_on(provider: OpenAICompatible, model: str) -> None:
    """A stream that breaks gives its first chunks, then the error, and no end."""
    seen: list[ProviderEvent] = []

    async def read() -> None:
        async for event in provider.stream(call(model, stream=True)):
            seen.append(event)

    with pytest.raises(ProviderError):
        await read()
    assert len(seen) == 3
    assert all(isinstance(event, Chunk) for event in seen)


def served(body: bytes, content_type: str, status: int = 200) -> OpenAICompatible:
    """An adapter over a network that gives one answer."""
    answer = httpx.Response(status, headers={"content-type": content_type}, content=body)
    return OpenAICompatible(
        OpenAICompatibleConfig("http://model.invalid/v1"), transport=httpx.MockTransport(lambda request: answer)
    )


async def test_a_stream_without_its_end_mark_is_an_error() -> None:
    """A stream that ends in order but without its end mark was cut short by somebody."""
    error = await failure(served(b'data: {"choices": []}\n\n', "text/event-stream"), call(stream=True))
    assert (error.code, error.retryable) == (Code.TARGET_BAD_ANSWER, True)
    assert "without its end mark" in error.detail


@pytest.mark.parametrize(
    ("error", "code", "retryable", "answered"),
    [
        ({"message": "x", "code": 429}, Code.TARGET_RATE_LIMITED, True, False),
        ({"message": "x", "code": 400}, Code.TARGET_REFUSED, False, True),
        ({"message": "x", "code": 7}, Code.TARGET_UNAVAILABLE, True, False),
        ({"message": "x", "code": "rate_limit"}, Code.TARGET_UNAVAILABLE, True, False),
        ("x", Code.TARGET_UNAVAILABLE, True, False),
    ],
)
@pytest.mark.parametrize("kind", ["whole", "stream", "whole in place of a stream"])
async def test_errors_in_the_place_of_answers(
    error: Any, code: Code, retryable: bool, answered: bool, kind: str
) -> None:
    """An error object in an answer with status 200 is an error, with the status that it may carry inside."""
    body = json.dumps({"error": error}).encode()
    if kind == "stream":
        provider = served(b"data: " + body + b"\n\n", "text/event-stream")
    else:
        provider = served(body, "application/json; charset=utf-8")
    found = await failure(provider, call(stream=kind != "whole"))
    assert (found.code, found.retryable) == (code, retryable)
    assert found.answer == (body if answered else None)


async def test_an_error_page_is_not_handed_on() -> None:
    """A status 400 with a web page comes from something in between; its page is no answer for an SDK."""
    error = await failure(served(b"<html>", "text/html", 400), call())
    assert (error.code, error.answer) == (Code.TARGET_REFUSED, None)
    error = await failure(served(b'{"error": "' + b"x" * 70_000 + b'"}', "application/json", 400), call())
    assert (error.code, error.answer) == (Code.TARGET_REFUSED, None)


async def test_damaged_compression_is_an_error() -> None:
    """An answer that says gzip and is not is an unreadable answer."""

    class Damaged(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"no gzip"

    answer = httpx.Response(200, headers={"content-encoding": "gzip"}, stream=Damaged())
    transport = httpx.MockTransport(lambda request: answer)
    error = await failure(OpenAICompatible(OpenAICompatibleConfig("http://x/v1"), transport=transport), call())
    assert error.code is Code.TARGET_BAD_ANSWER


async def test_big_answers_are_refused(cloud: ScriptedCloud) -> None:
    """An answer over the limit is given up in the middle, and so is an event over 1 MiB."""
    config = OpenAICompatibleConfig(cloud.base_url, api_key=KEY, max_answer_bytes=2 << 20)
    provider = OpenAICompatible(config)
    assert len(await events(provider, call("scripted-big1"))) == 1
    error = await failure(provider, call("scripted-big20"))
    assert (error.code, "longer than" in error.detail) == (Code.TARGET_BAD_ANSWER, True)
    error = await failure(provider, call("scripted-big2", stream=True))
    assert (error.code, "longer than" in error.detail) == (Code.TARGET_BAD_ANSWER, True)
    assert OpenAICompatibleConfig("x").max_answer_bytes == 64 << 20
    await provider.aclose()


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
