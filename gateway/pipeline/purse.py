"""Money for one attempt: reserved before it is sent, settled after, never more than the policy's limit."""

from __future__ import annotations

import asyncio
import logging

from gateway.domain.decision import Decision
from gateway.domain.errors import BudgetSpent, GatewayError
from gateway.domain.estimate import affordable_output, prompt_token_bound, worst_cost
from gateway.domain.money import NanoUsd
from gateway.domain.ports import Clock, Ledger, Reservation
from gateway.domain.request import Caller, Candidate, InferenceRequest
from gateway.domain.target import Zone

_log = logging.getLogger(__name__)
_USEFUL_OUTPUT = 16  # tokens; see gateway.routing.select
NOTHING = Reservation("", NanoUsd(0))


class Purse:
    """Reserves before a send and settles after it.

    Settling runs in the background, in order of arrival, and is awaited when the gateway drains. Until it is settled a
    reservation counts in full, so lateness can only make a budget stricter.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._running: set[asyncio.Task[None]] = set()

    async def reserve(
        self, caller: Caller, request: InferenceRequest, decision: Decision, candidate: Candidate
    ) -> tuple[Reservation, Candidate]:
        """Set the worst cost aside; if that is too much, as much output as is still affordable. Raises `BudgetSpent`.

        Only money that is really paid counts against a budget: a local target's price is what it costs us to run,
        and is recorded, but nobody sends a bill for it.
        """
        if candidate.target.zone is Zone.LOCAL:
            return NOTHING, candidate
        day = self._clock.now().strftime("%Y-%m-%d")
        scope = f"{caller.tenant}/{caller.app}/{day}"
        limit = decision.day_limit
        try:
            return await self._ledger.reserve(scope, candidate.worst_cost, limit), candidate
        except BudgetSpent:
            if limit is None:
                raise
            left = NanoUsd(max(0, limit - await self._ledger.spent(scope)))
            smaller = _clamped(request, candidate, left)
            if smaller is None:
                raise
            return await self._ledger.reserve(scope, smaller.worst_cost, limit), smaller

    def settle(self, reservation: Reservation, cost: NanoUsd) -> None:
        """Replace the reservation by what it cost; 0 releases it."""
        if not reservation.id:
            return
        task = asyncio.get_running_loop().create_task(self._settle(reservation, cost))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _settle(self, reservation: Reservation, cost: NanoUsd) -> None:
        try:
            await self._ledger.settle(reservation, cost)
        except GatewayError as error:
            # The reservation stays and counts in full: rather underused than overspent.
            _log.error("a reservation could not be settled: %s", error.code.value)

    async def drain(self) -> None:
        """Return when everything is settled."""
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)


def _clamped(request: InferenceRequest, candidate: Candidate, left: NanoUsd) -> Candidate | None:
    """The candidate with as much output as `left` pays for; None when that is too little to be of use."""
    target = candidate.target
    bound = prompt_token_bound(request.size)
    output = affordable_output(target.price, bound, left, request.choices)
    if output < min(_USEFUL_OUTPUT, request.max_output_tokens or _USEFUL_OUTPUT):
        return None
    cost = worst_cost(target.price, bound, output, request.choices)
    return Candidate(target, cost, output, candidate.expected_first_token)
