"""A real PostgreSQL for tests: made in a temporary folder, reached by a socket in it, gone afterwards.

Tests that run on every database ask for the fixture `database_url`.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from itertools import count
from pathlib import Path
from typing import NoReturn

import pytest

_BINARIES = ("initdb", "pg_ctl", "postgres")
_UNPRIVILEGED = ("postgres", "nobody")
_numbers = count(1)


class PostgresServer:
    """One server of this process. `stop` and `start` are for tests of what happens when it goes away."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        self._as_user: list[str] = []
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            user = next(name for name in _UNPRIVILEGED if _exists(name))
            os.chown(self._folder, pwd.getpwnam(user).pw_uid, -1)
            self._as_user = ["runuser", "-u", user, "--"]
        self._run("initdb", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C", "--username=bailiwick")
        self.start()

    def start(self) -> None:
        options = f"-c listen_addresses='' -c unix_socket_directories={self._folder} -c fsync=off"
        self._run("pg_ctl", "--wait", f"--log={self._folder}/log", f"--options={options}", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "--mode=immediate", "--wait", "stop")

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"test_{next(_numbers)}"
        psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
        place = f"host={self._folder} user=bailiwick dbname=postgres"
        with psycopg.connect(place, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        return f"postgresql://bailiwick@/{name}?host={self._folder}"

    def remove(self) -> None:
        self._run("pg_ctl", "--mode=immediate", "--wait", "stop", check=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        command: Sequence[str] = [
            *self._as_user, str(self._binaries / program), f"--pgdata={self._folder}/data", *arguments
        ]  # fmt: skip
        done = subprocess.run(
            command, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60
        )
        if check and done.returncode:
            raise RuntimeError(f"{program}: {done.stdout.decode(errors='replace')}")


@cache
def postgres_server() -> PostgresServer:
    """The server that all tests of this process share; skips the test where PostgreSQL is not installed."""
    binaries = _find_binaries()
    if binaries is None:
        _unavailable("PostgreSQL's programs (initdb, pg_ctl, postgres) are not installed")
    if os.geteuid() == 0 and not (shutil.which("runuser") and any(map(_exists, _UNPRIVILEGED))):
        _unavailable("running as root, and there is no runuser or no unprivileged user for PostgreSQL")
    server = PostgresServer(binaries)
    atexit.register(server.remove)
    return server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new, empty database of each supported kind."""
    return f"sqlite:///{tmp_path}/store.db" if request.param == "sqlite" else postgres_server().new_database()


def _unavailable(reason: str) -> NoReturn:
    """In CI a missing database is a failure: else the tests of it could silently never run."""
    if os.environ.get("CI"):
        pytest.fail(f"PostgreSQL tests cannot run: {reason}")
    pytest.skip(f"PostgreSQL tests cannot run: {reason}")


def _find_binaries() -> Path | None:
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if all((folder / name).exists() for name in _BINARIES)), None)


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
