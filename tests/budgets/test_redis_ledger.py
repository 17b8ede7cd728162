"""The ledger in Redis: what is its own about it."""

from __future__ import annotations

import asyncio
import time

import pytest
from redis.asyncio import Redis

from gateway.budgets.ledger import StoreError
from gateway.budgets.redis_ledger import RedisLedger
from gateway.domain.errors import Code, GatewayError
from gateway.domain.money import NanoUsd
from support.redis import RedisServer, redis_server

pytestmark = pytest.mark.anyio
SCOPE = "acme/a/2026-11-21"


@pytest.fixture
def own_server() -> object:
    """A server that a test may stop."""
    shared = redis_server()
    server = RedisServer(shared._binary)
    yield server
    server.remove()


async def test_the_script_reserves_an_id_once(redis_url: str) -> None:
    """A call that the client sends twice, because the answer was lost, has the effect of one."""
    ledger = await RedisLedger.open(redis_url)
    store = ledger._store
    reservation = await ledger.reserve(SCOPE, NanoUsd(10), NanoUsd(10))
    from gateway.budgets.ledger import Reserve

    assert await store.reserve(Reserve(reservation.id, SCOPE, 10, 10))
    assert await ledger.spent(SCOPE) == 10
    await ledger.aclose()


async def test_a_redis_that_evicts_is_refused(own_server: RedisServer) -> None:
    """A budget that is forgotten when memory is short would be a full one, so such a server is not used."""
    url = own_server.new_database()
    client = Redis.from_url(url)
    await client.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(StoreError, match="noeviction"):
        await RedisLedger.open(url)
    await client.aclose()


async def test_budgets_survive_a_restart_and_an_outage_grants_nothing(own_server: RedisServer) -> None:
    """While Redis is away requests with a price are refused; when it is back the budgets are as they were."""
    ledger = await RedisLedger.open(own_server.new_database())
    reservation = await ledger.reserve(SCOPE, NanoUsd(10), NanoUsd(100))
    own_server.stop()
    with pytest.raises(GatewayError) as refused:
        await ledger.reserve(SCOPE, NanoUsd(1), NanoUsd(100))
    assert refused.value.code is Code.BUDGETS_UNAVAILABLE
    await ledger.settle(reservation, NanoUsd(4))
    own_server.start()
    assert await ledger.spent(SCOPE) == 10
    await ledger._settle_rest()
    assert await ledger.spent(SCOPE) == 4
    await ledger.aclose()


async def test_no_redis_no_start() -> None:
    """A gateway that is told to share budgets does not start without the place where they are."""
    with pytest.raises(StoreError):
        await RedisLedger.open("redis://127.0.0.1:1/0")


async def test_all_keys_are_on_one_node_of_a_cluster(redis_url: str) -> None:
    """One script touches them all, which a cluster allows only for one hash slot."""
    ledger = await RedisLedger.open(redis_url)
    await ledger.reserve("acme/a", NanoUsd(1), None)
    await ledger.reserve("acme/b", NanoUsd(1), None)
    client = Redis.from_url(redis_url)
    names = await client.keys("*")
    assert len(names) == 4
    assert all(name.startswith(b"{bailiwick:budgets}:") for name in names)
    await client.aclose()
    await ledger.aclose()


async def test_an_operation_costs_microseconds(redis_url: str) -> None:
    """With 32 requests in flight, 80 microseconds of CPU time an operation (best of several; usual is 30)."""
    ledger = await RedisLedger.open(redis_url)

    async def client(number: int) -> None:
        for _ in range(5):
            reservation = await ledger.reserve(f"acme/{number % 4}", NanoUsd(10), NanoUsd(10**12))
            await ledger.settle(reservation, NanoUsd(5))

    best = 1.0
    for _ in range(6):
        began = time.process_time()
        await asyncio.gather(*(client(number) for number in range(32)))
        best = min(best, (time.process_time() - began) / (32 * 5 * 2))
    await ledger.aclose()
    assert best < 80e-6
