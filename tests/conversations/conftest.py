"""The stores that the contract runs on; each test gets an empty one."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeAlias

import pytest

from gateway.conversations.redis_store import RedisConversations
from gateway.conversations.sql_store import SqlConversations
from gateway.domain.ports import Conversations
from gateway.sql import open_engine
from support.postgres import postgres_server
from support.redis import redis_server, redis_url

__all__ = ["redis_url"]

OpenStore: TypeAlias = Callable[..., Awaitable[Conversations]]


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store of each kind."""
    if request.param == "redis":
        return redis_server().new_database()
    return f"sqlite:///{tmp_path}/conversations.db" if request.param == "sqlite" else postgres_server().new_database()


@pytest.fixture
async def open_store(store_url: str, anyio_backend: str) -> AsyncIterator[OpenStore]:
    """Opens one more store on the same database, as one more gateway would; all are closed at the end."""
    async with AsyncExitStack() as stack:

        async def open_one(keep: int = 3600, now: Callable[[], float] = time.time) -> Conversations:
            store: Conversations
            if store_url.startswith("redis"):
                store = RedisConversations.open(store_url, keep=keep)
            else:
                engine = open_engine(store_url, durable=True)
                stack.callback(engine.dispose)
                store = await SqlConversations.open(engine, keep=keep, now=now)
            stack.push_async_callback(store.aclose)
            return store

        yield open_one
