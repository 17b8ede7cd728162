"""What the decode thread and the model say to each other. Free of llama.cpp, so that any process may import it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Outcome(Enum):
    """Of a decode. NO_ROOM: the cache is full, and nothing has changed. ABORTED: it was interrupted."""

    DONE = auto()
    NO_ROOM = auto()
    ABORTED = auto()


@dataclass(frozen=True, slots=True, repr=False)
class Part:
    """Tokens that follow one another in a place, the first at position `start`. `sampled`: the last gives logits."""

    place: int
    start: int
    tokens: list[int]
    sampled: bool
