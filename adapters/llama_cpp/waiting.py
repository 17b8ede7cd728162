"""Who is next: a queue that is fair between tenants and knows two priorities. No I/O."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from typing import Generic, Protocol, TypeVar


class Entry(Protocol):
    """What can wait."""

    @property
    def tenant(self) -> str: ...

    @property
    def background(self) -> bool: ...


T = TypeVar("T", bound=Entry)


class FairQueue(Generic[T]):
    """Interactive requests come before background ones. Among equals, the tenant that has the fewest running is next,
    then the one whose last turn is the longest ago; within a tenant the first that came."""

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
