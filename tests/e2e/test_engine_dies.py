"""The engine is killed, crashes and freezes under load: nobody hangs, nothing is lost, nothing stays behind.

Six mishaps in a normal run; ``BAILIWICK_ENGINE_MISHAPS=50`` for as many as one likes.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from gateway.domain.record import AuditRecord, RecordKind
from support.crowd import Crowd, Ended
from support.evidence import audit_verify, eventually, money, records
from support.live import Setup, cloud_target, local_target, scripted_cloud
from support.nursery import ENGINE_TIMES, ForkedGateway, forked_gateway
from support.sdk import OPEN
from support.tiny_gguf import write_tiny_gguf

pytestmark = pytest.mark.anyio
MISHAPS = int(os.environ.get("BAILIWICK_ENGINE_MISHAPS", "6"))
SEED = int(os.environ.get("BAILIWICK_ENGINE_SEED", "1"))
PATIENCE = 30.0  # seconds that any request may take, on a busy machine
TIMES = {
    "ping_interval": 0.3, "start_timeout": 8.0, "stop_timeout": 1.0, "backoff_first": 0.1, "backoff_most": 0.5,
    "healthy_after": 2.0,
}  # fmt: skip


@dataclass(frozen=True)
class Running:
    """The gateway and the folder that its engine's socket is in."""

    gateway: ForkedGateway
    sockets: Path

    def engine(self) -> psutil.Process | None:
        """The engine's process, if there is one that is not ending."""
        for child in psutil.Process(self.gateway.process.pid).children():
            try:
                if "adapters.llama_cpp" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                    return child
            except psutil.NoSuchProcess:
                continue
        return None


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A gateway with a local model and a cloud beside it, whose watchdog is in a hurry."""
    model = write_tiny_gguf(tmp_path / "tiny.gguf", context_tokens=16384)
    more = {"context_tokens": "16384", "max_output_tokens": "600", "parallel": "6", "queue": "4"}
    more["timeouts"] = "{first_event: 10s, idle: 10s}"
    models = {"local": "{targets: [local]}", "auto": "{targets: [local, cloud], rank: listed}"}
    with tempfile.TemporaryDirectory(prefix="bw", dir="/tmp") as folder, scripted_cloud() as cloud:
        environ = {"XDG_RUNTIME_DIR": folder, ENGINE_TIMES: json.dumps(TIMES)}
        targets = [local_target(file=str(model), **more), cloud_target("cloud", cloud.base_url)]
        with forked_gateway(Setup(tmp_path / "gateway", targets, models, OPEN, environ=environ)) as gateway:
            yield Running(gateway, Path(folder))
        assert list(Path(folder).iterdir()) == [], "the gateway left a socket behind"


async def test_an_engine_that_dies_costs_a_restart_and_nothing_else(running: Running) -> None:
    """Every request ends in time, with an answer, an error of its dialect, or at the permitted fallback; each has
    exactly one last record in a chain that verifies; no money stays reserved; no process, thread or file is left."""
    gateway, chance = running.gateway, random.Random(SEED)
    crowd = Crowd(gateway.url, gateway.key, size=8, patience=PATIENCE, seed=SEED)
    crowd.start()
    await asyncio.sleep(1.5)
    await crowd.stop()
    before = await _at_rest(running, crowd)
    crowd.start()
    for number in range(MISHAPS):
        await _mishap(running, number, chance)
    await _ready(running)
    await asyncio.sleep(1.0)
    await crowd.stop()
    after = await _at_rest(running, crowd)
    await crowd.aclose()
    engine = running.engine()
    assert engine is not None
    print(
        MISHAPS, "mishaps,", len(crowd.ended), "requests,", max(one.seconds for one in crowd.ended), "seconds at most:"
    )
    print(Counter((one.how, one.code) for one in crowd.ended), after)
    _nobody_hung(crowd.ended)
    for what, count in before.items():
        # A pool may have grown meanwhile by a thread or a connection; what leaks, does so with each mishap.
        spare = MISHAPS // 2 if what in ("threads", "descriptors") else 0
        assert after[what] <= count + spare, (what, before, after)
    assert gateway.process.stop() == 0, gateway.process.output[-2000:]
    assert not engine.is_running()
    _all_recorded(records(gateway.state), crowd.ended)
    assert audit_verify(gateway).exit_code == 0
    assert all(held == 0 for _, held in money(gateway.state).values())
    assert "Traceback" not in gateway.process.output


# ---- mishaps


async def _mishap(running: Running, number: int, chance: random.Random) -> None:
    """The engine gets a signal: while it serves, while it loads, or again as soon as it has come back."""
    signals = (signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP)
    phase = ("serving", "loading", "restart")[(number + number // 3) % 3]  # each signal in each phase
    if phase == "loading":
        await _ready(running)
        await _strike(running, signal.SIGKILL, 0.0)
        await _strike(running, signals[number % 3], chance.uniform(0, 1.0))
    elif phase == "restart":
        await _strike(running, signals[number % 3], chance.uniform(0, 0.05))
    else:
        await _ready(running)
        await _strike(running, signals[number % 3], chance.uniform(0.2, 1.2))


async def _strike(running: Running, number: int, delay: float) -> None:
    """Send the signal to the engine, and wait until that process is no more."""
    await _until(lambda: running.engine() is not None, "no engine is started")
    engine = running.engine()
    assert engine is not None
    await asyncio.sleep(delay)
    engine.send_signal(number)
    await _until(lambda: not engine.is_running(), f"signal {number} and the engine is still there")


async def _ready(running: Running) -> None:
    await asyncio.to_thread(running.gateway.wait_ready, 60)


async def _until(condition: Callable[[], bool], what: str, seconds: float = 40) -> None:
    await asyncio.to_thread(eventually, condition, seconds, what)


# ---- what must hold


async def _at_rest(running: Running, crowd: Crowd) -> Counter[str]:
    """What the gateway holds with a new engine that has answered one request, and no client."""
    await _ready(running)
    await _strike(running, signal.SIGKILL, 0.0)
    # The process is gone a moment before the gateway knows: ready is what it says when it has started another.
    await _until(lambda: running.engine() is not None, "no engine is started")
    await _ready(running)
    ended = await crowd.ask("short")
    assert ended.how == "answered", ended
    crowd.ended.append(ended)
    await crowd.aclose()
    crowd.reopen()
    await asyncio.sleep(1.5)  # the server sees the connections end, the ledger gives its leases back
    process = psutil.Process(running.gateway.process.pid)
    connections = process.net_connections("all")
    cloud = [one for one in connections if one.raddr and one.family == socket.AF_INET]  # its client keeps some open
    return Counter(
        {
            "descriptors": process.num_fds() - len(cloud),
            "Unix sockets": sum(one.family == socket.AF_UNIX for one in connections),
            "threads": process.num_threads(),
            "children": len(process.children(recursive=True)),
            "socket folders": len(list(running.sockets.iterdir())),
        }
    )


def _nobody_hung(ended: list[Ended]) -> None:
    known = {"answered", "refused", "broken", "left"}
    assert not [one for one in ended if one.how not in known]
    clear = {"target_unavailable", "target_busy", "target_timeout", "no_permitted_target"}
    assert not [one for one in ended if one.how in ("refused", "broken") and one.code not in clear]
    assert not [one for one in ended if one.kind == "private" and one.target == "cloud"]
    assert not [one for one in ended if one.kind == "either" and one.how != "answered"], "there was a fallback"


def _all_recorded(found: list[AuditRecord], ended: list[Ended]) -> None:
    by_decision: dict[str, list[AuditRecord]] = defaultdict(list)
    for record in found:
        if record.kind is not RecordKind.EVENT:
            by_decision[record.decision].append(record)
    assert sorted(by_decision) == sorted(one.decision for one in ended)
    for one in ended:
        mine = by_decision[one.decision]
        tries = [record.attempt for record in mine if record.kind is RecordKind.INTENT]
        outcomes = [record for record in mine if record.kind is RecordKind.OUTCOME]
        refusals = [record for record in mine if record.kind is RecordKind.REFUSAL]
        assert tries == [record.attempt for record in outcomes] == list(range(1, len(tries) + 1)), (one, mine)
        assert len(refusals) == (one.how == "refused"), (one, mine)
        last = (refusals or outcomes)[-1]
        expected = {"answered": ("completed",), "refused": ("refused",), "broken": ("broken",)}
        assert last.outcome in expected.get(one.how, ("cancelled", "broken", "completed")), (one, mine)
        assert last.error == one.code or one.how == "left"
