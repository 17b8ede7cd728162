"""What models are asked at, as raw ASGI handlers: from bytes to an exchange, and from its answer to bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from gateway.domain.deadlines import Deadlines
from gateway.domain.errors import Code, GatewayError
from gateway.domain.ports import KeyStore
from gateway.domain.request import Caller
from gateway.http.auth import authenticate
from gateway.http.errors import render
from gateway.http.hints import read_hints
from gateway.http.wire import (
    DEPARTURE,
    CancelWhenGone,
    ClientGone,
    Limits,
    Receive,
    Scope,
    Send,
    StreamWriter,
    headers_of,
    read_body,
    send_rendered,
    send_whole,
)
from gateway.pipeline.answer import WholeAnswer
from gateway.pipeline.exchange import Exchange
from gateway.pipeline.handle import Pipeline
from gateway.pipeline.reply import decision_headers
from gateway.pipeline.shapes import Dialect

_JSON = {"content-type": "application/json"}
_EVENTS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "x-accel-buffering": "no"}


class InferenceEndpoint:
    """The one way in for every dialect. Counts what is in flight, so that a gateway that drains or is full says so at
    once."""

    def __init__(self, pipeline: Pipeline, keys: KeyStore, limits: Limits) -> None:
        self._pipeline = pipeline
        self._keys = keys
        self._limits = limits
        self._deadlines = Deadlines()
        self._idle = asyncio.Event()
        self._idle.set()
        self.in_flight = 0
        self.draining = False

    async def serve(self, dialect: Dialect, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, which is in this dialect."""
        try:
            self._admit(scope)
        except GatewayError as error:
            await send_rendered(send, render(error, None))
            return
        self.in_flight += 1
        self._idle.clear()
        try:
            await self._serve(dialect, scope, receive, send)
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self._idle.set()

    async def idle(self) -> None:
        """Return when nothing is in flight."""
        await self._idle.wait()

    def _admit(self, scope: Scope) -> None:
        if scope["method"] != "POST":
            raise GatewayError(Code.METHOD_NOT_ALLOWED, "Use POST for this path.")
        if self.draining:
            raise GatewayError(Code.SHUTTING_DOWN, "The gateway is shutting down.", retry_after=2)
        if self.in_flight >= self._limits.in_flight:
            raise GatewayError(Code.OVERLOADED, "The gateway has too many requests in flight.", retry_after=1)

    async def _serve(self, dialect: Dialect, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange | None = None
        try:
            headers = headers_of(scope)
            caller = authenticate(self._keys, headers)
            exchange = await self._begin(dialect, caller, headers, receive)
            async with CancelWhenGone(receive, scope.get("extensions", {}).get(DEPARTURE)):
                await self._answer(exchange, send)
        except ClientGone:
            return
        except GatewayError as error:
            extra = decision_headers(exchange) if exchange else None
            await send_rendered(send, render(error, exchange.id if exchange else None, extra))

    async def _begin(
        self, dialect: Dialect, caller: Caller, headers: Mapping[bytes, bytes], receive: Receive
    ) -> Exchange:
        hints = read_hints(headers, caller)
        media_type = headers.get(b"content-type", b"application/json").split(b";")[0].strip().lower()
        if media_type != b"application/json":
            raise GatewayError(Code.UNSUPPORTED_MEDIA_TYPE, "The request's content type must be application/json.")
        body = await read_body(receive, headers, self._limits, self._deadlines)
        traceparent = headers.get(b"traceparent")
        return self._pipeline.begin(
            caller, hints, dialect, body, traceparent.decode("latin-1") if traceparent else None
        )

    async def _answer(self, exchange: Exchange, send: Send) -> None:
        answer = await self._pipeline.handle(exchange)
        if isinstance(answer, WholeAnswer):
            await send_whole(send, 200, {**_JSON, **answer.headers}, answer.body)
            return
        writer = StreamWriter(send, self._limits.write_seconds, self._deadlines)
        try:
            await writer.start({**_EVENTS, **answer.headers})
        except BaseException:
            await answer.abandon()
            raise
        try:
            await answer.run(writer.write)
            await writer.end()
        except TimeoutError:  # the client takes nothing any more; the outcome is recorded as cancelled
            return
