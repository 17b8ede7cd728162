"""The adapter for OpenAI-compatible servers, against the scripted cloud: answers, whole and broken."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from adapters.openai_compatible import OpenAICompatible, OpenAICompatibleConfig
from adapters.scripted_cloud import ScriptedCloud
from gateway.domain.call import Chunk, EgressPermit, End, ProviderEvent, Whole
from gateway.domain.errors import Code, ProviderError
from support.provider_calls import CONTENT, KEY, call, events, failure, text_of

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
    assert headers["accept-encoding"] == "gzip"
    assert "cookie" not in headers


@pytest.mark.parametrize("model", ["m", "scripted-cut1", "scripted-cut7", "scripted-gzip", "scripted-no-blank-line"])
async def test_stream(provider: OpenAICompatible, cloud: ScriptedCloud, model: str) -> None:
    """A streamed call gives chunks and then the end, however the network cuts or compresses them."""
    *chunks, end = await events(provider, call(model, stream=True))
    assert text_of(chunks) == f"You wrote: «{CONTENT}»"
    assert end == End()
    assert dict(cloud.received[0].headers)["accept-encoding"] == "identity"  # compressors hold events back


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
