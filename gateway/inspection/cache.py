"""Findings remembered, so that a text that was scanned before is not scanned again.

The cache saves the scan, never the decision: what it gives is what the detector gave, and everything after it (policy,
redaction, egress guard) is done anew for each request. It holds no text: its keys are HMACs of the texts under the
gateway's secret, its values are entity names, offsets and confidences.
"""

from __future__ import annotations

import asyncio
import hmac
import sys
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from gateway.domain.finding import Span
from gateway.domain.ports import Detector, DetectorFailed

Spans: TypeAlias = "tuple[Span, ...]"

MEMORY: Final = 32 << 20
"""Bytes of memory that findings may take, by default."""

SHARED_CHARACTERS: Final = 1_000
"""From this length on a text is scanned once for all requests that want it at the same moment. Shorter ones are not
waited for: another request may have handed them over together with much more."""

REMOTE_CHARACTERS: Final = 200
"""From this length on a text is kept in the second level: below, a scan takes less than the text's share of a call."""

REMOTE_TOGETHER: Final = 800
"""The second level is asked when so many characters are missing: less takes less time to scan than a call takes."""

_ENTRY_BYTES: Final = 300  # key, tuple and place in the table, as measured; see the test
_SPAN_BYTES: Final = 160


class SecondLevel(Protocol):
    """A store behind the memory, shared by several gateways. It may lose anything at any time, and never raises."""

    async def get(self, keys: Sequence[bytes]) -> Mapping[bytes, Spans]:
        """What is known of these keys."""
        ...

    def put(self, found: Mapping[bytes, Spans]) -> None:
        """Remember, without waiting."""
        ...

    async def aclose(self) -> None: ...


@dataclass(slots=True)
class CacheFigures:
    """Counts since the start, of texts. `hits` were in memory, `remote_hits` in the second level, `joined` were being
    scanned for another request; `misses` were handed to the detector."""

    hits: int = 0
    remote_hits: int = 0
    joined: int = 0
    misses: int = 0


class SpanMemory:
    """The least recently used findings go when those that are kept would take more than `limit` bytes."""

    __slots__ = ("_entries", "_limit", "size")

    def __init__(self, limit: int) -> None:
        self._entries: OrderedDict[bytes, Spans] = OrderedDict()
        self._limit = limit
        self.size = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> Spans | None:
        spans = self._entries.get(key)
        if spans is not None:
            self._entries.move_to_end(key)
        return spans

    def put(self, key: bytes, spans: Spans) -> None:
        cost = _cost(spans)
        if cost > self._limit:
            return
        old = self._entries.pop(key, None)
        if old is not None:
            self.size -= _cost(old)
        self._entries[key] = spans
        self.size += cost
        while self.size > self._limit:
            self.size -= _cost(self._entries.popitem(last=False)[1])


def _cost(spans: Spans) -> int:
    return _ENTRY_BYTES + _SPAN_BYTES * len(spans)


