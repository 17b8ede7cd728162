"""The span cache's second level: findings in a Redis that several gateways share.

Nothing in it can be read or changed without the gateways' secret. A key is an HMAC of the text; a value is the
findings, padded and encrypted with a keystream of its own (SHAKE256 of a secret, a random nonce and the key), and
authenticated together with its key (HMAC-SHA-256, 16 bytes). A value that was changed, or moved from another key,
counts as missing. So who can write to this Redis can make texts be scanned again, and no finding disappear.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.domain.finding import Span
from gateway.inspection.cache import Spans, subkey

TIME_TO_LIVE: Final = 24 * 3600
"""Seconds that findings stay, by default."""

WAIT: Final = 0.005
"""Seconds that a request may wait for Redis; then its texts are scanned."""

PAUSE: Final = 10.0
"""Seconds that a Redis is left alone after `TRIES` failures in a row."""

TRIES: Final = 3

T = TypeVar("T")

_PREFIX: Final = b"{bailiwick:spans}:"  # the braces keep all keys on one node of a cluster, as one command needs
_NONCE: Final = 12
_TAG: Final = 16
_BLOCK: Final = 64  # values are padded to a multiple of it: their length tells little of how much was found
_MOST_CALLS: Final = 64  # under way at once; what comes then is neither read nor written


@dataclass(slots=True)
class RedisFigures:
    """Counts since the start. `errors` are calls that failed or took too long, `refused` values that were not ours or
    not for their key, `dropped` texts that were left out of a write."""

    errors: int = 0
    refused: int = 0
    dropped: int = 0


class RedisSpans:
    """Implements `gateway.inspection.cache.SecondLevel`. `key` is a secret of 32 bytes; times are seconds."""

    def __init__(
        self, client: Redis, *, key: bytes, time_to_live: int = TIME_TO_LIVE, wait: float = WAIT, pause: float = PAUSE
    ) -> None:
        self._client = client
        self._seal = Seal(key)
        self._time_to_live = time_to_live
        self._wait = wait
        self._pause = pause
        self._failures = 0
        self._resting_until = 0.0
        self._calls: set[asyncio.Task[Any]] = set()
        self.figures = RedisFigures()

    @classmethod
    def open(cls, url: str, *, key: bytes, time_to_live: int = TIME_TO_LIVE, wait: float = WAIT) -> RedisSpans:
        """Connects when it is first needed. Raises ValueError for a URL that is none."""
        client = Redis.from_url(url, socket_connect_timeout=1.0, socket_timeout=1.0)
        return cls(client, key=key, time_to_live=time_to_live, wait=wait)

    async def get(self, keys: Sequence[bytes]) -> Mapping[bytes, Spans]:
        """What is known of these keys; nothing when Redis does not answer in time."""
        if self._is_resting() or len(self._calls) >= _MOST_CALLS:
            return {}
        # A call that takes too long goes on by itself: cut off, it would leave its connection unusable, and a
        # connection that takes longer to make than a request waits would never be made.
        call = self._begin(self._read(keys))
        await asyncio.wait({call}, timeout=self._wait)
        values = call.result() if call.done() else None
        if values is None:
            self._failed()
            return {}
        self._failures = 0
        found: dict[bytes, Spans] = {}
        for key, value in zip(keys, values, strict=False):
            if isinstance(value, bytes):
                spans = self._seal.open(key, value)
                if spans is None:
                    self.figures.refused += 1
                else:
                    found[key] = spans
        return found

    def put(self, found: Mapping[bytes, Spans]) -> None:
        """Write in the background."""
        if self._is_resting() or len(self._calls) >= _MOST_CALLS:
            self.figures.dropped += len(found)
            return
        self._begin(self._write(dict(found)))

    async def settled(self) -> None:
        """When all calls that are under way have ended."""
        await asyncio.gather(*self._calls)

    async def aclose(self) -> None:
        """Let the calls that are under way end, which takes a second at most."""
        if self._calls:
            await asyncio.wait(self._calls, timeout=1.0)
        for call in list(self._calls):
            call.cancel()
        await self._client.aclose()

    def _begin(self, call: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(call)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        return task

    async def _read(self, keys: Sequence[bytes]) -> Sequence[object] | None:
        try:
            return await self._client.mget([_PREFIX + key for key in keys])
        except (RedisError, OSError, TimeoutError):
            return None

    async def _write(self, found: dict[bytes, Spans]) -> None:
        try:
            pipe = self._client.pipeline(transaction=False)
            for key, spans in found.items():
                pipe.set(_PREFIX + key, self._seal.close(key, spans), ex=self._time_to_live)
            await pipe.execute()
        except (RedisError, OSError, TimeoutError):
            self._failed()

    def _is_resting(self) -> bool:
        return asyncio.get_running_loop().time() < self._resting_until

    def _failed(self) -> None:
        self.figures.errors += 1
        self._failures += 1
        if self._failures >= TRIES:  # one more failure after the pause, and the next begins
            self._resting_until = asyncio.get_running_loop().time() + self._pause


class Seal:
    """Encrypts and authenticates findings for one key each. `nonce` makes the nonces; they must not repeat."""

    __slots__ = ("_encrypt", "_nonce", "_sign")

    def __init__(self, key: bytes, nonce: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._encrypt = subkey(key, "encrypt")
        self._sign = subkey(key, "sign")
        self._nonce = nonce

    def close(self, key: bytes, spans: Spans) -> bytes:
        """The sealed value of `spans`."""
        plain = orjson.dumps([(span.start, span.end, span.entity, span.percent) for span in spans])
        plain += b" " * (-len(plain) % _BLOCK)
        nonce = self._nonce(_NONCE)
        body = nonce + self._stream(plain, nonce, key)
        return body + self._tag(body, key)

    def open(self, key: bytes, sealed: bytes) -> Spans | None:
        """What `close` was given, or None for anything that it did not make for this key."""
        body, tag = sealed[:-_TAG], sealed[-_TAG:]
        if len(body) < _NONCE or not hmac.compare_digest(tag, self._tag(body, key)):
            return None
        rows = orjson.loads(self._stream(body[_NONCE:], body[:_NONCE], key))
        return tuple(Span(start, end, sys.intern(entity), percent) for start, end, entity, percent in rows)

    def _stream(self, data: bytes, nonce: bytes, key: bytes) -> bytes:
        pad = hashlib.shake_256(self._encrypt + nonce + key).digest(len(data))  # all three are of fixed length
        return (int.from_bytes(data, "big") ^ int.from_bytes(pad, "big")).to_bytes(len(data), "big")

    def _tag(self, body: bytes, key: bytes) -> bytes:
        return hmac.digest(self._sign, key + body, "sha256")[:_TAG]
