"""What an adapter is given and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from gateway.domain.target import Target


@dataclass(frozen=True, slots=True)
class EgressPermit:
    """Proof that the egress guard has passed exactly these bytes for exactly this target.

    Made by `gateway.pipeline.guard` only (a test checks the sources). A cloud adapter must call `covers` before it
    opens or reuses a connection, so that no other code path can send anything.
    """

    decision: str
    target: str
    digest: bytes

    def covers(self, target: Target, digest: bytes) -> bool:
        """Is this the permit for these bytes (SHA-256 `digest`) and this target?"""
        return self.target == target.id and self.digest == digest


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `first_event` is from the request sent to the first event, `idle` between two events."""

    connect: float = 5.0
    first_event: float = 120.0
    idle: float = 60.0


@dataclass(frozen=True, slots=True, repr=False)
class ProviderCall:
    """One attempt at one target. `body` is the final JSON as bytes; `traceparent` and `tenant` go to local targets
    only. `first_token` is within how many seconds the answer should begin, where another target could take the request
    if this one cannot; None where it has to wait in any case."""

    target: Target
    body: bytes
    stream: bool
    permit: EgressPermit
    timeouts: Timeouts = field(default_factory=Timeouts)
    traceparent: str | None = None
    tenant: str = ""
    first_token: float | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Whole:
    """A complete, non-streamed answer: one JSON object as bytes, as the provider sent it."""

    body: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Chunk:
    """One streamed JSON object as bytes, without the SSE framing. `more`: the next event is here already, so that the
    two may leave together."""

    data: bytes
    more: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class End:
    """The provider's own mark that the stream is complete (``[DONE]``). A stream without it was cut."""


ProviderEvent: TypeAlias = "Whole | Chunk | End"
