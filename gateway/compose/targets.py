"""The adapters behind the targets that the settings declare."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from adapters.llama_cpp.download import hash_file
from adapters.llama_cpp.files import resolve
from adapters.llama_cpp.lora import Lora
from adapters.llama_cpp.needs import Needs, needs
from adapters.llama_cpp.pool import EnginePool
from adapters.llama_cpp.pooled import PooledEngine
from adapters.llama_cpp.provider import LlamaCppProvider
from adapters.llama_cpp.shelf import locate
from adapters.llama_cpp.supervisor import EngineConfig
from adapters.model_servers.provider import ModelServers, ModelServersConfig
from adapters.model_servers.server import Room
from adapters.openai_compatible import OpenAICompatible, OpenAICompatibleConfig
from adapters.scripted_cloud import ScriptedCloud
from gateway.dialects.openai_chat import LIMIT_FIELDS, LimitField
from gateway.domain.errors import ConfigurationError
from gateway.domain.ports import Provider
from gateway.settings import LlamaCppSettings, OpenAISettings, Settings, TargetSettings


@dataclass(frozen=True, slots=True)
class LocalModel:
    """An engine of a local target, with the LoRA adapters in it (name of the file, SHA-256), and which version of a
    registered model it is (``name@number``, empty for none) with the file's SHA-256."""

    engine: PooledEngine
    adapters: list[tuple[str, str]]
    version: str
    sha256: str


class Backends:
    """Every provider, opened; closed by the stack. `engines` are the local engines by target id;
    `versions` says which version of a registered model (``name@number``) such an engine has, with its SHA-256, and
    `adapters` which LoRA adapters, each with the name of its file and its SHA-256; `servers` are the servers on other
    machines, by target id. `scripted` is the scripted cloud that stands in for targets without a key, if there are
    any."""

    def __init__(self) -> None:
        self.providers: dict[str, Provider] = {}
        self.engines: dict[str, PooledEngine] = {}
        self.servers: dict[str, ModelServers] = {}
        self.versions: dict[str, tuple[str, str]] = {}
        self.adapters: dict[str, list[tuple[str, str]]] = {}
        self.scripted: ScriptedCloud | None = None

    async def open(self, settings: Settings, stack: AsyncExitStack) -> None:
        """Raises `ConfigurationError` naming the target at fault."""
        together = settings.local_models
        self.pool = EnginePool(together.memory, together.patience, together.runtime_folder)
        for target in settings.targets:
            if isinstance(target.backend, LlamaCppSettings):
                engine = await self.local(settings, target, target.backend)
                self.use(target.id, engine)
            else:
                self.providers[target.id] = await self._openai(settings, target, target.backend, stack)
            stack.push_async_callback(self._close, target.id)
        stack.push_async_callback(self.pool.aclose)
        await self.pool.start()  # large models load while the gateway already serves; /readyz tells

    def use(self, target: str, local: LocalModel) -> Provider | None:
        """From now on requests for this target go to that engine. Gives the provider that had them, if any."""
        before = self.providers.get(target)
        self.providers[target] = LlamaCppProvider(local.engine.supervisor, local.engine)
        self.engines[target] = local.engine
        self.adapters[target] = local.adapters
        if local.version:
            self.versions[target] = (local.version, local.sha256)
        return before

    async def _close(self, target: str) -> None:
        await self.providers[target].aclose()

    def served_for(self, target: str) -> float:
        """Seconds for which a target can have worked on a request at most: since its model was loaded."""
        return self.engines[target].served_for() if target in self.engines else math.inf

    def note(self, event: Callable[..., None]) -> None:
        """Say which models and adapters are in use; `event` is that of `gateway.pipeline.recorder.Recorder`."""
        for target, (version, sha256) in self.versions.items():
            event("model in use", detail=f"sha256:{sha256}", target=target, model=version)
        for target, adapters in self.adapters.items():
            for file, sha256 in adapters:
                event("adapter in use", detail=f"sha256:{sha256}", target=target, model=file)

    async def local(self, settings: Settings, target: TargetSettings, backend: LlamaCppSettings) -> LocalModel:
        """The engine of a local target as its settings, files and the registry are at this moment; in the pool, and not
        loaded. Raises `ConfigurationError`."""
        try:
            located = await asyncio.to_thread(locate, backend, settings.model_registry)
            path = await asyncio.to_thread(resolve, located.file, settings.model_cache)

            def check() -> Needs:
                resolve(located.file, settings.model_cache, download=False)
                return needs(
                    path,
                    target.context_tokens,
                    backend.kv_type,
                    backend.lora,
                    settings.model_cache,
                    backend.prefix_memory,
                )

            needed = await asyncio.to_thread(check)
            adapters = [(lora.path.name, await asyncio.to_thread(hash_file, lora.path)) for lora in needed.loras]
            engine = self.pool.add(engine_config(target, backend, path, located.version), needed.memory, check)
        except ConfigurationError as error:
            raise ConfigurationError(f"{settings.file}: the target {target.id!r}: {error}") from error
        return LocalModel(engine, adapters, located.version, located.file.sha256 or "")

    async def _openai(
        self, settings: Settings, target: TargetSettings, backend: OpenAISettings, stack: AsyncExitStack
    ) -> Provider:
        key = os.environ.get(backend.api_key_env) if backend.api_key_env else None
        if backend.api_key_env and not key:
            if not settings.scripted_cloud:
                raise ConfigurationError(
                    f"{settings.file}: the target {target.id!r} takes its API key from the environment variable "
                    f"{backend.api_key_env}, which is not set"
                )
            if self.scripted is None:
                self.scripted = await stack.enter_async_context(ScriptedCloud())
            return OpenAICompatible(replace(_config(backend, key), base_url=self.scripted.base_url))
        servers = servers_of(target, key)
        if servers is None:
            return OpenAICompatible(_config(backend, key))
        self.servers[target.id] = ModelServers(servers)
        return self.servers[target.id]


