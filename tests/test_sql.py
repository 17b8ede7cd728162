"""gateway.sql: engines, migrations and the writer, on every supported database."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import IntegrityError, OperationalError

from gateway.domain.errors import ConfigurationError
from gateway.sql import BatchWriter, Writer, WriterClosed, WriterFull, insert_rows, migrate, open_engine, reading
from support.postgres import database_url, postgres_server  # noqa: F401 (a fixture)


@pytest.fixture
def engine(database_url: str) -> Engine:  # noqa: F811
    engine = open_engine(database_url, durable=False)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE things (n INTEGER PRIMARY KEY, batch INTEGER)"))
    return engine


@pytest.fixture
async def writer(engine: Engine) -> AsyncIterator[Writer]:
    writer = Writer(engine, "test")
    yield writer
    await writer.aclose()
    engine.dispose()


def put(n: int, connection: Connection) -> int:
    connection.execute(text("INSERT INTO things (n) VALUES (:n)"), {"n": n})
    return n * 10


def stored(engine: Engine) -> list[int]:
    with reading(engine) as connection:
        return list(connection.execute(text("SELECT n FROM things ORDER BY n")).scalars())


def test_sqlite_files_are_private(tmp_path: Path) -> None:
    """The database, its write-ahead log and its folder are for their owner only, also when they existed before."""
    folder = tmp_path / "state"
    (tmp_path / "old.db").touch(mode=0o644)
    for path in (folder / "new.db", tmp_path / "old.db"):
        engine = open_engine(f"sqlite:///{path}", durable=True)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE t (n INTEGER)"))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.glob(f"{path.name}*")}
        assert modes.keys() >= {path.name, f"{path.name}-wal"}
        assert set(modes.values()) == {0o600}
        engine.dispose()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(("durable", "synchronous"), [(True, 2), (False, 1)])
def test_sqlite_settings(tmp_path: Path, durable: bool, synchronous: int) -> None:
    """SQLite runs in WAL mode with foreign keys on, and syncs each commit exactly when it has to be durable."""
    engine = open_engine(f"sqlite:///{tmp_path}/a.db", durable=durable)
    with engine.connect() as connection:
        read = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "synchronous")
        }
    assert read == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": synchronous}


def test_readers_and_a_writer_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """While a transaction holds the write lock of SQLite, a reader reads, and sees what was before."""
    engine = open_engine(f"sqlite:///{tmp_path}/a.db", durable=False)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (n INTEGER)"))
    with engine.begin() as writing:
        writing.execute(text("INSERT INTO t VALUES (1)"))
        with reading(engine) as connection:
            assert connection.execute(text("SELECT count(*) FROM t")).scalar() == 0


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "not a URL"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("mysql://host/db", "not supported"),
        ("sqlite:////proc/none/a.db", "/proc/none/a.db"),
    ],
)
def test_unusable_urls(url: str, words: str) -> None:
    """A database URL that cannot work is a configuration error that says why."""
    with pytest.raises(ConfigurationError, match=words):
        open_engine(url, durable=True)


def test_nothing_is_made_when_only_looking(tmp_path: Path) -> None:
    """Without `create`, a missing SQLite file is an error and stays missing."""
    with pytest.raises(ConfigurationError, match="no database"):
        open_engine(f"sqlite:///{tmp_path}/a.db", durable=True, create=False)
    assert list(tmp_path.iterdir()) == []


def test_errors_show_no_parameters(engine: Engine) -> None:
    """The values of a failed statement are not in the error's text, which may go to a log."""
    with pytest.raises(IntegrityError) as caught, engine.begin() as connection:
        connection.execute(text("INSERT INTO things VALUES (:n, :b)"), [{"n": 1, "b": 77123}, {"n": 1, "b": 77123}])
    assert "77123" not in str(caught.value)


