"""The egress guard (promise 2, 4): the only holder of providers, the only maker of egress permits.

Whatever wants to send (first try, retry, fallback, later a hedge or a shadow) comes through `open`, which checks the
decision, searches the final bytes for every hidden value, and makes the intent durable before the first byte leaves.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import cast

from gateway.domain.call import EgressPermit, ProviderCall, ProviderEvent, Timeouts
from gateway.domain.decision import Decision, Gate
from gateway.domain.errors import Code, GatewayError
from gateway.domain.ports import AuditLog, Provider
from gateway.domain.record import AuditRecord
from gateway.domain.target import Target, Zone
from gateway.pipeline.exchange import digest


class EgressRefused(GatewayError):
    """The guard stopped a request that earlier steps would have sent. Always a defect or an attack; never a leak."""

    def __init__(self, detail: str, *, leak: bool = False) -> None:
        super().__init__(
            Code.EGRESS_REFUSED,
            "The request was stopped before it left: it would have broken the policy that decided it.",
            detail=detail,
        )
        self.leak = leak


@dataclass(frozen=True, slots=True, repr=False)
class Outbound:
    """Everything the guard judges. `values` are the texts that must not be in `body`. `day` (UTC) is the one that the
    decision was made for; without it, no label counts that ever ends. `tenant` and `first_token` are as in
    `ProviderCall`."""

    decision_id: str
    decision: Decision
    target: Target
    body: bytes
    stream: bool
    values: tuple[str, ...]
    timeouts: Timeouts = field(default_factory=Timeouts)
    traceparent: str | None = None
    tenant: str = ""
    first_token: float | None = None
    day: date = date.max


class EgressGuard:
    def __init__(
        self,
        providers: Mapping[str, Provider],
        audit: AuditLog,
        leaks: Callable[[Sequence[str], bytes], bool],
    ) -> None:
        self._providers = providers
        self._audit = audit
        self._leaks = leaks

    async def open(self, outbound: Outbound, intent: AuditRecord) -> AsyncGenerator[ProviderEvent, None]:
        """The provider's events, not yet asked for. Raises `EgressRefused`, or AUDIT_UNAVAILABLE when the intent
        cannot be made durable; then nothing has left."""
        self._check(outbound)
        if outbound.target.zone is Zone.CLOUD:
            await self._audit.append(intent)
        else:
            self._audit.submit(intent)  # nothing leaves: the order of the log is enough
        permit = EgressPermit(outbound.decision_id, outbound.target.id, digest(outbound.body))
        call = ProviderCall(
            target=outbound.target,
            body=outbound.body,
            stream=outbound.stream,
            permit=permit,
            timeouts=outbound.timeouts,
            traceparent=outbound.traceparent if outbound.target.zone is Zone.LOCAL else None,
            tenant=outbound.tenant if outbound.target.zone is Zone.LOCAL else "",
            first_token=outbound.first_token,
        )
        events = self._providers[outbound.target.id].stream(call)
        return cast("AsyncGenerator[ProviderEvent, None]", events)

    def _check(self, outbound: Outbound) -> None:
        decision, target = outbound.decision, outbound.target
        if decision.gate is not Gate.ALLOW:
            raise EgressRefused(f"gate is {decision.gate.name}")
        if target.id not in decision.permitted:
            raise EgressRefused(f"target {target.id} is not permitted")
        if target.zone is Zone.LOCAL:
            return
        # The verdicts above come from the evaluator. These three are its inputs, checked again from the target itself.
        if not decision.cloud:
            raise EgressRefused("the decision allows no cloud")
        if decision.regions is not None and target.region not in decision.regions:
            raise EgressRefused(f"region {target.region} is not permitted")
        if not decision.provider_must_have <= target.labels_on(outbound.day):
            raise EgressRefused("the provider lacks a required label")
        if outbound.values and self._leaks(outbound.values, outbound.body):
            raise EgressRefused("a value that had to be hidden is in the final bytes", leak=True)
