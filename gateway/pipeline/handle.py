"""The way of one request, in one screen: parse, inspect, decide, select, dispatch, restore, record."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gateway.domain.decision import BudgetState, Decision, Facts, Gate
from gateway.domain.errors import BudgetSpent, Code, GatewayError
from gateway.domain.estimate import prompt_token_bound, prompt_token_estimate
from gateway.domain.finding import DetectorState, Inspection
from gateway.domain.ports import Clock, Tracer
from gateway.domain.request import Caller, Hints, InferenceRequest, Plan
from gateway.domain.target import Route, Target
from gateway.pipeline.answer import StreamAnswer, WholeAnswer
from gateway.pipeline.approval import ApprovalGate, strayed
from gateway.pipeline.conversation import Keeper, NothingKept, Turn
from gateway.pipeline.dispatch import Dispatcher, Opened
from gateway.pipeline.exchange import Exchange, new_decision_id
from gateway.pipeline.guard import EgressRefused
from gateway.pipeline.notice import Notifier
from gateway.pipeline.recorder import Recorder
from gateway.pipeline.reply import Replier
from gateway.pipeline.shapes import Dialect, Inspector
from gateway.routing.select import Demand, Selector
from gateway.telemetry.logs import log_event

_log = logging.getLogger(__name__)

Decide = Callable[[Facts, Sequence[Target]], Decision]
"""The current policy's evaluator. Looked up for each request, so that a reload takes effect at once."""


@dataclass(frozen=True, slots=True)
class Directory:
    """The configured targets and the model names that callers may ask for."""

    targets: Mapping[str, Target]
    routes: Mapping[str, Route]

    def of(self, route: Route) -> tuple[Target, ...]:
        return tuple(self.targets[name] for name in route.targets)


@dataclass(frozen=True, slots=True)
class Steps:
    """The parts that the pipeline hands a request through."""

    inspector: Inspector
    decide: Decide
    approvals: ApprovalGate
    selector: Selector
    dispatcher: Dispatcher
    replier: Replier
    recorder: Recorder
    conversations: Keeper = field(default_factory=lambda: Keeper(NothingKept(), lambda content: ""))
    notices: Notifier = field(default_factory=lambda: Notifier({}))


