"""Tests of who is next: `adapters.llama_cpp.waiting`, `portions` and `speeds`, without a model."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest

from adapters.llama_cpp.portions import portions
from adapters.llama_cpp.speeds import Outlook, Speeds
from adapters.llama_cpp.waiting import FairQueue, displaced


@dataclass(eq=False)
class Waiter:
    """Something that waits, or a prompt that is being read."""

    tenant: str
    background: bool = False
    unread: int = 0
    age: int = 0
    born: float = 0.0

    @property
    def work(self) -> Waiter:
        return self


def order(queue: FairQueue[Waiter], running: Counter[str] | None = None) -> list[Waiter]:
    """Everybody, as they would be served when nobody else runs."""
    served = []
    while (item := queue.peek(running or Counter())) is not None:
        queue.served(item)
        served.append(item)
    return served


def test_tenants_take_turns() -> None:
    """A tenant that sent many waits behind one that sent a single request; within a tenant the order holds."""
    queue: FairQueue[Waiter] = FairQueue()
    many, one = [Waiter("many") for _ in range(3)], Waiter("one")
    for item in (*many, one):
        queue.push(item)
    assert order(queue) == [many[0], one, many[1], many[2]]


def test_who_has_less_running_is_next() -> None:
    """Places count, not only turns."""
    queue: FairQueue[Waiter] = FairQueue()
    first, second = Waiter("busy"), Waiter("idle")
    queue.push(first)
    queue.push(second)
    assert queue.peek(Counter(busy=2, idle=1)) is second
    assert len(queue) == 2


def test_background_waits_for_everybody_else() -> None:
    """It is next only when nothing interactive waits, of any tenant."""
    queue: FairQueue[Waiter] = FairQueue()
    slow, quick = Waiter("a", background=True), Waiter("b")
    queue.push(slow)
    queue.push(quick)
    assert list(queue) == [quick, slow]
    assert order(queue, Counter(b=9)) == [quick, slow]


def test_who_leaves_is_forgotten() -> None:
    """Removing twice is an error, not silence."""
    queue: FairQueue[Waiter] = FairQueue()
    item = Waiter("a")
    queue.push(item)
    queue.remove(item)
    assert (len(queue), queue.peek(Counter())) == (0, None)
    with pytest.raises(ValueError, match="not in the queue"):
        queue.remove(item)


def test_a_step_is_shared_between_tenants() -> None:
    """Each gets the same share, the oldest prompt of each first, and what one does not need goes to the next."""
    a, b, c = Waiter("x", unread=500, age=1), Waiter("x", unread=500, age=2), Waiter("y", unread=30, age=3)
    assert dict(portions([c, b, a], 128)) == {a: 98, c: 30}
    assert dict(portions([b, a], 128)) == {a: 128}


def test_a_step_never_exceeds_its_budget() -> None:
    """Also with more tenants than tokens; background prompts get only what is left."""
    crowd = [Waiter(str(number), unread=9, age=number) for number in range(50)]
    late = Waiter("z", background=True, unread=9)
    given = portions([late, *crowd], 20)
    assert sum(count for _, count in given) == 20
    assert late not in dict(given)
    assert dict(portions([late, crowd[0]], 20)) == {crowd[0]: 9, late: 9}


def test_the_prediction_follows_the_load() -> None:
    """Nothing is predicted before a measurement; then waiting, reading and one step add up."""
    speeds = Speeds()
    assert Outlook(speeds.place(0, 99, 1), 10_000, speeds.prompt, speeds.step).first_token(10_000) == 0
    speeds.stepped(0.5, 0.4, 100, 2)
    speeds.finished(8.0)
    assert speeds.place(1, 0, 4) == 0
    assert speeds.place(0, 3, 4) == 8
    assert Outlook(8.0, 100, speeds.prompt, speeds.step).first_token(200) == pytest.approx(8 + 300 / 200 + 0.5)
    assert speeds.python_share == pytest.approx(0.2)
    assert speeds.retry_after(4) == 2


def test_a_place_becomes_free_at_the_measured_rate() -> None:
    """Before a request is complete, one takes at least as long as the oldest has been running; then what was measured
    counts, within a second and a minute."""
    speeds = Speeds()
    assert (speeds.retry_after(4), speeds.retry_after(4, oldest=20.0)) == (1, 5)
    speeds.finished(12.0)
    assert (speeds.retry_after(4, oldest=20.0), speeds.retry_after(100), speeds.retry_after(1)) == (3, 1, 12)
    speeds.finished(10_000.0)
    assert speeds.retry_after(1) == 60


def test_nobody_fills_the_queue_alone() -> None:
    """The last of the tenant with the most gives way, until the comer has as many; never one of a tenant with less."""
    many = [Waiter("a", born=number) for number in range(4)]
    few = Waiter("b", born=9)
    assert displaced([*many, few], Waiter("c")) is many[3]
    assert displaced([*many, few], Waiter("b")) is many[3]
    assert displaced([*many[:2], few], Waiter("b")) is None
    assert displaced([*many, few], Waiter("a")) is None
    assert displaced([], Waiter("a")) is None


def test_background_work_gives_way_first() -> None:
    """To any interactive request, of the same tenant too; the other way round never."""
    background = [Waiter("b", background=True, born=1), Waiter("b", background=True, born=2)]
    crowd = [Waiter("a", born=number) for number in range(9)]
    assert displaced([*crowd, *background], Waiter("a")) is background[1]
    assert displaced(background, Waiter("b")) is background[1]
    assert displaced(crowd, Waiter("b", background=True)) is None
    assert displaced([*crowd, *background], Waiter("c", background=True)) is background[1]
