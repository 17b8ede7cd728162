"""Takes up another version of a registered model while the gateway serves: after an alias was set or rolled back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import anyio

from adapters.llama_cpp.pooled import NotLoaded
from adapters.llama_cpp.registry import Registry
from adapters.llama_cpp.shelf import locate
from gateway.compose.targets import Backends, LocalModel
from gateway.domain.errors import ConfigurationError
from gateway.settings import LlamaCppSettings, Settings, TargetSettings
from gateway.telemetry.logs import log_event

_log = logging.getLogger(__name__)
_EVERY = 2.0


class ModelVersions:
    """Compares what the registry says with what is loaded. The new engine is loaded beside the old one; only when it is
    ready do requests go to it, and the old one ends when it has answered what it has. What cannot be loaded changes
    nothing. `event` writes to the audit log."""

    def __init__(self, settings: Settings, backends: Backends, event: Callable[..., None]) -> None:
        self._settings = settings
        self._backends = backends
        self._event = event
        self._targets = [
            (target, backend)
            for target in settings.targets
            if isinstance(backend := target.backend, LlamaCppSettings) and backend.registered is not None
        ]
        self._file = Registry(settings.model_registry).path
        self._seen: tuple[int, int] | None = None
        self._refused: dict[str, str] = {}

    async def watch(self) -> None:
        """Never returns."""
        while True:
            await anyio.sleep(_EVERY)
            await self.look()

    async def look(self) -> None:
        """Take up what has changed since the last time."""
        if not self._targets:
            return
        mark = await asyncio.to_thread(_mark, self._file)
        if mark == self._seen:
            return
        for target, backend in self._targets:
            await self._look_at(target, backend)
        self._seen = mark

    async def _look_at(self, target: TargetSettings, backend: LlamaCppSettings) -> None:
        try:
            wanted = (await asyncio.to_thread(locate, backend, self._settings.model_registry)).version
        except ConfigurationError as error:  # what is loaded goes on
            self._report(target.id, str(backend.registered), error)
            return
        loaded, _ = self._backends.versions[target.id]
        if wanted == loaded:
            self._refused.pop(target.id, None)
        elif self._refused.get(target.id) != wanted:
            await self._take_up(target, backend, wanted)

    async def _take_up(self, target: TargetSettings, backend: LlamaCppSettings, wanted: str) -> None:
        pool, old = self._backends.pool, self._backends.engines[target.id]
        new: LocalModel | None = None
        try:
            new = await self._backends.local(self._settings, target, backend)
            await pool.bring_in(new.engine)
        except (ConfigurationError, NotLoaded, OSError) as error:
            if new is not None:
                await pool.retire(new.engine, 0.0)
            self._refused[target.id] = wanted
            self._report(target.id, wanted, error)
            return
        before = self._backends.use(target.id, new)
        self._event("model in use", detail=f"sha256:{new.sha256}", target=target.id, model=new.version)
        log_event(_log, logging.INFO, "model version taken up", target=target.id, model=new.version)
        await pool.retire(old, self._settings.server.drain)
        if before is not None:
            await before.aclose()

    def _report(self, target: str, wanted: str, error: Exception) -> None:
        log_event(_log, logging.ERROR, "model version not taken up", target=target, model=wanted, error=error)
        self._event("model version not taken up", target=target, model=wanted)


def _mark(file: Path) -> tuple[int, int]:
    try:
        found = file.stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)