def test_migrating_is_quick_when_there_is_nothing_to_do(database_url: str) -> None:  # noqa: F811
    """A second start finds the tables up to date within 30 ms and without running Alembic."""
    engine = open_engine(database_url, durable=False)
    migrate(engine, "audit")
    took = []
    for _ in range(3):
        began = time.perf_counter()
        migrate(engine, "audit")
        took.append(time.perf_counter() - began)
    assert min(took) < 0.030
    migrate(engine, "identity")  # another branch in the same database
    with reading(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM audit_records")).scalar() == 0
        assert connection.execute(text("SELECT count(*) FROM api_keys")).scalar() == 0
    engine.dispose()


def test_processes_may_migrate_at_once(database_url: str) -> None:  # noqa: F811
    """Several gateways that start on an empty database at the same time all come up."""
    program = (
        "import sys; from gateway.sql import migrate, open_engine; "
        "migrate(open_engine(sys.argv[1], durable=True), 'audit')"
    )
    command = [sys.executable, "-c", program, database_url]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]
    for process in started:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()


def test_a_database_from_the_future_is_refused(database_url: str) -> None:  # noqa: F811
    """Tables of a revision that this version does not know are left alone."""
    engine = open_engine(database_url, durable=False)
    migrate(engine, "audit")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version_audit SET version_num = '9999'"))
    with pytest.raises(ConfigurationError, match="newer"):
        migrate(engine, "audit")
    engine.dispose()


def test_an_unknown_branch(tmp_path: Path) -> None:
    """A branch that no package has is an error and not an empty migration."""
    with pytest.raises(ConfigurationError, match="nothing"):
        migrate(open_engine(f"sqlite:///{tmp_path}/a.db", durable=False), "nothing")


