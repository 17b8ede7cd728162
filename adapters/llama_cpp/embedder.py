"""Who is embedded when: the texts of all requests are read together, a bounded number in each step.

Requests come in through `intake`, which prepares them (tokens). A step takes one text of each tenant in turn, so that a
request with a thousand texts holds up nobody's single one. The server needs of it what `engine.Service` says.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import orjson

from adapters.llama_cpp.embedding_request import EmbeddingRequest, parse
from adapters.llama_cpp.failures import BadRequest, fault_payload, report
from adapters.llama_cpp.frames import MAX_FRAME_BYTES, Kind
from adapters.llama_cpp.intake import Intake
from adapters.llama_cpp.speeds import Outlook
from adapters.llama_cpp.vectors import packed, shortened
from adapters.llama_cpp.waiting import FairQueue
from adapters.llama_cpp.work import Emit, Job, Terms

if TYPE_CHECKING:  # not at run time: only the process that loads a model may load the native library
    from adapters.llama_cpp.embedding_model import EmbeddingModel

_FLOAT_BYTES = 16  # of one number in JSON, with its comma
_BASE64_BYTES = 6  # of one number in base64

EmbeddingJob: TypeAlias = "Job[EmbeddingRequest]"


class Work:
    """A job whose texts are tokens, `size` together. The first `taken` of them are embedded or about to be, `unread`
    counts the tokens of the others, `done` the results in `vectors`. `predicted` is how many seconds after it came it
    should have its answer, 0 where nothing was measured."""

    def __init__(self, job: EmbeddingJob, model: EmbeddingModel, least_dimensions: int) -> None:
        """Raises `BadRequest`."""
        request = job.request
        self.job, self.tenant, self.background = job, job.tenant, False
        self.dimensions = _dimensions(request.dimensions, model.dimensions, least_dimensions)
        _check_size(len(request.texts), self.dimensions, request.base64)
        self.texts = [model.tokens(text, where) for text, where in zip(request.texts, request.where, strict=True)]
        self.size = sum(map(len, self.texts))
        self.vectors = np.empty((len(self.texts), model.dimensions), np.float32)
        self.unread = self.size
        self.predicted = 0.0
        self.taken = self.done = 0

    def take(self) -> list[int]:
        """The next text."""
        text = self.texts[self.taken]
        self.taken += 1
        self.unread -= len(text)
        return text

    def answer(self, name: str) -> bytes:
        """OpenAI's list of embeddings."""
        as_text = self.job.request.base64
        data = [
            {"object": "embedding", "index": index, "embedding": packed(vector) if as_text else vector}
            for index, vector in enumerate(shortened(self.vectors, self.dimensions))
        ]
        usage = {"prompt_tokens": self.size, "total_tokens": self.size}
        body = {"object": "list", "data": data, "model": name, "usage": usage}
        return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


