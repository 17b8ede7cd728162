"""The bound on the time to first token holds for 95 of 100 requests, however wrong the predictions are."""

from __future__ import annotations

import random

import pytest

from adapters.llama_cpp.speeds import Calibration, Speeds

REQUESTS = 1000


@pytest.mark.parametrize("spread", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("error", [0.2, 1.0, 5.0])
def test_the_bound_holds_for_95_of_100(error: float, spread: float) -> None:
    """Predictions that are five times too small or too large, with little or much noise, give the same share."""
    chance = random.Random(7)
    calibration = Calibration()
    held = []
    for _ in range(REQUESTS):
        predicted = chance.uniform(0.01, 3)
        seconds = predicted * error * chance.lognormvariate(0, spread)
        held.append(seconds <= predicted * calibration.factor)
        calibration.observed(predicted, seconds)
    assert 0.93 <= sum(held) / REQUESTS <= 0.97


def test_the_bound_follows_a_machine_that_becomes_slow() -> None:
    """When everything suddenly takes three times as long, the bound holds again for 95 of 100 after a few dozen."""
    chance = random.Random(7)
    calibration = Calibration()
    held = []
    for number in range(REQUESTS):
        seconds = chance.lognormvariate(0, 0.2) * (3 if number >= REQUESTS / 2 else 1)
        held.append(seconds <= calibration.factor)
        calibration.observed(1.0, seconds)
    assert 0.92 <= sum(held[REQUESTS // 2 + 40 :]) / (REQUESTS / 2 - 40) <= 0.98


def test_the_bound_is_no_wider_than_it_must_be() -> None:
    """With predictions that are right within 10 %, it is at most a third above them."""
    chance = random.Random(7)
    calibration = Calibration()
    for _ in range(REQUESTS):
        calibration.observed(1.0, chance.uniform(0.9, 1.1))
    assert 1.05 < calibration.factor < 1.34


def test_nothing_is_learned_where_nothing_was_predicted() -> None:
    """The first request of an engine has no prediction; its time says nothing about predictions."""
    speeds = Speeds()
    before = speeds.bound(1.0)
    speeds.began(0.0, 100.0)
    assert speeds.bound(1.0) == before
    speeds.began(1.0, 100.0)
    assert speeds.bound(1.0) > before


def test_what_was_learnt_fades_where_no_requests_come() -> None:
    """A bound so wide that everything is refused or goes elsewhere comes back by itself; a narrow one stays."""
    now = [0.0]
    wide, narrow = Calibration(lambda: now[0]), Calibration(lambda: now[0])
    for _ in range(20):
        wide.observed(1.0, 1000.0)
        narrow.observed(1.0, 0.001)
    before = wide.factor, narrow.factor
    now[0] += 60
    assert (wide.factor, narrow.factor) == before, "a pause of a minute says nothing"
    now[0] += 600
    assert wide.factor == pytest.approx(2 * (before[0] / 2) ** 0.5)
    assert narrow.factor == before[1]
    wide.observed(1.0, 1000.0)
    assert wide.factor > 2 * (before[0] / 2) ** 0.5, "and learns on from there"


def test_the_share_that_kept_the_bound_is_counted() -> None:
    """Of four requests with a prediction one was late; the one without is not counted."""
    speeds = Speeds()
    assert (speeds.first_tokens, speeds.bound_kept_rate) == (0, 1.0)
    for predicted, seconds in ((1.0, 0.1), (1.0, 100.0), (0.0, 5.0), (1.0, 0.1), (1.0, 0.1)):
        speeds.began(predicted, seconds)
    assert (speeds.first_tokens, speeds.bound_kept_rate) == (4, 0.75)
