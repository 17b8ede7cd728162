"""A target that keeps failing is left alone for a while, and then given a chance."""

from __future__ import annotations

from gateway.routing.breaker import Breaker
from support.clock import FakeClock


def test_it_opens_after_failures_in_a_row_and_closes_by_success() -> None:
    """Five in a row pause a target for ten seconds; one success forgets them all."""
    clock = FakeClock()
    breaker = Breaker(clock.monotonic)
    for _ in range(4):
        breaker.failed("a")
    assert breaker.waiting("a") == 0
    breaker.failed("a")
    assert breaker.waiting("a") == 10
    assert breaker.waiting("b") == 0
    clock.move(4)
    assert breaker.waiting("a") == 6
    clock.move(6)
    assert breaker.waiting("a") == 0
    breaker.failed("a")
    assert breaker.waiting("a") == 10, "the next failure pauses it again at once"
    breaker.succeeded("a")
    assert breaker.waiting("a") == 0
    breaker.failed("a")
    assert breaker.waiting("a") == 0


def test_failures_that_are_interrupted_do_not_add_up() -> None:
    """Only failures in a row count."""
    breaker = Breaker(FakeClock().monotonic, threshold=2)
    for _ in range(5):
        breaker.failed("a")
        breaker.succeeded("a")
    assert breaker.waiting("a") == 0
