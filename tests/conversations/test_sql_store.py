"""Conversations in SQL: how long they are kept, what is in the table, and what happens when it is away."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.conversations.sql_store import DAY, SqlConversations
from gateway.domain.decision import Level
from gateway.domain.ports import ConversationsUnavailable, Standing
from gateway.sql import open_engine, reading

pytestmark = pytest.mark.anyio

A, B = "a" * 32, "b" * 32
KEEP = 30 * DAY
RESTRICTED = Standing(Level.RESTRICTED)


class Time:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def engine(tmp_path: Path) -> sa.Engine:
    return open_engine(f"sqlite:///{tmp_path}/conversations.db", durable=False)


@pytest.fixture
async def store(engine: sa.Engine, clock: Time, anyio_backend: str) -> AsyncIterator[SqlConversations]:
    opened = await SqlConversations.open(engine, keep=KEEP, now=clock)
    yield opened
    await opened.aclose()


def rows(engine: sa.Engine) -> list[tuple[object, ...]]:
    with reading(engine) as connection:
        return [tuple(row) for row in connection.execute(sa.text("SELECT * FROM conversations ORDER BY key"))]


async def test_a_row_is_a_key_and_two_numbers(store: SqlConversations, engine: sa.Engine, clock: Time) -> None:
    """Nothing else is kept of a conversation."""
    await store.join([A], Standing(Level.CONFIDENTIAL, unread=True))
    assert rows(engine) == [(A, 2, 1, int(clock.now) + KEEP)]


async def test_a_conversation_that_rests_lapses_and_one_in_use_does_not(store: SqlConversations, clock: Time) -> None:
    """It is known to the last second after its last use, whether that was a raise or only a look."""
    await store.join([A, B], RESTRICTED)
    clock.now += KEEP - 10
    assert A in await store.standing([A])  # a use
    await store._writer.flush()
    clock.now += 9
    assert (await store.standing([A, B])).keys() == {A, B}
    await store._writer.flush()
    clock.now += KEEP + 1
    assert await store.standing([A, B]) == {}


async def test_a_look_writes_at_most_once_a_day(store: SqlConversations, engine: sa.Engine, clock: Time) -> None:
    """Most turns of a conversation in use cost a read and no commit."""
    await store.join([A], RESTRICTED)
    before = rows(engine)
    clock.now += DAY - 1
    await store.standing([A])
    await store._writer.flush()
    assert rows(engine) == before
    clock.now += 2
    await store.standing([A])
    await store._writer.flush()
    assert rows(engine) == [(A, 3, 0, int(clock.now) + KEEP)]


async def test_what_has_lapsed_does_not_come_back(store: SqlConversations, clock: Time) -> None:
    """A name that is used again after its conversation has lapsed begins a new one."""
    await store.join([A], Standing(Level.RESTRICTED, unread=True))
    clock.now += KEEP
    await store.join([A], Standing(Level.INTERNAL))
    assert await store.standing([A]) == {A: Standing(Level.INTERNAL)}


async def test_what_has_lapsed_is_deleted_and_nothing_else(
    store: SqlConversations, engine: sa.Engine, clock: Time
) -> None:
    """Also where it is more than goes into one transaction."""
    await store.join([f"{number:032x}" for number in range(2500)], RESTRICTED)
    clock.now += KEEP - 1
    await store.join([A], RESTRICTED)
    assert await store.purge() == 0
    clock.now += 1
    assert await store.purge() == 2500
    assert [row[0] for row in rows(engine)] == [A]


async def test_it_is_deleted_without_being_asked(engine: sa.Engine, clock: Time) -> None:
    """A store looks by itself when it opens, and then again and again."""
    first = await SqlConversations.open(engine, keep=KEEP, now=clock)
    await first.join([A], RESTRICTED)
    await first.aclose()
    clock.now += KEEP
    second = await SqlConversations.open(engine, keep=KEEP, now=clock, every=0.01)
    deadline = time.monotonic() + 5
    while rows(engine):
        assert time.monotonic() < deadline
        await second.standing([B])
    await second.aclose()


async def test_a_table_that_is_away_is_said_so(store: SqlConversations, engine: sa.Engine) -> None:
    """Reading and raising fail with an error without parameters, and work again when the table is back."""
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE conversations RENAME TO elsewhere"))
    with pytest.raises(ConversationsUnavailable) as unread:
        await store.standing([A])
    with pytest.raises(ConversationsUnavailable) as unwritten:
        await store.join([A], RESTRICTED)
    assert A not in f"{unread.value}{unwritten.value}"
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE elsewhere RENAME TO conversations"))
    await store.join([A], RESTRICTED)
    assert await store.standing([A]) == {A: RESTRICTED}


async def test_a_store_that_is_closed_keeps_nothing(engine: sa.Engine) -> None:
    """It says so, in the one way that a caller expects."""
    store = await SqlConversations.open(engine, keep=KEEP)
    await store.aclose()
    with pytest.raises(ConversationsUnavailable):
        await store.join([A], RESTRICTED)
