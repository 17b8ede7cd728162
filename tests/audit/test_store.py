"""gateway.audit.store: durable, ordered, append-only, one chain for all; the same on every database."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import DBAPIError

from gateway.audit import AuditStore, verify
from gateway.audit import table as log_table
from gateway.audit.chain import Head
from gateway.audit.store import open_log
from gateway.domain.errors import Code, ConfigurationError, GatewayError
from support.postgres import postgres_server
from support.records import decision, intent, outcome

pytestmark = pytest.mark.anyio

FOLDER = Path(__file__).parent.parent


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[AuditStore]:
    store = AuditStore.open(database_url)
    yield store
    await store.aclose()


@pytest.fixture
def log(database_url: str) -> Engine:
    return open_log(database_url)


async def test_what_was_appended_is_there_and_verifies(store: AuditStore, log: Engine) -> None:
    """Records come back as they went in, in the order of the calls, in a chain without gaps."""
    for number in range(1, 4):
        await store.append(intent(number))
        store.submit(outcome(number))
    assert await store.find(decision(2)) == [intent(2), outcome(2)]
    rows = list(log_table.rows(log))
    assert [row.seq for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [(row.decision, row.kind, row.app) for row in rows[:2]] == [
        (decision(1), "intent", "support-bot"),
        (decision(1), "outcome", ""),
    ]
    assert verify(rows).ok
    assert log_table.head(log) == Head(6, rows[-1].hash)
    assert log_table.latest(log, 2) == rows[-2:]


async def test_an_empty_log(store: AuditStore, log: Engine) -> None:
    """A new log has no records, an empty chain's head, and knows of no decision."""
    assert list(log_table.rows(log)) == []
    assert log_table.head(log) == Head()
    assert await store.find(decision(1)) == []


async def test_the_chain_goes_on_after_a_restart(database_url: str, log: Engine) -> None:
    """A store that is opened again continues the chain where it ended; `aclose` has written what was submitted."""
    for number in (1, 2):
        store = AuditStore.open(database_url)
        await store.append(intent(number))
        store.submit(outcome(number))
        await store.aclose()
    found = verify(log_table.rows(log))
    assert found.ok
    assert (found.records, found.dangling_intents) == (4, ())


