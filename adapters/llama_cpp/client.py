"""Connections from the gateway to the engine."""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path
from typing import Any, cast

import orjson

from adapters.llama_cpp.frames import Decoder, Frame, FrameError, Kind, encode

_HIGH_WATER = 256  # frames read ahead of a slow consumer
_LOW_WATER = 32


class ConnectionCut(Exception):
    """The engine closed the connection, or cannot be reached. Holds no content."""


class Exchange(asyncio.Protocol):
    """One connection: sends a frame and receives many. One request at a time; `close` cancels it in the engine."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._frames: deque[Frame] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._lost = False
        self._paused = False

    @classmethod
    async def open(cls, path: Path) -> Exchange:
        """Connect. Raises `ConnectionCut`."""
        try:
            _, exchange = await asyncio.get_running_loop().create_unix_connection(cls, str(path))
        except OSError as error:
            raise ConnectionCut(f"cannot connect: {error.strerror or type(error).__name__}") from error
        return exchange

    @property
    def free(self) -> bool:
        """Is it open, with nothing left to read? Then it can carry another request."""
        return not self._lost and not self._frames and self._decoder.pending == 0

    def send(self, kind: Kind, payload: bytes = b"") -> None:
        """Send a frame. Raises `FrameError` when it is too large."""
        data = encode(kind, payload)
        if self._transport is not None:
            self._transport.write(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        try:
            self._frames.extend(self._decoder.feed(data))
        except FrameError:
            self.close()
            self._lost = True
        if len(self._frames) > _HIGH_WATER and self._transport is not None and not self._paused:
            self._transport.pause_reading()
            self._paused = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost, self._transport = True, None
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def next(self, timeout: float) -> Frame:
        """The next frame. Raises `ConnectionCut` or `TimeoutError` (`timeout` in seconds)."""
        if not self._frames:
            await self._wait(timeout)
        frame = self._frames.popleft()
        if self._paused and len(self._frames) < _LOW_WATER and self._transport is not None:
            self._transport.resume_reading()
            self._paused = False
        return frame

    async def _wait(self, timeout: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while not self._frames:
            if self._lost:
                raise ConnectionCut("the engine closed the connection")
            if loop.time() >= deadline:
                raise TimeoutError
            # A future and a timer of our own: asyncio.timeout with a queue costs several times as much per event.
            self._waiter = loop.create_future()
            timer = loop.call_at(deadline, self._wake)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def ask_stats(path: Path, timeout: float, prompt_tokens: int | None = None) -> dict[str, Any]:
    """The engine's live figures, with the predicted time to first token of a prompt of that length.

    Raises `ConnectionCut` or `TimeoutError`.
    """
    async with asyncio.timeout(timeout):
        exchange = await Exchange.open(path)
        try:
            exchange.send(Kind.STATS_WANTED, orjson.dumps({"prompt_tokens": prompt_tokens}))
            frame = await exchange.next(timeout)
        finally:
            exchange.close()
    figures: dict[str, Any] = orjson.loads(frame.payload)
    return figures
