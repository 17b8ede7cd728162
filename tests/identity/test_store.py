"""gateway.identity.store: from a presented key to its caller, always up to date, closed when in doubt."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import timeit
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.domain.errors import Code, GatewayError
from gateway.domain.request import Caller
from gateway.identity.keys import KeyTable, open_identity
from gateway.identity.store import SqlKeyStore
from support.postgres import postgres_server

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def table(database_url: str) -> KeyTable:
    return KeyTable.open(database_url)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[SqlKeyStore]:
    store = SqlKeyStore.open(database_url)
    yield store
    await store.aclose()


async def eventually(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition comes true within this time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        await asyncio.sleep(0.01)
    return False


async def test_a_key_stands_for_its_caller(table: KeyTable, database_url: str) -> None:
    """The caller has the key's id and everything the key was made with."""
    key_id, key = table.create(tenant="acme", app="bot", group="hr", role="admin")
    store = SqlKeyStore.open(database_url)
    assert store.caller(key) == Caller(key=key_id, tenant="acme", app="bot", group="hr", role="admin")
    await store.aclose()


async def test_wrong_keys_stand_for_nobody(table: KeyTable, store: SqlKeyStore) -> None:
    """A wrong secret, a secret of another key, an unknown id and nonsense are all nobody."""
    _, key = table.create(tenant="acme", app="bot")
    _, other = table.create(tenant="acme", app="other")
    store.refresh()
    head, secret = key[:16], key[16:]
    wrong = ("a" if secret[0] != "a" else "b") + secret[1:]
    unknown = "bk_" + "0" * 12 + "_" + secret
    for presented in (head + wrong, head + other[16:], unknown, secret, "", key + "a", key[:-1]):
        assert store.caller(presented) is None
    assert store.caller(key) is not None


async def test_another_process_makes_and_revokes_a_key(database_url: str, table: KeyTable, store: SqlKeyStore) -> None:
    """What the command line does counts in a running gateway within a second, without a restart."""
    program = (
        "import sys; from gateway.identity import KeyTable; table = KeyTable.open(sys.argv[1]); "
        "print(table.create(tenant='acme', app='bot')[1], flush=True); sys.stdin.readline(); "
        "table.revoke(table.list()[0].id); print('done', flush=True)"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, database_url, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdin is not None
    key = (await process.stdout.readline()).decode().strip()
    assert await eventually(lambda: store.caller(key) is not None, 1.0)
    process.stdin.write(b"\n")
    assert await process.stdout.readline() == b"done\n"
    assert await eventually(lambda: store.caller(key) is None, 1.0)
    assert await process.wait() == 0


async def test_a_change_by_hand_counts_too(database_url: str, table: KeyTable, store: SqlKeyStore) -> None:
    """A key that somebody revokes with SQL, without this program, stops working as well."""
    _, key = table.create(tenant="acme", app="bot")
    store.refresh()
    assert store.caller(key) is not None
    with open_identity(database_url).begin() as connection:
        connection.execute(text("UPDATE api_keys SET revoked_at = 1"))
    assert await eventually(lambda: store.caller(key) is None, 1.0)


async def test_keys_are_refused_when_they_cannot_be_checked_for_too_long(tmp_path: Path) -> None:
    """While the database cannot be read, keys in memory count for a while, then none does; afterwards they do again."""
    url = f"sqlite:///{tmp_path}/identity.db"
    _, key = KeyTable.open(url).create(tenant="acme", app="bot")
    store = SqlKeyStore(open_identity(url), check_every=0.02, trust_for=0.4)
    hand = open_identity(url)
    with hand.begin() as connection:
        connection.execute(text("ALTER TABLE api_keys_version RENAME TO away"))
    await asyncio.sleep(0.1)
    assert store.caller(key) is not None

    def refused() -> bool:
        try:
            store.caller(key)
        except GatewayError as error:
            return error.code is Code.KEYS_UNAVAILABLE
        return False

    assert await eventually(refused, 1.0)
    with hand.begin() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO api_keys_version"))
    assert await eventually(lambda: not refused(), 1.0)
    assert store.caller(key) is not None
    await store.aclose()


async def test_a_restart_of_postgresql_is_survived() -> None:
    """When PostgreSQL was away for a moment, keys go on working and changes are seen again."""
    server = postgres_server()
    url = server.new_database()
    table = KeyTable.open(url)
    key_id, key = table.create(tenant="acme", app="bot")
    store = SqlKeyStore.open(url)
    server.stop()
    try:
        await asyncio.sleep(0.5)
        assert store.caller(key) is not None
    finally:
        server.start()
    KeyTable.open(url).revoke(key_id)
    assert await eventually(lambda: store.caller(key) is None, 2.0)
    await store.aclose()


async def test_looking_a_key_up_is_quick(table: KeyTable, store: SqlKeyStore) -> None:
    """A look-up takes tens of microseconds at most (about 3 on one idle core)."""
    _, key = table.create(tenant="acme", app="bot")
    store.refresh()
    assert min(timeit.repeat(lambda: store.caller(key), number=500, repeat=5)) / 500 < 30e-6
