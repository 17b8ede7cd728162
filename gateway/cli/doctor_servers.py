"""What ``bailiwick doctor`` says of model servers on other machines: are they there, with the model and figures?"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from adapters.model_servers.ollama import holds
from adapters.model_servers.provider import ModelServers
from adapters.model_servers.server import ModelServer
from gateway.cli.checks import Check, State
from gateway.compose.targets import servers_of
from gateway.settings import OpenAISettings, TargetSettings
from gateway.settings.channels import is_inside

_SHOWN: Final = ("running", "waiting", "places")


def server_checks(target: TargetSettings) -> Iterator[Check]:
    """One check for each server of a target that names its servers. They are asked for their health, models and
    figures as the gateway asks them; no request is made. One of several that is down is a warning."""
    backend = target.backend
    key = os.environ.get(backend.api_key_env or "") if isinstance(backend, OpenAISettings) else None
    config = servers_of(target, key or None)
    if config is None or (isinstance(backend, OpenAISettings) and backend.api_key_env and not key):
        return  # without its key, the check of the target has said what is the matter
    provider = ModelServers(config)

    async def look() -> None:
        try:
            await provider.look()
        finally:
            await provider.aclose()

    asyncio.run(look())
    some = any(server.up is not False for server in provider.servers)
    for url, server in zip(config.base_urls, provider.servers, strict=True):
        yield _check(target, config.kind, url, server, some)


def _check(target: TargetSettings, kind: str, url: str, server: ModelServer, some: bool) -> Check:
    name = f"server {server.name}"
    sight = server.sight
    said = f"{kind} of {target.id}"
    if sight.up is False:
        return Check(name, State.WARNING if some else State.FAILED, f"{said}: {sight.reason}")
    known = sight.figures.known()
    figures = [f"{known[figure]:.0f} {figure}" for figure in _SHOWN if figure in known] or ["its load is not known"]
    detail = ", ".join([f"{said}: {'up' if sight.up else 'health unknown'}", *figures])
    problems = [sight.hint or sight.reason]
    if sight.models is not None and not _serves(kind, target.model, sight.models):
        problems.append(f"it lists {', '.join(sorted(sight.models)[:5]) or 'no model'}, not {target.model}")
    if urlsplit(url).scheme != "https" and not is_inside(urlsplit(url).hostname or ""):
        problems.append("requests go over http to an address that looks public, unencrypted: is it in the zone local?")
    problems = [problem for problem in problems if problem]
    return Check(name, State.WARNING if problems else State.OK, "; ".join([detail, *problems]))


def _serves(kind: str, model: str, models: frozenset[str]) -> bool:
    """llama-server answers with what it has loaded, whatever it is called: its name there is not compared."""
    return kind == "llama_server" or (holds(models, model) if kind == "ollama" else model in models)
