"""Tests of `adapters.llama_cpp.places`: the prefix cache, above a memory that keeps what it is told."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from adapters.llama_cpp import places as module
from adapters.llama_cpp.parking import Parking
from adapters.llama_cpp.places import Place, Places, common

TOKEN_BYTES = 10  # of a saved state


class State(bytes):
    """What `Remembering` saves: as many bytes as a state has, and what is in it."""

    holds: tuple[object, ...]


class Remembering:
    """Stands for llama.cpp's memory: what each place holds, token by token. Each cell is an object of its own, so that
    shared ones can be counted."""

    def __init__(self, count: int, *, rewinds: bool, window: int, cells: int) -> None:
        self.cells: list[list[object]] = [[] for _ in range(count)]
        self.contents: list[list[tuple[str, int]]] = [[] for _ in range(count)]
        self.rewinds, self.window, self.most = rewinds, window, cells
        self.saved = 0
        self.begins: dict[int, int] = {}  # what layers with a window have lost

    @property
    def held(self) -> list[int]:
        return [len(cells) for cells in self.cells]

    @property
    def free(self) -> int:
        return self.most - len({id(cell) for cells in self.cells for cell in cells})

    def read(self, place: int, tenant: str, tokens: list[int]) -> None:
        """Decode what is missing of `tokens`."""
        for token in tokens[len(self.cells[place]) :]:
            self.cells[place].append(object())
            self.contents[place].append((tenant, token))

    def cut(self, place: int, start: int) -> bool:
        if not self.rewinds and 0 < start < self.held[place]:
            return False
        del self.cells[place][start:], self.contents[place][start:]
        return True

    def copy(self, source: int, place: int, count: int) -> None:
        assert self.held[place] == 0
        assert self.held[source] >= count
        assert self.rewinds or self.held[source] == count
        self.cells[place] = self.cells[source][:count]
        self.contents[place] = self.contents[source][:count]

    def first(self, place: int) -> int:
        return self.begins.get(place, 0)

    def size(self, place: int) -> int:
        return self.held[place] * TOKEN_BYTES

    def save(self, place: int) -> Sized | None:
        self.saved += 1
        state = State(self.size(place))
        state.holds = tuple(self.contents[place])
        return state

    def restore(self, place: int, state: Sized) -> bool:
        assert self.held[place] == 0
        assert isinstance(state, State)
        if len(state.holds) > self.free:
            return False
        self.cells[place] = [object() for _ in state.holds]
        self.contents[place] = list(state.holds)  # type: ignore[arg-type]
        return True


def filled(places: Places, memory: Remembering, tenant: str, tokens: list[int]) -> Place:
    """A place in which `tokens` were read."""
    place = places.take(tenant, tokens)
    assert place is not None
    memory.read(place.number, tenant, tokens)
    place.tokens = list(tokens)
    return place


def made(
    count: int = 3,
    *,
    rewinds: bool = True,
    shared: bool = False,
    window: int = 0,
    parking: Parking | None = None,
    cells: int = 10_000,
) -> tuple[Places, Remembering]:
    memory = Remembering(count, rewinds=rewinds, window=window, cells=cells)
    return Places(memory, count, cells, shared=shared, parking=parking), memory


def parked(tenant: str, *prefixes: list[int], limit: int = 1 << 20, **options: Any) -> tuple[Places, Remembering]:
    """Places that have parked these."""
    places, memory = made(parking=Parking(limit), **options)
    for prefix in prefixes:
        places.release(filled(places, memory, tenant, prefix))
        assert places.evict()
    assert places.idle == 0
    return places, memory


@given(st.lists(st.integers(0, 1)), st.lists(st.integers(0, 1)))
def test_the_common_beginning_is_found(left: list[int], right: list[int]) -> None:
    """It is as long as it can be."""
    count = common(left, right)
    assert left[:count] == right[:count]
    assert count in (len(left), len(right)) or left[count] != right[count]


def test_the_last_token_is_read_again() -> None:
    """A prompt that is known completely still needs one token read, for the logits."""
    places, memory = made()
    places.release(filled(places, memory, "a", [1, 2, 3]))
    place = places.take("a", [1, 2, 3])
    assert place is not None
    assert place.tokens == [1, 2]


def test_a_conversation_survives_another_that_begins_the_same() -> None:
    """Only the common beginning is shared; the longer history stays for its next turn."""
    places, memory = made()
    history = list(range(100))
    places.release(filled(places, memory, "a", history))
    other = places.take("a", [*range(10), 500, 501])
    assert other is not None
    assert other.tokens == list(range(10))
    assert places.known("a", [*history, 7]) == 100


def test_the_oldest_idle_prefix_makes_room() -> None:
    """Without an empty place, what was not used for the longest time is forgotten; busy places never are."""
    places, memory = made(2)
    first, second = (filled(places, memory, "a", [number] * 5) for number in (1, 2))
    places.release(second)
    places.release(first)
    assert filled(places, memory, "b", [9, 9]) is second
    assert places.known("a", [1] * 6) == 5
    assert filled(places, memory, "b", [8, 8]) is first
    assert places.take("b", [7, 7]) is None
    assert not places.evict()


def test_a_recurrent_model_shares_only_what_is_complete() -> None:
    """Its state is that after the last token: another ending needs everything read again."""
    places, memory = made(rewinds=False)
    places.release(filled(places, memory, "a", [1, 2, 3]))
    assert places.known("a", [1, 2, 9, 9]) == 0
    assert places.known("a", [1, 2, 3]) == 0
    assert places.known("a", [1, 2, 3, 4]) == 3


def test_a_window_without_gaps_is_what_can_be_gone_on_from() -> None:
    """Of layers that look back on ten tokens, those before position 50 are gone: a conversation of 100 can go on at its
    end and from 60, not from 59. What was lost while a decode was broken off is read again."""
    places, memory = made(window=10)
    history = list(range(100))
    place = filled(places, memory, "a", history)
    places.release(place)
    memory.begins[place.number] = 50
    known = [places.known("a", [*history[:count], 500, 501]) for count in (100, 60, 59)]
    assert known == [100, 60, 0]
    again = places.take("a", [*history, 7])
    assert again is place
    assert len(again.tokens) == 100
    memory.begins[place.number] = 95
    places.mend(place)
    assert (place.tokens, memory.held[place.number]) == ([], 0)


def test_tenants_are_apart_unless_told_otherwise() -> None:
    """What one tenant had read is unknown to the next."""
    for shared, known in ((False, 0), (True, 3)):
        places, memory = made(shared=shared)
        places.release(filled(places, memory, "a", [1, 2, 3]))
        assert places.known("b", [1, 2, 3, 4]) == known


def test_idle_prefixes_leave_the_cache_before_a_step() -> None:
    """The oldest first; beyond 2,000 tokens the rest waits for the next step. What busy places hold stays."""
    places, memory = made(8, parking=Parking(1 << 20), cells=8000)
    idle = [filled(places, memory, "a", [number] * size) for number, size in enumerate((400, 1500, 400, 400))]
    busy = filled(places, memory, "a", [9] * 800)
    for place in idle:
        places.release(place)
    held = []
    for _ in range(3):
        held.append([memory.held[place.number] for place in (*idle, busy)])
        places.tidy()
    assert held == [[400, 1500, 400, 400, 800], [0, 0, 0, 400, 800], [0, 0, 0, 0, 800]]
    assert places.parked == (4, 2700 * TOKEN_BYTES)
    assert [places.known("a", [number] * 2000) for number in range(4)] == [400, 1500, 400, 400]


def test_without_parking_idle_prefixes_stay() -> None:
    """Nothing leaves the cache before it is full, and what leaves it is forgotten."""
    places, memory = made(parking=None, cells=1000)
    places.release(filled(places, memory, "a", [1] * 900))
    places.tidy()
    assert places.known("a", [1] * 901) == 900
    assert places.evict()
    assert (places.known("a", [1] * 901), places.parked, memory.saved) == (0, (0, 0), 0)


def test_a_parked_conversation_goes_on() -> None:
    """It comes back whole, in cells of its own, and is no longer parked; its end is parked again in its stead."""
    history = list(range(300))
    places, memory = parked("a", history)
    place = filled(places, memory, "a", [*history, 1, 2])
    assert memory.contents[place.number] == [("a", token) for token in place.tokens]
    assert (place.shared, places.parked) == (0, (0, 0))
    places.release(place)
    assert places.evict()
    assert places.parked == (1, 302 * TOKEN_BYTES)


def test_a_parked_beginning_stays_parked() -> None:
    """Where only the beginning is the same, that is restored, and the long history still waits for its next turn."""
    history = list(range(1000))
    places, memory = parked("a", history)
    place = places.take("a", [*range(300), 7, 7])
    assert place is not None
    assert (place.tokens, memory.held[place.number]) == (list(range(300)), 300)
    assert places.known("a", [*history, 1]) == 1000


def test_what_is_in_the_cache_is_taken_before_what_is_parked() -> None:
    """Sharing costs nothing. A parked one is restored where it knows so much more that copying is worth it."""
    system = list(range(500))
    places, memory = parked("a", [*system, *range(900, 960)])
    busy = filled(places, memory, "a", [*system, 1])
    found = places.find("a", [*system, *range(900, 960), 4])
    assert (found.place, found.known, found.shared) == (busy, 500, 500)
    places, memory = parked("a", [*system, *range(900, 2000)])
    filled(places, memory, "a", [*system, 1])
    found = places.find("a", [*system, *range(900, 2000), 4])
    assert (found.place, found.known, found.shared) == (None, 1600, 0)


def test_only_what_is_worth_it_is_parked() -> None:
    """Short prefixes are forgotten, and those that are nearly the same as one that is kept."""
    places, memory = parked("a", list(range(30)))
    assert places.parked == (0, 0)
    history = list(range(500))
    first, second = (filled(places, memory, "a", [*history, number]) for number in (1, 2))
    for place in (first, second):
        places.release(place)
        assert places.evict()
    assert places.parked[0] == 1
    assert places.known("a", [*history, 9]) == 500


def test_the_tenants_parked_prefixes_are_apart_unless_told_otherwise() -> None:
    """What one tenant parked is unknown to the next, and does not keep the next one's from being parked."""
    history = list(range(200))
    for shared, known in ((False, 0), (True, 200)):
        places, memory = parked("a", history, shared=shared)
        assert places.known("b", [*history, 1]) == known
        places.release(filled(places, memory, "b", history))
        places.evict()
        assert places.parked[0] == (1 if shared else 2)


