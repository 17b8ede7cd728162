"""Reserve, redact, guard, send, and try the next candidate: from a plan to a first event.

Every attempt has its own reservation, its own intent in the audit log and its own outcome. Fallback takes the next
candidate of the plan, which the decision permits (promise 3); nothing here knows any other target.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

import orjson

from gateway.dialects.openai_chat import LimitField
from gateway.domain.call import Chunk, ProviderEvent, Timeouts, Whole
from gateway.domain.decision import Decision
from gateway.domain.errors import BudgetSpent, Code, GatewayError, ProviderError
from gateway.domain.finding import Inspection
from gateway.domain.ports import Clock
from gateway.domain.request import Candidate, Plan
from gateway.domain.target import Zone
from gateway.pipeline.exchange import NO_SPENDING, Attempt, Exchange
from gateway.pipeline.guard import EgressGuard, EgressRefused, Outbound
from gateway.pipeline.purse import CostCapExceeded, Purchase, Purse
from gateway.pipeline.recorder import Recorder
from gateway.pipeline.shapes import Redacted, Redactor


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`per_target` more tries at the same target after a retryable error, waiting what the provider asks for but at
    most `longest_wait` seconds; else it is the next candidate's turn."""

    per_target: int = 2
    first_wait: float = 0.25
    longest_wait: float = 5.0


# Statuses that may go away by themselves. After any other the same target would refuse again.
_PASSING = frozenset({408, 409, 425, 429})


@dataclass(frozen=True, slots=True)
class Tries:
    """How attempts are made; `timeouts` are by target id, and so is `limit_fields`: the one member for the output
    bound that a target's server knows, where it does not know both."""

    timeouts: Mapping[str, Timeouts]
    limit_fields: Mapping[str, LimitField] = field(default_factory=dict)
    retry: RetryPolicy = field(default_factory=RetryPolicy)


@dataclass(frozen=True, slots=True, repr=False)
class Opened:
    """A target has begun to answer."""

    attempt: Attempt
    first: Whole | Chunk
    events: AsyncGenerator[ProviderEvent, None]
    redacted: Redacted | None


class Feedback(Protocol):
    """What routing and metrics learn from attempts."""

    def answered(self, target: str, seconds: float) -> None: ...

    def failed(self, target: str, error: ProviderError) -> None: ...


