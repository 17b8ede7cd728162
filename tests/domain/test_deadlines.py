"""One timer for many deadlines, with the meaning of asyncio's own timeout."""

from __future__ import annotations

import asyncio

import pytest

from gateway.domain.deadlines import Deadlines

pytestmark = pytest.mark.anyio


def _in(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_work_that_is_done_in_time_gives_its_value() -> None:
    """A wait that ends before its deadline is not touched, and later waits have deadlines of their own."""
    deadlines = Deadlines()
    for _ in range(3):
        assert await deadlines.until(_in(0.05), asyncio.sleep(0.001, "done")) == "done"
    await asyncio.sleep(0.08)  # the timer fires with nothing to end


async def test_each_wait_ends_at_its_own_deadline() -> None:
    """A later deadline does not hold an earlier one back, nor does an earlier one end a later one."""
    deadlines = Deadlines()
    ended: list[float] = []

    async def wait(seconds: float) -> None:
        began = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            await deadlines.until(began + seconds, asyncio.Event().wait())
        took = asyncio.get_running_loop().time() - began
        assert seconds <= took + 0.005
        ended.append(seconds)

    await asyncio.gather(*(wait(seconds) for seconds in (0.15, 0.05, 0.1, 0.05)))
    assert ended == [0.05, 0.05, 0.1, 0.15]


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    """A task that is cancelled while it waits is cancelled; it does not see a timeout."""
    deadlines = Deadlines()
    task = asyncio.ensure_future(deadlines.until(_in(5), asyncio.Event().wait()))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_at_the_deadline_is_not_lost() -> None:
    """Cancelled from elsewhere and overdue in the same moment: the task stays cancelled."""
    deadlines = Deadlines()
    task = asyncio.ensure_future(deadlines.until(_in(5), asyncio.Event().wait()))
    await asyncio.sleep(0.01)
    deadlines.expire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_after_a_timeout_the_task_goes_on() -> None:
    """The cancellation that ends a wait is taken back: the task can await, and wait again."""
    deadlines = Deadlines()
    with pytest.raises(TimeoutError):
        await deadlines.until(_in(0.01), asyncio.Event().wait())
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert await deadlines.until(_in(1), asyncio.sleep(0.001, 7)) == 7


async def test_all_can_be_ended_at_once() -> None:
    """`expire` ends every wait with a timeout."""
    deadlines = Deadlines()
    waits = [asyncio.ensure_future(deadlines.until(_in(5), asyncio.Event().wait())) for _ in range(3)]
    await asyncio.sleep(0.01)
    deadlines.expire()
    assert [type(problem) for problem in await asyncio.gather(*waits, return_exceptions=True)] == [TimeoutError] * 3
