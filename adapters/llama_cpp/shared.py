"""One engine for all gateways of this host that have the same runtime folder.

Of the gateways that want the same engine, one owns it: the one that holds a lock on a file in the folder. It runs the
engine as ever, and writes beside the lock how it is and where it listens. The others connect to that socket. The kernel
takes the lock from an owner that ends, however it ends; then another takes it, and with it the engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import re
import shutil
import stat
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import orjson

from adapters.llama_cpp.client import ConnectionCut, ask_stats
from adapters.llama_cpp.files import check_model_file
from adapters.llama_cpp.supervisor import LONGEST_BASE, EngineConfig, EngineState, EngineSupervisor
from gateway.domain.errors import ConfigurationError

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.25
_SOCKET = re.compile(r"bw-[\w]+/engine\.sock")  # in the runtime folder, which may have another path for another gateway
_STATES = {state.value: state for state in EngineState}
_SETTLED = (EngineState.READY, EngineState.BACKOFF, EngineState.FAILED)


def check_runtime_folder(folder: Path) -> None:
    """Raises `ConfigurationError` where the folder cannot hold sockets, or somebody else could put one there. One that
    does not exist yet is in order."""
    if len(os.fsencode(folder)) > LONGEST_BASE:
        raise ConfigurationError(f"the runtime folder {folder} has too long a path for sockets ({LONGEST_BASE} bytes)")
    try:
        status = folder.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigurationError(f"the runtime folder {folder} cannot be used: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigurationError(f"the runtime folder {folder} is no folder")
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
        raise ConfigurationError(
            f"the runtime folder {folder} must belong to the gateway's user, and nobody else may enter it: "
            f"chmod 700 {folder}"
        )


@dataclass(frozen=True, slots=True)
class _Note:
    """What the owner says of its engine; `socket` is its path in the runtime folder."""

    state: str = EngineState.STARTING.value
    socket: str = ""
    failure: str = ""


class _Files:
    """The lock and the note of one engine in the runtime folder."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder
        self._lock, self._note = folder / f"{key}.lock", folder / f"{key}.json"
        self._held: int | None = None

    def prepare(self) -> None:
        """Raises `ConfigurationError`."""
        check_runtime_folder(self.folder)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"the runtime folder {self.folder} cannot be made: {error.strerror}") from error

    def take(self) -> bool:
        """Become the owner, if nobody else is. Raises `OSError`."""
        handle = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._held = handle
        return True

    def give_up(self) -> None:
        """No longer be the owner. Not being it is fine."""
        held, self._held = self._held, None
        if held is not None:
            os.close(held)

    def read(self) -> _Note:
        try:
            return _Note(**orjson.loads(self._note.read_bytes()))
        except (OSError, orjson.JSONDecodeError, TypeError):
            return _Note()  # the owner has said nothing yet

    def write(self, note: _Note) -> None:
        if self._held is None:
            return
        temporary = self._note.with_suffix(".tmp")
        temporary.write_bytes(orjson.dumps(asdict(note)))
        temporary.replace(self._note)

    def clean(self) -> None:
        """Remove what the owner before left behind, if it was killed together with its engine."""
        socket = self.read().socket
        if _SOCKET.fullmatch(socket):
            shutil.rmtree((self.folder / socket).parent, ignore_errors=True)


