"""The measured time to first token: a mean that follows a change and forgives an outlier."""

from __future__ import annotations

import pytest

from gateway.routing.latency import LatencyBook


def test_what_is_declared_holds_until_something_is_measured() -> None:
    """Then the measurement, whatever was declared; and nothing known is None."""
    book = LatencyBook()
    assert book.expected("a", None) is None
    assert book.expected("a", 2.0) == 2.0
    book.observe("a", 0.5)
    assert book.expected("a", 2.0) == 0.5
    assert book.expected("b", 2.0) == 2.0


def test_the_mean_follows_within_ten_and_forgives_one() -> None:
    """After ten slow answers it is nearly there; after one it has hardly moved."""
    book = LatencyBook()
    for _ in range(20):
        book.observe("a", 1.0)
    book.observe("a", 5.0)
    assert book.expected("a", None) == pytest.approx(1.8)
    for _ in range(10):
        book.observe("a", 5.0)
    assert book.expected("a", None) == pytest.approx(5.0, rel=0.1)
