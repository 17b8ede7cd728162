"""Who decodes when: continuous batching. One thread decodes, each step for all running answers at once.

A step reads one token of each answer that is being made and, beside them, a bounded part of the prompts that are not
read yet, so that a long prompt slows the others down but never stops them. Requests come in through `intake`, which
prepares them (template, tokens, grammar). The server needs of it what `engine.Service` says.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from adapters.llama_cpp.chat import ChatRequest, parse
from adapters.llama_cpp.failures import BadRequest, EngineFault, fault_payload, report
from adapters.llama_cpp.frames import Kind
from adapters.llama_cpp.intake import Intake
from adapters.llama_cpp.parking import Parking
from adapters.llama_cpp.places import Places, common
from adapters.llama_cpp.speeds import Figures, Outlook
from adapters.llama_cpp.steps import Stepper
from adapters.llama_cpp.waiting import FairQueue
from adapters.llama_cpp.work import Emit, Job, Sequence, Terms, Work

if TYPE_CHECKING:  # not at run time: only the process that loads a model may load the native library
    from adapters.llama_cpp.model import LoadedModel

_GROWTH = 64  # tokens of cache that each answer should find free when another one is admitted
_WORTH_WAITING = 64  # tokens of a prompt that somebody else is just reading


class Scheduler(Intake[ChatRequest, Work]):
    """Takes at most `limit` waiting requests besides those for which there are places. Idle prefixes are parked in
    `prefix_memory` bytes of the host's memory; 0 leaves them in the KV cache."""

    def __init__(
        self, model: LoadedModel, name: str, limit: int, *, share_prefixes: bool = False, prefix_memory: int = 0
    ) -> None:
        super().__init__(model, limit)
        self._model, self._name = model, name
        parking = Parking(prefix_memory) if prefix_memory and model.parks else None
        self._places = Places(model, model.places, model.context_tokens, shared=share_prefixes, parking=parking)
        self._preempted = 0
        # What follows belongs to the decode thread.
        self._waiting: FairQueue[Work] = FairQueue()
        self._ready: list[Sequence] = []  # further choices, and answers that had to make room: before all others
        self._active: list[Sequence] = []
        self._pressed = False  # the cache was full: nobody is admitted until an answer is complete
        self._admissions = 0
        self._stepper = Stepper(model, self._places)
        self._begin("decode", self._run)

    # ---- for the server, on any thread

    def job(self, kind: Kind, body: bytes, emit: Emit, terms: Terms) -> Job[ChatRequest]:
        """The job that a frame asks for. Raises `BadRequest`."""
        if kind is not Kind.CHAT:
            raise BadRequest("This model chats; it makes no embeddings.", "model", "invalid_request")
        request = parse(body)
        return Job(request, emit, terms.tenant, terms.first_token, request.background)

    def retry_after(self) -> float:
        """Seconds until a place in the queue is likely to be free."""
        oldest = max((time.monotonic() - one.work.began for one in list(self._active)), default=0.0)
        return self._speeds.retry_after(self._model.parallel, oldest)

    def figures(self, prompt_tokens: int | None = None) -> Figures:
        """As `Intake.figures`, with what the prefix cache knows."""
        common = super().figures(prompt_tokens)
        parked, size = self._places.parked
        idle, preempted = self._places.idle, self._preempted
        return replace(common, idle_prefixes=idle, parked_prefixes=parked, parked_bytes=size, preempted=preempted)

    def _forget(self) -> None:
        for work in {*self._prepared, *self._waiting, *(one.work for one in (*self._active, *self._ready))}:
            work.close()
        self._places.clear()

    def _work(self, job: Job[ChatRequest]) -> Work:
        return Work(job, self._model, self._name)

    def _outlook(self) -> Outlook:
        waiting, _, _ = self._standing()
        place = self._speeds.place(self._model.parallel - len(self._active), waiting, self._model.parallel)
        return self._speeds.outlook(self._backlog, place)

    # ---- the thread that decodes

    def _run(self) -> None:
        while True:
            with self._changed:
                self._stepping = set()
                while not (self._closing or self._prepared or self._active or self._waiting or self._ready):
                    self._changed.wait()
                if self._closing:
                    return
                prepared, self._prepared = self._prepared, []
            try:
                self._forget_cancelled()
                while prepared:
                    self._receive(prepared[0])
                    del prepared[0]
                self._admit()
                self._step()
            except EngineFault as error:
                report(error)
                self._fail((*self._active, *self._ready))
            except Exception as error:  # the border of the thread: without it one odd request would end all service
                report(error)
                waiting = [work.leader for work in (*self._waiting, *prepared)]  # one of them may be the odd one
                self._fail((*self._active, *self._ready, *waiting))

    def _receive(self, work: Work) -> None:
        unread = len(work.prompt) - self._places.known(work.tenant, work.prompt)
        work.predicted = work.job.outlook.first_token(unread)
        if self._too_late(work.job, work.predicted, unread):
            work.close()
            return
        self._backlog += len(work.prompt)
        self._waiting.push(work)

    def _admit(self) -> None:
        if not self._active:
            self._pressed = False
        while not self._pressed and len(self._active) < self._model.parallel:
            sequence = next((one for one in self._ready if self._may_start(one)), None)
            work = None
            if sequence is None:
                full = len(self._active) + len(self._ready) >= self._model.parallel
                work = None if full else self._waiting.peek(Counter(one.work.tenant for one in self._active))
                if work is None:
                    break
                sequence = work.leader
                sequence.behind, sequence.common = self._reader_of(work)
            if sequence.behind is None and not self._start(sequence):
                break
            if work is None:
                self._ready.remove(sequence)
            else:
                self._waiting.served(work)
                self._ready += work.open[0 if sequence.behind else 1 :]
                with self._changed:
                    work.job.started = True
        waiting = sum(len(work.prompt) for work in self._waiting)
        self._backlog = waiting + sum(one.unread for one in self._active if one.unread > 1)

    def _reader_of(self, work: Work) -> tuple[Sequence | None, int]:
        """The sequence that is just reading the beginning of this prompt, too, and how many tokens of it: waiting for
        it costs less than reading the same beside it."""
        if not self._model.rewinds:
            return None, 0
        found, most = None, self._places.known(work.tenant, work.prompt) + _WORTH_WAITING
        for one in self._active:
            if (
                one.unread > 1
                and self._places.shares(work.tenant, one.work.tenant)
                and one.work.background <= work.background
            ):
                count = common(work.prompt, one.tokens)
                if count > most:
                    found, most = one, count
        return found, most

    @staticmethod
    def _may_start(sequence: Sequence) -> bool:
        if sequence is not sequence.work.leader:
            return sequence.work.prompt_read
        other = sequence.behind
        if (
            other is not None
            and other.place is not None
            and len(other.place.tokens) < min(sequence.common, len(other.tokens))
        ):
            return False
        sequence.behind = None
        return True

    def _start(self, sequence: Sequence) -> bool:
        """Give the sequence a place, unless the cache would be too full for it."""
        work = sequence.work
        shared = self._places.find(work.tenant, sequence.tokens).shared
        needed = len(sequence.tokens) - shared + sum(len(one.tokens) - one.shared for one in self._active)
        if self._active and needed + _GROWTH * (len(self._active) + 1) > self._model.context_tokens:
            return False
        place = self._places.take(work.tenant, sequence.tokens)
        if place is None:
            return False
        sequence.place, sequence.shared = place, place.shared
        if not sequence.age:  # one that had to make room keeps its age: the oldest of all gets on in any case
            self._admissions += 1
            sequence.age = self._admissions
        if sequence is work.leader and not sequence.made:
            work.usage.cached = len(place.tokens)
            work.began = work.began or time.monotonic()
            self._speeds.admitted(len(work.prompt), len(place.tokens))
        self._active.append(sequence)
        return True

    def _step(self) -> None:
        with self._changed:
            self._stepping = {one.work.job for one in self._active}
            if not self._stepping:
                return
            self._model.progress_at = time.monotonic()  # the time that the engine was idle is no stall
            if not self._closing:
                self._model.resume()
            if any(job.cancelled for job in self._stepping):
                return  # they leave first, or the flag that stops the step for them would be lost
        self._places.tidy()
        started = time.monotonic()
        made = self._stepper.step(self._active)
        if made is None:
            self._make_room()
            return
        native = self._stepper.native + sum(self._sample(sequence, row) for sequence, row in made)
        self._speeds.stepped(time.monotonic() - started, native, self._stepper.read, self._stepper.making)

    def _sample(self, sequence: Sequence, row: int) -> float:
        """The next token of an answer. Gives the seconds that llama.cpp took for it."""
        work = sequence.work
        if sequence.place is None:
            return 0.0  # the work ended a moment ago, with another of its choices
        began = time.monotonic()
        token = self._model.take(sequence.sampler, row)
        native = time.monotonic() - began
        if not work.prompt_read:  # counted before the client hears of it
            work.prompt_read = True
            self._speeds.began(work.predicted, began + native - work.job.born)
        try:
            if work.sampled(sequence, self._model, row, token):
                self._finish(sequence)
        except Exception as error:  # one odd answer must not end the others
            report(error)
            self._drop([work], fault_payload())
        return native

    def _finish(self, sequence: Sequence) -> None:
        assert sequence.place is not None
        self._places.release(sequence.place)
        sequence.place = None
        self._active.remove(sequence)
        self._pressed = False
        work = sequence.work
        if work.open == [sequence]:  # counted before the client hears of it: its next request finds the place free
            self._served += 1
            self._speeds.finished(time.monotonic() - work.began)
            with self._changed:
                self._jobs.discard(work.job)
        work.finished(sequence)

    def _make_room(self) -> None:
        """The cache is full. First go the prefixes that nobody uses, then the answer that began last: it comes back, or
        is read again, when another one is complete. The oldest goes on, so there is always progress."""
        if self._places.evict():
            return
        youngest = max(self._active, key=lambda one: one.age)
        if len(self._active) == 1:
            raise EngineFault("the cache is full with a single answer")
        assert youngest.place is not None
        self._places.release(youngest.place)
        self._places.evict()  # there is no other that is idle
        youngest.place = None
        self._active.remove(youngest)
        self._ready.insert(0, youngest)
        self._pressed = True
        self._preempted += 1

    def _forget_cancelled(self) -> None:
        sequences: Iterable[Sequence] = (*self._active, *self._ready)
        gone = {one.work for one in sequences if one.work.job.cancelled}
        gone |= {work for work in self._waiting if work.job.cancelled}
        self._drop(gone, None)

    def _drop(self, works: Iterable[Work], payload: bytes | None) -> None:
        """The works end here; what was read of their prompts stays in the cache."""
        for work in works:
            for sequence in work.open:
                if sequence.place is not None:
                    self._places.release(sequence.place)
                    sequence.place = None
                    self._active.remove(sequence)
                    self._pressed = False
                elif sequence in self._ready:
                    self._ready.remove(sequence)
            if not work.job.started and work in self._waiting:
                self._waiting.remove(work)
            work.close()
            if payload is not None:
                self._end(work.job, payload)

    def _fail(self, sequences: Iterable[Sequence]) -> None:
        self._drop({one.work for one in sequences}, fault_payload())
        self._places.clear()
