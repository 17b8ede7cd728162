"""Deadlines for what is awaited often: one timer of the event loop for all of them.

`asyncio.timeout` sets and cancels a timer each time, which for a stream is a fifth of what a chunk costs. Nearly every
wait is over long before its deadline, so here the timer is left where it is and looks again when it fires.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

_T = TypeVar("_T")


class _Wait:
    __slots__ = ("at", "overdue", "task")

    def __init__(self, at: float, task: asyncio.Task[object]) -> None:
        self.at = at
        self.task = task
        self.overdue = False


class Deadlines:
    """Waits of any number of tasks in one event loop, each with its own deadline."""

    def __init__(self) -> None:
        self._waits: set[_Wait] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0.0  # when the timer fires

    async def until(self, at: float, work: Awaitable[_T]) -> _T:
        """Await `work` until the loop's time `at`. Raises `TimeoutError` then, in the way of `asyncio.timeout_at`: the
        task is cancelled, and a cancellation from elsewhere stays one."""
        task = asyncio.current_task()
        assert task is not None
        cancelling = task.cancelling()
        wait = _Wait(at, task)
        self._waits.add(wait)
        if self._timer is None or at < self._next:
            self._set(at)
        try:
            result = await work
        except BaseException as error:
            if wait.overdue and task.uncancel() <= cancelling and isinstance(error, asyncio.CancelledError):
                raise TimeoutError from None
            raise
        finally:
            self._waits.discard(wait)
        if wait.overdue:  # it caught the cancellation, and went on
            task.uncancel()
        return result

    def expire(self) -> None:
        """Every wait is overdue now."""
        for wait in self._waits:
            self._end(wait)

    def _set(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = at
        self._timer = asyncio.get_running_loop().call_at(at, self._look)

    def _look(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        pending = None
        for wait in self._waits:
            if wait.overdue:
                continue
            if wait.at <= now:
                self._end(wait)
            elif pending is None or wait.at < pending:
                pending = wait.at
        if pending is not None:
            self._set(pending)

    @staticmethod
    def _end(wait: _Wait) -> None:
        if not wait.overdue:
            wait.overdue = True
            wait.task.cancel()
