"""The provider port over the local engine."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import orjson

from adapters.llama_cpp.client import ConnectionCut, Exchange
from adapters.llama_cpp.frames import Frame, FrameError, Kind
from adapters.llama_cpp.supervisor import EngineState, EngineSupervisor
from gateway.dialects import openai_chat, openai_embeddings
from gateway.domain.call import Chunk, End, ProviderCall, ProviderEvent, Whole
from gateway.domain.errors import Code, ProviderError

_SENTENCES = {
    EngineState.STARTING: "The local model is still loading.",
    EngineState.BACKOFF: "The local model is being restarted.",
    EngineState.FAILED: "The local model cannot be started.",
    EngineState.STOPPED: "The local model is not running.",
}
_MAX_IDLE = 64
_KINDS = {openai_chat.DIALECT: Kind.CHAT, openai_embeddings.DIALECT: Kind.EMBED}
_CHUNK, _WHOLE, _END = Kind.CHUNK, Kind.WHOLE, Kind.END


class LlamaCppProvider:
    """Sends calls to one engine. It owns the supervisor: closing the provider ends the engine."""

    def __init__(self, supervisor: EngineSupervisor) -> None:
        self._engine = supervisor
        self._idle: list[Exchange] = []  # open connections between two requests: connecting costs more than asking

    async def stream(self, call: ProviderCall) -> AsyncIterator[ProviderEvent]:
        """See `Provider`. A context that is too long, a bad schema and the like come as `ProviderError` with status
        400 and the OpenAI error body as `answer`."""
        if not call.permit.covers(call.target, hashlib.sha256(call.body).digest()):
            raise ProviderError(Code.EGRESS_REFUSED, "The request was not cleared for this target.", retryable=False)
        if self._engine.state is not EngineState.READY:
            raise self._unavailable(_SENTENCES[self._engine.state])
        exchange = await self._connect()
        complete = False
        try:
            self._send(exchange, call)
            timeout = call.timeouts.first_event
            while True:
                frame = await self._next(exchange, timeout)
                timeout = call.timeouts.idle
                if frame.kind is _CHUNK:
                    yield Chunk(frame.payload)
                    continue
                complete = True
                if frame.kind is _WHOLE:
                    yield Whole(frame.payload)
                elif frame.kind is _END:
                    yield End()
                else:
                    raise _refusal(frame)
                return
        finally:
            if complete and exchange.free and len(self._idle) < _MAX_IDLE:
                self._idle.append(exchange)
            else:
                exchange.close()  # which cancels what is still being decoded

    async def ready(self) -> bool:
        return self._engine.state is EngineState.READY

    async def stats(self, prompt_tokens: int | None = None) -> dict[str, Any]:
        """State, restarts, queue depth, measured speeds and the predicted time to first token of a prompt of that
        length, for the router and the operator."""
        return await self._engine.stats(prompt_tokens=prompt_tokens)

    async def aclose(self) -> None:
        while self._idle:
            self._idle.pop().close()
        await self._engine.aclose()

    def _unavailable(self, public: str, detail: str = "") -> ProviderError:
        wait = self._engine.retry_after
        return ProviderError(Code.TARGET_UNAVAILABLE, public, detail=detail or self._engine.failure, retry_after=wait)

    async def _connect(self) -> Exchange:
        while self._idle:
            exchange = self._idle.pop()
            if exchange.free:  # not one to an engine that has ended since
                return exchange
        try:
            return await Exchange.open(self._engine.socket)
        except ConnectionCut as error:
            raise self._unavailable("The local model cannot be reached.", str(error)) from error

    @staticmethod
    def _send(exchange: Exchange, call: ProviderCall) -> None:
        terms = orjson.dumps({"tenant": call.tenant, "first_token": call.first_token})
        try:
            exchange.send(Kind.TERMS, terms)
            exchange.send(_KINDS[call.target.dialect], call.body)
        except FrameError as error:
            public = "The request is too large for the local model."
            raise ProviderError(Code.REQUEST_TOO_LARGE, public, detail=str(error), retryable=False) from error

    async def _next(self, exchange: Exchange, timeout: float) -> Frame:
        try:
            return await exchange.next(timeout)
        except ConnectionCut as error:
            raise self._unavailable("The local engine stopped.", str(error)) from error
        except TimeoutError:
            raise ProviderError(Code.TARGET_TIMEOUT, "The local model did not answer in time.") from None


def _refusal(frame: Frame) -> ProviderError:
    if frame.kind is not Kind.ERROR:
        return ProviderError(Code.TARGET_BAD_ANSWER, "The local model answered with something unexpected.")
    error = orjson.loads(frame.payload)
    status, code = error["status"], error["body"]["error"]["code"]
    if status == 429:
        late = code == "too_late"
        public = "The local model cannot answer in time." if late else "The queue of the local model is full."
        return ProviderError(Code.OVERLOADED, public, detail=code, retry_after=error["retry_after"])
    if status >= 500:
        return ProviderError(Code.TARGET_BAD_ANSWER, "The local model could not answer.", detail=code)
    answer = orjson.dumps(error["body"])
    public = "The local model refuses the request."
    return ProviderError(Code.TARGET_REFUSED, public, detail=code, retryable=False, status=status, answer=answer)
