"""Keeps one engine process alive: start, readiness, hang detection, restart with back-off, an end without orphans."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson

from adapters.llama_cpp.children import environment
from adapters.llama_cpp.client import ConnectionCut, ask_stats
from adapters.llama_cpp.cores import default_threads
from adapters.llama_cpp.files import check_model_file
from adapters.llama_cpp.frames import Decoder, Frame, FrameError, Kind
from adapters.llama_cpp.lora import Lora
from gateway.domain.errors import ConfigurationError
from gateway.domain.record import label

_log = logging.getLogger(__name__)
_MAX_SOCKET_PATH = 100  # sun_path holds 104 bytes on macOS, 108 on Linux, with its final NUL
LONGEST_BASE = _MAX_SOCKET_PATH - 32
"""Bytes of the path of a folder that an engine's own folder and socket can be in."""

_UNANSWERED_PINGS = 3


class EngineState(StrEnum):
    """STARTING loads the model; BACKOFF waits before another try; FAILED cannot be mended by trying again. UNLOADED is
    said of engines of a pool that are loaded when they are asked."""

    STARTING = "starting"
    READY = "ready"
    BACKOFF = "backoff"
    FAILED = "failed"
    STOPPED = "stopped"
    UNLOADED = "unloaded"


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """One engine. Times in seconds.

    `name` is the model name in answers. `context_tokens` 0 takes the model's own, `threads` 0 `default_threads()`,
    `gpu_layers` -1 all. `parallel` (1 to 128) answers are made at a time, all in one cache of `context_tokens`; `queue`
    bounds the requests that wait for a place. `batch_tokens` of prompts are read per step beside the answers.
    `flash_attention` is ``auto``, ``on`` or ``off``; `kv_type` the form of keys and values, one of `memory.KV_BYTES`;
    `loras` are used by all requests. With `share_prefixes` the prefix cache is shared between tenants.
    Prefixes that leave it are parked in `prefix_memory` bytes, None for as many as it has itself, 0 for not at all.
    With `embeddings` it makes embeddings instead of answers; `pooling` and `least_dimensions` are for these (see
    `embedding_model.EmbeddingConfig` and `embedder.Embedder`).
    `stall_seconds` is how long a running request may make no progress (no token, no part of the prompt) before the
    engine counts as hung. `nice` lowers its priority, so that decoding does not slow the gateway down.
    """

    name: str
    model: Path
    context_tokens: int = 0
    threads: int = 0
    gpu_layers: int = 0
    queue: int = 32
    parallel: int = 16
    batch_tokens: int = 128
    flash_attention: str = "auto"
    kv_type: str = "f16"
    loras: tuple[Lora, ...] = ()
    share_prefixes: bool = False
    prefix_memory: int | None = None
    embeddings: bool = False
    pooling: str = "model"
    least_dimensions: int = 0
    nice: int = 5
    start_timeout: float = 300.0
    stall_seconds: float = 120.0
    ping_interval: float = 5.0
    backoff_first: float = 0.5
    backoff_most: float = 30.0
    healthy_after: float = 60.0
    stop_timeout: float = 5.0


class _Down(Exception):
    """The engine ended or was ended; `str()` says why, without content."""


class _Hopeless(_Down):
    """Another try would end the same way."""


