"""A short version of the soak (benchmarks/local_engine/soak.py), and what it says of figures."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks.local_engine.soak import DAY, DEMO_MODEL, Plan, Result, Sample, growth, is_steady, report, soak, verdict
from benchmarks.local_engine.traffic import CLOUD_KINDS, KINDS

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("model", [DEMO_MODEL, None], ids=["local", "cloud"])
async def test_every_kind_of_request_ends_as_it_should(model: Path | None, tmp_path: Path) -> None:
    """Some hundred requests of several tenants, streams that are cut off and errors among them: all are answered, and
    neither descriptors nor threads pile up; with the local model, and with the scripted cloud alone."""
    # The first half of the samples must have seen requests: the cloud's are done in two seconds.
    result = await soak(tmp_path, Plan(model, requests=250, clients=6, every=1.0 if model else 0.1))
    assert result.surprises == {}, (tmp_path / "gateway.log").read_text()[-2000:]
    assert result.requests == sum(result.outcomes.values()) == 250
    assert {kind for kind in KINDS if any(name.startswith(kind) for name in result.outcomes)} >= {
        kind for kind, share in (KINDS if model else CLOUD_KINDS).items() if share >= 3
    }
    assert set(result.samples) >= ({"gateway", "engine"} if model else {"gateway"})
    for name, samples in result.samples.items():
        assert is_steady(samples), (name, samples)
    assert report(result)[0].startswith("250 requests")


def grown(bytes_each: float, descriptors: int = 0, noise: float = 0.0, count: int = 300) -> list[Sample]:
    """So many samples, ten requests apart, of a process that first takes 50 MB at once."""
    draw = random.Random(7)
    samples = []
    for number in range(count):
        size = (100e6 if number > 50 else 50e6) + bytes_each * number * 10 + noise * draw.gauss(0, 1)
        samples.append(Sample(number, number * 10, int(2 * size), int(size), 40 + number * descriptors, 9))
    return samples


def test_what_is_flat() -> None:
    """The first half may fill caches; after it, five per cent of the private memory in a day's requests is too much,
    and so is a descriptor that stays open now and then."""
    tolerable = 0.05 * 100e6 / DAY
    assert growth(grown(0)).bytes == pytest.approx(0, abs=1)
    assert growth(grown(200)).bytes == pytest.approx(200_000, rel=0.01)
    assert verdict(grown(tolerable / 2)) == "flat"
    assert verdict(grown(tolerable * 2)) == "NOT FLAT"
    assert verdict(grown(0, descriptors=1)) == "NOT FLAT"
    assert verdict(grown(-50)) == "flat"
    lines = report(Result(60, 2990, {"gateway": grown(0), "engine": grown(500)}, {}, {"short 0": 1}))
    assert ["NOT FLAT" in line for line in lines] == [False, False, True, False]
    assert "not as expected" in lines[3]


def test_a_verdict_is_given_only_where_the_samples_bear_it() -> None:
    """Noise widens the interval, and it holds the true figure; few samples say nothing."""
    tolerable = 0.05 * 100e6 / DAY
    noisy = growth(grown(tolerable, noise=50_000))
    assert abs(noisy.bytes - 1000 * tolerable) < noisy.error
    assert verdict(grown(tolerable / 2, noise=300_000)) == "too few requests to say"
    assert verdict(grown(0, count=8)) == "too few requests to say"
    assert report(Result(1, 0, {"gateway": grown(0, count=1)}, {}))[1].endswith("too few requests to say")
