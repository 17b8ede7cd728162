"""The engine's server: a Unix socket in front of what does the work. A connection carries one request at a time.

It answers STATS_WANTED while the model decodes, because decoding happens in a thread of its own. A client that
closes its connection cancels its request.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar, cast

import orjson

from adapters.llama_cpp.failures import BadRequest, bad_request_payload, fault_payload, overloaded_payload
from adapters.llama_cpp.frames import Decoder, Frame, FrameError, Kind, encode
from adapters.llama_cpp.speeds import Figures
from adapters.llama_cpp.work import Emit, Job, Terms

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """What the engine says of itself. `load_seconds` is how long loading took."""

    model: str
    context_tokens: int
    load_seconds: float


Request = TypeVar("Request")


class Service(Protocol[Request]):
    """What does the work: `Scheduler` for answers, `Embedder` for embeddings."""

    def job(self, kind: Kind, body: bytes, emit: Emit, terms: Terms) -> Job[Request]:
        """The job that a frame asks for. Raises `BadRequest`."""
        ...

    def submit(self, job: Job[Request]) -> bool:
        """Queue the job; False when the queue is full."""
        ...

    def cancel(self, job: Job[Request]) -> None:
        """Nothing more is wanted of the job."""
        ...

    def retry_after(self) -> float:
        """Seconds until a place in the queue is likely to be free."""
        ...

    def figures(self, prompt_tokens: int | None = None) -> Figures:
        """Live figures, with the predicted time to first token of a prompt of that length."""
        ...

    def close(self) -> None:
        """Stop everything and give the model's memory back."""
        ...


class Peer(Protocol):
    """Whoever is told what has become of its job."""

    def answered(self, kind: Kind) -> None: ...

    def write(self, frames: bytes) -> None: ...

    def cut(self) -> None: ...


class Outbox:
    """What the decode thread has to say, handed over once per wake-up of the event loop rather than once per token."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._entries: deque[tuple[Peer, Kind, bytes]] = deque()
        self._woken = False

    def put(self, connection: Peer, kind: Kind, payload: bytes) -> None:
        """From any thread."""
        self._entries.append((connection, kind, payload))
        if self._woken:
            return
        self._woken = True
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:  # the loop has been closed: the process is ending, and nobody waits for the answer
            return

    def _deliver(self) -> None:
        self._woken = False  # before the entries are taken: one that is put from now on wakes the loop again
        frames: dict[Peer, list[bytes]] = {}
        while self._entries:
            connection, kind, payload = self._entries.popleft()
            try:
                frame = encode(kind, payload)
            except FrameError:  # log-probabilities of many long answers; the others' frames must not suffer
                if kind is not Kind.WHOLE:
                    connection.cut()  # more may follow, which nobody could make sense of
                    continue
                kind, frame = Kind.ERROR, encode(Kind.ERROR, fault_payload())
            frames.setdefault(connection, []).append(frame)
            connection.answered(kind)
        for connection, parts in frames.items():
            connection.write(b"".join(parts))


class Connection(asyncio.Protocol, Generic[Request]):
    """One client."""

    def __init__(self, service: Service[Request], identity: Identity, outbox: Outbox) -> None:
        self._service, self._identity, self._outbox = service, identity, outbox
        self._decoder = Decoder()
        self._transport: asyncio.Transport | None = None
        self._job: Job[Request] | None = None
        self._terms = Terms()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._job is not None:
            self._service.cancel(self._job)

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
            self._send(Kind.STATS, orjson.dumps(self._stats(_members(frame).get("prompt_tokens"))))
        elif frame.kind is Kind.TERMS and self._job is None:
            self._terms = _terms(_members(frame))
        elif frame.kind in (Kind.CHAT, Kind.EMBED) and self._job is None:
            terms, self._terms = self._terms, Terms()
            self._start(frame, terms)
        else:
            raise FrameError(f"a frame of kind {frame.kind.name} is not expected here")

    def _start(self, frame: Frame, terms: Terms) -> None:
        def emit(kind: Kind, payload: bytes) -> None:
            self._outbox.put(self, kind, payload)

        try:
            job = self._service.job(frame.kind, frame.payload, emit, terms)
        except BadRequest as error:
            self._send(Kind.ERROR, bad_request_payload(error))
            return
        self._job = job
        if not self._service.submit(job):
            self._job = None
            self._send(Kind.ERROR, overloaded_payload(self._service.retry_after()))

    def answered(self, kind: Kind) -> None:
        """A frame of this kind leaves; the last one of an answer frees the connection."""
        if kind in (Kind.WHOLE, Kind.END, Kind.ERROR):
            self._job = None

    def write(self, frames: bytes) -> None:
        if self._transport is not None:
            self._transport.write(frames)

    def cut(self) -> None:
        """End the connection, and with it the request."""
        if self._transport is not None:
            self._transport.abort()

    def _send(self, kind: Kind, payload: bytes) -> None:
        self.write(encode(kind, payload))

    def _stats(self, prompt_tokens: object) -> dict[str, object]:
        if prompt_tokens is not None and not (isinstance(prompt_tokens, int) and prompt_tokens >= 0):
            raise FrameError("'prompt_tokens' must be a whole number")
        figures = self._service.figures(prompt_tokens)
        return {"pid": os.getpid(), **asdict(self._identity), **asdict(figures)}


def _members(frame: Frame) -> dict[str, object]:
    """The JSON object in a frame; an empty payload is an empty one. Raises `FrameError`."""
    try:
        value = orjson.loads(frame.payload or b"{}")
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise FrameError(f"a frame of kind {frame.kind.name} holds no JSON object")
    return value


def _terms(members: dict[str, object]) -> Terms:
    tenant, first_token = members.get("tenant", ""), members.get("first_token")
    if not isinstance(tenant, str) or not (first_token is None or isinstance(first_token, int | float)):
        raise FrameError("the terms of a request are not understood")
    return Terms(tenant, first_token)


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
    listener: socket.socket,
    load: Callable[[], tuple[Service[Request], Identity]],
    announce: Callable[[Identity, float], None],
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
    service, identity = loading.result()
    outbox = Outbox()
    server = await loop.create_unix_server(lambda: Connection(service, identity, outbox), sock=listener, backlog=512)
    announce(identity, time.monotonic() - started)
    await ended
    server.close()
    service.close()
