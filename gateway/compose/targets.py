"""Targets and the adapters behind them, as the settings declare."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime
from pathlib import Path

from adapters.llama_cpp.files import ModelFile, resolve
from adapters.llama_cpp.provider import LlamaCppProvider
from adapters.llama_cpp.supervisor import EngineConfig, EngineSupervisor
from adapters.openai_compatible import OpenAICompatible, OpenAICompatibleConfig
from adapters.scripted_cloud import ScriptedCloud
from gateway.budgets.prices import price_of
from gateway.dialects import openai_chat
from gateway.dialects.openai_chat import LIMIT_FIELDS, LimitField
from gateway.domain.errors import ConfigurationError
from gateway.domain.money import FREE, Price
from gateway.domain.ports import Provider
from gateway.domain.target import Target, Zone
from gateway.settings import LlamaCppSettings, OpenAISettings, Settings, TargetSettings, load_settings


def targets_of(settings_path: Path) -> tuple[Target, ...]:
    """The targets that a settings file declares, for the policy tools. Raises `ConfigurationError`."""
    return declared(load_settings(settings_path, needs_environment=False))


def declared(settings: Settings) -> tuple[Target, ...]:
    """Raises `ConfigurationError` for a cloud target whose price nobody knows: its cost could not be bounded."""
    day = datetime.now(UTC).date()
    return tuple(
        Target(
            id=target.id,
            zone=target.zone,
            region=target.region,
            labels=target.labels,
            expiring=target.expiring,
            provider=target.provider,
            model=target.model,
            dialect=openai_chat.DIALECT,
            price=_price(settings, target, day),
            ceiling=_ceiling(target, day),
            max_output_tokens=target.max_output_tokens,
            context_tokens=target.context_tokens,
            first_token=target.first_token,
        )
        for target in settings.targets
    )


def _price(settings: Settings, target: TargetSettings, day: date) -> Price:
    if target.price is not None:
        return target.price
    known = price_of(target.provider, target.model, day)
    if known is not None:
        return known
    if target.zone is Zone.LOCAL:
        return FREE
    raise ConfigurationError(
        f"{settings.file}: the target {target.id!r} needs a 'price': the price table does not know "
        f"{target.model!r} of {target.provider!r}"
    )


def _ceiling(target: TargetSettings, day: date) -> Price | None:
    """What a caller's own fields (a paid service tier) can make of the table's price. A price in the settings is meant
    as it stands."""
    return price_of(target.provider, target.model, day, worst=True) if target.price is None else None


class Backends:
    """Every provider, opened; closed by the stack. `engines` are the supervisors of local engines by target id;
    `scripted` is the scripted cloud that stands in for targets without a key, if there are any."""

    def __init__(self) -> None:
        self.providers: dict[str, Provider] = {}
        self.engines: dict[str, EngineSupervisor] = {}
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
        path = await asyncio.to_thread(resolve, ModelFile.of(backend), settings.model_cache)
        config = EngineConfig(
            name=target.model,
            model=path,
            context_tokens=target.context_tokens,
            threads=backend.threads,
            gpu_layers=backend.gpu_layers,
            queue=backend.queue,
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
