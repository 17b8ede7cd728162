"""The stores that the ledger contract runs on, each plain and with leases; each test gets an empty one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeAlias

import pytest

from gateway.budgets.leases import LeasedLedger
from gateway.budgets.ledger import StoreLedger
from gateway.budgets.redis_ledger import RedisLedger
from gateway.budgets.sql_ledger import SqlLedger
from gateway.domain.ports import Ledger
from gateway.sql import open_engine
from support.postgres import postgres_server
from support.redis import redis_server, redis_url

__all__ = ["redis_url"]

OpenLedger: TypeAlias = Callable[..., Awaitable[Ledger]]


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store of each kind."""
    if request.param == "redis":
        return redis_server().new_database()
    return f"sqlite:///{tmp_path}/budgets.db" if request.param == "sqlite" else postgres_server().new_database()


@pytest.fixture(params=["plain", "leased"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def open_ledger(store_url: str, kind: str, anyio_backend: str) -> AsyncIterator[OpenLedger]:
    """Opens one more ledger on the store, as one more gateway would; all are closed at the end."""
    async with AsyncExitStack() as stack:

        async def open_one(lease: float = 120.0) -> Ledger:
            store: StoreLedger
            if store_url.startswith("redis"):
                store = await RedisLedger.open(store_url, lease=lease)
            else:
                engine = open_engine(store_url, durable=True)
                stack.callback(engine.dispose)
                store = await SqlLedger.open(engine, lease=lease)
            ledger: Ledger = LeasedLedger(store, every=0.05) if kind == "leased" else store
            stack.push_async_callback(ledger.aclose)
            return ledger

        yield open_one
