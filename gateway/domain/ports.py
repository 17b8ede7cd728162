"""Ports: what the pipeline needs from the world, each with at most four methods. Fakes of them are in tests/support."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias

from gateway.domain.call import ProviderCall, ProviderEvent
from gateway.domain.decision import ApprovalNeeded, Level
from gateway.domain.finding import Found, Span
from gateway.domain.money import NanoUsd
from gateway.domain.record import AuditRecord
from gateway.domain.request import Caller


class Clock(Protocol):
    def now(self) -> datetime:
        """The time, with zone UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from some fixed point, for measuring."""
        ...


class Detector(Protocol):
    """Finds spans in texts. Knows nothing of JSON, policies or requests."""

    @property
    def entities(self) -> frozenset[str]:
        """Every entity it can find."""
        ...

    async def scan(self, texts: Sequence[str], timeout: float) -> list[list[Span]]:
        """The spans of each text. Raises `DetectorFailed`; never returns less than it was asked for."""
        ...

    async def aclose(self) -> None: ...


class DetectorFailed(Exception):
    """Some text was not scanned. `timed_out` tells a deadline from a fault. Holds no content."""

    def __init__(self, reason: str, *, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.timed_out = timed_out


class Provider(Protocol):
    """A backend. One attempt per call: retries and fallback belong to the pipeline."""

    def stream(self, call: ProviderCall) -> AsyncIterator[ProviderEvent]:
        """The events of one answer: one `Whole`, or `Chunk`s and then `End`. Raises `ProviderError`.

        An async generator: closing it (`aclose`) ends the upstream request at once.
        """
        ...

    async def ready(self) -> bool:
        """Can it take a request now? Must not call out to a cloud."""
        ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Reservation:
    """Money set aside in one budget. `id` is empty when nothing had to be reserved."""

    id: str
    amount: NanoUsd


class Ledger(Protocol):
    """Budgets that cannot be overspent: spent + reserved never exceeds the limit, over all processes."""

    async def reserve(self, scope: str, amount: NanoUsd, limit: NanoUsd | None) -> Reservation:
        """Set `amount` aside in the budget `scope` (a label such as ``acme/support-bot/2026-11-21``) or raise
        `BudgetSpent`. Without a limit the money is still counted."""
        ...

    async def settle(self, reservation: Reservation, cost: NanoUsd) -> None:
        """Replace the reservation by what it really cost. `cost` 0 releases it. Settling twice changes nothing."""
        ...

    async def spent(self, scope: str) -> NanoUsd:
        """Spent plus reserved."""
        ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ApprovalCase:
    """A request that needs an approval, as an approver may see it: ids, names and counts, no content.

    `binding` is a keyed hash of the request's bytes and of everything else that an approval is for: who asks, the
    policy, the level, the targets, what is hidden from clouds and who has to approve. `decision` is the decision id of
    the request that asks, `user` a keyed hash, `policy` the hash of the policy, `size` the request's bytes. `targets`
    are all that it may be sent to once it is approved, `hidden` the entities that clouds would not see.
    """

    binding: str
    decision: str
    key: str
    tenant: str
    app: str
    group: str
    user: str
    dialect: str
    model: str
    level: Level
    found: tuple[Found, ...]
    size: int
    policy: str
    targets: tuple[str, ...]
    hidden: tuple[str, ...]
    needed: tuple[ApprovalNeeded, ...]


@dataclass(frozen=True, slots=True)
class ApprovalClaim:
    """What came of a claim. `status` is ``used`` (the request may go now, once), ``pending``, ``denied``, or
    ``approved`` where the approval stands but the key that claims it is one of those that gave it. `new` says that it
    is asked for from now on; `waiting` is what has not been approved yet, `expires` when the approval lapses
    (microseconds since the epoch)."""

    id: str
    status: str
    new: bool
    waiting: tuple[ApprovalNeeded, ...]
    expires: int


class Approvals(Protocol):
    async def claim(self, case: ApprovalCase) -> ApprovalClaim:
        """Use up the approval of this case, which nobody else can then; where there is none, ask for one, or go on
        waiting for the one that was asked for before. Raises `GatewayError(APPROVALS_UNAVAILABLE)`, or
        `GatewayError(APPROVAL_REQUIRED)` where too many requests of the app wait already."""
        ...


class ConversationsUnavailable(Exception):
    """Nobody can say what a conversation has come to, or its new standing is not kept. Holds no content."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a conversation has come to: the highest level that it had, and whether a part of it was never searched (an
    image, a turn on which the detector failed). Both only ever rise."""

    level: Level = Level.PUBLIC
    unread: bool = False

    def joined(self, other: Standing) -> Standing:
        """The stricter of both, in each of the two."""
        return Standing(max(self.level, other.level), self.unread or other.unread)


class Conversations(Protocol):
    """Where the standing of conversations is kept, over all processes. Keys are keyed hashes, never ids in clear."""

    async def standing(self, keys: Sequence[str]) -> Mapping[str, Standing]:
        """What is known, by key; a key that is unknown or has lapsed is left out. Raises `ConversationsUnavailable`."""
        ...

    async def join(self, keys: Sequence[str], standing: Standing) -> None:
        """Join `standing` to that of each key, in one atomic step, and return when it is durable. Raises
        `ConversationsUnavailable`."""
        ...

    async def aclose(self) -> None: ...


class AuditLog(Protocol):
    async def append(self, record: AuditRecord) -> None:
        """Return when the record is durable. Raises `GatewayError(AUDIT_UNAVAILABLE)`."""
        ...

    def submit(self, record: AuditRecord) -> None:
        """Queue the record in order, without waiting; for what follows an egress. Written before `aclose` returns."""
        ...

    async def find(self, decision: str) -> list[AuditRecord]:
        """All records of one decision, in order."""
        ...

    async def aclose(self) -> None: ...


Attributes: TypeAlias = "Mapping[str, str | int | float | bool]"


class Trace(Protocol):
    """The trace of one request. Attribute values are ids, numbers and flags; never content."""

    @property
    def id(self) -> str:
        """The trace id, 32 hexadecimal digits."""
        ...

    @property
    def traceparent(self) -> str:
        """The W3C header value to hand to a local backend."""
        ...

    def step(self, name: str) -> AbstractContextManager[TraceStep]:
        """A child span around one step."""
        ...

    def end(self, attributes: Attributes, error: str = "") -> None:
        """End the root span; attributes use the names of `gateway.telemetry.names`. Later calls do nothing."""
        ...


class TraceStep(Protocol):
    def set(self, attributes: Attributes) -> None: ...

    def fail(self, code: str) -> None:
        """Mark the step as failed with an error code (never an exception's text)."""
        ...


class Tracer(Protocol):
    def start(self, decision: str, traceparent: str | None) -> Trace: ...

    async def aclose(self) -> None: ...


class KeyStore(Protocol):
    def caller(self, presented: str) -> Caller | None:
        """The caller that a presented API key stands for, or None. In memory; must not block."""
        ...
