"""A gateway in the process of the test, put together as in production, with a detector that needs no time to load."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest

import gateway.compose.gateway as compose
import gateway.compose.inspection as inspection
from gateway.identity.keys import KeyTable
from gateway.settings import load_settings
from support.detectors import ListedDetector
from support.live import Setup


@dataclass(frozen=True)
class GatewayHere:
    """`client` speaks to it without a network, with a key of the app support-bot."""

    opened: compose.Gateway
    detector: ListedDetector
    client: httpx.AsyncClient


@asynccontextmanager
async def gateway_here(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, detector: ListedDetector | None = None
) -> AsyncIterator[GatewayHere]:
    """The gateway of this setup while the block runs. Raises what `open_gateway` raises."""
    finder = detector or ListedDetector()
    monkeypatch.setattr(inspection, "PresidioDetector", lambda processes, registry: finder)
    settings = load_settings(setup.write(), environ=setup.environ)
    keys = KeyTable.open(settings.storage.url("identity"))
    _, key = keys.create(tenant="acme", app="support-bot")
    keys.close()
    async with compose.open_gateway(settings) as opened:
        transport = httpx.ASGITransport(app=opened.app)  # type: ignore[arg-type]
        headers = {"authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as client:
            yield GatewayHere(opened, finder, client)
