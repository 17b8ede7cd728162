"""Detector processes: started warm, one job each at a time, killed and replaced when they hang or die."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from gateway.domain.ports import DetectorFailed
from gateway.domain.tree import Json
from gateway.inspection.worker import HEADER, frame

_START_SECONDS = 60.0
_STOP_SECONDS = 2.0
_LONGEST_PAUSE = 5.0
_PACKAGE_ROOT = str(Path(__file__).resolve().parents[2])


class ProcessEnded(Exception):
    """A detector process ended before it answered."""


class DetectorProcess:
    """One process and the frames to and from it."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._requests = process.stdin
        self._answers = process.stdout
        self.pid = process.pid

    @classmethod
    async def start(cls, registry: Json = None) -> DetectorProcess:
        """A process that is ready, its recognisers those of `registry`. Raises `DetectorFailed`."""
        paths = [_PACKAGE_ROOT, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway.inspection.worker", stdin=PIPE, stdout=PIPE, env=environment
        )
        started = cls(process)
        try:
            async with asyncio.timeout(_START_SECONDS):
                # Not as an argument of the command, which everybody on the machine can read.
                started._requests.write(frame(registry))
                await started._answer()
        except (ProcessEnded, ConnectionError, TimeoutError) as error:
            await started.kill()
            raise DetectorFailed("a detector process could not be started") from error
        except asyncio.CancelledError:
            await started.kill()
            raise
        return started

    async def scan(self, texts: Sequence[str], seconds: float) -> dict[str, Any]:
        """Have texts scanned, which the process will spend `seconds` on at most. Raises `ProcessEnded`.

        Must not be cancelled if the process is to be used again: part of an answer would be left unread.
        """
        try:
            self._requests.write(frame([seconds, texts]))
            await self._requests.drain()
        except ConnectionError as error:
            raise ProcessEnded from error
        return await self._answer()

    async def _answer(self) -> dict[str, Any]:
        try:
            (size,) = HEADER.unpack(await self._answers.readexactly(HEADER.size))
            data = await self._answers.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise ProcessEnded from error
        value: dict[str, Any] = json.loads(data)
        return value

    async def kill(self) -> None:
        """End it at once."""
        if self._process.returncode is None:
            # not Process.kill(): it may collect the exit status, which the loop's child watcher then misses
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        await self._gone()

    async def stop(self) -> None:
        """Let it end by itself: its input ends. It is killed if it takes longer than two seconds."""
        self._requests.close()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            await self.kill()
        else:
            await self._gone()

    async def _gone(self) -> None:
        self._requests.close()
        await self._process.wait()
        while await self._answers.read(65536):  # to its end, so that the pipe is closed
            pass


class ProcessPool:
    """A fixed number of processes. A job that is abandoned frees its process when it ends, or at its deadline."""

    def __init__(self, processes: int, registry: Json = None) -> None:
        self._size = processes
        self._registry = registry
        self._idle: asyncio.Queue[DetectorProcess] = asyncio.Queue()
        self._all: set[DetectorProcess] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self.replaced = 0

    @property
    def pids(self) -> frozenset[int]:
        """Ids of the processes now running."""
        return frozenset(process.pid for process in self._all)

    async def start(self) -> None:
        """Start all processes. Raises `DetectorFailed`, having stopped those that did start."""
        started = await asyncio.gather(
            *(DetectorProcess.start(self._registry) for _ in range(self._size)), return_exceptions=True
        )
        for process in started:
            if isinstance(process, DetectorProcess):
                self._add(process)
        for failure in started:
            if isinstance(failure, BaseException):
                await self.aclose()
                raise failure

    async def run(self, texts: Sequence[str], deadline: float) -> dict[str, Any]:
        """One job on the next free process; `deadline` is in the loop's time. The caller cancels at the deadline.

        Raises `ProcessEnded`.
        """
        process = await self._idle.get()
        loop = asyncio.get_running_loop()
        job = loop.create_task(process.scan(texts, deadline - loop.time()))
        try:
            answer = await asyncio.shield(job)
        except asyncio.CancelledError:
            self._background(self._reclaim(process, job, deadline))
            raise
        except ProcessEnded:
            self._background(self._replace(process))
            raise
        self._idle.put_nowait(process)
        return answer

    async def aclose(self) -> None:
        """Stop all processes."""
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(process.stop() for process in self._all))
        self._all.clear()

    async def _reclaim(self, process: DetectorProcess, job: asyncio.Task[dict[str, Any]], deadline: float) -> None:
        """After an abandoned job: its answer is thrown away; without one by the deadline the process is replaced."""
        try:
            async with asyncio.timeout_at(deadline + 0.05):
                await job
        except (TimeoutError, ProcessEnded):
            await self._replace(process)
        else:
            self._idle.put_nowait(process)

    async def _replace(self, process: DetectorProcess) -> None:
        await process.kill()
        self._all.discard(process)
        self.replaced += 1
        pause = 0.1
        while not self._closed:
            try:
                self._add(await DetectorProcess.start(self._registry))
                return
            except DetectorFailed:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _add(self, process: DetectorProcess) -> None:
        self._all.add(process)
        self._idle.put_nowait(process)

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
