"""Tests of `adapters.llama_cpp.places`: the prefix cache, above a memory that keeps what it is told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from adapters.llama_cpp.places import Place, Places, common


class Remembering:
    """Stands for llama.cpp's memory: how many tokens each place holds. `partly` False is a recurrent model's."""

    def __init__(self, count: int, *, partly: bool) -> None:
        self.held = [0] * count
        self.partly = partly

    def cut(self, place: int, start: int) -> bool:
        if not self.partly and 0 < start < self.held[place]:
            return False
        self.held[place] = min(self.held[place], start)
        return True

    def copy(self, source: int, place: int, count: int) -> None:
        assert self.held[place] == 0
        assert self.held[source] >= count
        assert self.partly or self.held[source] == count
        self.held[place] = count


def filled(places: Places, memory: Remembering, tenant: str, tokens: list[int]) -> Place:
    """A place in which `tokens` were read."""
    place = places.take(tenant, tokens)
    assert place is not None
    place.tokens = list(tokens)
    memory.held[place.number] = len(tokens)
    return place


def made(count: int = 3, *, rewinds: bool = True, shared: bool = False) -> tuple[Places, Remembering]:
    memory = Remembering(count, partly=rewinds)
    return Places(memory, count, rewinds=rewinds, shared=shared), memory


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


def test_tenants_are_apart_unless_told_otherwise() -> None:
    """What one tenant had read is unknown to the next."""
    for shared, known in ((False, 0), (True, 3)):
        places, memory = made(shared=shared)
        places.release(filled(places, memory, "a", [1, 2, 3]))
        assert places.known("b", [1, 2, 3, 4]) == known


class PlacesMachine(RuleBasedStateMachine):
    """Requests come, grow, end, and are dropped, in any order."""

    rewinds = True

    def __init__(self) -> None:
        super().__init__()
        self.places, self.memory = made(4, rewinds=self.rewinds)
        self.busy: list[tuple[Place, str]] = []

    @rule(tenant=st.sampled_from("ab"), tokens=st.lists(st.integers(0, 1), min_size=1, max_size=6))
    def arrive(self, tenant: str, tokens: list[int]) -> None:
        place = self.places.take(tenant, tokens)
        assert (place is None) == (len(self.busy) == 4)
        if place is None:
            return
        assert len(place.tokens) < len(tokens)
        assert place.tokens == tokens[: len(place.tokens)]
        place.tokens = list(tokens)
        self.memory.held[place.number] = len(tokens)
        self.busy.append((place, tenant))

    @rule(which=st.integers(0, 3), drop=st.booleans())
    def leave(self, which: int, drop: bool) -> None:
        if which < len(self.busy):
            place, _ = self.busy.pop(which)
            (self.places.drop if drop else self.places.release)(place)

    @rule()
    def evict(self) -> None:
        self.places.evict()

    @invariant()
    def both_believe_the_same(self) -> None:
        assert self.memory.held == [len(place.tokens) for place in self.places._places]
        assert all(place.tenant == tenant and place.busy for place, tenant in self.busy)


class RecurrentMachine(PlacesMachine):
    """The same with a memory that cannot go back."""

    rewinds = False


TestPlaces = PlacesMachine.TestCase
TestRecurrentPlaces = RecurrentMachine.TestCase
