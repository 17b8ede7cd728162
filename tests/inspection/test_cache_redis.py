"""The span cache's second level in a real Redis: unreadable, untouchable, and never in the way."""

from __future__ import annotations

import asyncio
import itertools
import socket
import time
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from gateway.domain.finding import Span
from gateway.inspection.cache import CachedDetector
from gateway.inspection.cache_redis import TRIES, RedisSpans, Seal
from support.detectors import ListedDetector
from support.exposure import CARD
from support.redis import redis_server, redis_url

__all__ = ["redis_url"]
pytestmark = pytest.mark.anyio

KEY = bytes(range(32))
ONE, TWO = bytes(32), bytes([1] * 32)
SPANS = (Span(3, 9, "PERSON", 85), Span(100_000, 100_020, "CREDIT_CARD", 100))
TEXT = f"Please charge {CARD}. " + "More words follow here. " * 40


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[RedisSpans]:
    opened = RedisSpans.open(redis_url, key=KEY, wait=2)
    yield opened
    await opened.aclose()


async def test_what_was_put_is_there(store: RedisSpans) -> None:
    """Findings come back as they were, and a text without any is known to have none."""
    store.put({ONE: SPANS, TWO: ()})
    await store.settled()
    assert await store.get([ONE, bytes([2] * 32), TWO]) == {ONE: SPANS, TWO: ()}


async def test_it_does_not_stay_for_ever(store: RedisSpans, redis_url: str) -> None:
    """Each value has a time to live."""
    store.put({ONE: SPANS})
    await store.settled()
    async with Redis.from_url(redis_url) as client:
        (name,) = await client.keys("*")
        assert 0 < await client.ttl(name) <= 24 * 3600


async def test_two_gateways_share_it(redis_url: str) -> None:
    """What one gateway found another with the same secret need not scan, and one with another secret cannot use."""
    scanned = []
    for key in (KEY, KEY, bytes(32)):
        inner = ListedDetector()
        store = RedisSpans.open(redis_url, key=key, wait=2)
        detector = CachedDetector(inner, key=key, version="1", second=store)
        (spans,) = await detector.scan([TEXT], 1)
        assert [TEXT[span.start : span.end] for span in spans] == [CARD]
        scanned.append(detector.figures.misses)
        await detector.aclose()
    assert scanned == [1, 0, 1]


async def test_nothing_in_it_can_be_read(store: RedisSpans, redis_url: str) -> None:
    """Redis holds no entity, no value, no word of the text, and not how much was found in it."""
    detector = CachedDetector(ListedDetector(), key=KEY, version="1", second=store)
    await detector.scan([TEXT, "Only harmless words. " * 50], 1)
    await store.settled()
    async with Redis.from_url(redis_url) as client:
        names = await client.keys("*")
        values = [await client.get(name) for name in names]
    assert len(values) == 2
    assert len({len(value) for value in values}) == 1
    everything = b"".join([*names, *values])
    for secret in (CARD.encode(), b"CREDIT", b"card", b"Please", b"harmless", b"[[", b",100]"):
        assert secret not in everything.replace(b"{bailiwick:spans}:", b"")


async def test_findings_cannot_be_made_to_disappear(store: RedisSpans, redis_url: str) -> None:
    """A value that somebody changed, cut, made up or moved from another text counts as missing."""
    store.put({ONE: SPANS, TWO: ()})
    await store.settled()
    async with Redis.from_url(redis_url) as client:
        name, other = b"{bailiwick:spans}:" + ONE, b"{bailiwick:spans}:" + TWO
        good, empty = await client.get(name), await client.get(other)
        changed = [good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :] for place in range(0, len(good), 7)]
        for bad in (*changed, empty, good[:-1], good[:20], b"", b"[]"):
            await client.set(name, bad)
            assert await store.get([ONE]) == {}
        await client.set(name, good)
        assert await store.get([ONE]) == {ONE: SPANS}
        await client.delete(name)
        await client.lpush(name, "not a string")
        assert await store.get([ONE]) == {}
    assert store.figures.refused == len(changed) + 5


@given(
    st.lists(st.tuples(st.integers(0, 2**31), st.integers(0, 2**31), st.text("ABC_", min_size=1), st.integers(0, 100)))
)
def test_seals_open(rows: list[tuple[int, int, str, int]]) -> None:
    """What was sealed for a key comes back for that key, and for no other."""
    spans = tuple(Span(*row) for row in rows)
    seal = Seal(KEY)
    sealed = seal.close(ONE, spans)
    assert seal.open(ONE, sealed) == spans
    assert seal.open(TWO, sealed) is None
    assert Seal(bytes(32)).open(ONE, sealed) is None


def test_the_same_findings_never_look_the_same() -> None:
    """Each value has a nonce of its own, so equal findings do not show."""
    seal = Seal(KEY)
    bodies = [seal.close(ONE, SPANS)[12:-16] for _ in range(20)]
    assert len(set(bodies)) == 20
    assert all(sum(map(int.__eq__, a, b)) < len(a) / 4 for a, b in itertools.pairwise(bodies))


async def test_a_dead_redis_is_left_alone() -> None:
    """Without Redis everything is scanned; after some failures it is not asked until a pause is over."""
    server = redis_server()
    store = RedisSpans(Redis.from_url(server.new_database()), key=KEY, wait=1, pause=0.1)
    detector = CachedDetector(ListedDetector(), key=KEY, version="1", second=store)
    server.stop()
    try:
        for number in range(TRIES + 5):
            (spans,) = await detector.scan([f"{number} {TEXT}"], 1)
            assert len(spans) == 1
        assert TRIES <= store.figures.errors <= TRIES + 2  # writes count, too
        assert store.figures.dropped > 0
    finally:
        server.start()
    await asyncio.sleep(0.15)
    store.put({ONE: SPANS})
    await store.settled()
    assert await store.get([ONE]) == {ONE: SPANS}
    await detector.aclose()


async def test_a_slow_redis_costs_milliseconds() -> None:
    """A Redis that takes the connection and never answers holds a request up for a few milliseconds, a few times."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = RedisSpans.open(f"redis://127.0.0.1:{silent.getsockname()[1]}", key=KEY)
        began = time.monotonic()
        for _ in range(50):
            assert await store.get([ONE]) == {}
        assert time.monotonic() - began < TRIES * 0.1
        assert store.figures.errors == TRIES
        await store.aclose()


async def test_a_late_answer_is_not_taken_for_another(redis_url: str) -> None:
    """After an answer that came too late, the next ones are those of their questions."""
    store = RedisSpans.open(redis_url, key=KEY, wait=0.1)
    store.put({ONE: SPANS, TWO: ()})
    await store.settled()
    async with Redis.from_url(redis_url) as other:
        for _ in range(TRIES - 1):
            await other.client_pause(300)
            assert await store.get([ONE]) == {}
            await store.settled()
            assert await store.get([TWO]) == {TWO: ()}
            assert await store.get([ONE]) == {ONE: SPANS}
    assert store.figures.refused == 0
    await store.aclose()


async def test_closing_waits_for_no_one_long() -> None:
    """Writes to a Redis that does not answer do not keep the gateway from ending."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = RedisSpans.open(f"redis://127.0.0.1:{silent.getsockname()[1]}", key=KEY)
        store.put({ONE: SPANS})
        began = time.monotonic()
        await store.aclose()
        assert time.monotonic() - began < 3


def test_a_wrong_url_is_said() -> None:
    """A URL that is none is an error at once."""
    with pytest.raises(ValueError, match="URL"):
        RedisSpans.open("nonsense", key=KEY)
