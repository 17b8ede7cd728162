"""Who decodes when: one thread, one request at a time, a bounded queue.

This module is the seam for another way of scheduling. The server needs of it `submit`, `cancel`, `figures` and
`close`; it needs of the others the model, and one `Choice` and `Writer` per answer.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.llama_cpp.answer import Choice, Usage, Writer
from adapters.llama_cpp.chat import ChatRequest, ToolMode
from adapters.llama_cpp.failures import BadRequest, Cancelled, EngineFault, bad_request_payload, fault_payload
from adapters.llama_cpp.frames import Kind
from adapters.llama_cpp.schema import any_object_grammar, arguments_grammar, calls_grammar, to_grammar

if TYPE_CHECKING:  # not at run time: only the process that loads a model may load the native library
    from adapters.llama_cpp.model import LoadedModel

_log = logging.getLogger(__name__)
_SMOOTHING = 0.2


@dataclass(slots=True, repr=False, eq=False)
class Job:
    """A request in the queue. `emit` is called on the decode thread and must not block or raise."""

    request: ChatRequest
    emit: Callable[[Kind, bytes], None]
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class Figures:
    """Live figures. Speeds are tokens per second, 0 when nothing was measured yet; times are seconds."""

    waiting: int
    running: int
    prompt_speed: float
    decode_speed: float
    request_seconds: float
    since_progress: float
    served: int


class Scheduler:
    """Takes at most `limit` waiting requests besides the running one."""

    def __init__(self, model: LoadedModel, name: str, limit: int) -> None:
        self._model, self._name, self._limit = model, name, limit
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._changed = threading.Condition()
        self._closing = False
        self._prompt_speed = self._decode_speed = self._request_seconds = 0.0
        self._served = 0
        self._thread = threading.Thread(target=self._run, name="decode", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> bool:
        """Queue the job; False when the queue is full."""
        with self._changed:
            if self._closing or len(self._waiting) + (self._running is not None) > self._limit:
                return False
            self._waiting.append(job)
            self._changed.notify()
        return True

    def cancel(self, job: Job) -> None:
        """Nothing more is wanted of the job: forget it, or stop it before its next token."""
        with self._changed:
            job.cancelled = True
            if job is self._running:
                self._model.interrupt()
            elif job in self._waiting:
                self._waiting.remove(job)

    def retry_after(self) -> float:
        """Seconds until a place in the queue is likely to be free."""
        return min(max(self._request_seconds, 1.0), 60.0)

    def figures(self) -> Figures:
        with self._changed:
            running = self._running is not None
            return Figures(
                waiting=len(self._waiting),
                running=int(running),
                prompt_speed=self._prompt_speed,
                decode_speed=self._decode_speed,
                request_seconds=self._request_seconds,
                since_progress=time.monotonic() - self._model.progress_at if running else 0.0,
                served=self._served,
            )

    def close(self, timeout: float = 3.0) -> None:
        """Stop everything and give the model's memory back. The jobs hear nothing."""
        with self._changed:
            self._closing = True
            self._waiting.clear()
            if self._running is not None:
                self._running.cancelled = True
                self._model.interrupt()
            self._changed.notify()
        self._thread.join(timeout)
        if not self._thread.is_alive():
            self._model.close()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._running = None
                while not self._waiting and not self._closing:
                    self._changed.wait()
                if self._closing:
                    return
                job = self._running = self._waiting.popleft()
                self._model.resume()
                self._model.progress_at = time.monotonic()
            started = time.monotonic()
            self._serve(job)
            self._request_seconds = _smooth(self._request_seconds, time.monotonic() - started)
            self._served += 1

    def _serve(self, job: Job) -> None:
        try:
            self._answer(job)
        except Cancelled:
            return
        except BadRequest as error:
            job.emit(Kind.ERROR, bad_request_payload(error))
        except EngineFault as error:
            _log.error("the engine failed: %s", error)
            job.emit(Kind.ERROR, fault_payload())
        except Exception as error:  # the border of the thread: without it one odd request would end all service
            _log.error("unexpected %s", type(error).__name__)  # neither text nor traceback: they may quote the request
            job.emit(Kind.ERROR, fault_payload())

    def _answer(self, job: Job) -> None:
        request, model = job.request, self._model
        grammar = grammar_for(request)
        tokens = model.prompt(request)
        room = model.context_tokens - len(tokens)
        limit = min(request.max_tokens or room, room)
        writer, usage, choices = Writer(request, self._name), Usage(prompt=len(tokens)), []
        for index in range(request.choices):
            choice = Choice(request, index, limit)
            choices.append(choice)
            self._one_choice(job, choice, tokens, grammar, writer, usage)
        if request.stream:
            last = writer.usage_chunk(usage)
            if last is not None:
                job.emit(Kind.CHUNK, last)
            job.emit(Kind.END, b"")
        else:
            job.emit(Kind.WHOLE, writer.whole(choices, usage))

    def _one_choice(
        self, job: Job, choice: Choice, tokens: list[int], grammar: str | None, writer: Writer, usage: Usage
    ) -> None:
        request, model = job.request, self._model
        sampler = model.sampler(request.sampling, grammar, choice.index)
        try:
            started = time.monotonic()
            known = model.prefill(tokens)
            ready = time.monotonic()
            if choice.index == 0:
                usage.cached = known
                if len(tokens) - known >= 16:  # fewer say more about the fixed cost of a call than about the speed
                    self._prompt_speed = _smooth(self._prompt_speed, (len(tokens) - known) / (ready - started))
            made = 0
            while choice.finish_reason is None:
                if job.cancelled:
                    raise Cancelled
                token = model.sample(sampler)
                made += 1
                if model.ends(token):
                    deltas = choice.end()
                else:
                    top = request.top_logprobs
                    deltas = choice.push(
                        model.piece(token), None if top is None else model.log_probabilities(token, top)
                    )
                if request.stream:
                    self._emit_deltas(job, choice, deltas, writer, first=made == 1)
                if choice.finish_reason is None:
                    model.step(token)
            usage.completion += made
            if made > 1:
                self._decode_speed = _smooth(self._decode_speed, made / max(time.monotonic() - ready, 1e-6))
        finally:
            sampler.close()

    @staticmethod
    def _emit_deltas(job: Job, choice: Choice, deltas: list[dict[str, object]], writer: Writer, *, first: bool) -> None:
        if first:
            job.emit(Kind.CHUNK, writer.chunk(choice, {"role": "assistant", "content": ""}))
        for delta in deltas:
            job.emit(Kind.CHUNK, writer.chunk(choice, delta))
        if choice.finish_reason is not None:
            job.emit(Kind.CHUNK, writer.chunk(choice, {}, last=True))


def grammar_for(request: ChatRequest) -> str | None:
    """The grammar that the answer must follow, if any. Raises `BadRequest`."""
    if request.tool_mode is ToolMode.ONE and request.forced is not None:
        return arguments_grammar(request.forced.schema, request.forced.where)
    if request.tool_mode is ToolMode.SOME:
        return calls_grammar([(tool.name, tool.schema, tool.where) for tool in request.tools])
    if request.schema is None:
        return None
    if request.schema is True:
        return any_object_grammar()
    return to_grammar(request.schema, "response_format.json_schema.schema")


def _smooth(average: float, value: float) -> float:
    return value if average == 0 else average + _SMOOTHING * (value - average)
