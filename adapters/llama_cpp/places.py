"""What was read, and where it is: the prefix cache. No I/O; used by the decode thread only.

A place is one sequence of llama.cpp's KV cache. It is busy while an answer is made in it. Afterwards what it holds is
kept, so that a request that begins with the same tokens does not read them again: in the KV cache until others are
served, then parked in the host's memory (`parking`). The reason is that attention goes through all cells up to the last
one in use, whosesoever they are: with a cache full of idle prefixes, steps of 8 answers took 20 to 47 % longer.
"""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass, field
from typing import Protocol

from adapters.llama_cpp.parking import Parked, Parking

_COPIED_BEFORE_A_STEP = 2048  # tokens; with a small model that takes 30 ms, which is less than a step of many answers
_WORTH = 32  # tokens that need not be read: below it, nothing is copied
_COPIED_FOR_ONE_READ = 16  # cautious: copying a token takes about 15 µs, reading it a millisecond on a CPU


class Memory(Protocol):
    """What the prefix cache needs of llama.cpp's memory. `rewinds` False is for recurrent models: they hold one state,
    which cannot go back, so that only everything that a place holds can be used again. `window` is how many tokens some
    layers look back on, 0 for all."""

    rewinds: bool
    window: int

    def cut(self, place: int, start: int) -> bool:
        """Forget what the place holds from position `start` on. False when the model cannot forget a part."""
        ...

    def copy(self, source: int, place: int, count: int) -> None:
        """Let the empty `place` share the first `count` tokens of `source`."""
        ...

    def first(self, place: int) -> int:
        """The first position that all layers still hold of what is in the place. Layers that look back on a window only
        may have lost what lies before the window of the last token."""
        ...

    def size(self, place: int) -> int:
        """How many bytes `save` would give."""
        ...

    def save(self, place: int) -> Sized | None:
        """All that the place holds, in a buffer of its own; None when it cannot be had."""
        ...

    def restore(self, place: int, state: Sized) -> bool:
        """Put what `save` gave into the empty `place`. False when there are not enough free cells: it stays empty."""
        ...


@dataclass(slots=True, repr=False, eq=False)
class Place:
    """One sequence. `tokens` are those in the cache, of which `shared` lie in cells of a place that was busy already;
    `used` orders the idle ones by age."""

    number: int
    tenant: str = ""
    tokens: list[int] = field(default_factory=list)
    busy: bool = False
    used: int = 0
    shared: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class Source:
    """Where the first `known` tokens of a prompt are: in a place or parked, in neither when there are none."""

    known: int = 0
    place: Place | None = None
    parked: Parked | None = None

    @property
    def shared(self) -> int:
        """Tokens that need no more cells than are in use. Those of an idle place do: until now they could be freed."""
        return self.known if self.place is not None and self.place.busy else 0


