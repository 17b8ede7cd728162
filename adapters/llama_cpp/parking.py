"""Prefixes that had to leave the KV cache: kept in the host's memory, within a bound. No I/O; decode thread only.

They are as confidential as the KV cache itself: in memory only, and gone when the process is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sized
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Parked:
    """A prefix. `state` is what `places.Memory.save` gave for it; its length is in bytes."""

    tenant: str
    tokens: list[int]
    state: Sized


class Parking:
    """At most `limit` bytes of them. The least recently used one goes first."""

    def __init__(self, limit: int) -> None:
        self.limit, self.bytes = limit, 0
        self._kept: list[Parked] = []  # the least recently used one first

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Parked]:
        return iter(self._kept)

    def make_room(self, size: int) -> bool:
        """Let the oldest ones go until `size` bytes are free; False, and nothing goes, when that can never be."""
        if size > self.limit:
            return False
        while self.bytes + size > self.limit:
            self.remove(self._kept[0])
        return True

    def add(self, parked: Parked) -> None:
        """Keep one for which `make_room` made room. Those of its tenant with which it begins have become needless."""
        for other in list(self._kept):
            if other.tenant == parked.tenant and other.tokens == parked.tokens[: len(other.tokens)]:
                self.remove(other)
        self._kept.append(parked)
        self.bytes += len(parked.state)

    def used(self, parked: Parked) -> None:
        """It is now the last one to go."""
        self._kept.remove(parked)
        self._kept.append(parked)

    def remove(self, parked: Parked) -> None:
        """Forget it, if it is still there."""
        if parked in self._kept:
            self._kept.remove(parked)
            self.bytes -= len(parked.state)

    def clear(self) -> None:
        self._kept.clear()
        self.bytes = 0