class EngineSupervisor:
    """One engine process. `await start()` first, `await aclose()` last; then it may be started again. Its socket is in
    a folder of its own in `base`, or in the system's for temporary files."""

    def __init__(
        self,
        config: EngineConfig,
        on_change: Callable[[EngineState], None] | None = None,
        base: Path | None = None,
    ) -> None:
        self.config = config
        self._base = base
        self.restarts = 0
        self.failure = ""
        self._state = EngineState.STOPPED
        self._on_change = on_change
        self._folder: Path | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()
        self._retry_at = 0.0

    # ---- for the provider and the operator

    @property
    def state(self) -> EngineState:
        return self._state

    @property
    def socket(self) -> Path:
        """Where the engine listens while it is READY."""
        if self._folder is None:
            raise RuntimeError("the supervisor was not started")
        return self._folder / "engine.sock"

    @property
    def pid(self) -> int | None:
        """The engine's process id, None while there is none."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    @property
    def retry_after(self) -> float:
        """Seconds after which it makes sense to try again."""
        return min(max(self._retry_at - time.monotonic(), 1.0), self.config.backoff_most)

    async def stats(self, timeout: float = 5.0, prompt_tokens: int | None = None) -> dict[str, Any]:
        """State, restarts, and the engine's live figures (`speeds.Figures`) while it is READY. Never raises for an
        engine that is down."""
        own: dict[str, Any] = {"state": str(self._state), "restarts": self.restarts}
        if self._state is EngineState.READY:
            with contextlib.suppress(ConnectionCut, TimeoutError):  # it may go down now; the state will say so
                own |= await ask_stats(self.socket, timeout, prompt_tokens)
        return own

    # ---- life

    async def start(self, *, wait: bool = True) -> None:
        """Start the engine. With `wait`, until it is ready; without, a large model loads while the gateway serves.

        Raises `ConfigurationError` when the model file is missing or is no GGUF file and, with `wait`, when the first
        start fails.
        """
        check_model_file(self.config.model)
        self._folder = _private_folder(self._base)
        self._settled.clear()
        self._set(EngineState.STARTING)
        self._keeper = asyncio.create_task(self._keep(), name=f"engine {self.config.name}")
        if not wait:
            return
        await self.settled()
        if self._state is not EngineState.READY:
            failure = self.failure
            await self.aclose()
            model = f"{self.config.name!r} ({self.config.model})"
            raise ConfigurationError(f"the local model {model} does not start: {failure}")

    async def settled(self) -> None:
        """Return when the first start has succeeded or failed, or was broken off by `aclose`."""
        await self._settled.wait()

    async def aclose(self) -> None:
        """End the engine and remove its socket. Closing twice is fine."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
        await self._end_process()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._set(EngineState.STOPPED)
        self._settled.set()

    def _set(self, state: EngineState) -> None:
        if state is self._state:
            return
        self._state = state
        _log.info("engine %s is %s", self.config.name, state)
        if self._on_change is not None:
            self._on_change(state)

    async def _keep(self) -> None:
        delay = self.config.backoff_first
        while True:
            ready_at: float | None = None
            try:
                self._set(EngineState.STARTING)
                await self._spawn()
                ready_at = time.monotonic()
                self.failure = ""
                self._set(EngineState.READY)
                self._settled.set()
                await self._watch()
            except Exception as down:  # the border of the task: whatever it is, nobody else would start it again
                self.failure = str(down) if isinstance(down, _Down) else f"unexpected {type(down).__name__}"
                _log.error("engine %s is down: %s", self.config.name, label(self.failure))
                await self._end_process()
                if isinstance(down, _Hopeless):
                    self._set(EngineState.FAILED)
                    self._settled.set()
                    return
            if ready_at is not None and time.monotonic() - ready_at > self.config.healthy_after:
                delay = self.config.backoff_first
            self._retry_at = time.monotonic() + delay
            self._set(EngineState.BACKOFF)
            self._settled.set()
            await asyncio.sleep(delay)
            delay = min(delay * 2, self.config.backoff_most)
            self.restarts += 1

    async def _spawn(self) -> None:
        config = self.config
        if not self.socket.parent.is_dir():  # a runtime folder goes when its user logs out
            self._folder = _private_folder(self._base)
        self.socket.unlink(missing_ok=True)
        options = {
            "model": config.model, "socket": self.socket, "name": config.name, "context": config.context_tokens,
            "threads": config.threads or default_threads(), "batch": config.batch_tokens, "queue": config.queue,
            "gpu-layers": config.gpu_layers, "nice": config.nice, "parallel": config.parallel,
            "flash-attention": config.flash_attention, "share-prefixes": int(config.share_prefixes),
            "kv-type": config.kv_type,
            "prefix-memory": -1 if config.prefix_memory is None else config.prefix_memory,
            "embeddings": int(config.embeddings), "pooling": config.pooling,
            "least-dimensions": config.least_dimensions,
        }  # fmt: skip
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "adapters.llama_cpp"),
                *(f"--{key}={value}" for key, value in options.items()),
                *(f"--lora={lora.scale!r}:{lora.path}" for lora in config.loras),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,  # native code may print anything there
                env=environment(),
                start_new_session=True,  # Ctrl-C at the terminal is for the gateway, which drains first
            )
        except OSError as error:
            raise _Down(f"the process does not start: {error.strerror}") from error
        try:
            frame = await asyncio.wait_for(self._first_frame(self._process), config.start_timeout)
        except TimeoutError:
            raise _Down(f"not ready after {config.start_timeout:g} seconds (start_timeout)") from None
        if frame is None:
            raise _Down(await self._why_ended(self._process, "before it was ready"))
        if frame.kind is not Kind.READY:
            raise _Hopeless(str(orjson.loads(frame.payload).get("message", "no reason given")))

    @staticmethod
    async def _first_frame(process: asyncio.subprocess.Process) -> Frame | None:
        decoder = Decoder(max_frame_bytes=65536)
        assert process.stdout is not None
        while data := await process.stdout.read(4096):
            try:
                for frame in decoder.feed(data):
                    return frame
            except FrameError:
                raise _Hopeless("something else than the engine writes to its standard output") from None
        return None

    @staticmethod
    async def _why_ended(process: asyncio.subprocess.Process, when: str) -> str:
        code = await process.wait()
        if code >= 0:
            return f"it ended {when} with exit code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"  # most real-time signals have no name
        hint = " (usually the system's memory is exhausted)" if name == "SIGKILL" else ""
        return f"it ended {when} by {name}{hint}"

    async def _watch(self) -> None:
        """Return never; raise `_Down` when the process ends or hangs."""
        process = self._process
        assert process is not None
        ended = asyncio.ensure_future(self._why_ended(process, "while serving"))
        unanswered = 0
        try:
            while True:
                done, _ = await asyncio.wait({ended}, timeout=self.config.ping_interval)
                if done:
                    raise _Down(ended.result())
                try:
                    figures = await ask_stats(self.socket, self.config.ping_interval)
                except (ConnectionCut, TimeoutError):
                    unanswered += 1
                    if unanswered >= _UNANSWERED_PINGS and not ended.done():
                        raise _Down(f"it left {unanswered} pings unanswered") from None
                    continue
                unanswered = 0
                if figures["since_progress"] > self.config.stall_seconds:
                    raise _Down(f"no progress for {figures['since_progress']:.0f} seconds (stall_seconds)")
        finally:
            ended.cancel()

    async def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            hung = self._state is EngineState.READY and self._keeper is not None
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL if hung else signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), self.config.stop_timeout)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


def _private_folder(chosen: Path | None) -> Path:
    """A new folder that only this user can enter, with a path short enough for a Unix socket."""
    usual = (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp")
    for base in usual if chosen is None else (str(chosen),):
        if base and len(os.fsencode(base)) <= LONGEST_BASE and os.access(base, os.W_OK | os.X_OK):
            return Path(tempfile.mkdtemp(prefix="bw-", dir=base))  # mode 0700
    raise ConfigurationError("no writable temporary folder with a short path for the engine's socket (set TMPDIR)")
