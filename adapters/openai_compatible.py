"""Any server that speaks OpenAI's chat completions or embeddings over HTTP: OpenAI, vLLM, llama-server, one's own.

Calls httpx's transport interface directly: what its client layer would add (redirects, cookies, proxies from the
environment) is not wanted here, and costs half as much again as the request.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from types import MappingProxyType

import httpx
import orjson

from adapters.http_faults import CLOSED, DOWN, FAULT_CLASSES, UNREADABLE, Refusal, refusal_of, retry_after
from adapters.http_transport import Waits, check_headers, endpoint, network
from gateway.dialects import openai_chat, openai_embeddings
from gateway.dialects.sse import DONE, SseDecoder, SseError
from gateway.domain.call import Chunk, End, ProviderCall, ProviderEvent, Whole
from gateway.domain.errors import Code, ProviderError
from gateway.domain.target import Zone

MAX_ERROR_BYTES = 64 * 1024
"""The most of an error answer that is read, in bytes."""

_DIALECTS = (openai_chat, openai_embeddings)
_DRAIN_SECONDS = 0.25
_CLOSES = "llama.cpp"
_MEDIA_TYPE = re.compile(r"[a-z0-9.+-]{1,64}/[a-z0-9.+-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class OpenAICompatibleConfig:
    """Where a server is and how to reach it.

    `base_url` ends where ``/chat/completions`` or ``/embeddings`` begins (``https://api.openai.com/v1``). `ca_file` is
    certificates to trust instead of the usual ones, `proxy` a forward proxy; neither is taken from the environment.
    `max_connections` bounds the calls in flight, `keepalive` is how many seconds an idle connection is kept,
    `max_answer_bytes` bounds an answer that is not streamed. `reuse` False: a streamed call's connection is not used
    again. llama.cpp's server closes it though it says that it keeps it, and a call that comes at once would break on
    it; from such a server's first stream on, that is so in any case.
    """

    base_url: str
    api_key: str | None = field(default=None, repr=False)
    organisation: str | None = None
    project: str | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    ca_file: str | None = None
    proxy: str | None = field(default=None, repr=False)
    max_connections: int = 256
    keepalive: float = 30.0
    max_answer_bytes: int = 64 * 1024 * 1024
    reuse: bool = True


class OpenAICompatible:
    """Implements `gateway.domain.ports.Provider`: one attempt per call, and nothing leaves without its permit.

    `transport` takes the place of the network, `now` (seconds since the epoch) of the clock. Connections are made on
    first use, so an instance belongs to the event loop that it is first used in. Raises `ConfigurationError`.
    """

    def __init__(
        self,
        config: OpenAICompatibleConfig,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._urls = {dialect.DIALECT: endpoint(config.base_url, dialect.PATH) for dialect in _DIALECTS}
        headers = request_headers(config)
        # A stream is better uncompressed: compressors hold events back.
        self._stream_headers = httpx.Headers({**headers, "accept": "text/event-stream", "accept-encoding": "identity"})
        if not config.reuse:
            self._stream_headers["connection"] = "close"
        self._whole_headers = httpx.Headers({**headers, "accept": "application/json", "accept-encoding": "gzip"})
        self._max_answer_bytes = config.max_answer_bytes
        self._transport = transport or network(
            ca_file=config.ca_file,
            proxy=config.proxy,
            max_connections=config.max_connections,
            keepalive=config.keepalive,
        )
        self._now = now
        self._waits = Waits()

    async def stream(self, call: ProviderCall) -> AsyncGenerator[ProviderEvent, None]:
        """The events of one answer. Raises `ProviderError`; closing the generator closes the connection at once."""
        if not call.permit.covers(call.target, hashlib.sha256(call.body).digest()):
            raise ProviderError(
                Code.EGRESS_REFUSED,
                "The request was not cleared to leave.",
                detail=f"target {call.target.id}: the permit is for another target or other bytes",
                retryable=False,
                sent=False,
            )
        deadline = asyncio.get_running_loop().time() + call.timeouts.first_event
        if not call.stream:
            yield await self._whole(call, deadline)
            return
        async with aclosing(await self._open(call, deadline)) as answer:
            if answer.status != 200:
                raise await answer.refusal(self._now())
            if answer.media_type != "text/event-stream":
                raise await answer.not_a_stream()
            while True:
                payloads = await answer.payloads()
                for left, payload in zip(range(len(payloads) - 1, -1, -1), payloads, strict=True):
                    if payload == DONE:
                        try:
                            yield End()
                        finally:
                            await answer.drain()
                        return
                    answer.check(payload, "stream event")
                    yield Chunk(payload, more=left > 0)

    async def ready(self) -> bool:
        """Not closed; whether the server answers, only a request can tell."""
        return not self._waits.closed

    async def aclose(self) -> None:
        """Close every connection. A call that is still running fails."""
        self._waits.close()
        await self._transport.aclose()

    async def _exchange(self, call: ProviderCall) -> Whole:
        answer = await self._open(call, None)
        try:
            if answer.status != 200:
                raise await answer.refusal(self._now())
            return Whole(await answer.whole(self._max_answer_bytes))
        finally:
            await answer.aclose()

    async def _whole(self, call: ProviderCall, deadline: float) -> Whole:
        """A call that is not streamed, under one deadline for all of its steps."""
        try:
            return await self._waits.until(deadline, self._exchange(call))
        except TimeoutError as error:
            fault = self._waits.fault_of(error)
        raise _failure(call, fault.refusal, fault.detail)

    async def _open(self, call: ProviderCall, deadline: float | None) -> _Answer:
        """Send the request and wait for the head of the answer."""
        if self._waits.closed:
            raise _failure(call, DOWN, CLOSED.detail, sent=False)
        headers = self._stream_headers if call.stream else self._whole_headers
        if call.traceparent is not None and call.target.zone is Zone.LOCAL:
            headers = headers.copy()
            headers["traceparent"] = call.traceparent
        connect = call.timeouts.connect
        request = _Post(
            self._urls[call.target.dialect], headers, call.body, {"timeout": {"connect": connect, "pool": connect}}
        )
        try:
            response = await self._waits.until(deadline, self._transport.handle_async_request(request))
        except FAULT_CLASSES as error:
            fault = self._waits.fault_of(error)
        else:
            if call.stream and response.headers.get("server") == _CLOSES:
                self._stream_headers["connection"] = "close"
            return _Answer(call, response, deadline, self._waits)
        # Raised out here, so that the library's exception, which may quote header or answer, is not attached to it.
        raise _failure(call, fault.refusal, fault.detail, sent=fault.sent)


class _Post(httpx.Request):
    """A request whose body is at hand. Given as a stream, httpx adds no headers of its own (aiohttp adds host and
    length), which would cost more than everything else it does here."""

    def __init__(
        self, url: httpx.URL, headers: httpx.Headers, body: bytes, extensions: dict[str, dict[str, float]]
    ) -> None:
        super().__init__("POST", url, headers=headers, stream=httpx.ByteStream(body), extensions=extensions)
        self._body = body

    @property
    def content(self) -> bytes:
        return self._body


class _Answer:
    """The answer to one call while it is being read. `deadline` is the loop's time for the next event, None where the
    whole call has one."""

    def __init__(self, call: ProviderCall, response: httpx.Response, deadline: float | None, waits: Waits) -> None:
        self._waits = waits
        self._call = call
        self._response = response
        self._deadline = deadline
        self._begun = self._ended = False
        self._pieces = _pieces(response)
        self._events: SseDecoder | None = None  # only for a stream
        self._now = asyncio.get_running_loop().time
        self.status = response.status_code

    @property
    def media_type(self) -> str:
        """Such as ``text/event-stream``; empty where the server does not say."""
        return str(self._response.headers.get("content-type", "")).partition(";")[0].strip().lower()

    async def payloads(self) -> list[bytes]:
        """The next payloads of an event stream, at least one. Raises `ProviderError` where it ends unfinished."""
        if self._begun:  # counted from here, so that a slow reader of ours is not the server's fault
            self._deadline = self._now() + self._call.timeouts.idle
        while True:
            data = await self._next()
            payloads = self._decoded(data)
            if b"" in payloads:
                payloads = [payload for payload in payloads if payload]
            if payloads:  # comments, which keep a connection alive, are not progress and do not put the deadline off
                self._begun = True
                return payloads
            if not data:
                raise _failure(self._call, UNREADABLE, "the stream ended without its end mark")

    async def whole(self, limit: int) -> bytes:
        """The answer to a call that is not streamed: a JSON object of at most `limit` bytes."""
        body = await self._rest(limit)
        if body is None:
            raise _failure(self._call, UNREADABLE, f"the answer is longer than {limit} bytes")
        self.check(body, "answer")
        return body

    async def refusal(self, now: float) -> ProviderError:
        """What an answer with another status than 200 means."""
        refusal = refusal_of(self.status)
        answer = await self._rest(MAX_ERROR_BYTES) if refusal.hand_on else None
        return _failure(
            self._call,
            refusal,
            f"status {self.status}",
            status=self.status,
            wait=retry_after(self._response.headers, now) if refusal.retryable else None,
            answer=answer if answer is not None and _object_in(answer) is not None else None,
        )

    async def not_a_stream(self) -> ProviderError:
        """What an answer means that should be a stream and is not: an error object, or a web page."""
        body = await self._rest(MAX_ERROR_BYTES)
        if body is not None and _object_in(body) is not None:
            self.check(body, "answer")
        kind = self.media_type if _MEDIA_TYPE.fullmatch(self.media_type) else "something unknown"
        return _failure(self._call, UNREADABLE, f"{kind} in place of an event stream")

    def check(self, data: bytes, what: str) -> None:
        """Raise `ProviderError` unless `data` is a JSON object, and not an error in the place of an answer."""
        tree = _object_in(data)
        if tree is None:
            raise _failure(self._call, UNREADABLE, f"the {what} is not a JSON object")
        error = tree.get("error")
        if error is None:
            return
        status = error.get("code") if isinstance(error, dict) else None  # some providers put the HTTP status here
        if not isinstance(status, int) or not 400 <= status <= 599:
            raise _failure(self._call, DOWN, f"the {what} is an error")
        refusal = refusal_of(status)
        answer = data if refusal.hand_on and len(data) <= MAX_ERROR_BYTES else None
        raise _failure(self._call, refusal, f"the {what} is an error, {status}", status=status, answer=answer)

    async def drain(self) -> None:
        """Read what little follows a complete stream, so that its connection can be used again."""
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                while await anext(self._pieces, b""):
                    pass
                self._ended = True
        except FAULT_CLASSES:
            return  # the answer is complete all the same; the connection is closed instead of kept

    async def aclose(self) -> None:
        """Close the connection where the answer has not been read to its end; there it has given itself back."""
        if self._ended:
            return
        if isinstance(self._pieces, AsyncGenerator):
            await self._pieces.aclose()
        await self._response.aclose()

    def _decoded(self, data: bytes) -> list[bytes]:
        """The payloads that these bytes complete, or that the end of the stream does."""
        if self._events is None:
            self._events = SseDecoder()
        try:
            return self._events.feed(data) if data else [event.data for event in self._events.finish()]
        except SseError as error:
            detail = str(error)
        raise _failure(self._call, UNREADABLE, detail)

    async def _rest(self, limit: int) -> bytes | None:
        """All that is left; None where it is more than `limit` bytes."""
        parts: list[bytes] = []
        size = 0
        while part := await self._next():
            size += len(part)
            if size > limit:
                return None
            parts.append(part)
        return b"".join(parts)

    async def _next(self) -> bytes:
        """The next bytes; none at the end."""
        try:
            data = await self._waits.until(self._deadline, anext(self._pieces, b""))
        except FAULT_CLASSES as error:
            fault = self._waits.fault_of(error)
        else:
            self._ended = not data
            return data
        raise _failure(self._call, fault.refusal, fault.detail)


def _failure(
    call: ProviderCall,
    refusal: Refusal,
    detail: str,
    *,
    status: int | None = None,
    wait: float | None = None,
    answer: bytes | None = None,
    sent: bool = True,
) -> ProviderError:
    return ProviderError(
        refusal.code,
        refusal.public,
        detail=f"target {call.target.id}: {detail}",
        retryable=refusal.retryable,
        retry_after=wait,
        status=status,
        answer=answer,
        sent=sent,
    )


def _object_in(data: bytes) -> dict[str, object] | None:
    try:
        tree = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return tree if isinstance(tree, dict) else None


def _pieces(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body in pieces as they arrive, decompressed where the server compressed it."""
    if response.headers.get("content-encoding", "identity") == "identity":
        stream = response.stream
        if isinstance(stream, httpx.AsyncByteStream):
            return aiter(stream)  # httpx's own iterators would add two generators to each read
    return response.aiter_bytes()


def request_headers(config: OpenAICompatibleConfig) -> dict[str, str]:
    """The headers that each request has, by lower-case name. Raises `ConfigurationError`."""
    headers = {"content-type": "application/json", "user-agent": "bailiwick"}
    if config.api_key is not None:
        headers["authorization"] = f"Bearer {config.api_key}"
    if config.organisation is not None:
        headers["openai-organization"] = config.organisation
    if config.project is not None:
        headers["openai-project"] = config.project
    headers.update((name.lower(), value) for name, value in config.headers.items())
    check_headers(headers)
    return headers