async def test_rows_are_read_in_blocks(store: AuditStore, log: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a log that is longer than one block gives every row once, from the beginning or from any place."""
    monkeypatch.setattr(log_table, "_READ_AT_ONCE", 3)
    for number in range(1, 8):
        store.submit(intent(number))
    await store.find(decision(1))
    assert [row.seq for row in log_table.rows(log)] == list(range(1, 8))
    assert [row.seq for row in log_table.rows(log, after=2)] == list(range(3, 8))


async def test_the_database_refuses_to_change_records(store: AuditStore, log: Engine) -> None:
    """Records cannot be updated, deleted, replaced or truncated through the database's front door."""
    await store.append(intent())
    statements = [
        "UPDATE audit_records SET app = 'other' WHERE seq = 1",
        "UPDATE audit_records SET body = body",
        "DELETE FROM audit_records WHERE seq = 1",
        "DELETE FROM audit_records",
        {
            "sqlite": "REPLACE INTO audit_records SELECT * FROM audit_records WHERE seq = 1",
            "postgresql": "TRUNCATE audit_records",
        }[log.dialect.name],
    ]
    for statement in statements:
        with pytest.raises(DBAPIError, match="append-only"), log.begin() as connection:
            connection.execute(text(statement))
    assert await store.find(decision(1)) == [intent()]


async def test_tampering_behind_the_triggers_is_found(store: AuditStore, log: Engine) -> None:
    """Who has the database's file can switch the triggers off, and is found out by the chain."""
    for number in range(1, 4):
        await store.append(intent(number))
    with log.begin() as connection:
        if log.dialect.name == "sqlite":
            connection.execute(text("DROP TRIGGER audit_records_no_update"))
            connection.execute(text("UPDATE audit_records SET body = 'a text instead' WHERE seq = 2"))
        else:
            connection.execute(text("ALTER TABLE audit_records DISABLE TRIGGER ALL"))
            connection.execute(text(r"UPDATE audit_records SET body = '\x00' WHERE seq = 2"))
    found = verify(log_table.rows(log))
    assert found.first_problem is not None
    assert found.first_problem.seq == 2


_APPENDING = """
import asyncio, sys
from support.records import intent, outcome
from gateway.audit import AuditStore

async def append(store, numbers):
    for number in numbers:
        await store.append(intent(number))
        print(number, flush=True)
        store.submit(outcome(number))

async def main(url, first, count):
    store = AuditStore.open(url)
    print("ready", flush=True)
    sys.stdin.readline()
    numbers = iter(range(first, first + count))
    await asyncio.gather(*(append(store, numbers) for _ in range(8)))
    await store.aclose()

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


def _start_appending(url: str, first: int, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _APPENDING, url, str(first), str(count)]
    environment = {"PYTHONPATH": f"{FOLDER}:{FOLDER.parent}", "PATH": "/usr/bin:/bin"}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def _go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def test_killed_at_any_moment_nothing_durable_is_lost(database_url: str, log: Engine) -> None:
    """After kill -9 in the middle of writing, several times over, the chain verifies, and every record whose append
    had returned is in it."""
    random_moment = random.Random(7)
    durable: set[str] = set()
    for round_ in range(3):
        process = _start_appending(database_url, 1 + round_ * 1_000_000, 1_000_000)
        assert process.stdout is not None
        _go(process)
        durable.add(process.stdout.readline().strip())
        time.sleep(random_moment.uniform(0.02, 0.3))
        process.send_signal(signal.SIGKILL)
        durable.update(line.strip() for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n"))
        process.wait()
    rows = list(log_table.rows(log))
    found = verify(rows)
    assert found.ok
    assert len(durable) > 3
    assert {decision(int(number)) for number in durable} <= {row.decision for row in rows if row.kind == "intent"}
    assert len(found.dangling_intents) >= 1  # what the last kill cut off is named


async def test_stores_that_take_turns_share_one_chain(database_url: str, log: Engine) -> None:
    """A store reads the chain's head anew for each group, because others have written to it since."""
    stores = [AuditStore.open(database_url) for _ in range(2)]
    for number in range(10):
        await stores[number % 2].append(intent(number))
    for store in stores:
        await store.aclose()
    assert verify(log_table.rows(log)).ok
    assert [row.decision for row in log_table.rows(log)] == [decision(number) for number in range(10)]


def test_processes_share_one_chain(database_url: str, log: Engine) -> None:
    """Two processes that append at the same time make one unbroken chain with all records of both."""
    processes = [_start_appending(database_url, 1 + side * 1000, 200) for side in (0, 1)]
    for process in processes:
        _go(process)
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    rows = list(log_table.rows(log))
    found = verify(rows)
    assert found.ok
    assert (found.records, found.dangling_intents) == (800, ())


async def test_a_closed_store_is_unavailable(database_url: str) -> None:
    """After `aclose`, append, submit and find fail with the code that stops the sending; closing again is fine."""
    store = AuditStore.open(database_url)
    await store.aclose()
    with pytest.raises(GatewayError) as appended:
        await store.append(intent())
    with pytest.raises(GatewayError) as submitted:
        store.submit(intent())
    with pytest.raises(GatewayError) as found:
        await store.find(decision(1))
    assert {caught.value.code for caught in (appended, submitted, found)} == {Code.AUDIT_UNAVAILABLE}
    await store.aclose()


async def test_a_full_disk_is_unavailable_and_owed_records_follow(tmp_path: Path) -> None:
    """While the disk is full, append fails with AUDIT_UNAVAILABLE; what was submitted meanwhile is kept and written,
    in order, once there is room."""
    engine = open_log(f"sqlite:///{tmp_path}/audit.db")
    pages = {"limit": 2**30}

    @event.listens_for(engine, "begin")
    def limit(connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages['limit']}")

    store = AuditStore(engine)
    await store.append(intent(1))
    pages["limit"] = 1  # SQLite takes the present size instead: not a page more
    error = await _append_until_it_fails(store)
    assert error.code is Code.AUDIT_UNAVAILABLE
    assert "full" in error.detail
    store.submit(outcome(1))
    store.submit(outcome(1, attempt=2))
    await store.find(decision(1))
    assert store.owed == 2
    with pytest.raises(GatewayError):
        await store.append(intent(1000))
    assert store.owed == 2
    pages["limit"] = 2**30
    await store.append(intent(1000))
    assert store.owed == 0
    assert await store.find(decision(1)) == [intent(1), outcome(1), outcome(1, attempt=2)]
    await store.aclose()
    assert verify(log_table.rows(open_log(f"sqlite:///{tmp_path}/audit.db"))).ok


async def _append_until_it_fails(store: AuditStore) -> GatewayError:
    for number in range(2, 1000):
        try:
            await store.append(intent(number))
        except GatewayError as error:
            return error
    raise AssertionError("the disk is not full")


async def test_a_locked_database_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When another program keeps the lock, append fails instead of waiting for ever, and works again afterwards."""
    monkeypatch.setattr("gateway.sql.engine.LOCK_WAIT", 0.1)
    store = AuditStore.open(f"sqlite:///{tmp_path}/audit.db")
    other = sqlite3.connect(tmp_path / "audit.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(GatewayError) as caught:
        await store.append(intent(1))
    assert caught.value.code is Code.AUDIT_UNAVAILABLE
    other.execute("ROLLBACK")
    other.close()
    await store.append(intent(1))
    await store.aclose()


async def test_a_stopped_postgresql_is_unavailable() -> None:
    """While PostgreSQL is away, append fails with AUDIT_UNAVAILABLE; when it is back, it works again."""
    server = postgres_server()
    store = AuditStore.open(server.new_database())
    await store.append(intent(1))
    server.stop()
    try:
        with pytest.raises(GatewayError) as caught:
            await store.append(intent(2))
        assert caught.value.code is Code.AUDIT_UNAVAILABLE
        store.submit(outcome(1))
    finally:
        server.start()
    await store.append(intent(3))
    assert await store.find(decision(1)) == [intent(1), outcome(1)]
    await store.aclose()


def test_a_database_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    """A file that is no database is a configuration error that names it."""
    (tmp_path / "audit.db").write_bytes(b"this is not a database, " * 100)
    with pytest.raises(ConfigurationError, match=r"audit\.db"):
        AuditStore.open(f"sqlite:///{tmp_path}/audit.db")


async def test_many_writers_share_commits(tmp_path: Path) -> None:
    """With 32 in flight, 2,000 durable appends take far fewer commits than 2,000, and well under two seconds."""
    engine = open_log(f"sqlite:///{tmp_path}/audit.db")
    commits = []
    event.listen(engine, "commit", lambda connection: commits.append(1))
    store = AuditStore(engine)
    numbers = iter(range(2000))

    async def work() -> None:
        for number in numbers:
            await store.append(intent(number))

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(32)))
    took = time.perf_counter() - began
    await store.aclose()
    assert len(commits) < 500
    assert took < 2.0
