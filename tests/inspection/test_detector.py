"""The detector: same findings here and in processes, deadlines kept, no process left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from gateway.domain.finding import DetectorState
from gateway.domain.grammar import Grammar
from gateway.domain.ports import Detector, DetectorFailed
from gateway.inspection.batches import PIECE, REACH
from gateway.inspection.detector import PresidioDetector, is_cheap
from gateway.inspection.engine import Engine
from gateway.inspection.inspector import Inspector
from gateway.inspection.pool import DetectorProcess
from gateway.settings.recognizers import RegistrySettings

pytestmark = pytest.mark.anyio

TEXT = "Please call Anna Kowalski on +1 212-555-5555 about card 4242 4242 4242 4242, mail anna@example.com. "


async def test_same_findings_here_and_in_processes(detector: PresidioDetector) -> None:
    """Small texts (scanned in place), long ones (in a process) and very long ones (in pieces) give what one scan of
    the whole gives."""
    port: Detector = detector
    engine = Engine()
    filler = "lorem ipsum dolor sit amet " * (PIECE // 27)
    border = filler[: PIECE - REACH - 40] + TEXT + filler
    texts = [TEXT, "nothing here", TEXT * 40, border, "", "Zo\ud800 " + TEXT]
    assert is_cheap(texts[:2])
    assert not is_cheap(texts[2:3])
    expected = [sorted(engine.scan(text), key=str) for text in texts]
    assert [sorted(spans, key=str) for spans in await port.scan(texts, 30.0)] == expected
    assert [sorted(spans, key=str) for spans in await port.scan(texts[:2], 1.0)] == expected[:2]
    assert port.entities == engine.entities


async def test_the_event_loop_goes_on(detector: PresidioDetector) -> None:
    """While a long text is scanned the loop is free, but for a few milliseconds at a time."""
    gaps: list[float] = []

    async def tick() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    ticking = asyncio.create_task(tick())
    started = time.perf_counter()
    await detector.scan([TEXT * 1000], 30.0)
    elapsed = time.perf_counter() - started
    ticking.cancel()
    # One pause may be the scheduler's; blocking for the whole scan is what must not happen.
    assert sum(sorted(gaps)[:-3]) > 0.5 * elapsed
    assert max(gaps) < 0.5 * elapsed


async def test_the_loop_stays_free_under_load(detector: PresidioDetector) -> None:
    """With 32 requests of 20 kB in flight no turn of the loop takes long: at most 20 ms of its own processor time, but
    for one in a hundred."""
    grammar = Grammar({}, frozenset({"messages", "content"}), frozenset({"text"}))
    inspector = Inspector(detector, timeout=60.0)
    turns: list[float] = []

    async def request(number: int) -> None:
        tree = {"messages": [{"content": f"{number} " + "ordinary words, nothing else; " * 550 + TEXT * 35}]}
        assert (await inspector.inspect(tree, grammar)).detector is DetectorState.OK

    async def clock() -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            turns.append(time.thread_time() - before)

    watch = asyncio.create_task(clock())
    async with asyncio.TaskGroup() as group:
        for number in range(32):
            group.create_task(request(number))
            await asyncio.sleep(0.002)  # requests do not arrive in one instant
    watch.cancel()
    busy = sorted(turn for turn in turns if turn > 0.0005)  # the turns in which anything was done
    assert not busy or busy[int(len(busy) * 0.99)] <= 0.02


async def test_settings_reach_the_recognisers_here_and_there() -> None:
    """Settings of the registry count in the loop and in the processes; a process that cannot read them is an error."""
    settings = RegistrySettings(switch_off=("MailRecognizer",)).to_json()
    small = PresidioDetector(processes=1, registry=settings)
    await small.start()
    try:
        assert [s.entity for s in (await small.scan(["write to anna@example.com"], 5.0))[0]] == []
        there = {s.entity for s in (await small.scan([TEXT * 50], 30.0))[0]}
        assert "CREDIT_CARD" in there
        assert "EMAIL_ADDRESS" not in there | small.entities
    finally:
        await small.aclose()
    with pytest.raises(DetectorFailed, match="could not be started"):
        await DetectorProcess.start({"countries": 7})


@pytest.mark.parametrize(
    ("text", "cheap"),
    [
        ("", True),
        ("hello, " * 110, True),
        ("hello, " * 300, False),
        ("1234567890 " * 30, False),
        ("a@b.c " * 40, False),
        ("x" * 500, False),
    ],
)
def test_what_is_cheap(text: str, cheap: bool) -> None:
    """Only short texts with few digits and no endless words are scanned in the event loop."""
    assert is_cheap([text]) is cheap


async def test_trouble_with_processes() -> None:
    """A stuck process costs a timeout, is killed and replaced; one that dies fails its request and is replaced; closing
    leaves none."""
    detector = PresidioDetector(processes=1)
    with pytest.raises(DetectorFailed, match="not been started"):
        await detector.scan([TEXT], 1.0)
    await detector.start()
    (stuck,) = detector.pids
    os.kill(stuck, signal.SIGSTOP)
    started = time.perf_counter()
    with pytest.raises(DetectorFailed) as caught:
        await detector.scan([TEXT * 50], 0.3)
    assert caught.value.timed_out
    assert time.perf_counter() - started < 2.0
    assert len((await detector.scan([TEXT * 50], 60.0))[0]) >= 50
    assert not psutil.pid_exists(stuck)
    (victim,) = detector.pids
    scan = asyncio.create_task(detector.scan([TEXT * 20_000], 60.0))
    await asyncio.sleep(0.3)
    os.kill(victim, signal.SIGKILL)
    with pytest.raises(DetectorFailed) as failed:
        await scan
    assert not failed.value.timed_out
    assert len((await detector.scan([TEXT * 50], 60.0))[0]) >= 50
    assert detector.replaced == 2
    await detector.aclose()
    assert not psutil.pid_exists(victim)
    assert detector.pids == frozenset()


async def test_an_abandoned_scan_frees_its_process(detector: PresidioDetector) -> None:
    """A caller that leaves does not cost the others a process."""
    before = detector.pids
    scan = asyncio.create_task(detector.scan([TEXT * 3000], 30.0))
    await asyncio.sleep(0.05)
    scan.cancel()
    with pytest.raises(asyncio.CancelledError):
        await scan
    assert len((await detector.scan([TEXT * 50], 30.0))[0]) >= 50
    assert detector.pids == before


async def test_too_much_waiting_fails_at_once(detector: PresidioDetector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded: beyond the limit a scan fails instead of waiting."""
    monkeypatch.setattr("gateway.inspection.detector.MAX_WAITING", 1000)
    with pytest.raises(DetectorFailed, match="too much text"):
        await detector.scan([TEXT * 50], 30.0)


def test_no_process_outlives_a_killed_parent() -> None:
    """Killed without a chance to clean up, the gateway leaves no detector process behind."""
    code = (
        "import asyncio\n"
        "from gateway.inspection.pool import ProcessPool\n"
        "async def main():\n"
        "    pool = ProcessPool(1)\n"
        "    await pool.start()\n"
        "    print(*pool.pids, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        parent.kill()
    deadline = time.monotonic() + 5
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_at_least_one_process() -> None:
    """A detector without a process is refused."""
    with pytest.raises(ValueError, match="at least one"):
        PresidioDetector(processes=0)