class Dispatcher:
    def __init__(
        self,
        guard: EgressGuard,
        purse: Purse,
        redactor: Redactor,
        recorder: Recorder,
        feedback: Feedback,
        clock: Clock,
        tries: Tries,
    ) -> None:
        self._guard = guard
        self._purse = purse
        self._redactor = redactor
        self._recorder = recorder
        self._feedback = feedback
        self._clock = clock
        self._retry = tries.retry
        self._timeouts = tries.timeouts
        self._limit_fields = tries.limit_fields

    async def open(self, exchange: Exchange, inspection: Inspection, decision: Decision, plan: Plan) -> Opened:
        """Try the candidates in order until one begins to answer. Raises the last error, or `BudgetSpent` when no
        candidate could be paid for. A free target is not tried in place of one that could not be paid for: whether
        that may be is for the policy to say (``when_spent``)."""
        redacted: Redacted | None = None
        problem: GatewayError | None = None
        spent: BudgetSpent | None = None
        try:
            for number, candidate in enumerate(plan.candidates, start=1):
                # The last one is not told to hurry: a late answer is better than none.
                within = decision.first_token if number < len(plan.candidates) else None
                cloud = candidate.target.zone is Zone.CLOUD
                if spent is not None and not cloud:
                    raise spent
                if cloud and decision.redact and redacted is None:
                    redacted = self._redact(exchange, inspection, decision)
                for attempt_here in range(1 + self._retry.per_target):
                    try:
                        return await self._attempt(exchange, decision, candidate, redacted if cloud else None, within)
                    except BudgetSpent as refusal:
                        spent = refusal
                        problem = problem or refusal
                        break
                    except CostCapExceeded as refusal:
                        problem = problem or refusal
                        break
                    except ProviderError as failed:
                        problem = failed
                        if not failed.retryable:
                            raise
                        wait = self._wait(failed, attempt_here)
                        if wait is None:
                            break
                        await asyncio.sleep(wait)
            assert problem is not None  # a plan without candidates does not get here
            raise problem
        finally:
            # An error holds this frame, so that a name for it here would keep the request until the collector comes.
            problem = spent = None

    def _redact(self, exchange: Exchange, inspection: Inspection, decision: Decision) -> Redacted:
        assert exchange.request is not None
        hide = [f for f in inspection.findings if decision.hides(f.span.entity, f.span.percent)]
        with exchange.trace.step("redact"):
            redacted = self._redactor.redact(
                exchange.request.body, hide, exchange.caller.tenant, exchange.dialect.GRAMMAR
            )
        # What the guard searches for is the redactor's own word; this is not.
        if not {finding.span.entity for finding in hide} <= {found.entity for found in redacted.hidden}:
            raise EgressRefused("a finding that had to be hidden was not", leak=True)
        return redacted

    def _wait(self, failed: ProviderError, attempt_here: int) -> float | None:
        """Seconds before the same target is tried again; None when it should not be."""
        if attempt_here >= self._retry.per_target or failed.status is None:
            return None  # without a status there was no answer at all: another target is the better bet
        if failed.status < 500 and failed.status not in _PASSING:
            return None
        wait = failed.retry_after if failed.retry_after is not None else self._retry.first_wait * 2.0**attempt_here
        return wait if wait <= self._retry.longest_wait else None

    async def _attempt(
        self,
        exchange: Exchange,
        decision: Decision,
        candidate: Candidate,
        redacted: Redacted | None,
        within: float | None,
    ) -> Opened:
        request = exchange.request
        assert request is not None
        body = self._final_bytes(exchange, candidate, redacted)
        with exchange.trace.step("reserve"):
            demand = Purchase(exchange.caller, request, len(body))
            reservation, paid = await self._purse.reserve(demand, decision, candidate)
        exchange.attempts += 1
        attempt = Attempt(
            number=exchange.attempts,
            candidate=paid,
            body=body if paid.clamp == candidate.clamp else self._final_bytes(exchange, paid, redacted),
            hidden=redacted.hidden if redacted else (),
            reservation=reservation,
            began=self._clock.monotonic(),
        )
        exchange.attempt = attempt
        events: AsyncGenerator[ProviderEvent, None] | None = None
        try:
            events = await self._admit(exchange, decision, attempt, redacted, within)
            first = await self._first_event(exchange, attempt, events)
        except BaseException as error:
            self._give_up(exchange, attempt, error)  # first what needs no await: the task may be cancelled
            if events is not None:
                await events.aclose()
            raise
        return Opened(attempt, first, events, redacted)

    def _final_bytes(self, exchange: Exchange, candidate: Candidate, redacted: Redacted | None) -> bytes:
        request = exchange.request
        assert request is not None
        tree = exchange.dialect.with_changes(
            redacted.tree if redacted else request.body,
            model=candidate.target.model,
            include_usage=request.stream,
            max_output_tokens=candidate.clamp,
            output_limit_field=self._limit_fields.get(candidate.target.id),
        )
        return orjson.dumps(tree)

    async def _admit(
        self,
        exchange: Exchange,
        decision: Decision,
        attempt: Attempt,
        redacted: Redacted | None,
        within: float | None,
    ) -> AsyncGenerator[ProviderEvent, None]:
        request = exchange.request
        assert request is not None
        outbound = Outbound(
            decision_id=exchange.id,
            decision=decision,
            target=attempt.candidate.target,
            body=attempt.body,
            stream=request.stream,
            values=redacted.mapping.values() if redacted else (),
            timeouts=self._timeouts[attempt.candidate.target.id],
            traceparent=exchange.trace.traceparent,
            tenant=exchange.caller.tenant,
            first_token=within,
            day=exchange.facts.as_of if exchange.facts is not None else date.max,
        )
        with exchange.trace.step("guard"):
            return await self._guard.open(outbound, self._recorder.intent(exchange, attempt))

    async def _first_event(
        self, exchange: Exchange, attempt: Attempt, events: AsyncGenerator[ProviderEvent, None]
    ) -> Whole | Chunk:
        target, request = attempt.candidate.target.id, exchange.request
        assert request is not None
        attempt.sent = True
        with exchange.trace.step("dispatch") as step:
            step.set({"bailiwick.target": target, "bailiwick.attempt": attempt.number})
            try:
                first = await anext(events)
            except StopAsyncIteration:
                raise ProviderError(Code.TARGET_BAD_ANSWER, "The target sent nothing.") from None
        if not isinstance(first, Whole | Chunk):
            raise ProviderError(Code.TARGET_BAD_ANSWER, "The target ended its answer before it began.")
        if isinstance(first, Chunk) is not request.stream:
            raise ProviderError(Code.TARGET_BAD_ANSWER, "The target's answer is not in the form that was asked for.")
        attempt.first_event = self._clock.monotonic()
        self._feedback.answered(target, attempt.first_event - attempt.began)
        return first

    def _give_up(self, exchange: Exchange, attempt: Attempt, error: BaseException) -> None:
        """Settle and record an attempt that brought nothing. Where the provider may have worked (it was sent and no
        clear refusal came back), the money counts as spent: a budget is rather underused than overspent."""
        refused = isinstance(error, ProviderError) and (error.status is not None or not error.sent)
        spending = attempt.spending if attempt.sent and not refused else NO_SPENDING
        self._purse.settle(attempt.reservation, spending.cost)
        exchange.add(spending)
        if isinstance(error, ProviderError):
            exchange.failures.append((attempt.candidate.target.id, error.code.value))
            self._feedback.failed(attempt.candidate.target.id, error)
        problem = error if isinstance(error, GatewayError) else None
        self._recorder.attempt_failed(exchange, attempt, problem, spending)
