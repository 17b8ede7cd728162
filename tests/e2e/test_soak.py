"""A short version of the soak (benchmarks/local_engine/soak.py), and what it says of figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.local_engine.soak import DAY, Plan, Result, Sample, is_flat, is_steady, report, slope, soak
from benchmarks.local_engine.traffic import KINDS

pytestmark = pytest.mark.anyio


async def test_every_kind_of_request_ends_as_it_should(tmp_path: Path) -> None:
    """Some hundred requests of several tenants, streams that are cut off and errors among them: all are answered, and
    neither descriptors nor threads pile up."""
    result = await soak(tmp_path, Plan(requests=250, clients=6, every=1.0))
    assert result.surprises == {}, (tmp_path / "gateway.log").read_text()[-2000:]
    assert result.requests == sum(result.outcomes.values()) == 250
    assert {kind for kind in KINDS if any(name.startswith(kind) for name in result.outcomes)} >= {
        kind for kind, share in KINDS.items() if share >= 3
    }
    assert set(result.samples) >= {"gateway", "engine"}
    for name, samples in result.samples.items():
        assert is_steady(samples), (name, samples)
    assert report(result)[0].startswith("250 requests")


def grown(bytes_each: float, descriptors: int = 0) -> list[Sample]:
    """Three hundred samples of a process that first takes 50 MB at once."""
    samples = []
    for number in range(300):
        size = (100e6 if number > 50 else 50e6) + bytes_each * number * 10
        samples.append(Sample(number, number * 10, int(size), 0, 40 + number * descriptors, 9))
    return samples


def test_what_is_flat() -> None:
    """The first third may fill caches; after it, five per cent in a day's requests is too much, and so is a descriptor
    that stays open now and then."""
    assert slope(grown(0)) == pytest.approx(0, abs=1)
    assert slope(grown(200)) == pytest.approx(200_000, rel=0.01)
    tolerable = 0.05 * 100e6 / DAY
    assert is_flat(grown(tolerable / 2))
    assert not is_flat(grown(tolerable * 2))
    assert not is_flat(grown(0, descriptors=1))
    assert is_flat(grown(-50))
    lines = report(Result(60, 2990, {"gateway": grown(0), "engine": grown(500)}, {}, {"short 0": 1}))
    assert ["NOT FLAT" in line for line in lines] == [False, False, True, False]
    assert "not as expected" in lines[3]
