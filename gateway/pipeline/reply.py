"""From a target's first event to the client's answer: mask, restore, count, settle, record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import cast

import orjson

from gateway.domain.call import Chunk, Whole
from gateway.domain.decision import Decision
from gateway.domain.errors import Code, GatewayError, ProviderError
from gateway.domain.money import NanoUsd, in_usd
from gateway.pipeline.answer import StreamAnswer, StreamTransform, WholeAnswer
from gateway.pipeline.dispatch import Opened
from gateway.pipeline.exchange import Attempt, Exchange
from gateway.pipeline.purse import Purse
from gateway.pipeline.recorder import Recorder
from gateway.pipeline.shapes import ChunkTransform, Masker, Masking, TextRestorer, WordedDialect


class Replier:
    """Turns an opened answer into the client's, and closes every exchange exactly once."""

    def __init__(
        self,
        recorder: Recorder,
        purse: Purse,
        masker: Masker,
        observe: Callable[[Exchange, str, GatewayError | None], None],
    ) -> None:
        self._recorder = recorder
        self._purse = purse
        self._masker = masker
        self._observe = observe

    async def reply(self, exchange: Exchange, opened: Opened) -> WholeAnswer | StreamAnswer:
        if isinstance(opened.first, Whole):
            return await self._whole(exchange, opened, opened.first)
        return self._stream(exchange, opened, opened.first)

    async def _whole(self, exchange: Exchange, opened: Opened, first: Whole) -> WholeAnswer:
        outcome = "failed"
        problem: GatewayError | None = GatewayError(Code.INTERNAL, "The answer could not be restored.")
        try:
            with exchange.trace.step("restore"):
                body = await self._restored(exchange, opened, first.body)
            outcome, problem = "completed", None
        except asyncio.CancelledError:
            outcome, problem = "cancelled", None
            raise
        except GatewayError as error:
            problem = error
            raise
        finally:
            # First what needs no await: closing can be cancelled, and the outcome of what was sent must follow.
            self._finish(exchange, opened.attempt, outcome, problem)
            problem = None  # an error holds this frame: named here, it would keep the request until the collector comes
            await opened.events.aclose()
        return WholeAnswer(body, decision_headers(exchange))

    async def _restored(self, exchange: Exchange, opened: Opened, body: bytes) -> bytes:
        """The answer for the client: what the model may not tell is hidden, what was hidden from it is put back."""
        try:
            tree = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise ProviderError(Code.TARGET_BAD_ANSWER, "The target's answer is not JSON.") from None
        if not isinstance(tree, dict):
            raise ProviderError(Code.TARGET_BAD_ANSWER, "The target's answer is not a JSON object.")
        opened.attempt.usage = exchange.dialect.usage_of(tree)
        if not exchange.dialect.ANSWERS_IN_WORDS:
            return body
        dialect = _worded(exchange)
        masking = self._masking(exchange, opened)
        answer = tree
        if masking is not None:
            answer = await masking.mask_tree(dialect.without_logprobs(tree), dialect.is_prose)
        if opened.redacted is not None and opened.redacted.mapping.values():
            answer, count = opened.redacted.mapping.restore_tree(answer, dialect.is_json_text)
            exchange.restored += count
        return body if answer is tree else orjson.dumps(answer)

    def _masking(self, exchange: Exchange, opened: Opened) -> Masking | None:
        decision = exchange.decision
        if decision is None or not decision.hide_in_answers:
            return None
        exchange.masking = self._masker.masking(decision.hides_in_answer, opened.attempt.body)
        return exchange.masking

    def _stream(self, exchange: Exchange, opened: Opened, first: Chunk) -> StreamAnswer:
        attempt, request, dialect = opened.attempt, exchange.request, _worded(exchange)
        assert request is not None

        def note(data: bytes) -> bool:
            found = dialect.usage_in_chunk(data)
            if found is None:
                return False
            attempt.usage = found.usage
            return found.alone

        return StreamAnswer(
            first,
            opened.events,
            StreamTransform(note, self._chunk_restorer(exchange, opened), hide_usage=not request.wants_usage),
            lambda outcome, error: self._finish(exchange, attempt, outcome, error),
            # The cost of a stream is known when it ends; the header says what it can be at most.
            decision_headers(exchange, NanoUsd(exchange.cost + attempt.candidate.worst_cost), "reserved"),
            lambda error: dialect.stream_error(error, exchange.id),
            exchange.trace.step("restore"),
        )

    def _chunk_restorer(self, exchange: Exchange, opened: Opened) -> ChunkTransform | None:
        dialect = _worded(exchange)
        masking = self._masking(exchange, opened)
        mapping = opened.redacted.mapping if opened.redacted is not None else None
        restore = mapping.stream_restorer if mapping is not None and mapping.values() else None
        if masking is None:
            return None if restore is None else dialect.chunk_restorer(restore)

        def masked(json_text: bool) -> TextRestorer:
            return masking.for_stream(json_text, None if restore is None else restore(json_text))

        return dialect.chunk_restorer(masked, logprobs=False)

    def _finish(self, exchange: Exchange, attempt: Attempt, outcome: str, error: GatewayError | None) -> None:
        """Settle, record, end the trace. Synchronous, so that a cancelled task leaves all three."""
        if exchange.closed:
            return
        exchange.closed = True
        spending = attempt.spending
        exchange.add(spending)
        self._purse.settle(attempt.reservation, spending.cost)
        with exchange.trace.step("record"):
            self._recorder.finished(exchange, attempt, outcome, error, spending)
        self._observe(exchange, outcome, error)

    def refused(self, exchange: Exchange, error: GatewayError | None) -> None:
        """The exchange ends without an answer of a target; without an error because the client left."""
        if exchange.closed:
            return
        exchange.closed = True
        self._recorder.refused(exchange, error)
        self._observe(exchange, "refused" if error else "cancelled", error)


def _worded(exchange: Exchange) -> WordedDialect:
    """The dialect of an exchange whose answer holds words."""
    assert exchange.dialect.ANSWERS_IN_WORDS
    return cast("WordedDialect", exchange.dialect)


def decision_headers(exchange: Exchange, cost: NanoUsd | None = None, basis: str = "") -> Mapping[str, str]:
    """What every answer and every error tells of its decision; as much as is known by then."""
    headers = {"x-bailiwick-decision": exchange.id}
    decision = exchange.decision
    if decision is not None:
        headers |= _of_decision(decision)
    if exchange.approval:
        headers["x-bailiwick-approval"] = exchange.approval
    if exchange.attempt is not None:
        headers["x-bailiwick-target"] = exchange.attempt.candidate.target.id
        headers["x-bailiwick-cost"] = in_usd(exchange.cost if cost is None else cost)
        headers["x-bailiwick-cost-basis"] = basis or exchange.cost_basis or "none"
    return headers


def _of_decision(decision: Decision) -> dict[str, str]:
    return {
        "x-bailiwick-level": decision.level.word,
        "x-bailiwick-action": decision.action.value,
        "x-bailiwick-because": ", ".join(reason.rule for reason in decision.reasons),
        "x-bailiwick-policy": decision.policy.short,
    }
