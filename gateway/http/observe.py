"""From a finished exchange to metrics and the end of its trace. Here, because both know the HTTP status."""

from __future__ import annotations

from collections.abc import Callable

from gateway.domain.errors import GatewayError, ProviderError
from gateway.domain.finding import DetectorState
from gateway.domain.money import in_usd
from gateway.domain.ports import Clock
from gateway.http.errors import STATUS
from gateway.pipeline.exchange import Exchange
from gateway.telemetry import names
from gateway.telemetry.metrics import Metrics, RequestObservation
from gateway.telemetry.values import joined

CLIENT_LEFT = 499
"""nginx's status for a client that closed the connection first; no client ever sees it."""


def observer(metrics: Metrics, clock: Clock) -> Callable[[Exchange, str, GatewayError | None], None]:
    """What the pipeline calls once for each exchange that is over."""

    def observe(exchange: Exchange, outcome: str, error: GatewayError | None) -> None:
        status = _status(outcome, error)
        metrics.observe(_observation(exchange, status, error, clock.monotonic()))
        exchange.trace.end(_attributes(exchange, outcome, status), error.code.value if error else "")

    return observe


def _status(outcome: str, error: GatewayError | None) -> int:
    if outcome == "cancelled":
        return CLIENT_LEFT
    if error is None or outcome == "broken":  # a stream breaks after its 200 was sent
        return 200
    if isinstance(error, ProviderError) and error.answer is not None and error.status is not None:
        return error.status
    return STATUS[error.code]


def _observation(exchange: Exchange, status: int, error: GatewayError | None, now: float) -> RequestObservation:
    inspection, decision, attempt = exchange.inspection, exchange.decision, exchange.attempt
    first = None if attempt is None or attempt.first_event is None else attempt.first_event - attempt.began
    candidates = exchange.plan.candidates if exchange.plan else ()
    return RequestObservation(
        dialect=exchange.dialect.DIALECT,
        status=status,
        seconds=now - exchange.began,
        target=attempt.candidate.target.id if attempt else "",
        action=decision.action.value if decision else "",
        level=decision.level.word if decision else "",
        app=exchange.caller.app,
        error=error.code if error else None,
        inspect_seconds=exchange.inspect_seconds,
        first_token_seconds=first,
        usage=attempt.usage if attempt else None,
        cost=exchange.cost,
        found=inspection.found if inspection else (),
        detector=inspection.detector if inspection else DetectorState.OK,
        unreadable=bool(inspection and inspection.unreadable),
        redaction_incomplete=bool(exchange.facts and exchange.facts.redaction_incomplete),
        reasons=tuple(reason.rule for reason in decision.reasons) if decision else (),
        would=tuple(reason.rule for reason in decision.would) if decision else (),
        retries=tuple(exchange.failures[:-1] if error else exchange.failures),
        guard_stops=exchange.guard_stops,
        fallback=bool(attempt and candidates and attempt.candidate.target.id != candidates[0].target.id),
    )


def _attributes(exchange: Exchange, outcome: str, status: int) -> dict[str, str | int | float | bool]:
    caller, request, decision, attempt = exchange.caller, exchange.request, exchange.decision, exchange.attempt
    found: dict[str, str | int | float | bool] = {
        names.OPERATION: exchange.dialect.OPERATION,
        names.STATUS: status,
        names.OUTCOME: outcome,
        names.TENANT: caller.tenant,
        names.APP: caller.app,
        names.KEY: caller.key,
        names.REQUEST_BYTES: len(exchange.body),
    }
    if request is not None:
        found |= {names.REQUEST_MODEL: request.model, names.REQUEST_STREAM: request.stream}
    if decision is not None:
        found |= {
            names.POLICY: decision.policy.short,
            names.LEVEL: decision.level.word,
            names.ACTION: decision.action.value,
            names.BECAUSE: joined(reason.rule for reason in decision.reasons),
            names.PERMITTED: joined(verdict.target for verdict in decision.targets if verdict.permitted),
        }
        if decision.trial is not None:
            found |= {
                names.WOULD: joined(reason.rule for reason in decision.would),
                names.WOULD_ACTION: decision.trial.action.value,
            }
    if attempt is not None:
        target = attempt.candidate.target
        found |= {
            names.PROVIDER: target.provider,
            names.RESPONSE_MODEL: target.model,
            names.TARGET: target.id,
            names.ZONE: target.zone.value,
            names.COST_USD: float(in_usd(exchange.cost)),
            names.COST_BASIS: exchange.cost_basis or "none",
            names.RESTORED: exchange.restored,
            names.MASKED: exchange.masked,
            names.SENT_BYTES: len(attempt.body),
        }
        if attempt.first_event is not None:
            found[names.FIRST_CHUNK] = round(attempt.first_event - attempt.began, 6)
        if attempt.usage is not None:
            found |= {
                names.INPUT_TOKENS: attempt.usage.input_tokens,
                names.OUTPUT_TOKENS: attempt.usage.output_tokens,
                names.CACHED_TOKENS: attempt.usage.cached_input_tokens,
            }
    return found
