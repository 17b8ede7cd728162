"""Targets: the models a request can be sent to, as the platform team declares them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from hashlib import sha256

from gateway.domain.money import NanoUsd, Price, Usage


class Zone(StrEnum):
    """LOCAL is inside our own jurisdiction (this host, our own cluster); CLOUD is anybody else's."""

    LOCAL = "local"
    CLOUD = "cloud"


@dataclass(frozen=True, slots=True)
class Target:
    """One model at one place.

    `model` is the provider's own name of it, `provider` the value of ``gen_ai.provider.name``, `dialect` the wire
    format it speaks. `max_output_tokens` bounds one answer when the caller sets no bound, so that the most a
    request can cost is always known; `context_tokens` bounds prompt and answer together. `first_token` is the
    declared time to first token in seconds, used until measurements exist. `ceiling` is the highest price that a
    caller's own fields can make of `price` (a paid service tier); None where there is no such thing. `labels` hold for
    ever, each of `expiring` up to and including its day (UTC).
    """

    id: str
    zone: Zone
    region: str
    labels: frozenset[str]
    provider: str
    model: str
    dialect: str
    price: Price
    max_output_tokens: int
    context_tokens: int
    first_token: float | None = None
    ceiling: Price | None = None
    expiring: tuple[tuple[str, date], ...] = ()

    def labels_on(self, day: date) -> frozenset[str]:
        """The labels that hold on this day (UTC)."""
        if not self.expiring:
            return self.labels
        return self.labels.union([name for name, last in self.expiring if day <= last])

    @property
    def worst_price(self) -> Price:
        """What money is reserved at."""
        return self.ceiling or self.price

    def cost(self, usage: Usage) -> NanoUsd:
        """What a usage costs at this target."""
        return (self.worst_price if usage.premium else self.price).cost(usage)


@dataclass(frozen=True, slots=True)
class Route:
    """What a model name that callers ask for stands for: the targets that may answer, and how to rank them.

    `rank` is ``cost`` (cheapest first) or ``listed`` (the order written, the rest being fallbacks). `shares` are
    targets with their ten-thousandths of the requests: one of them is drawn for each request and goes first.
    """

    name: str
    targets: tuple[str, ...]
    rank: str = "cost"
    shares: tuple[tuple[str, int], ...] = ()

    def drawn(self, request_id: str) -> str:
        """The target that goes first for this request, the same whenever it is asked; empty without shares."""
        if not self.shares:
            return ""
        draw = int.from_bytes(sha256(request_id.encode()).digest()[:8]) % sum(share for _, share in self.shares)
        for target, share in self.shares:
            draw -= share
            if draw < 0:
                return target
        return ""
