"""Budgets in Redis, for many gateways: whatever requests want at the same moment is one call of one atomic script."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from gateway.budgets.ledger import LEASE, Reserve, Settle, StoreError, StoreLedger, new_owner

_logger = logging.getLogger(__name__)

_PREFIX: Final = "{bailiwick:budgets}:"  # the braces keep all keys on one node of a cluster, as one script needs
_OWNERS: Final = f"{_PREFIX}owners"
_BATCH: Final = 256
_WAITING: Final = 4096
_SAFE_POLICY: Final = "noeviction"

Operation: TypeAlias = "Reserve | Settle | str"
"""A plain text reads the budget of that scope."""

_APPLY: Final = """
-- KEYS[1]: open reservations of one owner, id -> amount. KEYS[2...]: budgets, each with 'spent' and 'reserved'.
-- ARGV: operations of five values each: kind, place in KEYS, id, amount or cost, limit.
local results = {}
for i = 1, #ARGV, 5 do
  local kind, budget, id, amount = ARGV[i], KEYS[tonumber(ARGV[i + 1])], ARGV[i + 2], ARGV[i + 3]
  local done = 0
  if kind == 'settle' then
    local reserved = redis.call('HGET', KEYS[1], id)
    if reserved then
      redis.call('HDEL', KEYS[1], id)
      redis.call('HINCRBY', budget, 'reserved', '-' .. reserved)
      redis.call('HINCRBY', budget, 'spent', amount == 'all' and reserved or amount)
      done = 1
    end
  else
    local held = redis.call('HMGET', budget, 'spent', 'reserved')
    local spent, reserved = held[1] or '0', held[2] or '0'
    if kind == 'read' then
      done = spent .. ' ' .. reserved
    elseif redis.call('HEXISTS', KEYS[1], id) == 1 then
      done = 1
    elseif tonumber(spent) + tonumber(reserved) + tonumber(amount) <= tonumber(ARGV[i + 4]) then
      redis.call('HINCRBY', budget, 'reserved', amount)
      redis.call('HSET', KEYS[1], id, amount)
      done = 1
    end
  end
  results[#results + 1] = done
end
return results
"""

_RENEW: Final = """
-- KEYS[1]: owners by the end of their lease, in milliseconds of this server's clock. ARGV: owner, lease.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 16)
"""

_FORGET: Final = """
-- KEYS[1]: owners. KEYS[2]: the open reservations of one. ARGV: owner, whether its lease may still run.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
if ends and (ARGV[2] == '1' or tonumber(ends) <= now) and redis.call('HLEN', KEYS[2]) == 0 then
  redis.call('ZREM', KEYS[1], ARGV[1])
end
return 0
"""


class RedisLedger(StoreLedger):
    """The ledger of several gateways that share a Redis.

    The Redis must not lose budgets: persistence on (``appendonly yes``) and ``maxmemory-policy noeviction``.
    """

    @classmethod
    async def open(cls, url: str, *, lease: float = LEASE) -> RedisLedger:
        """A started ledger. Raises `StoreError` when Redis does not answer or would evict budgets."""
        store = RedisStore(Redis.from_url(url), lease)
        ledger = cls(store)
        try:
            await store.check()
            await ledger.start(lease / 4)
        except StoreError:
            await store.disconnect()
            raise
        return ledger


class RedisStore:
    """Implements `gateway.budgets.ledger.Store`. All amounts are nano-dollars."""

    def __init__(self, client: Redis, lease: float) -> None:
        self._client = client
        self._lease = int(lease * 1000)
        self._owner = new_owner()
        self._apply = client.register_script(_APPLY)
        self._renew = client.register_script(_RENEW)
        self._forget = client.register_script(_FORGET)
        self._batcher = _Batcher(self._send)

    async def check(self) -> None:
        """Refuse a Redis that forgets keys when it is full: a forgotten budget is a full one."""
        try:
            policy = (await self._client.config_get("maxmemory-policy")).get("maxmemory-policy", _SAFE_POLICY)
        except ResponseError:
            _logger.warning("Redis does not tell its maxmemory-policy; make sure that it is noeviction")
            return
        except (RedisError, OSError) as error:
            raise StoreError(type(error).__name__) from error
        if policy != _SAFE_POLICY:
            raise StoreError(f"Redis may evict budgets: its maxmemory-policy must be {_SAFE_POLICY}")

    async def reserve(self, operation: Reserve) -> bool:
        return bool(await self._batcher.write(operation))

    async def settle(self, operation: Settle) -> None:
        await self._batcher.write(operation)

    async def spent(self, scope: str) -> int:
        spent, reserved = cast(bytes, await self._batcher.write(scope)).split()
        return int(spent) + int(reserved)

    async def keep_alive(self) -> None:
        try:
            expired = await self._renew(keys=[_OWNERS], args=[self._owner, self._lease])
            for owner in cast("list[bytes]", expired):
                await self._settle_in_full(owner.decode(), running=False)
        except (RedisError, OSError) as error:
            raise StoreError(type(error).__name__) from error

    async def aclose(self) -> None:
        try:
            await self._batcher.aclose()
            await self._settle_in_full(self._owner, running=True)
        except (RedisError, OSError) as error:
            raise StoreError(type(error).__name__) from error
        finally:
            await self.disconnect()

    async def disconnect(self) -> None:
        await self._client.aclose()

    async def _settle_in_full(self, owner: str, *, running: bool) -> None:
        opened = _opened(owner)
        ids = [name.decode() for name in cast("list[bytes]", await _answer(self._client.hkeys(opened)))]
        for start in range(0, len(ids), _BATCH):
            some = ids[start : start + _BATCH]
            keys, places = _keys(opened, [_scope(name) for name in some])
            arguments = [value for name in some for value in ("settle", places[_scope(name)], name, "all", "")]
            await self._apply(keys=keys, args=arguments)
        await self._forget(keys=[_OWNERS, opened], args=[owner, int(running)])

    async def _send(self, operations: Sequence[Operation]) -> Sequence[object]:
        """Tried again by the client when the connection breaks, which each operation's id makes harmless."""
        scopes = [item if isinstance(item, str) else _scope(item.id) for item in operations]
        keys, places = _keys(_opened(self._owner), scopes)
        arguments: list[str | int] = []
        for item, scope in zip(operations, scopes, strict=True):
            if isinstance(item, Reserve):
                arguments += ("reserve", places[scope], item.id, item.amount, item.limit)
            elif isinstance(item, Settle):
                arguments += ("settle", places[scope], item.id, item.cost, "")
            else:
                arguments += ("read", places[scope], "", "", "")
        return cast("list[object]", await self._apply(keys=keys, args=arguments))


class _Batcher:
    """One call at a time; what comes while it is on its way goes into the next."""

    def __init__(self, send: Callable[[Sequence[Operation]], Awaitable[Sequence[object]]]) -> None:
        self._send = send
        self._queue: list[tuple[Operation, asyncio.Future[object]]] = []
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def write(self, operation: Operation) -> object:
        if self._closed:
            raise StoreError("closed")
        if len(self._queue) >= _WAITING:
            raise StoreError("too many operations waiting", busy=True)
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._queue.append((operation, future))
        if self._task is None:
            self._task = asyncio.create_task(self._drain(), name="budget-batches")
        return await future

    async def aclose(self) -> None:
        self._closed = True
        if self._task is not None:
            await self._task

    async def _drain(self) -> None:
        while self._queue:
            batch, self._queue = self._queue[:_BATCH], self._queue[_BATCH:]
            try:
                results = await self._send([operation for operation, _ in batch])
            except (RedisError, OSError) as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(StoreError(type(error).__name__))
            else:
                for (_, future), result in zip(batch, results, strict=True):
                    if not future.done():
                        future.set_result(result)
        self._task = None


def _opened(owner: str) -> str:
    return f"{_PREFIX}open:{owner}"


def _scope(reservation: str) -> str:
    """A reservation's id ends with its scope, so that its budget's key is known before the script runs."""
    return reservation.partition(":")[2]


def _keys(opened: str, scopes: Sequence[str]) -> tuple[list[str], dict[str, int]]:
    """The keys of a script call, and the place of each scope's among them."""
    different = dict.fromkeys(scopes)
    places = {scope: place for place, scope in enumerate(different, start=2)}
    return [opened, *(f"{_PREFIX}of:{scope}" for scope in different)], places


async def _answer(reply: Any) -> Any:
    """Some of the client's methods are typed as if they might not be asynchronous."""
    return await reply