class Embedder(Intake[EmbeddingRequest, Work]):
    """Takes at most `limit` waiting requests besides `model.parallel`. `least_dimensions` is the fewest numbers to
    which an embedding of this model may be shortened, 0 where it may not."""

    def __init__(self, model: EmbeddingModel, name: str, limit: int, *, least_dimensions: int = 0) -> None:
        super().__init__(model, limit)
        self._model, self._name, self._least = model, name, least_dimensions
        self._queue: FairQueue[Work] = FairQueue()  # belongs to the thread that embeds
        self._begin("embed", self._run)

    # ---- for the server, on any thread

    def job(self, kind: Kind, body: bytes, emit: Emit, terms: Terms) -> EmbeddingJob:
        """The job that a frame asks for. Raises `BadRequest`."""
        if kind is not Kind.EMBED:
            raise BadRequest("This model makes embeddings; it does not chat.", "model", "invalid_request")
        return Job(parse(body), emit, terms.tenant, terms.first_token)

    def retry_after(self) -> float:
        """Seconds until a place in the queue is likely to be free."""
        return self._speeds.retry_after(self._model.parallel)

    def _work(self, job: EmbeddingJob) -> Work:
        return Work(job, self._model, self._least)

    def _outlook(self) -> Outlook:
        return self._speeds.outlook(self._backlog, 0.0)

    # ---- the thread that embeds

    def _run(self) -> None:
        while True:
            with self._changed:
                self._stepping = set()
                while not (self._closing or self._prepared or len(self._queue)):
                    self._changed.wait()
                if self._closing:
                    return
                prepared, self._prepared = self._prepared, []
            for work in prepared:
                self._receive(work)
            for work in [one for one in self._queue if one.job.cancelled]:
                self._queue.remove(work)
            self._count()
            self._step(self._chosen())

    def _receive(self, work: Work) -> None:
        work.predicted = work.job.outlook.first_token(work.size)
        if self._too_late(work.job, work.predicted, work.size):
            return
        self._speeds.admitted(work.size, 0)
        self._backlog += work.size
        self._queue.push(work)

    def _chosen(self) -> list[tuple[Work, int]]:
        """The texts of the next step: each tenant's next, and again, until the step is full."""
        chosen: list[tuple[Work, int]] = []
        room, given = self._model.batch_tokens, Counter[str]()
        while len(chosen) < self._model.parallel and (work := self._queue.peek(given)) is not None:
            size = len(work.texts[work.taken])
            if chosen and size > room:
                break
            chosen.append((work, work.taken))
            work.take()
            room -= size
            given[work.tenant] += size
            self._queue.served(work)
            if work.taken < len(work.texts):
                self._queue.push(work)  # behind the others of its tenant
        return chosen

    def _step(self, chosen: list[tuple[Work, int]]) -> None:
        with self._changed:
            self._stepping = {work.job for work, _ in chosen}
            if not self._stepping or all(job.cancelled for job in self._stepping):
                return
            for job in self._stepping:
                job.started = True
            self._model.progress_at = time.monotonic()  # the time that the engine was idle is no stall
            if not self._closing:
                self._model.resume()
        started = time.monotonic()
        try:
            vectors = self._model.embed([work.texts[place] for work, place in chosen])
            native = time.monotonic() - started
            self._count()  # before anybody hears of it
            if vectors is None:
                return  # interrupted: nobody waits for any of them
            for (work, place), vector in zip(chosen, vectors, strict=True):
                work.vectors[place] = vector
                if work.done + 1 == len(work.texts):
                    self._finish(work)
                work.done += 1
        except Exception as error:  # the border of the thread: without it one odd text would end all service
            report(error)
            for work in {work for work, _ in chosen}:
                if work in self._queue:
                    self._queue.remove(work)
                if work.done < len(work.texts):  # else it has its answer
                    self._end(work.job, fault_payload())
            return
        self._speeds.stepped(time.monotonic() - started, native, sum(len(w.texts[place]) for w, place in chosen), 0)

    def _count(self) -> None:
        self._backlog = sum(work.unread for work in self._queue)

    def _finish(self, work: Work) -> None:
        if work.job.cancelled:
            return
        answer = work.answer(self._name)
        self._served += 1
        seconds = time.monotonic() - work.job.born
        self._speeds.began(work.predicted, seconds)
        self._speeds.finished(seconds)
        self._end(work.job, answer, Kind.WHOLE)


def _dimensions(wanted: int | None, full: int, least: int) -> int:
    """How many numbers an embedding shall have. Raises `BadRequest`."""
    if wanted is None or wanted == full:
        return full
    if least and least <= wanted < full:
        return wanted
    span = f"from {least} to {full}" if least and least < full else f"only {full}"
    raise BadRequest(f"'dimensions' cannot be {wanted}: an embedding of this model has {span} numbers.", "dimensions")


def _check_size(texts: int, dimensions: int, packed: bool) -> None:
    most = MAX_FRAME_BYTES // (dimensions * (_BASE64_BYTES if packed else _FLOAT_BYTES) + 128)
    if texts > most:
        raise BadRequest(f"'input' holds {texts} texts; one answer of this model has room for {most}.", "input")
