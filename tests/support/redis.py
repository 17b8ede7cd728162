"""A real Redis for tests: on a free port, in a temporary folder, gone afterwards.

Tests that need one ask for the fixture `redis_url`, each with a database of its own.
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import subprocess
import tempfile
import time
from functools import cache
from itertools import count
from pathlib import Path
from typing import NoReturn

import pytest

_DATABASES = 512
_numbers = count()


class RedisServer:
    """One server of this process. `stop` and `start` are for tests of what happens when it goes away; what was
    written before `stop` is there again after `start`."""

    def __init__(self, binary: str) -> None:
        self._binary = binary
        self._folder = Path(tempfile.mkdtemp(prefix="redis-", dir="/tmp"))
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                *(self._binary, "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder)),
                *("--databases", str(_DATABASES), "--save", "", "--appendonly", "yes", "--appendfsync", "always"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while not _answers(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("redis-server did not start")
            time.sleep(0.01)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def new_database(self) -> str:
        """The URL of an empty database."""
        return f"redis://127.0.0.1:{self.port}/{next(_numbers) % _DATABASES}"

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


@cache
def redis_server() -> RedisServer:
    """The server that all tests of this process share; skips the test where Redis is not to be had."""
    binary = shutil.which("redis-server") or shutil.which("valkey-server")
    if binary is None:
        _unavailable("redis-server is not installed (Debian: apt-get install redis-server)")
    server = RedisServer(binary)
    atexit.register(server.remove)
    return server


@pytest.fixture
def redis_url() -> str:
    """The URL of a new, empty database."""
    return redis_server().new_database()


def _unavailable(reason: str) -> NoReturn:
    """In CI a missing Redis is a failure: else the tests of it could silently never run."""
    if os.environ.get("CI"):
        pytest.fail(f"Redis tests cannot run: {reason}")
    pytest.skip(f"Redis tests cannot run: {reason}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
