"""Who is next: a queue that is fair between tenants and knows two priorities. No I/O."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, Protocol, TypeVar


class Entry(Protocol):
    """What can wait."""

    @property
    def tenant(self) -> str: ...

    @property
    def background(self) -> bool: ...


class Waiter(Entry, Protocol):
    """What may have to go. `born` is when it came."""

    @property
    def born(self) -> float: ...


T = TypeVar("T", bound=Entry)
W = TypeVar("W", bound=Waiter)


def displaced(waiting: Iterable[W], comer: Entry) -> W | None:
    """Who gives way to one that comes to a full queue, so that no tenant can fill it alone; None where nobody should.

    Background requests give way to interactive ones. Among equals, it is the tenant with the most requests, if even
    without this one it has more than that of the comer. Of those, the last that came has waited in vain for the
    shortest time.
    """
    waiting = list(waiting)
    alike = Counter(one.tenant for one in waiting if one.background == comer.background)
    lower = [one for one in waiting if one.background and not comer.background]
    many = alike[comer.tenant] + 1
    even = [one for one in waiting if one.background == comer.background and alike[one.tenant] > many]
    counts = Counter(one.tenant for one in lower) if lower else alike
    return max(lower or even, key=lambda one: (counts[one.tenant], one.born), default=None)


class FairQueue(Generic[T]):
    """Interactive requests come before background ones. Among equals, the tenant that has the fewest running is next;
    of several such, they take turns, and a new one comes last in the round; within a tenant the first that came."""

    def __init__(self) -> None:
        self._lanes: tuple[OrderedDict[str, deque[T]], ...] = (OrderedDict(), OrderedDict())

    def __len__(self) -> int:
        return sum(len(queue) for lane in self._lanes for queue in lane.values())

    def __iter__(self) -> Iterator[T]:
        return (item for lane in self._lanes for queue in lane.values() for item in queue)

    def push(self, item: T) -> None:
        self._lanes[item.background].setdefault(item.tenant, deque()).append(item)

    def peek(self, running: Mapping[str, int]) -> T | None:
        """The next one, which stays. `running` counts the running requests by tenant."""
        for lane in self._lanes:
            if lane:
                return lane[min(lane, key=lambda tenant: running.get(tenant, 0))][0]
        return None

    def served(self, item: T) -> None:
        """Remove what `peek` gave; its tenant goes to the end of the round."""
        self.remove(item)
        lane = self._lanes[item.background]
        if item.tenant in lane:
            lane.move_to_end(item.tenant)

    def remove(self, item: T) -> None:
        """Raises `ValueError` when it does not wait."""
        lane = self._lanes[item.background]
        if item.tenant not in lane:
            raise ValueError("not in the queue")
        lane[item.tenant].remove(item)
        if not lane[item.tenant]:
            del lane[item.tenant]
