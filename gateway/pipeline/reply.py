"""From a target's first event to the client's answer: restore, count, settle, record."""

from __future__ import annotations

from collections.abc import Callable, Mapping

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


class Replier:
    """Turns an opened answer into the client's, and closes every exchange exactly once."""

    def __init__(
        self,
        recorder: Recorder,
        purse: Purse,
        observe: Callable[[Exchange, str, GatewayError | None], None],
    ) -> None:
        self._recorder = recorder
        self._purse = purse
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
                body = self._restored(exchange, opened, first.body)
            outcome, problem = "completed", None
        except GatewayError as error:
            problem = error
            raise
        finally:
            # First what needs no await: closing can be cancelled, and the outcome of what was sent must follow.
            self._finish(exchange, opened.attempt, outcome, problem)
            await opened.events.aclose()
        return WholeAnswer(body, decision_headers(exchange))

    def _restored(self, exchange: Exchange, opened: Opened, body: bytes) -> bytes:
        try:
            tree = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise ProviderError(Code.TARGET_BAD_ANSWER, "The target's answer is not JSON.") from None
        if not isinstance(tree, dict):
            raise ProviderError(Code.TARGET_BAD_ANSWER, "The target's answer is not a JSON object.")
        opened.attempt.usage = exchange.dialect.usage_of(tree)
        if opened.redacted is None or not opened.redacted.mapping.values():
            return body
        restored, count = opened.redacted.mapping.restore_tree(tree, exchange.dialect.is_json_text)
        exchange.restored += count
        return orjson.dumps(restored) if count else body

    def _stream(self, exchange: Exchange, opened: Opened, first: Chunk) -> StreamAnswer:
        attempt, request = opened.attempt, exchange.request
        assert request is not None

        def note(data: bytes) -> bool:
            found = exchange.dialect.usage_in_chunk(data)
            if found is None:
                return False
            attempt.usage = found.usage
            return found.alone

        redacted = opened.redacted
        restorer = None
        if redacted is not None and redacted.mapping.values():
            restorer = exchange.dialect.chunk_restorer(redacted.mapping.stream_restorer)
        return StreamAnswer(
            first,
            opened.events,
            StreamTransform(note, restorer, hide_usage=not request.wants_usage),
            lambda outcome, error: self._finish(exchange, attempt, outcome, error),
            # The cost of a stream is known when it ends; the header says what it can be at most.
            decision_headers(exchange, NanoUsd(exchange.cost + attempt.candidate.worst_cost), "reserved"),
            lambda error: exchange.dialect.stream_error(error, exchange.id),
            exchange.trace.step("restore"),
        )

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


def decision_headers(exchange: Exchange, cost: NanoUsd | None = None, basis: str = "") -> Mapping[str, str]:
    """What every answer and every error tells of its decision; as much as is known by then."""
    headers = {"x-bailiwick-decision": exchange.id}
    decision = exchange.decision
    if decision is not None:
        headers |= _of_decision(decision)
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
