"""How requests come in: accepted as long as there is room, prepared in a thread of their own, and then handed to the
thread that does the work. Answers and embeddings have this in common."""

from __future__ import annotations

import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from adapters.llama_cpp.failures import (
    BadRequest,
    bad_request_payload,
    fault_payload,
    late_payload,
    overloaded_payload,
    report,
)
from adapters.llama_cpp.frames import Kind
from adapters.llama_cpp.speeds import Figures, Outlook, Speeds
from adapters.llama_cpp.waiting import displaced
from adapters.llama_cpp.work import Job

Request = TypeVar("Request")
W = TypeVar("W")


class Native(Protocol):
    """What is needed of a loaded model. `progress_at` is when a step last ended or began, by the monotonic clock."""

    @property
    def parallel(self) -> int: ...

    progress_at: float

    def interrupt(self) -> None: ...

    def close(self) -> None: ...


class Intake(ABC, Generic[Request, W]):
    """Takes at most `limit` waiting requests besides those for which there are places. What begins with an underscore
    and is changed by both threads and the server is so under `_changed`."""

    def __init__(self, model: Native, limit: int) -> None:
        self._native, self._limit = model, limit
        self._changed = threading.Condition()
        self._jobs: set[Job[Request]] = set()  # accepted, neither answered nor cancelled
        self._prepared: list[W] = []
        self._closing = False
        self._stepping: set[Job[Request]] = set()  # in the step that is being done
        self._to_prepare: queue.SimpleQueue[Job[Request] | None] = queue.SimpleQueue()
        self._preparing_since: float | None = None
        self._busy_since = 0.0  # since then there has been a job at any moment
        self._served = self._refused = 0
        self._speeds = Speeds()
        self._backlog = 0  # tokens of prompts that are accepted and not read yet
        self._threads: list[threading.Thread] = []

    def _begin(self, name: str, run: Callable[[], None]) -> None:
        """Start the thread that prepares, and the one that does the work."""
        for thread, target in (("prepare", self._prepare), (name, run)):
            self._threads.append(threading.Thread(target=target, name=thread, daemon=True))
        for made in self._threads:
            made.start()

    @abstractmethod
    def _work(self, job: Job[Request]) -> W:
        """What is to be done for a job. Takes milliseconds for long texts. Raises `BadRequest`."""

    @abstractmethod
    def retry_after(self) -> float:
        """Seconds until a place in the queue is likely to be free."""

    @abstractmethod
    def _outlook(self) -> Outlook:
        """What a request meets that comes now."""

    # ---- for the server, on any thread

    def figures(self, prompt_tokens: int | None = None) -> Figures:
        """Live figures, with the predicted time to first token of a prompt of that length: to the embedding of a text
        where there are no tokens."""
        speeds, outlook = self._speeds, self._outlook()
        waiting, running, stalled = self._standing()
        predicted = None if prompt_tokens is None else outlook.first_token(prompt_tokens)
        return Figures(
            waiting=waiting,
            running=running,
            parallel=self._native.parallel,
            prompt_speed=speeds.prompt,
            decode_speed=speeds.decode,
            total_speed=speeds.total,
            step_seconds=speeds.step,
            request_seconds=speeds.request,
            since_progress=stalled,
            served=self._served,
            refused=self._refused,
            backlog=self._backlog,
            place_seconds=outlook.place,
            prompt_tokens=speeds.prompt_tokens,
            cached_tokens=speeds.cached_tokens,
            prefix_hit_rate=speeds.hit_rate,
            python_share=speeds.python_share,
            first_tokens=speeds.first_tokens,
            bound_kept_rate=speeds.bound_kept_rate,
            first_token_seconds=predicted,
            first_token_p95_seconds=None if predicted is None else speeds.bound(predicted),
        )

    def submit(self, job: Job[Request]) -> bool:
        """Queue the job; False when the queue is full, and nobody is to give way in it (see `waiting.displaced`)."""
        job.outlook = self._outlook()
        other = None
        with self._changed:
            if self._closing or len(self._jobs) >= self._limit + self._native.parallel:
                self._refused += 1
                other = None if self._closing else displaced([one for one in self._jobs if not one.started], job)
                if other is None:
                    return False
                other.cancelled = True
            if not self._jobs:
                self._busy_since = time.monotonic()
            self._jobs.add(job)
        self._to_prepare.put(job)
        if other is not None:
            self._end(other, overloaded_payload(self.retry_after()))
        return True

    def cancel(self, job: Job[Request]) -> None:
        """Nothing more is wanted of the job: the next step is without it."""
        with self._changed:
            job.cancelled = True
            self._jobs.discard(job)
            if self._stepping and all(one.cancelled for one in self._stepping):
                self._native.interrupt()  # nobody waits for this step
            self._changed.notify()

    def close(self, timeout: float = 3.0) -> None:
        """Stop everything and give the model's memory back. The jobs hear nothing."""
        with self._changed:
            self._closing = True
            self._native.interrupt()
            self._changed.notify()
        self._to_prepare.put(None)
        for thread in self._threads:
            thread.join(timeout)
        if not any(thread.is_alive() for thread in self._threads):
            self._forget()
            self._native.close()

    def _forget(self) -> None:
        """Free what works hold of the model, before it is closed."""

    # ---- for both threads

    def _standing(self) -> tuple[int, int, float]:
        """Jobs that wait and that run, and the seconds since the last progress while there are any."""
        now = time.monotonic()
        with self._changed:
            running = sum(job.started for job in self._jobs)
            busy = self._jobs or self._stepping
            stalled = now - max(self._native.progress_at, self._busy_since) if busy else 0.0
            if self._preparing_since is not None:
                stalled = max(stalled, now - self._preparing_since)
            return len(self._jobs) - running, running, stalled

    def _too_late(self, job: Job[Request], predicted: float, unread: int) -> bool:
        """Refuse what would begin too late, as it looked when it came (`predicted` seconds), or because reading it
        takes too long by now."""
        reading = self._speeds.outlook(0, 0.0).first_token(unread)
        latest = max(self._speeds.bound(predicted), time.monotonic() - job.born + reading)
        if job.first_token is None or latest <= job.first_token:
            return False
        self._refused += 1
        self._end(job, late_payload(latest, self.retry_after()))
        return True

    def _end(self, job: Job[Request], payload: bytes, kind: Kind = Kind.ERROR) -> None:
        with self._changed:
            self._jobs.discard(job)
        job.emit(kind, payload)

    def _prepare(self) -> None:
        while (job := self._to_prepare.get()) is not None:
            if job.cancelled:
                continue
            self._preparing_since = time.monotonic()
            try:
                work = self._work(job)
            except BadRequest as error:
                self._end(job, bad_request_payload(error))
            except Exception as error:  # the border of the thread: without it one odd request would end all service
                report(error)
                self._end(job, fault_payload())
            else:
                with self._changed:
                    self._prepared.append(work)
                    self._changed.notify()
            self._preparing_since = None
