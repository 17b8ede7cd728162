"""Money for one attempt: reserved before it is sent, settled after, never more than the policy's limit."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace

from gateway.domain.decision import Decision
from gateway.domain.errors import BudgetSpent, Code, GatewayError
from gateway.domain.estimate import affordable_output, prompt_token_bound, worst_cost
from gateway.domain.money import NanoUsd, in_usd
from gateway.domain.ports import Clock, Ledger, Reservation
from gateway.domain.request import Caller, Candidate, InferenceRequest
from gateway.domain.target import Zone

_log = logging.getLogger(__name__)
_USEFUL_OUTPUT = 16  # tokens; see gateway.routing.select
NOTHING = Reservation("", NanoUsd(0))


@dataclass(frozen=True, slots=True, repr=False)
class Purchase:
    """What is to be paid for. `size` is that of the bytes to be sent, which the stand-ins for hidden values may have
    made longer than those received."""

    caller: Caller
    request: InferenceRequest
    size: int

    @property
    def token_bound(self) -> int:
        return prompt_token_bound(max(self.size, self.request.size), tools="tools" in self.request.body)


class CostCapExceeded(GatewayError):
    """With its stand-ins the prompt alone costs more than one request may."""

    def __init__(self, target: str, cap: NanoUsd) -> None:
        super().__init__(
            Code.COST_CAP, f"At the target {target} this could cost more than the cap of {in_usd(cap)} USD a request."
        )


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
        self, purchase: Purchase, decision: Decision, candidate: Candidate
    ) -> tuple[Reservation, Candidate]:
        """Set the worst cost aside; if that is too much, as much output as is still affordable. Raises `BudgetSpent`,
        `CostCapExceeded`.

        Only money that is really paid counts against a budget: a local target's price is what it costs us to run,
        and is recorded, but nobody sends a bill for it.
        """
        if candidate.target.zone is Zone.LOCAL:
            return NOTHING, candidate
        caller = purchase.caller
        candidate = _priced(purchase, candidate, decision.cost_cap)
        day = self._clock.now().date().isoformat()
        scope = f"{caller.tenant}/{caller.app}/{day}"
        limit = decision.day_limit
        try:
            return await self._ledger.reserve(scope, candidate.worst_cost, limit), candidate
        except BudgetSpent:
            if limit is None:
                raise
            left = NanoUsd(max(0, limit - await self._ledger.spent(scope)))
            smaller = _clamped(purchase, candidate, left)
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


def _priced(purchase: Purchase, candidate: Candidate, cap: NanoUsd | None) -> Candidate:
    """The candidate with the worst cost of the bytes that are really sent. It was chosen by those received."""
    request, target = purchase.request, candidate.target
    if purchase.size <= request.size:
        return candidate
    output = _wanted(purchase, candidate)
    cost = worst_cost(target.worst_price, purchase.token_bound, output, request.choices)
    if cap is None or cost <= cap:
        return replace(candidate, worst_cost=cost)
    smaller = _clamped(purchase, candidate, cap)
    if smaller is None:
        raise CostCapExceeded(target.id, cap)
    return smaller


def _clamped(purchase: Purchase, candidate: Candidate, left: NanoUsd) -> Candidate | None:
    """The candidate with as much output as `left` pays for; None when that is too little to be of use."""
    price, bound, choices = candidate.target.worst_price, purchase.token_bound, purchase.request.choices
    wanted = _wanted(purchase, candidate)
    output = min(wanted, affordable_output(price, bound, left, choices))
    cost = worst_cost(price, bound, output, choices)
    if output < min(wanted, _USEFUL_OUTPUT) or cost > left:  # the second where a target has no output (embeddings)
        return None
    return replace(candidate, worst_cost=cost, clamp=output)


def _wanted(purchase: Purchase, candidate: Candidate) -> int:
    """The output bound that holds for the candidate so far, in tokens per choice."""
    return candidate.clamp or purchase.request.max_output_tokens or candidate.target.max_output_tokens
