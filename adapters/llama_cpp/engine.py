"""The engine's server: a Unix socket in front of the scheduler. A connection carries one request at a time.

It answers STATS_WANTED while the model decodes, because decoding happens in the scheduler's thread. A client that
closes its connection cancels its request.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import orjson

from adapters.llama_cpp.chat import parse
from adapters.llama_cpp.failures import BadRequest, bad_request_payload, overloaded_payload
from adapters.llama_cpp.frames import Decoder, Frame, FrameError, Kind, encode
from adapters.llama_cpp.scheduler import Job, Scheduler

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """What the engine says of itself. `load_seconds` is how long loading took."""

    model: str
    context_tokens: int
    load_seconds: float


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, scheduler: Scheduler, identity: Identity) -> None:
        self._scheduler, self._identity = scheduler, identity
        self._decoder = Decoder()
        self._transport: asyncio.Transport | None = None
        self._job: Job | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._job is not None:
            self._scheduler.cancel(self._job)

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._decoder.feed(data):
                self._take(frame)
        except FrameError as error:
            _log.warning("a client does not speak the protocol: %s", error)
            if self._transport is not None:
                self._transport.close()

    def _take(self, frame: Frame) -> None:
        if frame.kind is Kind.STATS_WANTED:
            self._send(Kind.STATS, orjson.dumps(self._stats()))
        elif frame.kind is Kind.CHAT and self._job is None:
            self._start(frame.payload)
        else:
            raise FrameError(f"a frame of kind {frame.kind.name} is not expected here")

    def _start(self, body: bytes) -> None:
        loop = asyncio.get_running_loop()

        def emit(kind: Kind, payload: bytes) -> None:
            try:
                loop.call_soon_threadsafe(self._send, kind, payload)
            except RuntimeError:  # the loop has been closed: the process is ending, and nobody waits for the answer
                return

        try:
            job = Job(parse(body), emit)
        except BadRequest as error:
            self._send(Kind.ERROR, bad_request_payload(error))
            return
        if self._scheduler.submit(job):
            self._job = job
        else:
            self._send(Kind.ERROR, overloaded_payload(self._scheduler.retry_after()))

    def _send(self, kind: Kind, payload: bytes) -> None:
        if self._transport is None:
            return
        self._transport.write(encode(kind, payload))
        if kind in (Kind.WHOLE, Kind.END, Kind.ERROR):
            self._job = None

    def _stats(self) -> dict[str, object]:
        return {"pid": os.getpid(), **asdict(self._identity), **asdict(self._scheduler.figures())}


def bind(path: Path) -> socket.socket:
    """A listening socket that only this user can reach. A stale file is replaced, a live engine is not.

    Raises `OSError`.
    """
    if path.exists():
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
            else:
                raise FileExistsError(f"another engine listens on {path}")
    listener = socket.socket(socket.AF_UNIX)
    previous = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(previous)
    listener.setblocking(False)
    return listener


async def serve(
    listener: socket.socket, load: Callable[[], tuple[Scheduler, Identity]], announce: Callable[[Identity, float], None]
) -> None:
    """Load the model in a thread, announce it, and serve until SIGTERM or SIGINT. What `load` raises comes out."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, done.set)
    started = time.monotonic()
    loading = asyncio.ensure_future(asyncio.to_thread(load))
    ended = asyncio.ensure_future(done.wait())
    await asyncio.wait({loading, ended}, return_when=asyncio.FIRST_COMPLETED)
    if not loading.done():
        os._exit(0)  # native loading cannot be interrupted, and joining its thread would wait for it
    scheduler, identity = loading.result()
    server = await loop.create_unix_server(lambda: Connection(scheduler, identity), sock=listener, backlog=512)
    announce(identity, time.monotonic() - started)
    await ended
    server.close()
    scheduler.close()
