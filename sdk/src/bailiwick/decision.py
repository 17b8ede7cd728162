"""What the gateway decided about a call, read from the headers of its answer."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Protocol, runtime_checkable

_PREFIX = "x-bailiwick-"


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a call went and why.

    `id` finds it again in the gateway's audit log and traces, and with `client.decision(id)`. `target` is None when
    the call went nowhere. `level` is how sensitive the content was (public, internal, confidential, restricted),
    `action` what the policy ordered (allow, redact, local_only, require_approval, block), `because` the rules that had
    a say, `policy` the first 12 digits of the hash of the policy that decided. Each is None (or empty) when the call
    failed before that was known.

    `cost` is in US dollars. `cost_basis` says what it is: ``usage`` (as counted by the provider), ``reserved`` (the
    most it can be: so for a stream, whose cost is known only at its end) or ``none``.
    """

    id: str
    target: str | None = None
    level: str | None = None
    action: str | None = None
    because: tuple[str, ...] = ()
    policy: str | None = None
    cost: Decimal | None = None
    cost_basis: str | None = None


@runtime_checkable
class _Headers(Protocol):
    """Names are looked up whatever their case, as HTTP libraries do."""

    def get(self, key: str, /) -> str | None: ...


def decision_of(source: object) -> Decision | None:
    """The decision behind an answer: a completion, a stream, an error of OpenAI's client, a raw response, or any
    object with `headers` (such as httpx's and requests' responses). None when it is not from a Bailiwick gateway."""
    known = getattr(source, "decision", None)
    if isinstance(known, Decision):
        return known
    response = getattr(source, "response", None)
    headers = getattr(source if response is None else response, "headers", None)
    return _read(headers) if isinstance(headers, _Headers) else None


def _read(headers: _Headers) -> Decision | None:
    decision = headers.get(f"{_PREFIX}decision")
    if not decision:
        return None
    because = (headers.get(f"{_PREFIX}because") or "").split(",")
    return Decision(
        id=decision,
        target=headers.get(f"{_PREFIX}target"),
        level=headers.get(f"{_PREFIX}level"),
        action=headers.get(f"{_PREFIX}action"),
        because=tuple(rule.strip() for rule in because if rule.strip()),
        policy=headers.get(f"{_PREFIX}policy"),
        cost=_dollars(headers.get(f"{_PREFIX}cost")),
        cost_basis=headers.get(f"{_PREFIX}cost-basis"),
    )


def _dollars(text: str | None) -> Decimal | None:
    """A header that some proxy has mangled must not turn a good answer into an exception."""
    try:
        amount = Decimal(text) if text else None
    except InvalidOperation:
        return None
    return amount if amount is not None and amount.is_finite() else None
