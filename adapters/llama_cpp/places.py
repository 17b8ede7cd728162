"""What the KV cache holds, and in which place: the prefix cache. No I/O; used by the decode thread only.

A place is one sequence of llama.cpp. It is busy while an answer is made in it. Afterwards its tokens stay until the
memory is needed, so that a request that begins with the same tokens does not read them again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


class Memory(Protocol):
    """What the prefix cache needs of llama.cpp's memory."""

    def cut(self, place: int, start: int) -> bool:
        """Forget what the place holds from position `start` on. False when the model cannot forget a part."""
        ...

    def copy(self, source: int, place: int, count: int) -> None:
        """Let the empty `place` share the first `count` tokens of `source`."""
        ...


@dataclass(slots=True, repr=False, eq=False)
class Place:
    """One sequence. `tokens` are those in the cache; `used` orders the idle ones by age."""

    number: int
    tenant: str = ""
    tokens: list[int] = field(default_factory=list)
    busy: bool = False
    used: int = 0


class Places:
    """All places. `rewinds` False is for recurrent models: they hold one state, which cannot go back, so that only
    everything that a place holds can be used again. `shared` lets tenants use each other's prefixes."""

    def __init__(self, memory: Memory, count: int, *, rewinds: bool, shared: bool) -> None:
        self._memory, self._shared = memory, shared
        self.rewinds = rewinds
        self._places = [Place(number) for number in range(count)]
        self._tick = 0

    def known(self, tenant: str, tokens: list[int]) -> int:
        """How many tokens at the beginning of a prompt would not have to be read."""
        return self._best(tenant, tokens)[1]

    def shares(self, tenant: str, other: str) -> bool:
        """May the one use what was read for the other?"""
        return tenant == other or self._shared

    def take(self, tenant: str, tokens: list[int]) -> Place | None:
        """A busy place that holds as much of the beginning of `tokens` as there is, but never all: the last token is
        read again, because it gives the first token of the answer. None when every place is busy."""
        free = [place for place in self._places if not place.busy]
        if not free:
            return None
        source, known = self._best(tenant, tokens)
        # A place that mostly holds something else (another conversation after the same system prompt) is left as it is.
        if source is not None and not source.busy and 2 * known >= len(source.tokens):
            place = source
        else:
            place = min(free, key=lambda one: (bool(one.tokens), one is source, one.used))
        if place is source:
            self._shorten(place, known)
        else:
            self._empty(place)
            if source is not None:
                self._memory.copy(source.number, place.number, known)
                place.tokens = tokens[:known]
        place.tenant, place.busy = tenant, True
        return place

    def release(self, place: Place) -> None:
        """The answer is complete; what the place holds may be used again."""
        self._tick += 1
        place.busy, place.used = False, self._tick

    def drop(self, place: Place) -> None:
        """The place is free, and what it holds is forgotten."""
        self._empty(place)
        place.busy = False

    def mend(self, place: Place) -> None:
        """Bring llama.cpp's memory back to `place.tokens` after a decode that was broken off."""
        self._shorten(place, len(place.tokens), always=True)

    def evict(self) -> bool:
        """Forget the idle prefix that was not used for the longest time; False when there is none."""
        idle = [place for place in self._places if not place.busy and place.tokens]
        if not idle:
            return False
        self._empty(min(idle, key=lambda place: place.used))
        return True

    def clear(self) -> None:
        """Forget everything."""
        for place in self._places:
            self.drop(place)

    @property
    def held(self) -> int:
        """Tokens that busy places hold; those that several share count several times."""
        return sum(len(place.tokens) for place in self._places if place.busy)

    @property
    def idle(self) -> int:
        """Places that hold a prefix and are not busy."""
        return sum(1 for place in self._places if not place.busy and place.tokens)

    def _best(self, tenant: str, tokens: list[int]) -> tuple[Place | None, int]:
        best, most = None, 0
        for place in self._places:
            if not place.tokens or not self.shares(tenant, place.tenant):
                continue
            count = min(common(place.tokens, tokens), len(tokens) - 1)
            if not self.rewinds and count < len(place.tokens):
                continue
            if count > most or (count == most and best is not None and best.busy and not place.busy):
                best, most = place, count
        return best, most

    def _shorten(self, place: Place, count: int, *, always: bool = False) -> None:
        if (always or count < len(place.tokens)) and not self._memory.cut(place.number, count):
            self._empty(place)
        del place.tokens[count:]

    def _empty(self, place: Place) -> None:
        self._memory.cut(place.number, 0)
        place.tokens = []


def common(left: list[int], right: list[int]) -> int:
    """The length of the longest common beginning. Compares slices, which is a hundred times faster than elements."""
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
