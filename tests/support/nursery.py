"""Gateways that start in a fraction of a second, for tests that end many of them.

What takes seconds in a start is loading Presidio. Here one process, the nursery, has loaded everything; each gateway is
a fork of it that goes on as ``bailiwick serve`` does, with its own state, sockets and process id. Only the detector's
extra processes are left out: texts of any length are scanned in place.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import httpx

from gateway.identity.keys import KeyTable
from support.live import REPOSITORY, Gateway, Setup

ENGINE_TIMES = "TEST_ENGINE_TIMES"
"""The environment variable with members of `EngineConfig` as JSON, so that a test need not wait for its defaults."""

_LISTENS = re.compile(r"listens on (http://\S+)")


class Nursery:
    """The process that has loaded everything. It ends, with all its children, when its standard input does."""

    def __init__(self) -> None:
        paths = [str(REPOSITORY), str(REPOSITORY / "tests")]
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from support.nursery import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        self._answer()

    def spawn(self, config: Path, output: Path, environ: Mapping[str, str]) -> int:
        """The process id of a new gateway that writes to `output`; its exit code will be in ``<output>.exit``."""
        assert self._process.stdin is not None
        request = {"config": str(config), "output": str(output), "environ": dict(environ)}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._answer())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the nursery ended")
        return line


@cache
def nursery() -> Nursery:
    """The one of this test session."""
    opened = Nursery()
    atexit.register(opened.close)
    return opened


class ForkedProcess:
    """A gateway process; used like `support.live.Process`."""

    def __init__(self, config: Path, output: Path, environ: Mapping[str, str], wait: float = 30.0) -> None:
        self._file = output
        self._exit = Path(f"{output}.exit")
        for left_over in (self._file, self._exit):
            left_over.unlink(missing_ok=True)
        self.pid = nursery().spawn(config, output, environ)
        deadline = time.monotonic() + wait
        while (matched := _LISTENS.search(self.output)) is None:
            if self._exit.exists() or time.monotonic() > deadline:
                self.stop(signal.SIGKILL)
                raise RuntimeError("the gateway did not start:\n" + self.output)
            time.sleep(0.01)
        self.matched = matched

    @property
    def output(self) -> str:
        return self._file.read_text() if self._file.exists() else ""

    @property
    def running(self) -> bool:
        return not self._exit.exists()

    def send(self, number: int) -> None:
        if self.running:
            os.kill(self.pid, number)

    def stop(self, number: int = signal.SIGTERM, wait: float = 30.0) -> int:
        """End the process and return its exit code; of a signal its negative number."""
        self.send(number)
        return self.ended(wait)

    def ended(self, wait: float = 30.0) -> int:
        """Wait for the end, and return the exit code."""
        deadline = time.monotonic() + wait
        while self.running:
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                raise RuntimeError("the gateway did not end:\n" + self.output)
            time.sleep(0.01)
        return int(self._exit.read_text())


class ForkedGateway(Gateway):
    """A gateway with its own state; `restart` starts another process on the same state."""

    process: ForkedProcess  # type: ignore[assignment]

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.config = setup.write()
        self.environ = {**os.environ, **setup.environ}
        self.key = self.new_key()
        self.restart()

    def restart(self) -> None:
        self.process = ForkedProcess(self.config, self.setup.folder / "output", self.environ)
        self.url = self.process.matched[1]
        self.client = httpx.Client(
            base_url=self.url, headers={"authorization": f"Bearer {self.key}"}, timeout=30, trust_env=False
        )

    def new_key(self, tenant: str = "acme", app: str = "support-bot", role: str = "user") -> str:
        return make_key(self, tenant, app, role)

    def kill(self) -> None:
        self.client.close()
        self.process.stop(signal.SIGKILL)


def make_key(gateway: Gateway, tenant: str = "acme", app: str = "support-bot", role: str = "user") -> str:
    """A new API key, made beside the running gateway, which knows it within a second (see `until_known`)."""
    keys = KeyTable.open(f"sqlite:///{gateway.state}/identity.db")
    try:
        return keys.create(tenant=tenant, app=app, role=role)[1]
    finally:
        keys.close()


def client_of(gateway: Gateway, key: str, **more: Any) -> httpx.Client:
    """A client with this key, once the gateway knows it."""
    client = httpx.Client(
        base_url=gateway.url, headers={"authorization": f"Bearer {key}"}, timeout=60, trust_env=False, **more
    )
    deadline = time.monotonic() + 5
    while client.get("/v1/models").status_code == 401:
        assert time.monotonic() < deadline, "the gateway does not get to know a new key"
        time.sleep(0.02)
    return client


@contextmanager
def forked_gateway(setup: Setup) -> Iterator[ForkedGateway]:
    """A gateway that is ended at the end of the block, if it still runs."""
    gateway = ForkedGateway(setup)
    try:
        gateway.wait_ready()
        yield gateway
    finally:
        gateway.client.close()
        gateway.process.stop()


def _serve(request: dict[str, Any]) -> None:
    """What the fork does: be ``bailiwick serve``."""
    from gateway.cli import main as bailiwick

    output = os.open(request["output"], os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.clear()
    os.environ.update(request["environ"])
    if ENGINE_TIMES in os.environ:
        from gateway.compose import targets

        hurried = partial(targets.EngineConfig, **json.loads(os.environ[ENGINE_TIMES]))
        targets.EngineConfig = hurried  # type: ignore[misc,assignment]
    bailiwick(["--config", request["config"], "serve"], prog_name="bailiwick")


def _load_everything() -> None:
    import gateway.cli.serve
    import gateway.compose.gateway
    import gateway.inspection.detector as detector
    from gateway.inspection.pool import ProcessPool
    from gateway.settings.recognizers import RegistrySettings

    assert gateway.cli.serve
    usual = RegistrySettings().to_json()
    engine = detector._load(usual)
    load = detector._load

    async def none(self: ProcessPool) -> None:
        return None

    detector._load = lambda settings: engine if settings in (None, usual) else load(settings)
    detector.is_cheap = lambda texts: True
    ProcessPool.start = none  # type: ignore[method-assign]


def main() -> None:
    """The nursery's own life."""
    _load_everything()
    print("ready", flush=True)
    outputs: dict[int, str] = {}
    buffered = ""
    while True:
        readable, _, _ = select.select([0], [], [], 0.01)
        if readable:
            data = os.read(0, 65536).decode()
            if not data:
                break
            buffered += data
        while "\n" in buffered:
            line, buffered = buffered.split("\n", 1)
            request = json.loads(line)
            pid = os.fork()
            if pid == 0:
                _serve(request)
                return
            outputs[pid] = request["output"]
            print(pid, flush=True)
        while outputs:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            _note_exit(outputs.pop(pid), os.waitstatus_to_exitcode(status))
    for pid in outputs:
        os.kill(pid, signal.SIGKILL)


def _note_exit(output: str, code: int) -> None:
    """Whole or not at all: it is read by another process."""
    with open(f"{output}.part", "w") as file:
        file.write(str(code))
    os.replace(f"{output}.part", f"{output}.exit")
