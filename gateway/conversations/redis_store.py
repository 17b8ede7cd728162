"""Conversations in Redis, for many gateways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError

from gateway.domain.decision import Level
from gateway.domain.ports import ConversationsUnavailable, Standing

WAIT: Final = 5.0
"""Seconds for a connection that is free, and for an answer; as for a lock of the database. Who asks waits less long."""

_CONNECTIONS: Final = 16
_PREFIX: Final = "{bailiwick:conversations}:"  # the braces keep all keys on one node of a cluster, as one script needs
_FAILURES: Final = (RedisError, OSError, TimeoutError)

_JOIN: Final = """
-- KEYS: conversations, each a text of two digits: level, unread. ARGV: level, unread, milliseconds to keep it.
for _, key in ipairs(KEYS) do
  local there = redis.call('GET', key) or '00'
  local level, unread = ARGV[1], ARGV[2]
  if string.sub(there, 1, 1) > level then level = string.sub(there, 1, 1) end
  if string.sub(there, 2, 2) > unread then unread = string.sub(there, 2, 2) end
  redis.call('SET', key, level .. unread, 'PX', ARGV[3])
end
return 0
"""


class RedisConversations:
    """Implements `gateway.domain.ports.Conversations`. A standing lapses `keep` seconds after its last use.

    The Redis must not lose them: persistence on (``appendonly yes``) and ``maxmemory-policy noeviction``, which the
    budgets in the same Redis need, and check, as well.
    """

    def __init__(self, client: Redis, *, keep: int) -> None:
        self._client = client
        self._keep = keep * 1000
        self._join = client.register_script(_JOIN)

    @classmethod
    def open(cls, url: str, *, keep: int) -> RedisConversations:
        """Connects when it is first needed. Raises ValueError for a URL that is none."""
        pool = BlockingConnectionPool.from_url(
            url, max_connections=_CONNECTIONS, timeout=WAIT, socket_connect_timeout=WAIT, socket_timeout=WAIT
        )
        return cls(Redis.from_pool(pool), keep=keep)

    async def standing(self, keys: Sequence[str]) -> Mapping[str, Standing]:
        pipe = self._client.pipeline(transaction=False)
        for key in keys:
            pipe.getex(_PREFIX + key, px=self._keep)
        try:
            values = await pipe.execute()
        except _FAILURES as error:
            raise ConversationsUnavailable(type(error).__name__) from error
        return {key: _standing(value) for key, value in zip(keys, values, strict=True) if value is not None}

    async def join(self, keys: Sequence[str], standing: Standing) -> None:
        if not keys:
            return
        arguments = [int(standing.level), int(standing.unread), self._keep]
        try:
            await self._join(keys=[_PREFIX + key for key in keys], args=arguments)
        except _FAILURES as error:
            raise ConversationsUnavailable(type(error).__name__) from error

    async def aclose(self) -> None:
        await self._client.aclose()


def _standing(value: bytes) -> Standing:
    """Raises `ConversationsUnavailable` for what this store did not write: it may have been anything."""
    if len(value) != 2 or value[:1] not in b"0123" or value[1:] not in b"01":
        raise ConversationsUnavailable("a value that is none")
    return Standing(Level(value[0] - ord("0")), value[1:] == b"1")