def test_parked_prefixes_have_a_bound() -> None:
    """The oldest ones go; one that is larger than the bound drives nobody out."""
    places, memory = parked("a", *([number] * 200 for number in range(5)), limit=600 * TOKEN_BYTES)
    assert places.parked == (3, 600 * TOKEN_BYTES)
    assert [places.known("a", [number] * 201) for number in range(5)] == [0, 0, 200, 200, 200]
    places.release(filled(places, memory, "a", [9] * 700))
    assert places.evict()
    assert places.parked[0] == 3
    assert places.known("a", [9] * 701) == 0


def test_without_room_it_is_read_again() -> None:
    """Idle prefixes make room for one that comes back. Where that is not enough, it is as if it were unknown."""
    history = list(range(600))
    places, memory = parked("a", history, cells=1000)
    places.release(filled(places, memory, "b", [1] * 450))
    place = places.take("a", [*history, 1])
    assert place is not None
    assert (len(place.tokens), memory.held[place.number], places.idle) == (600, 600, 0)
    assert places.known("b", [1] * 451) == 0
    places.drop(place)
    assert places.known("b", [1] * 451) == 450
    places, memory = parked("a", history, cells=1000)
    filled(places, memory, "b", [1] * 450)
    assert places.known("a", [*history, 1]) == 0
    places, memory = parked("a", history, cells=1000)
    memory.most = 500  # less than the prefix cache believes
    place = places.take("a", [*history, 1])
    assert place is not None
    assert (place.tokens, memory.held[place.number], place.shared) == ([], 0, 0)


