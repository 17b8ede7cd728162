"""Fixtures of the approval tests: a store on each database, with a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TypeAlias

import pytest

from gateway.approvals import SqlApprovals
from support.approvals import Hands
from support.postgres import database_url

__all__ = ["database_url"]

OpenStore: TypeAlias = Callable[[], Awaitable[SqlApprovals]]


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
async def open_store(database_url: str, clock: Hands, anyio_backend: str) -> AsyncIterator[OpenStore]:
    """Opens one more store on the database, as one more gateway would; all are closed at the end."""
    async with AsyncExitStack() as stack:

        async def open_one() -> SqlApprovals:
            store = SqlApprovals.open(database_url, clock)
            stack.push_async_callback(store.aclose)
            return store

        yield open_one


@pytest.fixture
async def store(open_store: OpenStore) -> SqlApprovals:
    return await open_store()
