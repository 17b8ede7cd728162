"""Targets: the models a request can be sent to, as the platform team declares them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.money import Price


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
    declared time to first token in seconds, used until measurements exist.
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


@dataclass(frozen=True, slots=True)
class Route:
    """What a model name that callers ask for stands for: the targets that may answer, and how to rank them.

    `rank` is ``cost`` (cheapest first) or ``listed`` (the order written, the rest being fallbacks).
    """

    name: str
    targets: tuple[str, ...]
    rank: str = "cost"
