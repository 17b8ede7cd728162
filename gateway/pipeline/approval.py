"""A request that needs an approval: asked for, waited for, used once (docs/approvals.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import orjson

from gateway.approvals import events
from gateway.approvals.values import Status, in_words
from gateway.approvals.view import in_iso
from gateway.domain.decision import Decision, Gate
from gateway.domain.errors import Code, GatewayError
from gateway.domain.ports import ApprovalCase, ApprovalClaim, Approvals, AuditLog, Clock
from gateway.domain.tree import Json
from gateway.pipeline.exchange import Exchange


class ApprovalGate:
    """Holds a request back until everybody who has to approve it has done so. `mac` is a keyed hash (hex)."""

    def __init__(self, approvals: Approvals, audit: AuditLog, mac: Callable[[bytes], str], clock: Clock) -> None:
        self._approvals = approvals
        self._audit = audit
        self._mac = mac
        self._clock = clock
        self._running: set[asyncio.Task[ApprovalClaim]] = set()

    async def take(self, exchange: Exchange, decision: Decision) -> None:
        """Use up the approval of this request; `decision` is what it gets once it is approved. Raises `GatewayError`:
        APPROVAL_REQUIRED, or APPROVAL_DENIED."""
        case = self._case(exchange, decision)
        task = asyncio.get_running_loop().create_task(self._claim(exchange, case))
        self._running.add(task)
        task.add_done_callback(self._done)
        claim = await asyncio.shield(task)  # once begun it must end with its record, whether the client leaves or not
        exchange.approval = claim.id
        if claim.status != Status.USED:
            raise _refusal(claim, decision)
        exchange.approved = case

    async def drain(self) -> None:
        """Return when every claim has its record."""
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)

    def _done(self, task: asyncio.Task[ApprovalClaim]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # told to whoever waits for it; nobody may, when the client has left

    async def _claim(self, exchange: Exchange, case: ApprovalCase) -> ApprovalClaim:
        claim = await self._approvals.claim(case)
        if claim.new or claim.status == Status.USED:
            name = events.ASKED if claim.new else events.USED
            at = int(self._clock.now().timestamp() * 1_000_000)
            self._audit.submit(events.approval_event(name, at, claim.id, exchange.caller, case))
        return claim

    def _case(self, exchange: Exchange, decision: Decision) -> ApprovalCase:
        caller, request, inspection = exchange.caller, exchange.request, exchange.inspection
        assert request is not None
        assert inspection is not None
        return ApprovalCase(
            binding=self._binding(exchange, decision),
            decision=exchange.id,
            key=caller.key,
            tenant=caller.tenant,
            app=caller.app,
            group=caller.group,
            user=self._mac(exchange.user.encode()) if exchange.user else "",
            dialect=request.dialect,
            model=request.model,
            level=decision.level,
            found=inspection.found,
            size=len(exchange.body),
            policy=decision.policy.hash,
            targets=tuple(sorted(decision.permitted)),
            hidden=tuple(hidden.entity for hidden in decision.redact),
            needed=decision.approvals,
        )

    def _binding(self, exchange: Exchange, decision: Decision) -> str:
        """Another request, another caller, another policy or another way of handling it has another binding, so that
        no approval is for it. Names are separated as JSON, whose last byte cannot be taken for one of the body's."""
        caller = exchange.caller
        terms = [
            ["approval", exchange.dialect.DIALECT, caller.tenant, caller.app, caller.group, exchange.user],
            [decision.policy.hash, decision.level.word, sorted(decision.permitted)],
            [[hidden.entity, hidden.percent] for hidden in decision.redact],
            [[needed.rule, needed.approvers, needed.seconds] for needed in decision.approvals],
        ]
        return self._mac(orjson.dumps(terms) + b"\n" + exchange.body)


def strayed(exchange: Exchange, decision: Decision) -> bool:
    """Would the decision let go what the used approval is not for? So it may be when the policy was replaced since."""
    case = exchange.approved
    if case is None or decision.gate is not Gate.ALLOW:
        return False
    same = decision.policy.hash == case.policy and decision.approvals == case.needed
    return not (same and decision.permitted <= frozenset(case.targets))


def _refusal(claim: ApprovalClaim, decision: Decision) -> GatewayError:
    waiting: list[Json] = [
        {"rule": needed.rule, "approvers": list(needed.approvers), "lasts_seconds": needed.seconds}
        for needed in claim.waiting
    ]
    until = in_iso(claim.expires)
    about: dict[str, Json] = {"id": claim.id, "status": claim.status, "waiting": waiting, "expires_at": until}
    if claim.status == Status.DENIED:
        words = f"An approver has denied this request (approval {claim.id}). That holds until {until}."
    elif claim.status == Status.APPROVED:
        words = (
            f"The approval {claim.id} of this request is given. Send the request again by an API key that did not "
            "give it."
        )
    else:
        words = (
            f"This request needs an approval. {claim.id} is asked of {in_words(claim.waiting)} and lapses at {until}. "
            "When it is given, send the same request again."
        )
    code = Code.APPROVAL_DENIED if claim.status == Status.DENIED else Code.APPROVAL_REQUIRED
    return GatewayError(code, " ".join([words, *decision.tell_user]), more={"approval": about})
