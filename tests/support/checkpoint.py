"""The real egress guard before providers that record, with decisions to show it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gateway.domain.decision import Action, Decision, Gate, Hidden, Level, PolicyId, TargetVerdict
from gateway.domain.target import Target, Zone
from gateway.inspection.occurrences import leaks
from gateway.pipeline.guard import EgressGuard, Outbound
from support.assembly import MemoryLog, RecordingProvider, a_target
from support.records import intent

CLOUD = a_target("cloud", labels=["baa"])
OTHER = a_target("other")
HERE = a_target("here", Zone.LOCAL, "on-premises")


def allowing(*targets: Target, **changes: Any) -> Decision:
    """A decision that permits these targets."""
    decision = Decision(
        policy=PolicyId("p", 1, "ab" * 32),
        level=Level.INTERNAL,
        action=Action.REDACT,
        gate=Gate.ALLOW,
        cloud=True,
        regions=None,
        redact=(Hidden("PERSON", 50),),
        provider_must_have=frozenset(),
        cost_cap=None,
        day_limit=None,
        first_token=None,
        tell_user=(),
        reasons=(),
        would=(),
        targets=tuple(TargetVerdict(target.id, permitted=True) for target in targets),
    )
    return replace(decision, **changes)


class Checkpoint:
    """The real guard before providers that record."""

    def __init__(self) -> None:
        self.providers = {target.id: RecordingProvider() for target in (CLOUD, OTHER, HERE)}
        self.log = MemoryLog()
        self.guard = EgressGuard(self.providers, self.log, leaks)

    async def send(self, target: Target, decision: Decision, body: bytes, values: Sequence[str] = ()) -> None:
        """Send and read the answer."""
        outbound = Outbound("d1", decision, target, body, False, tuple(values))
        async for _ in await self.guard.open(outbound, intent()):
            pass

    @property
    def sent(self) -> list[str]:
        return [body for provider in self.providers.values() for body in provider.bodies]


def said(text: str) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