def test_forgetting_everything_includes_what_is_parked() -> None:
    """After `clear` nothing of anybody is left."""
    places, _ = parked("a", list(range(200)))
    places.clear()
    assert (places.parked, places.known("a", list(range(200)))) == ((0, 0), 0)


class PlacesMachine(RuleBasedStateMachine):
    """Requests come, grow, end, and are dropped, in any order."""

    rewinds = True
    cells = 10_000
    limit = 0

    def __init__(self) -> None:
        super().__init__()
        self.parking = Parking(self.limit) if self.limit else None
        self.places, self.memory = made(4, rewinds=self.rewinds, parking=self.parking, cells=self.cells)
        self.busy: list[tuple[Place, str]] = []

    @rule(tenant=st.sampled_from("ab"), tokens=st.lists(st.integers(0, 1), min_size=1, max_size=6))
    def arrive(self, tenant: str, tokens: list[int]) -> None:
        known = self.places.find(tenant, tokens)
        place = self.places.take(tenant, tokens)
        assert (place is None) == (len(self.busy) == 4)
        if place is None:
            return
        assert len(place.tokens) < len(tokens)
        assert place.tokens == tokens[: len(place.tokens)]
        assert place.shared == (known.shared if place.tokens else 0)
        assert len(place.tokens) == known.known or known.parked is not None
        while self.memory.free < len(tokens) - len(place.tokens):
            if not self.places.evict():
                self.places.drop(place)
                return
        self.memory.read(place.number, tenant, tokens)
        place.tokens = list(tokens)
        self.busy.append((place, tenant))

    @rule(which=st.integers(0, 3), drop=st.booleans())
    def leave(self, which: int, drop: bool) -> None:
        if which < len(self.busy):
            place, _ = self.busy.pop(which)
            (self.places.drop if drop else self.places.release)(place)

    @rule()
    def evict(self) -> None:
        self.places.evict()

    @rule()
    def tidy(self) -> None:
        self.places.tidy()

    @invariant()
    def both_believe_the_same(self) -> None:
        for place in self.places._places:
            assert self.memory.contents[place.number] == [(place.tenant, token) for token in place.tokens]
        assert all(place.tenant == tenant and place.busy for place, tenant in self.busy)
        assert self.memory.free >= 0

    @invariant()
    def what_is_parked_is_what_it_says(self) -> None:
        for one in self.parking or ():
            assert isinstance(one.state, State)
            assert one.state.holds == tuple((one.tenant, token) for token in one.tokens)
        count, size = self.places.parked
        assert size == sum(len(one.state) for one in self.parking or ()) <= self.limit
        assert bool(count) == bool(size)


class RecurrentMachine(PlacesMachine):
    """The same with a memory that cannot go back."""

    rewinds = False


class ParkingMachine(PlacesMachine):
    """With little room in the cache and beside it, and everything worth copying."""

    cells = 12
    limit = 14 * TOKEN_BYTES

    def __init__(self) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(module, "_WORTH", 1)
        self.patch.setattr(module, "_COPIED_BEFORE_A_STEP", 3)
        super().__init__()

    def teardown(self) -> None:
        self.patch.undo()


TestPlaces = PlacesMachine.TestCase
TestParking = ParkingMachine.TestCase
TestRecurrentPlaces = RecurrentMachine.TestCase
