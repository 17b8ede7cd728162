"""What one look at a server shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Final, Protocol

from adapters.model_servers.ask import Asker

CATALOGUE_EVERY: Final = 15
"""Looks between two at what changes seldom: the models that a server has, its number of places."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a server says of itself; None is what it does not say.

    `running` requests are being answered, `waiting` ones are not yet, `places` is how many can run. `cache_usage` is
    the used part of the KV cache (0 to 1), `prompt_speed` prompt tokens read per second for one request, `first_token`
    and `request` the mean seconds to the first token and of a whole request, of late.
    """

    running: int | None = None
    waiting: int | None = None
    places: int | None = None
    cache_usage: float | None = None
    prompt_speed: float | None = None
    first_token: float | None = None
    request: float | None = None

    def known(self) -> Mapping[str, float]:
        """Those that are known, by name."""
        values = ((item.name, getattr(self, item.name)) for item in fields(self))
        return {name: value for name, value in values if value is not None}


@dataclass(frozen=True, slots=True)
class Sight:
    """`up`: it can take requests; None where that cannot be told. `reason` says why it is not up, or what is not
    known. `hint` says what the operator could do so that more is known. `models` are the names that it serves, None
    where it does not tell."""

    up: bool | None
    reason: str = ""
    figures: Figures = field(default_factory=Figures)
    hint: str = ""
    models: frozenset[str] | None = None


class Look(Protocol):
    """Looks at one server of its kind again and again; remembers what it needs for means over time."""

    async def look(self, ask: Asker, model: str) -> Sight:
        """Raises `NoAnswer` where its health cannot be had."""
        ...


def count(value: object) -> int | None:
    """A number of requests or places from JSON; None for anything else."""
    sane = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1 << 31
    return int(value) if sane and isinstance(value, int | float) else None


def ids(tree: Mapping[str, object], member: str, name: str) -> frozenset[str] | None:
    """The names in a list of models: member `name` of each object in the list `member`. None where there is none."""
    items = tree.get(member)
    if not isinstance(items, list):
        return None
    named = (item.get(name) for item in items if isinstance(item, dict))
    return frozenset(text for text in named if isinstance(text, str))
