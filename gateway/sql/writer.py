"""A writer thread that commits in groups: whatever has queued while it was busy goes into its next transaction.

Under load the cost of a commit (an fsync) is shared by many operations; when idle, one operation commits at once. What
nobody waits for goes with the next operation that somebody does.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import Connection, Engine

Item = TypeVar("Item")
Result = TypeVar("Result")
T = TypeVar("T")

log = logging.getLogger(__name__)

BATCH_LIMIT = 256
"""Most operations in one transaction: bounds how long the first one waits for the last one."""

LINGER = 0.02
"""Seconds for which an operation that nobody waits for may be in the queue before it gets a commit of its own."""

GATHER = 0.002
"""Seconds before the next commit for each caller who waited for the last one, up to `MOST_GATHERED` of them, if there
were several: the busier it is, the more of them share a commit."""

MOST_GATHERED = 6


class WriterFull(Exception):
    """Too many operations are waiting; this one was not queued."""


class WriterClosed(Exception):
    """The writer no longer takes operations."""


@dataclass(slots=True)
class _Failed:
    error: Exception


class _Flush:
    """Stands in the queue for a caller who waits until everything before it has been tried."""


class BatchWriter(Generic[Item, Result]):
    """Applies items in order, in groups, each group in one transaction.

    `apply` runs in the writer's thread. It is given the items of a group and returns their results in order. When
    it raises, the transaction is rolled back and the items are applied again one by one, each behind a savepoint,
    so that only those fail that cannot be done; `apply` must therefore act through the connection alone.
    `write` and `flush` belong to one event loop. `lost` is called, in the writer's thread, with each *submitted*
    item that failed and its error; without it such errors are logged. `committed` is called there with the seconds that
    each group took.
    """

    def __init__(
        self,
        engine: Engine,
        name: str,
        apply: Callable[[Connection, Sequence[Item]], Sequence[Result]],
        *,
        limit: int = 4096,
        lost: Callable[[Item, Exception], None] | None = None,
        committed: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._engine = engine
        self._name = name
        self._apply = apply
        self._limit = limit
        self._lost = lost
        self._committed = committed
        self._lock = threading.Lock()
        self._wake = threading.Lock()
        self._wake.acquire()  # held while there is nothing to do; released by whoever brings work to a sleeper
        self._queue: list[tuple[Item | _Flush, asyncio.Future[Any] | None]] = []
        self._connection: Connection | None = None
        self._idle = False
        self._waited = 0  # callers who waited for the last batch
        self._timer_runs = False
        self._closing = False
        self._thread = threading.Thread(target=self._work, name=f"{name}-writer", daemon=True)
        self._thread.start()

    async def write(self, item: Item) -> Result:
        """Apply the item and return its result once it is committed. Raises what `apply` raised for it, the
        database's error, `WriterFull` or `WriterClosed`. Cancelling the wait does not take the item back."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._put(item, future, self._limit)
        return await future

    def submit(self, item: Item) -> None:
        """Queue the item without waiting for it. It is after all earlier ones and is applied before `aclose`
        returns, with the next `write` or after `LINGER` seconds, so that it seldom costs a commit of its own. Twice as
        many may queue as for `write`: what completes a write should not be the first to fall."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # nobody to wake the thread later
            self._put(item, None, 2 * self._limit)
            return
        self._put(item, None, 2 * self._limit, rouse=False)
        if not self._timer_runs:
            self._timer_runs = True
            loop.call_later(LINGER, self._time_is_up)

    async def flush(self) -> None:
        """Wait until every item queued before this call has been committed or has failed."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._put(_Flush(), future, 3 * self._limit)
        await future

    async def aclose(self) -> None:
        """Apply what has queued, then end the thread. Later calls only wait for that."""
        with self._lock:
            self._closing = True
            self._rouse()
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def _time_is_up(self) -> None:
        self._timer_runs = False
        with self._lock:
            if self._queue:
                self._rouse()

    def _put(self, item: Item | _Flush, future: asyncio.Future[Any] | None, limit: int, *, rouse: bool = True) -> None:
        with self._lock:
            if self._closing:
                raise WriterClosed(f"the {self._name} writer is closed")
            if len(self._queue) >= limit:
                raise WriterFull(f"the {self._name} writer has {len(self._queue)} operations waiting")
            self._queue.append((item, future))
            if rouse:
                self._rouse()

    def _rouse(self) -> None:
        """One wake-up per sleep, however many operations arrive. The lock is held."""
        if self._idle:
            self._idle = False
            self._wake.release()

    def _work(self) -> None:
        while True:
            if self._waited > 2 and not self._closing:
                # Others are about to come; a commit each would cost all of them more.
                time.sleep(GATHER * min(self._waited, MOST_GATHERED))
            with self._lock:
                batch, self._queue = self._queue[:BATCH_LIMIT], self._queue[BATCH_LIMIT:]
                if not batch:
                    if self._closing:
                        break
                    self._idle = True
            if not batch:
                self._waited = 0
                self._wake.acquire()
                continue
            items = [item for item, _ in batch if not isinstance(item, _Flush)]
            self._waited = sum(future is not None for _, future in batch)
            self._report(batch, self._timed(items) if items else [])
        if self._connection is not None:
            self._connection.close()

    @property
    def waiting(self) -> int:
        """Operations that are not done yet."""
        return len(self._queue)

    def _timed(self, items: list[Item]) -> Sequence[Result | _Failed]:
        began = time.monotonic()
        outcomes = self._commit(items)
        self._committed(time.monotonic() - began)
        return outcomes

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """On a connection that is kept, because taking one from the pool costs more than an insert does; after any
        error the next transaction gets another."""
        connection = self._connection or self._engine.connect()
        self._connection = None
        try:
            with connection.begin():
                yield connection
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _commit(self, items: list[Item]) -> Sequence[Result | _Failed]:
        applied = False
        try:
            with self._transaction() as connection:
                results = self._apply(connection, items)
                applied = True
            return results
        except Exception as error:  # border: whatever happened belongs to those who wait, not to this thread
            # After a failed COMMIT nobody can say whether it took effect, so nothing is tried twice then.
            again = len(items) > 1 or getattr(error, "connection_invalidated", False)
            return [_Failed(error)] * len(items) if applied or not again else self._commit_singly(items)

    def _commit_singly(self, items: list[Item]) -> Sequence[Result | _Failed]:
        outcomes: list[Result | _Failed] = []
        try:
            with self._transaction() as connection:
                for item in items:
                    try:
                        with connection.begin_nested():
                            outcomes.append(self._apply(connection, (item,))[0])
                    except Exception as error:  # border: as above
                        outcomes.append(_Failed(error))
            return outcomes
        except Exception as error:  # border: as above
            return [_Failed(error)] * len(items)

    def _report(
        self,
        batch: list[tuple[Item | _Flush, asyncio.Future[Any] | None]],
        outcomes: Sequence[Result | _Failed],
    ) -> None:
        answers: list[tuple[asyncio.Future[Any], object]] = []
        remaining = iter(outcomes)
        for item, future in batch:
            outcome = None if isinstance(item, _Flush) else next(remaining)
            if future is not None:
                answers.append((future, outcome))
            elif isinstance(outcome, _Failed) and not isinstance(item, _Flush):
                self._tell_lost(item, outcome.error)
        if answers:
            try:
                answers[0][0].get_loop().call_soon_threadsafe(_resolve, answers)
            except RuntimeError:
                log.warning("%s writer: the event loop is closed, %d callers are gone", self._name, len(answers))

    def _tell_lost(self, item: Item, error: Exception) -> None:
        if self._lost is not None:
            self._lost(item, error)
        else:
            log.error("%s writer: an operation failed: %s", self._name, type(error).__name__)