class SharedEngine:
    """Fits wherever an `EngineSupervisor` does. `await start()` first, `await aclose()` last."""

    def __init__(
        self, config: EngineConfig, folder: Path, on_change: Callable[[EngineState], None] | None = None
    ) -> None:
        self.config = config
        self.failure = ""
        self._folder = folder
        self._on_change = on_change
        self._own: EngineSupervisor | None = None
        self._files: _Files | None = None
        self._note = _Note()
        self._state = EngineState.STOPPED
        self._settled = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    # ---- for the provider and the operator

    @property
    def state(self) -> EngineState:
        return self._state

    @property
    def owned(self) -> bool:
        """Is it this gateway that runs the engine?"""
        return self._own is not None

    @property
    def socket(self) -> Path:
        """Where the engine listens while it is READY."""
        return self._own.socket if self._own is not None else self._folder / self._note.socket

    @property
    def pid(self) -> int | None:
        """The engine's process id, None while there is none of this gateway."""
        return self._own.pid if self._own is not None else None

    @property
    def restarts(self) -> int:
        """Restarts by this gateway: all of them together count each once."""
        return self._own.restarts if self._own is not None else 0

    @property
    def retry_after(self) -> float:
        """Seconds after which it makes sense to try again."""
        return self._own.retry_after if self._own is not None else 1.0

    async def stats(self, timeout: float = 5.0, prompt_tokens: int | None = None) -> dict[str, Any]:
        """As `EngineSupervisor.stats`; the live figures are those of all gateways together."""
        said: dict[str, Any] = {"state": str(self._state), "restarts": self.restarts, "owned": self.owned}
        if self._state is EngineState.READY:
            with contextlib.suppress(ConnectionCut, TimeoutError):  # it may go down now; the state will say so
                said |= await ask_stats(self.socket, timeout, prompt_tokens)
        return said

    # ---- life

    async def start(self, *, wait: bool = True) -> None:
        """Own the engine, or follow its owner. With `wait`, until it is ready.

        Raises `ConfigurationError` when the model file or the runtime folder cannot be used and, with `wait`, when the
        engine is not ready at first.
        """
        check_model_file(self.config.model)
        try:
            key = _key(self.config)
        except OSError as error:
            raise ConfigurationError(f"{error.filename} cannot be read: {error.strerror}") from error
        self._files = _Files(self._folder, key)
        self._files.prepare()
        self._settled.clear()
        self._set(EngineState.STARTING)
        self._keeper = asyncio.create_task(self._keep(self._files), name=f"shared engine {self.config.name}")
        if not wait:
            return
        await self.settled()
        if self._state is not EngineState.READY:
            failure = self.failure
            await self.aclose()
            raise ConfigurationError(f"the local model {self.config.name!r} does not start: {failure}")

    async def settled(self) -> None:
        """Return when the engine was ready or has failed, or `aclose` came first."""
        await self._settled.wait()

    async def aclose(self) -> None:
        """End the engine if it is ours, so that another gateway takes over; else leave it alone. Closing twice is
        fine."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
        if self._own is not None:
            await self._own.aclose()
            self._own = None
        if self._files is not None:
            self._files.give_up()
        self._set(EngineState.STOPPED)
        self._settled.set()

    async def _keep(self, files: _Files) -> None:
        while True:
            try:
                if files.take():
                    break
            except OSError as error:  # the folder is gone or full: told as a problem, and tried again
                self.failure = f"the runtime folder cannot be used: {error.strerror}"
                self._set(EngineState.BACKOFF)
            else:
                self._follow(files)
            await asyncio.sleep(_LOOK_SECONDS)
        files.clean()
        self._own = EngineSupervisor(self.config, self._led, files.folder)
        _log.info("engine %s is run by this gateway", self.config.name)
        try:
            await self._own.start(wait=False)
        except ConfigurationError as error:  # the file has gone while another gateway had the engine
            self.failure = str(error)
            files.write(_Note(EngineState.FAILED.value, failure=self.failure))
            self._set(EngineState.FAILED)

    def _follow(self, files: _Files) -> None:
        self._note = note = files.read()
        self.failure = note.failure
        state = _STATES.get(note.state, EngineState.STARTING)
        there = _SOCKET.fullmatch(note.socket) is not None and self.socket.is_socket()
        if state is EngineState.STOPPED or (state is EngineState.READY and not there):
            state = EngineState.STARTING  # its owner has gone; in a moment somebody else is
        self._set(state)

    def _led(self, state: EngineState) -> None:
        own, files = self._own, self._files
        if own is not None and files is not None:
            self.failure = own.failure
            try:
                files.write(_Note(state.value, f"{own.socket.parent.name}/{own.socket.name}", own.failure))
            except OSError as error:  # we have the engine all the same; the others hear of it when there is room
                _log.error("engine %s cannot be told to other gateways: %s", self.config.name, error)
        self._set(state)

    def _set(self, state: EngineState) -> None:
        if state is self._state:
            return
        self._state = state
        if state in _SETTLED:
            self._settled.set()
        if self._on_change is not None:
            self._on_change(state)


Supervisor: TypeAlias = "EngineSupervisor | SharedEngine"
"""What a provider needs of an engine."""


def _key(config: EngineConfig) -> str:
    """What engines have in common that can stand for each other: every setting, and the very same files."""
    files = [config.model.resolve(), *(lora.path.resolve() for lora in config.loras)]
    marks = [
        (str(path), status.st_size, status.st_mtime_ns, status.st_ino) for path in files for status in [path.stat()]
    ]
    return hashlib.sha256(repr((config, marks)).encode()).hexdigest()[:24]