def servers_of(target: TargetSettings, key: str | None) -> ModelServersConfig | None:
    """The servers behind a target; None where it names none."""
    backend = target.backend
    if not isinstance(backend, OpenAISettings) or backend.servers is None:
        return None
    servers = backend.servers
    return ModelServersConfig(
        model=target.model,
        kind=servers.kind,
        base_urls=servers.base_urls,
        common=_config(backend, key),
        room=Room(servers.parallel, servers.queue),
        poll=servers.poll,
    )


def _config(backend: OpenAISettings, key: str | None) -> OpenAICompatibleConfig:
    return OpenAICompatibleConfig(
        base_url=backend.base_url,
        api_key=key,
        organisation=backend.organisation,
        project=backend.project,
        headers=backend.headers,
        ca_file=backend.ca_file,
        proxy=backend.proxy,
        max_connections=backend.max_connections,
    )


def engine_config(target: TargetSettings, backend: LlamaCppSettings, path: Path, version: str = "") -> EngineConfig:
    """The engine of a local target, whose model is at `path` and is this `version` of the registry, if it is of it."""
    return EngineConfig(
        name=version or target.model,
        model=path,
        context_tokens=target.context_tokens,
        threads=backend.threads,
        gpu_layers=backend.gpu_layers,
        parallel=backend.parallel,
        queue=backend.queue,
        batch_tokens=backend.batch_tokens,
        flash_attention=backend.flash_attention,
        kv_type=backend.kv_type,
        loras=tuple(Lora(lora.path, lora.scale) for lora in backend.lora),
        share_prefixes=backend.share_prefixes,
        prefix_memory=backend.prefix_memory,
        embeddings=target.embeddings,
        pooling=backend.pooling,
        least_dimensions=backend.least_dimensions,
    )


def output_limit_fields(settings: Settings) -> Mapping[str, LimitField]:
    """By target id, the one output-limit member that an older server knows."""
    named = {
        target.id: target.backend.output_limit_field
        for target in settings.targets
        if isinstance(target.backend, OpenAISettings)
    }
    return {target: field for target, name in named.items() for field in LIMIT_FIELDS if field == name}
