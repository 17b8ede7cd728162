"""The provider port over the local engine."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import orjson

from adapters.llama_cpp.client import ConnectionCut, Exchange
from adapters.llama_cpp.frames import Frame, FrameError, Kind
from adapters.llama_cpp.pooled import NotLoaded, PooledEngine, TooLate
from adapters.llama_cpp.shared import Supervisor
from adapters.llama_cpp.supervisor import EngineState
from gateway.dialects import openai_chat, openai_embeddings
from gateway.domain.call import Chunk, End, ProviderCall, ProviderEvent, Whole
from gateway.domain.errors import Code, ProviderError

_SENTENCES = {
    EngineState.STARTING: "The local model is still loading.",
    EngineState.BACKOFF: "The local model is being restarted.",
    EngineState.FAILED: "The local model cannot be started.",
    EngineState.STOPPED: "The local model is not running.",
    EngineState.UNLOADED: "The local model is not loaded.",
}
_MAX_IDLE = 64
_LONGEST_HINT = 60.0  # seconds
_KINDS = {openai_chat.DIALECT: Kind.CHAT, openai_embeddings.DIALECT: Kind.EMBED}
_CHUNK, _WHOLE, _END = Kind.CHUNK, Kind.WHOLE, Kind.END


class LlamaCppProvider:
    """Sends calls to one engine. It owns the supervisor: closing the provider ends the engine. With `pooled`, which has
    the same supervisor, the engine is loaded when a call comes, and may be unloaded between two calls."""

    def __init__(self, supervisor: Supervisor, pooled: PooledEngine | None = None) -> None:
        self._engine = supervisor
        self._pooled = pooled
        self._idle: list[Exchange] = []  # open connections between two requests: connecting costs more than asking

    async def stream(self, call: ProviderCall) -> AsyncIterator[ProviderEvent]:
        """See `Provider`. A context that is too long, a bad schema and the like come as `ProviderError` with status
        400 and the OpenAI error body as `answer`."""
        if not call.permit.covers(call.target, hashlib.sha256(call.body).digest()):
            raise ProviderError(Code.EGRESS_REFUSED, "The request was not cleared for this target.", retryable=False)
        waited = await self._admit(call)
        exchange: Exchange | None = None
        complete = False
        try:
            if self._engine.state is not EngineState.READY:
                raise self._unavailable(_SENTENCES[self._engine.state], sent=False)
            exchange = await self._connect()
            self._send(exchange, call, waited)
            timeout = call.timeouts.first_event - waited
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
            if exchange is not None:
                self._put_back(exchange, complete=complete)
            if self._pooled is not None:
                self._pooled.release()

    async def _admit(self, call: ProviderCall) -> float:
        """Wait until the model is loaded, and keep it so until `release`. Gives the seconds that it took."""
        if self._pooled is None:
            return 0.0
        try:
            return await self._pooled.admit(call.first_token, call.timeouts.first_event)
        except TooLate as late:
            wait = min(late.seconds, _LONGEST_HINT)
            public = "The local model is not loaded, and would not be in time."
            raise ProviderError(Code.TARGET_BUSY, public, detail="too_late", retry_after=wait, sent=False) from None
        except NotLoaded as error:
            raise self._unavailable(_SENTENCES[EngineState.UNLOADED], str(error), sent=False) from None
        except TimeoutError:
            public = "The local model was not loaded in time: others have the memory, or it takes too long."
            raise ProviderError(Code.TARGET_TIMEOUT, public, sent=False) from None

    def _put_back(self, exchange: Exchange, *, complete: bool) -> None:
        if complete and exchange.free and len(self._idle) < _MAX_IDLE:
            self._idle.append(exchange)
        else:
            exchange.close()  # which cancels what is still being decoded

    async def ready(self) -> bool:
        return self._engine.state is EngineState.READY if self._pooled is None else not self._pooled.problem

    async def stats(self, prompt_tokens: int | None = None) -> dict[str, Any]:
        """State, restarts, queue depth, measured speeds and the predicted time to first token of a prompt of that
        length, for the router and the operator."""
        return await (self._pooled or self._engine).stats(prompt_tokens=prompt_tokens)

    async def aclose(self) -> None:
        while self._idle:
            self._idle.pop().close()
        await self._engine.aclose()

    def _unavailable(self, public: str, detail: str = "", *, sent: bool = True) -> ProviderError:
        wait, detail = self._engine.retry_after, detail or self._engine.failure
        return ProviderError(Code.TARGET_UNAVAILABLE, public, detail=detail, retry_after=wait, sent=sent)

    async def _connect(self) -> Exchange:
        while self._idle:
            exchange = self._idle.pop()
            if exchange.free:  # not one to an engine that has ended since
                return exchange
        try:
            return await Exchange.open(self._engine.socket)
        except ConnectionCut as error:
            raise self._unavailable("The local model cannot be reached.", str(error), sent=False) from error

    @staticmethod
    def _send(exchange: Exchange, call: ProviderCall, waited: float) -> None:
        first_token = None if call.first_token is None else max(call.first_token - waited, 0.0)
        terms = orjson.dumps({"tenant": call.tenant, "first_token": first_token})
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
        return ProviderError(Code.TARGET_BUSY, public, detail=code, retry_after=error["retry_after"], sent=False)
    if status >= 500:
        return ProviderError(Code.TARGET_BAD_ANSWER, "The local model could not answer.", detail=code)
    answer = orjson.dumps(error["body"])
    public = "The local model refuses the request."
    return ProviderError(Code.TARGET_REFUSED, public, detail=code, retryable=False, status=status, answer=answer)
