"""What every store of conversations promises: a standing only rises, whoever raises it, and is there for all."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest

from gateway.domain.decision import Level
from gateway.domain.ports import Conversations, Standing

pytestmark = pytest.mark.anyio

OpenStore: TypeAlias = Callable[..., Awaitable[Conversations]]

A, B, C = (letter * 32 for letter in "abc")


async def test_what_nobody_said_anything_of_is_not_known(open_store: OpenStore) -> None:
    """An unknown key is left out of the answer, and asking for none gives none."""
    store = await open_store()
    assert await store.standing([A, B]) == {}
    assert await store.standing([]) == {}
    await store.join([], Standing(Level.RESTRICTED))
    await store.join([A], Standing())
    assert await store.standing([A, B]) == {A: Standing(Level.PUBLIC)}


async def test_level_and_doubt_only_rise_and_by_themselves(open_store: OpenStore) -> None:
    """Each of the two is the highest that it was joined with, in any order; other conversations are not touched."""
    every = [Standing(level, unread) for level, unread in itertools.product(Level, (False, True))]
    store = await open_store()
    for number, (first, second) in enumerate(itertools.product(every, every)):
        key = f"{number:032x}"
        await store.join([key], first)
        await store.join([key], second)
        assert await store.standing([key, A]) == {key: first.joined(second)}


async def test_all_gateways_see_what_one_was_told(open_store: OpenStore) -> None:
    """When `join` has returned, another gateway on the same store knows it, and goes on from there."""
    one, other = await open_store(), await open_store()
    await one.join([A, B], Standing(Level.CONFIDENTIAL))
    assert await other.standing([A, B, C]) == dict.fromkeys((A, B), Standing(Level.CONFIDENTIAL))
    await other.join([B, C], Standing(Level.INTERNAL, unread=True))
    assert await one.standing([A, B, C]) == {
        A: Standing(Level.CONFIDENTIAL),
        B: Standing(Level.CONFIDENTIAL, unread=True),
        C: Standing(Level.INTERNAL, unread=True),
    }


async def test_none_is_lost_when_many_raise_at_once(open_store: OpenStore) -> None:
    """Of a hundred joins and more of several gateways at the same moment, each counts."""
    stores = [await open_store() for _ in range(3)]
    chance = random.Random(7)
    keys = [f"{number:032x}" for number in range(8)]
    expected = dict.fromkeys(keys, Standing())
    work = []
    for _ in range(120):
        some = chance.sample(keys, chance.randint(1, 3))
        standing = Standing(chance.choice(list(Level)[:3]), chance.random() < 0.1)
        work.append(chance.choice(stores).join(some, standing))
        expected |= {key: expected[key].joined(standing) for key in some}
    await asyncio.gather(*work)
    for store in stores:
        assert await store.standing(keys) == expected


async def test_what_was_told_survives_an_end(open_store: OpenStore) -> None:
    """A gateway that starts anew knows what the one before it knew."""
    first = await open_store()
    await first.join([A], Standing(Level.RESTRICTED, unread=True))
    await first.aclose()
    assert await (await open_store()).standing([A]) == {A: Standing(Level.RESTRICTED, unread=True)}
