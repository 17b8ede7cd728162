"""Tests of `adapters.llama_cpp.parking`: prefixes in the host's memory, within a bound."""

from __future__ import annotations

from adapters.llama_cpp.parking import Parked, Parking


def one(tenant: str, tokens: list[int], size: int = 10) -> Parked:
    return Parked(tenant, tokens, bytes(size))


def filled(parking: Parking, *several: Parked) -> Parking:
    for parked in several:
        assert parking.make_room(len(parked.state))
        parking.add(parked)
    return parking


def test_the_least_recently_used_goes_first() -> None:
    """Room is made by as few as are needed, the oldest first; using one makes it the youngest."""
    first, second, third = (one("a", [number]) for number in range(3))
    parking = filled(Parking(35), first, second, third)
    parking.used(first)
    assert parking.make_room(15)
    assert (list(parking), parking.bytes) == ([third, first], 20)


def test_what_is_larger_than_the_bound_makes_nobody_go() -> None:
    """It cannot be kept, and the others stay."""
    parking = filled(Parking(20), one("a", [1]), one("a", [2]))
    assert not parking.make_room(21)
    assert (len(parking), parking.bytes) == (2, 20)


def test_a_beginning_of_a_newer_one_is_needless() -> None:
    """A conversation is kept once, at its last turn; another tenant's, or one that differs, stays."""
    theirs, other = one("b", [1, 2]), one("a", [1, 3])
    parking = filled(Parking(100), one("a", [1, 2]), theirs, other, one("a", [1, 2]))
    longer = one("a", [1, 2, 3])
    filled(parking, longer)
    assert (list(parking), parking.bytes) == ([theirs, other, longer], 30)


def test_what_was_forgotten_is_forgotten_once() -> None:
    """Removing one that has gone already changes nothing; after `clear` there is nothing."""
    first, second = one("a", [1]), one("a", [2])
    parking = filled(Parking(100), first, second)
    parking.remove(first)
    parking.remove(first)
    assert parking.bytes == 10
    parking.clear()
    assert (len(parking), parking.bytes) == (0, 0)


def test_content_is_not_shown() -> None:
    """Neither tokens nor state are in the text form of anything."""
    parked = one("a", [123456789])
    assert "123456789" not in f"{parked!r} {filled(Parking(100), parked)!r}"
