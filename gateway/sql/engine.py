"""Opening a database: the one place that knows what SQLite and PostgreSQL each need."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError

from gateway.domain.errors import ConfigurationError

LOCK_WAIT = 5.0
"""Seconds to wait for another process's lock before an operation fails."""

_DEFERRED = "deferred_begin"


def open_engine(url: str, *, durable: bool, create: bool = True) -> Engine:
    """An engine for `sqlite:///folder/file.db` or `postgresql://…` (psycopg 3, the extra `postgres`).

    With `durable`, a commit has returned only when it is on the disk; without, a power cut (not a crash of the
    process) may lose the last moments. On SQLite every transaction takes the write lock at its start
    (`BEGIN IMMEDIATE`), because one that reads first and then writes would otherwise fail instead of wait; use
    `reading` for reads. The file is made with mode 0600, its folder with 0700. Errors never show parameters.

    Raises `ConfigurationError` for a URL that cannot be used and, without `create`, where there is no file yet.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigurationError("database URL: not a URL such as sqlite:///data/audit.db") from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return _open_sqlite(parsed, durable, create)
    if backend == "postgresql":
        return _open_postgres(parsed, durable)
    raise ConfigurationError(f"database URL: {backend!r} is not supported; use sqlite or postgresql")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection for reads only, which on SQLite neither waits for a writer nor makes one wait."""
    with engine.connect().execution_options(**{_DEFERRED: True}) as connection:
        yield connection


def execute_plain(connection: Connection, statement: str, parameters: Sequence[object] = ()) -> Any:
    """Execute a statement in the driver's own words and return the driver's cursor.

    For hot paths: it takes a third of the time of SQLAlchemy's own execution. Raises the same errors.
    """
    driver = cast(Any, connection.connection.driver_connection)  # of sqlite3 or psycopg, which are alike in this
    errors = connection.dialect.loaded_dbapi.Error
    try:
        return driver.execute(statement, parameters)
    except errors as error:
        gone = connection.dialect.is_disconnect(error, driver, None)
        raise DBAPIError.instance(
            statement,
            None,
            error,
            errors,
            hide_parameters=True,
            connection_invalidated=gone,
            dialect=connection.dialect,
        ) from error


def reason(error: Exception) -> str:
    """What went wrong, in one line for the operator: the driver's words without SQL and without parameters."""
    return f"{type(error).__name__}: {getattr(error, 'orig', None) or error}".splitlines()[0]


def _open_sqlite(url: URL, durable: bool, create: bool) -> Engine:
    if not url.database or url.database == ":memory:":
        raise ConfigurationError("database URL: SQLite needs a file, as in sqlite:///data/audit.db")
    if not create and not Path(url.database).is_file():
        raise ConfigurationError(f"there is no database {url.database} yet; it is made when the gateway first runs")
    _make_private(Path(url.database))
    engine = create_engine(
        url.set(drivername="sqlite+pysqlite"), connect_args={"timeout": LOCK_WAIT}, hide_parameters=True
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # the driver must not begin transactions on its own; `begin` below does
        _use_wal(connection)
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA recursive_triggers = ON")  # else INSERT OR REPLACE deletes behind a trigger's back
        connection.execute("PRAGMA trusted_schema = OFF")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        deferred = connection.get_execution_options().get(_DEFERRED)
        # Past SQLAlchemy's own execution, which takes five times as long.
        driver = cast(sqlite3.Connection, connection.connection.driver_connection)
        try:
            driver.execute("BEGIN" if deferred else "BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise OperationalError("BEGIN", None, error, hide_parameters=True) from error

    return engine


def _make_private(path: Path) -> None:
    """SQLite gives its -wal and -shm files the mode of the database file, so that one has to be right first."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_mode & 0o077:
                os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ConfigurationError(f"database file {path}: {error.strerror}") from error


def _use_wal(connection: sqlite3.Connection) -> None:
    """Changing the journal mode does not wait for locks as other statements do, so it is tried again."""
    deadline = time.monotonic() + LOCK_WAIT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.005)


def _open_postgres(url: URL, durable: bool) -> Engine:
    milliseconds = int(LOCK_WAIT * 1000)
    settings = {
        "synchronous_commit": "on" if durable else "off",
        "lock_timeout": str(milliseconds),
        "idle_in_transaction_session_timeout": str(6 * milliseconds),
    }
    connect_args: dict[str, Any] = {
        "connect_timeout": int(LOCK_WAIT),
        "application_name": "bailiwick",
        "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
    }
    try:
        return create_engine(
            url.set(drivername="postgresql+psycopg"),
            connect_args=connect_args,
            hide_parameters=True,
            pool_size=4,
            pool_use_lifo=True,
        )
    except (NoSuchModuleError, ModuleNotFoundError):
        raise ConfigurationError("PostgreSQL needs its driver: pip install 'bailiwick[postgres]'") from None
