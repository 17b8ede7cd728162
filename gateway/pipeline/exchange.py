"""One request and its answer, as far as they have come. Filled step by step, read by the recorder whatever happens."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field

from gateway.domain.decision import Decision, Facts
from gateway.domain.entropy import random_bytes
from gateway.domain.finding import Found, Inspection
from gateway.domain.money import NanoUsd, Usage
from gateway.domain.ports import ApprovalCase, Reservation, Trace
from gateway.domain.request import Caller, Candidate, Hints, InferenceRequest, Plan
from gateway.pipeline.shapes import Dialect, Masking


def new_decision_id() -> str:
    """Sortable by time, unguessable: ``d`` + 11 hexadecimal digits of milliseconds + 14 random ones."""
    return f"d{time.time_ns() // 1_000_000:011x}{random_bytes(7).hex()}"


@dataclass(frozen=True, slots=True)
class Spending:
    """What one attempt cost. `basis` says how that is known: ``usage`` (the provider's count), ``reserved`` (nobody
    knows, so the most it can be) or ``none`` (it cost nothing)."""

    cost: NanoUsd
    basis: str


NO_SPENDING = Spending(NanoUsd(0), "none")


@dataclass(slots=True, repr=False)
class Attempt:
    """One try at one target. `body` is content: it stays in memory and out of every record."""

    number: int
    candidate: Candidate
    body: bytes
    hidden: tuple[Found, ...]
    reservation: Reservation
    began: float
    first_event: float | None = None
    usage: Usage | None = None
    sent: bool = False

    @property
    def spending(self) -> Spending:
        """What it cost when it began to answer: by the provider's count, or else all that was reserved."""
        if self.usage is not None:
            return Spending(self.candidate.target.cost(self.usage), "usage")
        amount = self.reservation.amount
        return Spending(amount, "reserved") if amount else NO_SPENDING


@dataclass(slots=True, repr=False)
class Exchange:
    """`began` is a monotonic time in seconds. `failures` are target and error code of each attempt that failed,
    `guard_stops` how often the egress guard refused. `cost` is that of all attempts together; its basis is ``reserved``
    as soon as a part of it is. `approval` is the id of the approval that the request waits for or has used, `approved`
    what the used one is for. The body and the tree are content; everything else may be recorded."""

    id: str
    caller: Caller
    hints: Hints
    dialect: Dialect
    body: bytes
    trace: Trace
    began: float
    request: InferenceRequest | None = None
    inspection: Inspection | None = None
    facts: Facts | None = None
    decision: Decision | None = None
    plan: Plan | None = None
    approval: str = ""
    approved: ApprovalCase | None = None
    attempt: Attempt | None = None
    attempts: int = 0
    inspect_seconds: float | None = None
    failures: list[tuple[str, str]] = field(default_factory=list)
    guard_stops: int = 0
    restored: int = 0
    masking: Masking | None = None
    cost: NanoUsd = NanoUsd(0)
    cost_basis: str = ""
    closed: bool = False

    @property
    def user(self) -> str:
        """The end user the request names: the header's word first, then the body's."""
        return self.hints.user or (self.request.user if self.request else "")

    @property
    def masked(self) -> int:
        """Values of the model's own that were hidden in the answer."""
        return self.masking.count if self.masking is not None else 0

    def add(self, spending: Spending) -> None:
        """Count what an attempt cost."""
        self.cost = NanoUsd(self.cost + spending.cost)
        if self.cost_basis != "reserved":
            self.cost_basis = spending.basis


def digest(body: bytes) -> bytes:
    """SHA-256: what an egress permit is bound to."""
    return hashlib.sha256(body).digest()
