"""Starting, pinning, watching and ending the processes of a benchmark. Linux only (/proc, taskset)."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_STOP_GRACE_S = 10.0


class StartError(Exception):
    """A process ended, or did not answer in time; the message says where its log is."""


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pin(cpu: int | None, command: Sequence[str]) -> list[str]:
    """Return the command pinned to that core, or unchanged for None."""
    return list(command) if cpu is None else ["taskset", "-c", str(cpu), *command]


@dataclass
class Child:
    """A process we started, in a session of its own."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(
        cls,
        name: str,
        command: Sequence[str],
        folder: Path,
        cpu: int | None,
        env: Mapping[str, str] | None = None,
    ) -> "Child":
        """Start it in that folder, with its output in `<name>.log` there."""
        log = folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                pin(cpu, command),
                cwd=folder,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(name, process, log)

    def wait_until_answers(self, url: str, timeout_s: float) -> None:
        """Return when the address answers 200; end the process and raise StartError when it never does."""
        try:
            self._wait_until_answers(url, timeout_s)
        except BaseException:
            self.stop()
            raise

    def _wait_until_answers(self, url: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise StartError(f"{self.name} ended with {self.process.returncode}: {self.log_tail()}")
            if answers(url):
                return
            time.sleep(0.1)
        raise StartError(f"{self.name} did not answer at {url} in {timeout_s:.0f} s: {self.log_tail()}")

    def log_tail(self) -> str:
        """Return the end of its output."""
        return self.log.read_text(errors="replace")[-600:]

    def resident_mb(self) -> float:
        """Return the memory of the process and its children: proportional share, in MB."""
        return sum(map(_process_memory_bytes, _with_descendants(self.process.pid))) / 1e6

    def stop(self) -> None:
        """Ask it to end, then insist."""
        for how in (signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is not None:
                return
            try:
                os.killpg(self.process.pid, how)
                self.process.wait(_STOP_GRACE_S)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def answers(url: str) -> bool:
    """Say whether a GET there gives 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def run_logged(command: Sequence[str], folder: Path, log: Path, env: Mapping[str, str] | None = None) -> bool:
    """Run a command to its end with its output appended to the log; say whether it succeeded."""
    if shutil.which(command[0]) is None:
        return False
    with log.open("ab") as output:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    return done.returncode == 0


def _with_descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        current = waiting.pop()
        found.append(current)
        waiting += children.get(current, [])
    return found


def _process_memory_bytes(pid: int) -> int:
    """Proportional set size where the kernel tells it (shared pages count once), else resident size."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0
