"""Conversations in Redis: what is its own about it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis.asyncio import Redis

from gateway.conversations.redis_store import RedisConversations
from gateway.domain.decision import Level
from gateway.domain.ports import ConversationsUnavailable, Standing
from support.redis import RedisServer, redis_server

pytestmark = pytest.mark.anyio

A, B = "a" * 32, "b" * 32
RESTRICTED = Standing(Level.RESTRICTED)


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """A server that a test may stop."""
    server = RedisServer(redis_server()._binary)
    yield server
    server.remove()


async def test_a_value_is_two_digits_and_lapses(redis_url: str) -> None:
    """Nothing else is kept; each use, a look as well, begins the time anew; all keys are on one node of a cluster."""
    store, client = RedisConversations.open(redis_url, keep=3600), Redis.from_url(redis_url)
    await store.join([A, B], Standing(Level.CONFIDENTIAL, unread=True))
    names = await client.keys("*")
    assert sorted(names) == [b"{bailiwick:conversations}:" + key.encode() for key in (A, B)]
    assert await client.mget(names) == [b"21", b"21"]
    await client.pexpire(names[0], 5000)
    await store.standing([A, B])
    assert all([3_590_000 < await client.pttl(name) <= 3_600_000 for name in names])
    await client.pexpire(names[0], 5000)
    await store.join([A, B], Standing())
    assert all([3_590_000 < await client.pttl(name) <= 3_600_000 for name in names])
    assert await client.mget(names) == [b"21", b"21"]
    await client.aclose()
    await store.aclose()


@pytest.mark.parametrize("value", [b"", b"4", b"40", b"02", b"100", b"3 ", b"restricted"])
async def test_a_value_of_somebody_else_is_no_standing(redis_url: str, value: bytes) -> None:
    """What this store did not write may have been anything, so it is not taken for harmless."""
    store, client = RedisConversations.open(redis_url, keep=3600), Redis.from_url(redis_url)
    await client.set("{bailiwick:conversations}:" + A, value)
    with pytest.raises(ConversationsUnavailable):
        await store.standing([A])
    await client.aclose()
    await store.aclose()


async def test_a_redis_that_is_away_is_said_so(own_server: RedisServer) -> None:
    """Reading and raising fail while it is away, and go on from what was there when it is back."""
    store = RedisConversations.open(own_server.new_database(), keep=3600)
    await store.join([A], RESTRICTED)
    own_server.stop()
    with pytest.raises(ConversationsUnavailable):
        await store.standing([A])
    with pytest.raises(ConversationsUnavailable):
        await store.join([A], RESTRICTED)
    own_server.start()
    assert await store.standing([A]) == {A: RESTRICTED}
    await store.aclose()
