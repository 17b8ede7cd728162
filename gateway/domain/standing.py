"""How a target stands at this moment, as far as somebody has asked its servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Standing:
    """`up` False: no server of the target can take a request now; None: nobody knows. `full`: all have more waiting
    than they should. `first_token` is the predicted time to the first token in seconds and `latest` what 95 of 100
    requests with that prediction keep; None where nothing is known."""

    up: bool | None = None
    full: bool = False
    first_token: float | None = None
    latest: float | None = None


@dataclass(frozen=True, slots=True)
class ServerState:
    """What is known of one server of a target. `server` is its host and port; `up` None is unknown. `reason` says in
    our own words what is wrong or not known, empty where nothing is. `figures` holds only those that are known, by
    name: counts, seconds, tokens per second, ratios from 0 to 1."""

    server: str
    up: bool | None
    reason: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)


class Live(Protocol):
    """Something that knows at each moment how its target stands. Asking costs no I/O."""

    def standing(self, prompt_tokens: int) -> Standing:
        """For a prompt of about so many tokens that would come now."""
        ...

    def states(self) -> Sequence[ServerState]:
        """Its servers, in the order of the settings."""
        ...
