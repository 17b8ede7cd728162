"""Policies with money in them, a ledger to count it, and providers that fail in chosen ways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import orjson

from gateway.domain.call import Chunk, End, ProviderCall, ProviderEvent, Whole
from gateway.domain.errors import BudgetSpent
from gateway.domain.money import NanoUsd
from gateway.domain.ports import Reservation
from support.assembly import RecordingProvider

_POLICY = """\
schema: 1
policy: pipeline
version: 1
owner: privacy@example.com
mode: enforce
data_types:
  contact: {detect: [PERSON, EMAIL_ADDRESS], confidence: 0.40}
levels:
  internal:
    - any_of: [contact]
handling:
  public: {action: allow}
  internal: {action: redact}
  confidential: {action: redact}
  restricted: {action: local_only}
limits:
  cost: {per_app_per_day: 0.01 USD, when_spent: WHEN_SPENT}
if_unsure: {detector_fails: local_only, unreadable_content: local_only, redaction_incomplete: local_only}
"""


BLOCKING = _POLICY.replace("WHEN_SPENT", "block")
FRUGAL = _POLICY.replace("WHEN_SPENT", "local_only")


class Playing(RecordingProvider):
    """Plays these events; an exception among them is raised, and after the last it hangs if it is told to."""

    def __init__(self, *events: ProviderEvent | Exception, hangs: bool = False) -> None:
        super().__init__()
        self.closed = 0
        self._events = events
        self._hangs = hangs

    async def stream(self, call: ProviderCall) -> AsyncIterator[ProviderEvent]:
        self.calls.append(call)
        try:
            for event in self._events:
                if isinstance(event, Exception):
                    raise event
                yield event
            if self._hangs:
                await asyncio.Event().wait()
        finally:
            self.closed += 1


class Counting:
    """Implements `gateway.domain.ports.Ledger` in memory, for one budget."""

    def __init__(self) -> None:
        self.open: dict[str, int] = {}
        self.paid = 0
        self._number = 0

    async def reserve(self, scope: str, amount: NanoUsd, limit: NanoUsd | None) -> Reservation:
        if limit is not None and self.paid + sum(self.open.values()) + amount > limit:
            raise BudgetSpent(scope)
        self._number += 1
        self.open[str(self._number)] = amount
        return Reservation(str(self._number), amount)

    async def settle(self, reservation: Reservation, cost: NanoUsd) -> None:
        if self.open.pop(reservation.id, None) is not None:
            self.paid += cost

    async def spent(self, scope: str) -> NanoUsd:
        return NanoUsd(self.paid + sum(self.open.values()))

    async def aclose(self) -> None:
        """There is nothing to close."""


async def until(condition: Callable[[], object]) -> None:
    """Let others run until the condition holds."""
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came true")


def whole(text: str = "Hello.", **more: object) -> Whole:
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    return Whole(orjson.dumps({"choices": [{"index": 0, "message": message}], "usage": usage, **more}))


def chunk(text: str) -> Chunk:
    return Chunk(orjson.dumps({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}))


USAGE = Chunk(orjson.dumps({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5}}))
END = End()
