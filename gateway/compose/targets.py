"""The adapters behind the targets that the settings declare."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack

from adapters.llama_cpp.files import resolve
from adapters.llama_cpp.provider import LlamaCppProvider
from adapters.llama_cpp.shelf import locate
from adapters.llama_cpp.supervisor import EngineConfig, EngineSupervisor
from adapters.openai_compatible import OpenAICompatible, OpenAICompatibleConfig
from adapters.scripted_cloud import ScriptedCloud
from gateway.dialects.openai_chat import LIMIT_FIELDS, LimitField
from gateway.domain.errors import ConfigurationError
from gateway.domain.ports import Provider
from gateway.settings import LlamaCppSettings, OpenAISettings, Settings, TargetSettings


class Backends:
    """Every provider, opened; closed by the stack. `engines` are the supervisors of local engines by target id;
    `versions` says which version of a registered model (``name@number``) such an engine has, with its SHA-256;
    `scripted` is the scripted cloud that stands in for targets without a key, if there are any."""

    def __init__(self) -> None:
        self.providers: dict[str, Provider] = {}
        self.engines: dict[str, EngineSupervisor] = {}
        self.versions: dict[str, tuple[str, str]] = {}
        self.scripted: ScriptedCloud | None = None

    async def open(self, settings: Settings, stack: AsyncExitStack) -> None:
        """Raises `ConfigurationError` naming the target at fault."""
        for target in settings.targets:
            if isinstance(target.backend, LlamaCppSettings):
                provider: Provider = await self._local(settings, target, target.backend)
            else:
                provider = await self._openai(settings, target, target.backend, stack)
            self.providers[target.id] = provider
            stack.push_async_callback(provider.aclose)

    async def _local(self, settings: Settings, target: TargetSettings, backend: LlamaCppSettings) -> Provider:
        try:
            located = await asyncio.to_thread(locate, backend, settings.model_registry)
            path = await asyncio.to_thread(resolve, located.file, settings.model_cache)
        except ConfigurationError as error:
            raise ConfigurationError(f"{settings.file}: the target {target.id!r}: {error}") from error
        if located.version:
            self.versions[target.id] = (located.version, located.file.sha256 or "")
        config = EngineConfig(
            name=located.version or target.model,
            model=path,
            context_tokens=target.context_tokens,
            threads=backend.threads,
            gpu_layers=backend.gpu_layers,
            parallel=backend.parallel,
            queue=backend.queue,
            batch_tokens=backend.batch_tokens,
            flash_attention=backend.flash_attention,
            share_prefixes=backend.share_prefixes,
            embeddings=target.embeddings,
            pooling=backend.pooling,
            least_dimensions=backend.least_dimensions,
        )
        engine = EngineSupervisor(config)
        await engine.start(wait=False)  # a large model loads while the gateway already serves; /readyz tells
        self.engines[target.id] = engine
        return LlamaCppProvider(engine)

    async def _openai(
        self, settings: Settings, target: TargetSettings, backend: OpenAISettings, stack: AsyncExitStack
    ) -> Provider:
        key = os.environ.get(backend.api_key_env) if backend.api_key_env else None
        base_url = backend.base_url
        if backend.api_key_env and not key:
            if not settings.scripted_cloud:
                raise ConfigurationError(
                    f"{settings.file}: the target {target.id!r} takes its API key from the environment variable "
                    f"{backend.api_key_env}, which is not set"
                )
            if self.scripted is None:
                self.scripted = await stack.enter_async_context(ScriptedCloud())
            base_url = self.scripted.base_url
        config = OpenAICompatibleConfig(
            base_url=base_url,
            api_key=key,
            organisation=backend.organisation,
            project=backend.project,
            headers=backend.headers,
            ca_file=backend.ca_file,
            proxy=backend.proxy,
            max_connections=backend.max_connections,
        )
        return OpenAICompatible(config)


def output_limit_fields(settings: Settings) -> Mapping[str, LimitField]:
    """By target id, the one output-limit member that an older server knows."""
    named = {
        target.id: target.backend.output_limit_field
        for target in settings.targets
        if isinstance(target.backend, OpenAISettings)
    }
    return {target: field for target, name in named.items() for field in LIMIT_FIELDS if field == name}
