"""The span cache: what it gives is what the detector would have given, and it holds no text."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.finding import Span
from gateway.domain.ports import DetectorFailed
from gateway.inspection.cache import (
    REMOTE_CHARACTERS,
    REMOTE_TOGETHER,
    SHARED_CHARACTERS,
    CachedDetector,
    SpanMemory,
    Spans,
    subkey,
)

pytestmark = pytest.mark.anyio

KEY = bytes(range(32))
LONG = "x" + "y" * SHARED_CHARACTERS


def xs(text: str) -> list[Span]:
    return [Span(i, i + 1, "X", 60) for i, character in enumerate(text) if character == "x"]


class Xs:
    """A detector that finds every "x". It notes what it was asked, waits for `gate` and fails with `failures`."""

    entities = frozenset({"X"})

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.timeouts: list[float] = []
        self.failures: list[Exception] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.closed = False
        self.drop = 0

    async def scan(self, texts: Sequence[str], timeout: float) -> list[list[Span]]:
        self.calls.append(list(texts))
        self.timeouts.append(timeout)
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        return [xs(text) for text in texts][self.drop :]

    async def aclose(self) -> None:
        self.closed = True


class Shelf:
    """A second level in this process."""

    def __init__(self) -> None:
        self.held: dict[bytes, Spans] = {}
        self.asked: list[bytes] = []

    async def get(self, keys: Sequence[bytes]) -> Mapping[bytes, Spans]:
        self.asked += keys
        return {key: self.held[key] for key in keys if key in self.held}

    def put(self, found: Mapping[bytes, Spans]) -> None:
        self.held.update(found)

    async def aclose(self) -> None:
        """Nothing to close."""


def cached(inner: Xs, **options: object) -> CachedDetector:
    return CachedDetector(inner, key=KEY, version="1", **options)  # type: ignore[arg-type]


async def test_a_text_is_scanned_once() -> None:
    """What was scanned is not handed to the detector again; only what is missing is, in one call."""
    inner = Xs()
    detector = cached(inner)
    assert await detector.scan(["ax", "b", "ax"], 1) == [xs("ax"), [], xs("ax")]
    assert await detector.scan(["b", "xc", "ax", "d"], 1) == [[], xs("xc"), xs("ax"), []]
    assert inner.calls == [["ax", "b"], ["xc", "d"]]
    assert (detector.figures.hits, detector.figures.misses) == (2, 4)
    assert inner.timeouts == pytest.approx([1, 1], abs=0.1)
    assert detector.entities == inner.entities


async def test_a_result_may_be_changed_by_its_taker() -> None:
    """The lists that are given out are the taker's own."""
    detector = cached(Xs())
    (await detector.scan(["x"], 1))[0].clear()
    assert await detector.scan(["x"], 1) == [xs("x")]


async def test_failures_are_not_remembered() -> None:
    """A scan that failed, or answered too little, fails for its caller and is made again for the next."""
    inner = Xs()
    detector = cached(inner)
    inner.failures = [DetectorFailed("no", timed_out=True)]
    with pytest.raises(DetectorFailed) as failure:
        await detector.scan(["x"], 1)
    assert failure.value.timed_out
    inner.drop = 1
    with pytest.raises(DetectorFailed):
        await detector.scan(["x"], 1)
    inner.drop = 0
    assert await detector.scan(["x"], 1) == [xs("x")]
    assert len(inner.calls) == 3


async def test_requests_with_the_same_text_scan_it_once() -> None:
    """A long text that several requests want at the same moment is scanned once, for all of them."""
    inner = Xs()
    inner.gate.clear()
    detector = cached(inner)
    requests = [asyncio.create_task(detector.scan([LONG, f"x{number}"], 5)) for number in range(3)]
    await asyncio.sleep(0.01)
    inner.gate.set()
    assert await asyncio.gather(*requests) == [[xs(LONG), xs("x")]] * 3
    assert inner.calls == [[LONG, "x0"], ["x1"], ["x2"]]
    assert detector.figures.joined == 2


async def test_a_short_text_is_not_waited_for() -> None:
    """What is quick to scan does not wait for another request, which may have handed it over with much more."""
    inner = Xs()
    inner.gate.clear()
    detector = cached(inner)
    slow = asyncio.create_task(detector.scan(["x", LONG], 5))
    await asyncio.sleep(0.01)
    quick = asyncio.create_task(detector.scan(["x"], 5))
    await asyncio.sleep(0.01)
    assert inner.calls == [["x", LONG], ["x"]]
    inner.gate.set()
    assert await quick == [xs("x")]
    await slow


@pytest.mark.parametrize("end", ["cancelled", "failed"])
async def test_who_waits_is_not_harmed(end: str) -> None:
    """When the request that scans a text is cancelled or fails, another that waits for it scans it itself."""
    inner = Xs()
    inner.gate.clear()
    detector = cached(inner)
    first = asyncio.create_task(detector.scan([LONG], 5))
    await asyncio.sleep(0.01)
    others = [asyncio.create_task(detector.scan([LONG], 5)) for _ in range(2)]
    await asyncio.sleep(0.01)
    if end == "cancelled":
        first.cancel()
    else:
        inner.failures = [DetectorFailed("no")]
        inner.gate.set()
    await asyncio.wait([first])
    assert first.cancelled() or isinstance(first.exception(), DetectorFailed)
    await asyncio.sleep(0.01)
    inner.gate.set()
    assert await asyncio.gather(*others) == [[xs(LONG)]] * 2
    assert inner.calls == [[LONG], [LONG]]