class CachedDetector:
    """Implements `gateway.domain.ports.Detector` round another one, `inner`.

    `key` is a secret of 32 bytes, `version` names everything that the inner detector's findings depend on besides the
    text (its code, model and lists), and `settings` how it is configured: with another version or other settings
    nothing that was remembered is found. `limit` is in bytes of memory. A failed scan is never remembered.
    """

    def __init__(
        self,
        inner: Detector,
        *,
        key: bytes,
        version: str,
        settings: str = "",
        limit: int = MEMORY,
        second: SecondLevel | None = None,
    ) -> None:
        if len(key) < 16:
            raise ValueError("the key of the span cache must have at least 16 bytes")
        self._inner = inner
        self._keyed = hmac.new(subkey(key, version, settings), digestmod="sha256")
        self._memory = SpanMemory(limit)
        self._second = second
        self._scanning: dict[bytes, asyncio.Future[Spans | None]] = {}
        self.figures = CacheFigures()

    @property
    def entities(self) -> frozenset[str]:
        return self._inner.entities

    @property
    def memory(self) -> SpanMemory:
        """What is remembered; its `len` is the number of texts and its `size` their bytes."""
        return self._memory

    async def scan(self, texts: Sequence[str], timeout: float) -> list[list[Span]]:
        """The spans of each text, as `inner` finds them; `timeout` is seconds. Raises `DetectorFailed`."""
        recall, figures = self._memory.get, self.figures
        keys = [self._key_of(text) for text in texts]
        known: dict[bytes, Spans] = {}
        missing: dict[bytes, str] = {}
        for key, text in zip(keys, texts, strict=True):
            spans = recall(key)
            if spans is None:
                missing[key] = text
            else:
                known[key] = spans
                figures.hits += 1
        if missing:
            known.update(await self._found(missing, timeout))
        return [list(known[key]) for key in keys]

    async def aclose(self) -> None:
        if self._second is not None:
            await self._second.aclose()
        await self._inner.aclose()

    def _key_of(self, text: str) -> bytes:
        # A copy keeps the interpreter lock for short texts; `hmac.digest` lets go of it, and the loop waits to get it.
        keyed = self._keyed.copy()
        keyed.update(text.encode("utf-8", "surrogatepass"))
        return keyed.digest()

    async def _found(self, missing: dict[bytes, str], timeout: float) -> dict[bytes, Spans]:
        """The spans of texts that are not in memory; those that are being scanned already are waited for."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        found: dict[bytes, Spans] = {}
        while missing:
            others = {key: self._scanning[key] for key in missing if key in self._scanning}
            mine = {key: text for key, text in missing.items() if key not in others}
            if mine:
                found.update(await self._looked_up(mine, deadline))
            if others:
                await asyncio.wait(others.values(), timeout=max(0.0, deadline - loop.time()))
                for key, future in others.items():
                    spans = future.result() if future.done() else None
                    if spans is None:  # given up; a third request may have scanned it since
                        spans = self._memory.get(key)
                    if spans is not None:
                        found[key] = spans
                        self.figures.joined += 1
            missing = {key: text for key, text in missing.items() if key not in found}
            if missing and loop.time() >= deadline:
                raise DetectorFailed("the scan took too long", timed_out=True)
        return found

    async def _looked_up(self, mine: dict[bytes, str], deadline: float) -> dict[bytes, Spans]:
        """The spans of texts that nobody else is scanning. Others wait for the long ones; whatever happens here they
        are told, and look after themselves where it was no result."""
        loop = asyncio.get_running_loop()
        announced = {key: loop.create_future() for key, text in mine.items() if len(text) >= SHARED_CHARACTERS}
        self._scanning.update(announced)
        found: dict[bytes, Spans] = {}
        try:
            found.update(await self._from_second(mine))
            rest = {key: text for key, text in mine.items() if key not in found}
            if rest:
                found.update(await self._scanned(rest, deadline - loop.time()))
            return found
        finally:
            for key, future in announced.items():
                del self._scanning[key]
                future.set_result(found.get(key))

    async def _from_second(self, mine: dict[bytes, str]) -> Mapping[bytes, Spans]:
        asked = [key for key, text in mine.items() if len(text) >= REMOTE_CHARACTERS]
        if self._second is None or sum(len(mine[key]) for key in asked) < REMOTE_TOGETHER:
            return {}
        found = await self._second.get(asked)
        self.figures.remote_hits += len(found)
        self._remember(found.items())
        return found

    async def _scanned(self, rest: dict[bytes, str], timeout: float) -> dict[bytes, Spans]:
        if timeout <= 0:
            raise DetectorFailed("the scan took too long", timed_out=True)
        self.figures.misses += len(rest)
        scanned = await self._inner.scan(list(rest.values()), timeout)
        if len(scanned) != len(rest):
            raise DetectorFailed("the detector did not answer for every text")
        found = {key: tuple(map(_compact, spans)) for key, spans in zip(rest, scanned, strict=True)}
        self._remember(found.items())
        if self._second is not None:
            shared = {key: spans for key, spans in found.items() if len(rest[key]) >= REMOTE_CHARACTERS}
            if shared:
                self._second.put(shared)
        return found

    def _remember(self, found: Iterable[tuple[bytes, Spans]]) -> None:
        for key, spans in found:
            self._memory.put(key, spans)


def subkey(key: bytes, *labels: str) -> bytes:
    """A key for one purpose. Each label goes in with its length before it, so that no two lists of labels are one."""
    message = b"".join(
        len(data).to_bytes(8, "big") + data for data in (label.encode("utf-8", "surrogatepass") for label in labels)
    )
    return hmac.digest(key, b"bailiwick spans" + message, "sha256")


def _compact(span: Span) -> Span:
    """The same, with the one copy of its entity's name: a span that another process sent has a copy of its own."""
    return Span(span.start, span.end, sys.intern(span.entity), span.percent)
