"""Starting and stopping detector processes."""

from __future__ import annotations

import asyncio
import sys

import pytest

from gateway.domain.ports import DetectorFailed
from gateway.inspection.pool import ProcessPool

pytestmark = pytest.mark.anyio


async def test_a_process_that_does_not_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the processes cannot be started, starting fails at once, clearly, and leaves nothing behind."""
    monkeypatch.setattr(sys, "executable", "/bin/true")
    pool = ProcessPool(2)
    with pytest.raises(DetectorFailed, match="could not be started"):
        await pool.start()
    assert pool.pids == frozenset()


async def test_closing_twice_is_harmless() -> None:
    """Also when nothing was started."""
    pool = ProcessPool(1)
    await pool.aclose()
    await pool.aclose()
    await asyncio.sleep(0)
    assert pool.pids == frozenset()