def _resolve(answers: list[tuple[asyncio.Future[Any], object]]) -> None:
    for future, outcome in answers:
        if future.done():
            continue  # cancelled by its caller
        if isinstance(outcome, _Failed):
            future.set_exception(outcome.error)
        else:
            future.set_result(outcome)


class Writer:
    """A `BatchWriter` whose items are functions of the connection.

    A function may run twice (see `BatchWriter`). For a refusal that is usual (a spent budget), return a value
    rather than raise: an exception makes the whole group start again.
    """

    def __init__(self, engine: Engine, name: str, *, limit: int = 4096) -> None:
        self._batches: BatchWriter[Callable[[Connection], Any], Any] = BatchWriter(
            engine, name, _call_each, limit=limit
        )

    async def run(self, operation: Callable[[Connection], T]) -> T:
        """Run the operation in the next transaction; its value, once committed. Raises as `BatchWriter.write`."""
        return cast(T, await self._batches.write(operation))

    def submit(self, operation: Callable[[Connection], object]) -> None:
        """Queue the operation, in order, without waiting; a failure is logged. Raises `WriterFull`, `WriterClosed`."""
        self._batches.submit(operation)

    async def flush(self) -> None:
        """Wait until everything queued before has been committed or has failed."""
        await self._batches.flush()

    async def aclose(self) -> None:
        """Run what has queued, then end the thread."""
        await self._batches.aclose()


def _call_each(connection: Connection, operations: Sequence[Callable[[Connection], Any]]) -> list[Any]:
    return [operation(connection) for operation in operations]