async def test_a_waiter_keeps_its_own_deadline() -> None:
    """A request does not wait longer for another's scan than it may take itself, and leaves that scan alone."""
    inner = Xs()
    inner.gate.clear()
    detector = cached(inner)
    patient = asyncio.create_task(detector.scan([LONG], 5))
    await asyncio.sleep(0.01)
    with pytest.raises(DetectorFailed) as failure:
        await detector.scan([LONG], 0.05)
    assert failure.value.timed_out
    inner.gate.set()
    assert await patient == [xs(LONG)]


async def test_the_second_level() -> None:
    """What another gateway found is taken over; short texts are neither asked for nor put there."""
    shelf, long = Shelf(), "x" + "z" * REMOTE_TOGETHER
    await cached(Xs(), second=shelf).scan([long, "x"], 1)
    inner = Xs()
    detector = cached(inner, second=shelf)
    assert await detector.scan([long, "x"], 1) == [xs(long), xs("x")]
    assert inner.calls == [["x"]]
    assert detector.figures.remote_hits == 1
    assert len(shelf.held) == 1
    await detector.scan([long], 1)
    assert len(shelf.asked) == 2  # the third time it was in memory
    await detector.aclose()
    assert inner.closed


async def test_the_second_level_is_not_asked_for_little() -> None:
    """A call takes longer than to scan a little text: it is made for enough of it, in one text or in several."""
    shelf = Shelf()
    texts = [str(number) + "x" * REMOTE_CHARACTERS for number in range(REMOTE_TOGETHER // REMOTE_CHARACTERS)]
    await cached(Xs(), second=shelf).scan(texts[:1], 1)
    assert (len(shelf.asked), len(shelf.held)) == (0, 1)
    detector = cached(Xs(), second=shelf)
    await detector.scan(texts, 1)
    assert (len(shelf.asked), detector.figures.remote_hits) == (len(texts), 1)


async def test_another_version_finds_nothing() -> None:
    """Findings of another version, other settings or another key are not taken over."""
    shelf, long = Shelf(), "x" * REMOTE_TOGETHER
    for key, version, configured in [(KEY, "1", ""), (KEY, "2", ""), (KEY, "1", "a"), (bytes(32), "1", "")]:
        inner = Xs()
        detector = CachedDetector(inner, key=key, version=version, settings=configured, second=shelf)
        await detector.scan([long], 1)
        assert inner.calls == [[long]]


def test_labels_cannot_run_into_each_other() -> None:
    """Two lists of labels never make one key."""
    assert len({subkey(KEY, *labels) for labels in [("a", "b"), ("ab", ""), ("", "ab"), ("ab",), ("a", "b", "")]}) == 5


def test_a_short_key_is_refused() -> None:
    """A cache whose keys could be guessed is not made."""
    with pytest.raises(ValueError, match="16 bytes"):
        CachedDetector(Xs(), key=b"short", version="1")


@given(
    st.lists(st.lists(st.sampled_from(["", "x", "xx", "yx", "y\ud800", "long x" * 50]), max_size=5), max_size=30),
    st.integers(0, 3_000),
)
@settings(max_examples=60, deadline=None)
def test_cached_is_as_uncached(requests: list[list[str]], limit: int) -> None:
    """Whatever is asked in whatever order, and however little may be remembered, the findings are the detector's."""

    async def run() -> None:
        detector = cached(Xs(), limit=limit)
        for texts in requests:
            assert await detector.scan(texts, 1) == [xs(text) for text in texts]
            assert detector.memory.size <= limit

    asyncio.run(run())


def test_the_least_recently_used_goes() -> None:
    """When memory is full, what was not asked for the longest time is forgotten."""
    memory = SpanMemory(limit=1_199)
    for name in (b"a", b"b", b"c"):
        memory.put(name, ())
    memory.get(b"a")
    memory.put(b"d", ())
    assert [memory.get(name) is not None for name in (b"a", b"b", b"c", b"d")] == [True, False, True, True]
    memory.put(b"e", tuple(xs("x" * 100)))  # more than all memory: not kept, and nothing is lost for it
    assert (memory.get(b"e"), len(memory)) == (None, 3)


@pytest.mark.parametrize("spans", [0, 3])
def test_the_limit_is_in_bytes(spans: int) -> None:
    """A full cache takes about as much memory as it may, and not more."""
    limit = 1 << 19
    gc.collect()
    tracemalloc.start()
    try:
        memory = SpanMemory(limit)
        for number in range(3_000):
            found = tuple(Span(1_000 + number, 2_000 + number + place, "X", 60) for place in range(spans))
            memory.put(number.to_bytes(32, "big"), found)
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert memory.size <= limit
    assert 0.5 * limit < used < 1.1 * limit
