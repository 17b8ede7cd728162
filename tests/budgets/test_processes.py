"""Several processes and a crash: budgets hold across them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import anyio
import pytest

from gateway.domain.errors import BudgetSpent
from gateway.domain.money import NanoUsd
from gateway.domain.ports import Ledger

OpenLedger: TypeAlias = Callable[..., Awaitable[Ledger]]
pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
SPEND = str(Path(__file__).with_name("spend.py"))
SCOPE = "acme/batch/2026-11-21"


async def spend(url: str, limit: int, amount: int, count: int, end: str, kind: str) -> int:
    """The number of reservations granted to a process of its own."""
    command = [sys.executable, SPEND, url, SCOPE, str(limit), str(amount), str(count), end, kind, "together"]
    done = await anyio.run_process(
        command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, check=False, stderr=subprocess.PIPE
    )
    assert done.returncode == (-signal.SIGKILL if end == "die" else 0), done.stderr.decode()
    return int(done.stdout)


async def test_processes_together_do_not_overspend(store_url: str, kind: str, open_ledger: OpenLedger) -> None:
    """Three processes with 200 simultaneous requests each are granted what fits, and settle to what was used."""
    ledger = await open_ledger()
    granted: list[int] = []

    async def one() -> None:
        granted.append(await spend(store_url, 500, 7, 200, "settle", kind))

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(one)
    # Settled halves make room for late starters, so more than 71 may have been granted in all, but never at a time.
    assert sum(granted) >= 500 // 7
    assert await ledger.spent(SCOPE) == 3 * sum(granted) <= 500


async def test_a_crash_spends_what_was_reserved(store_url: str, kind: str, open_ledger: OpenLedger) -> None:
    """The reservations of a process that died without a word count in full, at once and for good."""
    watcher = await open_ledger()
    assert await spend(store_url, 500, 7, 30, "die", kind) == 30
    assert await watcher.spent(SCOPE) == 210
    await anyio.sleep(0.7)  # the dead process's lease was half a second
    after = await open_ledger()
    assert await after.spent(SCOPE) == 210
    with pytest.raises(BudgetSpent):
        await after.reserve(SCOPE, NanoUsd(291), NanoUsd(500))
    await after.settle(await after.reserve(SCOPE, NanoUsd(290), NanoUsd(500)), NanoUsd(0))
    assert await after.spent(SCOPE) == 210