class Pipeline:
    def __init__(self, directory: Directory, steps: Steps, tracer: Tracer, clock: Clock) -> None:
        self._directory = directory
        self._steps = steps
        self._tracer = tracer
        self._clock = clock

    def begin(
        self, caller: Caller, hints: Hints, dialect: Dialect, body: bytes, traceparent: str | None = None
    ) -> Exchange:
        """A new exchange with its decision id, which every answer and every error carries."""
        decision_id = new_decision_id()
        trace = self._tracer.start(decision_id, traceparent)
        return Exchange(decision_id, caller, hints, dialect, body, trace, self._clock.monotonic())

    async def handle(self, exchange: Exchange) -> WholeAnswer | StreamAnswer:
        """The way of one request. Raises `GatewayError`; an outcome is recorded in every case."""
        try:
            request = self._parse(exchange)
            route = self._route(exchange, request)
            inspection = await self._inspect(exchange, request)
            turn = await self._steps.conversations.recall(exchange.caller, exchange.hints, request)
            facts = self._facts(exchange, request, inspection, turn)
            if turn is not None:
                facts = await self._kept(turn, facts, inspection, route)
            while True:
                facts, decision = await self._decide_approved(exchange, facts, route)
                plan = self._select(exchange, request, route, decision)
                try:
                    opened = await self._steps.dispatcher.open(exchange, inspection, decision, plan)
                except (BudgetSpent, EgressRefused) as refusal:
                    exchange.guard_stops += isinstance(refusal, EgressRefused)
                    facts = tightened(facts, refusal)
                else:
                    return await self._reply(exchange, opened, turn)
        except GatewayError as error:
            self._steps.replier.refused(exchange, error)
            raise
        except asyncio.CancelledError:
            self._steps.replier.refused(exchange, None)
            raise
        except Exception as defect:  # the border: a defect of ours is recorded, answered, and tells nothing outside
            raise self._failed(exchange, defect) from None
        finally:
            self._steps.notices.tell(exchange)  # of the last word, however it ended

    def _failed(self, exchange: Exchange, defect: Exception) -> GatewayError:
        log_event(_log, logging.ERROR, "a request failed by a defect", decision=exchange.id, error=defect)
        failure = GatewayError(Code.INTERNAL, "The gateway failed on this request.", detail=where(defect))
        self._steps.replier.refused(exchange, failure)
        return failure

    async def preview(self, exchange: Exchange) -> tuple[Inspection, Decision, Plan]:
        """What would happen, without sending, reserving or recording anything. For `explain` and the self-probe."""
        request = self._parse(exchange)
        route = self._route(exchange, request)
        inspection = await self._inspect(exchange, request)
        turn = await self._steps.conversations.recall(exchange.caller, exchange.hints, request)
        facts = self._facts(exchange, request, inspection, turn)
        decision = self._decide(exchange, facts, route)
        demand = _demand(exchange, request, inspection)
        return inspection, decision, self._steps.selector.select(decision, route, demand)

    def _parse(self, exchange: Exchange) -> InferenceRequest:
        with exchange.trace.step("parse"):
            exchange.request = exchange.dialect.parse(exchange.body)
        return exchange.request

    def _route(self, exchange: Exchange, request: InferenceRequest) -> Route:
        route = self._directory.routes.get(request.model)
        if route is None:
            raise GatewayError(
                Code.MODEL_NOT_FOUND,
                "The model in this request is not configured here. GET /v1/models lists those that are.",
                param="model",
            )
        if any(target.dialect != request.dialect for target in self._directory.of(route)):
            raise GatewayError(
                Code.INVALID_REQUEST,
                f"The model in this request is not for /v1{exchange.dialect.PATH}. "
                "GET /v1/models tells the endpoints of each.",
                param="model",
            )
        return route

    async def _inspect(self, exchange: Exchange, request: InferenceRequest) -> Inspection:
        began = self._clock.monotonic()
        with exchange.trace.step("inspect") as step:
            inspection = await self._steps.inspector.inspect(request.body, exchange.dialect.GRAMMAR)
            step.set({"bailiwick.characters": inspection.characters, "bailiwick.findings": len(inspection.findings)})
            if inspection.detector is not DetectorState.OK:
                step.fail(f"detector_{inspection.detector.value}")
        exchange.inspection = inspection
        exchange.inspect_seconds = self._clock.monotonic() - began
        return inspection

    def _facts(self, exchange: Exchange, request: InferenceRequest, inspection: Inspection, turn: Turn | None) -> Facts:
        caller, hints, now = exchange.caller, exchange.hints, self._clock.now()
        return Facts(
            tenant=caller.tenant,
            app=caller.app,
            group=caller.group,
            role=caller.role,
            user=exchange.user,
            dialect=request.dialect,
            model=request.model,
            found=inspection.found,
            detector=inspection.detector,
            unreadable=inspection.unreadable > 0 or (turn is not None and turn.unreadable),
            prompt_tokens=prompt_token_estimate(inspection.characters),
            as_of=now.date(),
            min_level=hints.min_level,
            max_cost=hints.max_cost,
            max_first_token=hints.max_first_token,
            minute=now.hour * 60 + now.minute,
            labels=hints.labels,
            history_level=None if turn is None else turn.level,
        )

    async def _kept(self, turn: Turn, facts: Facts, inspection: Inspection, route: Route) -> Facts:
        """The facts, when the conversation's level is kept, whatever becomes of the request. If it cannot be kept, they
        are those of a request that cannot be read: what comes after this turn might be taken for less than it is."""
        level = self._steps.decide(facts, self._directory.of(route)).level
        unread = inspection.unreadable > 0 or inspection.detector is not DetectorState.OK
        if await self._steps.conversations.keep(turn, level, unread=unread):
            return facts
        return replace(facts, unreadable=True)

    async def _reply(self, exchange: Exchange, opened: Opened, turn: Turn | None) -> WholeAnswer | StreamAnswer:
        if turn is None:
            return await self._steps.replier.reply(exchange, opened)
        answer = await self._steps.replier.reply(exchange, self._steps.conversations.follow(turn, opened))
        if isinstance(answer, WholeAnswer):
            await turn.settled()
        return answer

    def _decide(self, exchange: Exchange, facts: Facts, route: Route) -> Decision:
        exchange.facts = facts
        with exchange.trace.step("decide"):
            exchange.decision = self._steps.decide(facts, self._directory.of(route))
        return exchange.decision

    async def _decide_approved(self, exchange: Exchange, facts: Facts, route: Route) -> tuple[Facts, Decision]:
        """The facts and the decision; where that needs an approval, those with the approval, which is used up. Raises
        APPROVAL_REQUIRED, or what the request would come to even if it were approved: nobody is asked for nothing."""
        assert exchange.request is not None
        while True:
            decision = self._decide(exchange, facts, route)
            if strayed(exchange, decision):
                exchange.approved, exchange.approval = None, ""
                facts = replace(facts, approved=False)
            elif decision.gate is Gate.REQUIRE_APPROVAL and decision.approvals:
                approved = replace(facts, approved=True)
                then = self._steps.decide(approved, self._directory.of(route))
                if then.policy == decision.policy:  # else it was replaced just now
                    self._select(exchange, exchange.request, route, then)
                    await self._steps.approvals.take(exchange, then)
                    facts = approved
            else:
                return facts, decision

    def _select(self, exchange: Exchange, request: InferenceRequest, route: Route, decision: Decision) -> Plan:
        assert exchange.inspection is not None
        with exchange.trace.step("select"):
            plan = self._steps.selector.select(decision, route, _demand(exchange, request, exchange.inspection))
        exchange.plan = plan
        if not plan.candidates and exchange.facts is not None and exchange.facts.budget is BudgetState.SPENT:
            # There were candidates while there was money, so it is the money that is missing.
            raise GatewayError(Code.BUDGET_SPENT, _words(decision, "The app's budget for today is spent"))
        if decision.gate is Gate.BLOCK:
            raise GatewayError(Code.BLOCKED, _words(decision, "This request may not be sent to any model"))
        if decision.gate is Gate.REQUIRE_APPROVAL:
            raise GatewayError(Code.APPROVAL_REQUIRED, _words(decision, "This request needs an approval"))
        if not plan.candidates:
            reasons = "; ".join(f"{verdict.target}: {verdict.reason}" for verdict in plan.rejected)
            raise GatewayError(Code.NO_TARGET, f"No target may and can answer this request ({reasons}).")
        return plan