class Places:
    """All places, with `cells` tokens of KV cache together. `shared` lets tenants use each other's prefixes. Without
    `parking`, idle prefixes stay in the KV cache until it is full."""

    def __init__(self, memory: Memory, count: int, cells: int, *, shared: bool, parking: Parking | None = None) -> None:
        self._memory, self._cells, self._shared, self._parking = memory, cells, shared, parking
        self._places = [Place(number) for number in range(count)]
        self._tick = 0

    def known(self, tenant: str, tokens: list[int]) -> int:
        """How many tokens at the beginning of a prompt would not have to be read."""
        return self.find(tenant, tokens).known

    def find(self, tenant: str, tokens: list[int]) -> Source:
        """Where the beginning of a prompt is best taken from."""
        place, known = self._best(tenant, tokens)
        found, most = Source(known, place), _WORTH
        room = self._cells - self._held
        for parked in self._parking or ():
            if len(parked.tokens) <= room and self.shares(tenant, parked.tenant):
                count = min(common(parked.tokens, tokens), len(tokens) - 1)
                gain = _gain(count - known, parked.tokens)
                if gain >= most:
                    found, most = Source(count, parked=parked), gain
        return found

    def shares(self, tenant: str, other: str) -> bool:
        """May the one use what was read for the other?"""
        return tenant == other or self._shared

    def take(self, tenant: str, tokens: list[int]) -> Place | None:
        """A busy place that holds as much of the beginning of `tokens` as there is, but never all: the last token is
        read again, because it gives the first token of the answer. None when every place is busy."""
        free = [place for place in self._places if not place.busy]
        if not free:
            return None
        found = self.find(tenant, tokens)
        source, known = found.place, found.known
        if found.parked is not None and self._parking is not None:
            self._parking.used(found.parked)  # or it could have to go for what makes way now
        # A place that mostly holds something else (another conversation after the same system prompt) is left as it is.
        if source is not None and not source.busy and _goes_on(known, source.tokens):
            place = source
        else:
            place = min(free, key=lambda one: (bool(one.tokens), one is source, one.used))
            self._park(place)
        place.busy = True
        if place is source:
            self._shorten(place, known)
        else:
            self._empty(place)
            if source is not None:
                self._memory.copy(source.number, place.number, known)
                place.tokens = tokens[:known]
            elif found.parked is not None:
                self._restore(place, found.parked, known)
        place.tenant, place.shared = tenant, found.shared
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

    def tidy(self) -> None:
        """Before a step, which idle prefixes would slow down: park them, the oldest first, as many as are copied in
        less time than the step takes. Before steps only, because a conversation that goes on while nobody else is
        served is left in peace."""
        copied = 0
        while self._parking is not None and copied < _COPIED_BEFORE_A_STEP and (idle := self._idle()):
            copied += len(self._retire(idle))

    def evict(self) -> bool:
        """Free the cells of the idle prefix that was not used for the longest time; False when there is none."""
        idle = self._idle()
        if idle:
            self._retire(idle)
        return bool(idle)

    def clear(self) -> None:
        """Forget everything."""
        for place in self._places:
            self.drop(place)
        if self._parking is not None:
            self._parking.clear()

    @property
    def idle(self) -> int:
        """Places that hold a prefix and are not busy."""
        return len(self._idle())

    @property
    def parked(self) -> tuple[int, int]:
        """Prefixes that are parked, and their bytes."""
        return (0, 0) if self._parking is None else (len(self._parking), self._parking.bytes)

    @property
    def _held(self) -> int:
        """Cells that busy places use."""
        return sum(len(place.tokens) - place.shared for place in self._places if place.busy)

    def _idle(self) -> list[Place]:
        return [place for place in self._places if not place.busy and place.tokens]

    def _best(self, tenant: str, tokens: list[int]) -> tuple[Place | None, int]:
        best, most = None, 0
        for place in self._places:
            if not place.tokens or not self.shares(tenant, place.tenant):
                continue
            count = min(common(place.tokens, tokens), len(tokens) - 1)
            if not self._memory.rewinds and count < len(place.tokens):
                continue
            better = count > most or (count == most and best is not None and best.busy and not place.busy)
            if better and self._whole(place, count):
                best, most = place, count
        return best, most

    def _whole(self, place: Place, count: int) -> bool:
        """Could the place go on after `count` of its tokens? With gaps in a window, an answer would be wrong, and
        nothing would tell."""
        if not self._memory.window or count == 0:
            return True
        return self._memory.first(place.number) <= max(count - self._memory.window, 0)

    def _retire(self, idle: list[Place]) -> list[int]:
        """Free the cells of the oldest of them. Gives the tokens that it held."""
        place = min(idle, key=lambda one: one.used)
        tokens = place.tokens
        self._park(place)
        self._empty(place)
        return tokens

    def _park(self, place: Place) -> None:
        """Keep a copy of what the place holds, if most of it is not kept elsewhere."""
        if self._parking is None or not place.tokens:
            return
        elsewhere = 0
        for other in self._places:
            if other is not place and self.shares(place.tenant, other.tenant):
                elsewhere = max(elsewhere, common(other.tokens, place.tokens))
        for parked in list(self._parking):
            if self.shares(place.tenant, parked.tenant):
                count = common(parked.tokens, place.tokens)
                elsewhere = max(elsewhere, count)
                if _gain(len(place.tokens) - count, place.tokens) < _WORTH:
                    self._parking.used(parked)
        if _gain(len(place.tokens) - elsewhere, place.tokens) < _WORTH:
            return
        if self._parking.make_room(self._memory.size(place.number)):
            state = self._memory.save(place.number)
            if state is not None:
                self._parking.add(Parked(place.tenant, list(place.tokens), state))

    def _restore(self, place: Place, parked: Parked, known: int) -> None:
        """Fill the empty place, which is busy, or leave it empty: then everything is read again."""
        self.tidy()  # first, so that the lowest cells are free: what counts is how far up cells are in use
        while not self._memory.restore(place.number, parked.state):
            if not self.evict():
                return
        place.tokens = list(parked.tokens)
        self._shorten(place, known)
        if self._parking is not None and _goes_on(known, parked.tokens):
            self._parking.remove(parked)

    def _shorten(self, place: Place, count: int, *, always: bool = False) -> None:
        if always or count < len(place.tokens):
            done = self._memory.cut(place.number, count) and self._whole(place, count)
            if not done:
                self._empty(place)
        del place.tokens[count:]

    def _empty(self, place: Place) -> None:
        self._memory.cut(place.number, 0)
        place.tokens, place.shared = [], 0


def _goes_on(known: int, tokens: list[int]) -> bool:
    return 2 * known >= len(tokens)


def _gain(saved: int, copied: list[int]) -> int:
    """What it is worth to copy tokens so that `saved` of them need not be read, in tokens to read."""
    return saved - len(copied) // _COPIED_FOR_ONE_READ


def common(left: list[int], right: list[int]) -> int:
    """The length of the longest common beginning. Compares slices, which is a hundred times faster than elements, and
    first short ones: most lists differ soon."""
    most = min(len(left), len(right))
    low, high = 0, min(32, most)
    while left[low:high] == right[low:high]:
        if high == most:
            return most
        low, high = high, min(2 * high, most)
    while low + 1 < high:
        middle = (low + high) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle
    return low