def test_many_rows_go_in_by_few_kinds_of_statements(engine: Engine) -> None:
    """However many rows come at once, they are there in order, and the driver has a dozen statements to keep: with one
    for each number of rows, its memory would grow for as long as rarer numbers come."""
    said: list[str] = []

    @event.listens_for(engine, "connect")
    def listen(connection: object, _: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.set_trace_callback(said.append)

    engine.dispose()  # so that the next connection is a new one
    total = 0
    for count in (0, *range(1, 101), 256, 512):
        with engine.begin() as connection:
            rows = [(total + row, count) for row in range(count)]
            insert_rows(connection, "things", ("n", "batch"), rows)
        total += count
    assert stored(engine) == list(range(total))
    kinds = {text.count("(") - 1 for text in said if text.startswith("INSERT")}
    assert kinds == ({*range(1, 9), 16, 32, 64} if engine.dialect.name == "sqlite" else set())


@pytest.mark.anyio
async def test_operations_run_in_order_and_return_their_values(engine: Engine, writer: Writer) -> None:
    """What is submitted and what is awaited is applied in the order of the calls."""
    order: list[int] = []
    for n in range(5):
        writer.submit(lambda connection, n=n: order.append(n))
    assert await writer.run(lambda connection: put(5, connection)) == 50
    assert order == list(range(5))
    assert stored(engine) == [5]


@pytest.mark.anyio
async def test_a_failing_operation_fails_alone(engine: Engine, writer: Writer) -> None:
    """In a group where one operation breaks a constraint and one raises, all others are committed."""

    def fail(connection: Connection) -> None:
        put(100, connection)
        raise LookupError("mine")

    results = await asyncio.gather(
        writer.run(lambda connection: put(1, connection)),
        writer.run(lambda connection: put(1, connection)),
        writer.run(fail),
        writer.run(lambda connection: put(2, connection)),
        return_exceptions=True,
    )
    assert [results[0], results[3]] == [10, 20]
    assert isinstance(results[1], IntegrityError)
    assert isinstance(results[2], LookupError)
    assert stored(engine) == [1, 2]


@pytest.mark.anyio
async def test_what_queues_during_a_commit_shares_the_next_one(engine: Engine) -> None:
    """Operations that arrive while the writer is busy are one group, not one commit each."""
    groups: list[int] = []
    hold = threading.Event()

    def apply(connection: Connection, items: Sequence[int]) -> Sequence[int]:
        hold.wait(5)
        groups.append(len(items))
        return [put(item, connection) for item in items]

    writer = BatchWriter(engine, "test", apply)
    waiting = [asyncio.create_task(writer.write(n)) for n in range(50)]
    await asyncio.sleep(0.05)
    hold.set()
    assert await asyncio.gather(*waiting) == [n * 10 for n in range(50)]
    assert len(groups) <= 2
    await writer.aclose()


@pytest.mark.anyio
async def test_too_many_waiting_operations_are_refused(engine: Engine) -> None:
    """A full queue refuses at once; what completes a write (`submit`) still has room then, up to a bound of its own."""
    hold = threading.Event()
    writer = Writer(engine, "test", limit=4)
    writer.submit(lambda connection: hold.wait(5))
    await asyncio.sleep(0.05)  # the first is taken out of the queue
    waiting = [asyncio.create_task(writer.run(lambda connection, n=n: put(n, connection))) for n in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(WriterFull):
        await writer.run(lambda connection: put(9, connection))
    for n in range(10, 14):
        writer.submit(lambda connection, n=n: put(n, connection))
    with pytest.raises(WriterFull):
        writer.submit(lambda connection: put(20, connection))
    hold.set()
    await asyncio.gather(*waiting)
    await writer.aclose()
    assert stored(engine) == [0, 1, 2, 3, 10, 11, 12, 13]


@pytest.mark.anyio
async def test_closing_writes_what_has_queued(engine: Engine) -> None:
    """`aclose` returns when everything submitted is committed; afterwards nothing is taken; closing twice is fine."""
    writer = Writer(engine, "test")
    for n in range(1000):
        writer.submit(lambda connection, n=n: put(n, connection))
    await writer.aclose()
    assert stored(engine) == list(range(1000))
    with pytest.raises(WriterClosed):
        writer.submit(lambda connection: None)
    with pytest.raises(WriterClosed):
        await writer.run(lambda connection: None)
    await writer.aclose()


@pytest.mark.anyio
async def test_flushing_waits_for_what_was_before(engine: Engine, writer: Writer) -> None:
    """After `flush`, everything submitted earlier can be read."""
    for n in range(100):
        writer.submit(lambda connection, n=n: put(n, connection))
    await writer.flush()
    assert len(stored(engine)) == 100


@pytest.mark.anyio
async def test_a_caller_who_leaves_harms_nobody(engine: Engine, writer: Writer) -> None:
    """Cancelling a wait neither takes the operation back nor disturbs the others of its group."""
    leaving = asyncio.create_task(writer.run(lambda connection: put(1, connection)))
    staying = asyncio.create_task(writer.run(lambda connection: put(2, connection)))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == 20
    assert stored(engine) == [1, 2]


@pytest.mark.anyio
async def test_a_sleeping_writer_takes_no_time(writer: Writer) -> None:
    """An idle writer does not wake up: the process uses no processor time while nothing comes."""
    await writer.run(lambda connection: None)
    began = time.process_time()
    await asyncio.sleep(0.3)
    assert time.process_time() - began < 0.03


@pytest.mark.anyio
async def test_a_locked_database_is_an_error_and_not_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When another program keeps SQLite's lock for too long, that operation fails, and later ones work again."""
    monkeypatch.setattr("gateway.sql.engine.LOCK_WAIT", 0.1)
    engine = open_engine(f"sqlite:///{tmp_path}/a.db", durable=False)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE things (n INTEGER PRIMARY KEY)"))
    writer = Writer(engine, "test")
    other = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(OperationalError):
        await writer.run(lambda connection: put(1, connection))
    other.execute("COMMIT")
    other.close()
    assert await writer.run(lambda connection: put(1, connection)) == 10
    await writer.aclose()


@pytest.mark.anyio
async def test_the_writer_survives_a_restart_of_postgresql() -> None:
    """A lost connection is made anew; an operation that had not been committed is tried again on it, once."""
    server = postgres_server()
    engine = open_engine(server.new_database(), durable=True)
    writer = Writer(engine, "test")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE things (n INTEGER PRIMARY KEY)"))
    server.stop()
    try:
        with pytest.raises(OperationalError):
            await writer.run(lambda connection: put(1, connection))
    finally:
        server.start()
    assert await writer.run(lambda connection: put(2, connection)) == 20
    server.stop()
    server.start()
    assert await writer.run(lambda connection: put(3, connection)) == 30
    await writer.aclose()
    assert stored(engine) == [2, 3]
    engine.dispose()