def tightened(facts: Facts, refusal: BudgetSpent | EgressRefused) -> Facts:
    """The facts after a refusal, stricter by one: the policy says what to do then. Raises the refusal when it is not
    news, so that a request is decided at most three times."""
    if isinstance(refusal, BudgetSpent) and facts.budget is BudgetState.OK:
        return replace(facts, budget=BudgetState.SPENT)
    if isinstance(refusal, EgressRefused) and refusal.leak and not facts.redaction_incomplete:
        return replace(facts, redaction_incomplete=True)
    raise refusal


def _words(decision: Decision, sentence: str) -> str:
    rules = ", ".join(reason.rule for reason in decision.reasons)
    told = " ".join(decision.tell_user)
    return f"{sentence} (rules: {rules})." + (f" {told}" if told else "")


def _demand(exchange: Exchange, request: InferenceRequest, inspection: Inspection) -> Demand:
    return Demand(
        token_bound=prompt_token_bound(request.size, tools="tools" in request.body),
        token_estimate=prompt_token_estimate(inspection.characters),
        max_output=request.max_output_tokens,
        choices=request.choices,
        id=exchange.id,
        together=request.together,
    )


def where(defect: BaseException) -> str:
    """The type and place of an exception, without its text, which may hold content."""
    trace = defect.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace else ""
    return type(defect).__name__ + place
