"""A request on its way through the scheduler: the job as it came, the work it makes, and the sequences of its answers.

Nothing here decodes; `Work` turns tokens into what the client is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from adapters.llama_cpp.answer import Choice, Usage, Writer
from adapters.llama_cpp.chat import ChatRequest, ToolMode
from adapters.llama_cpp.failures import EngineFault
from adapters.llama_cpp.frames import Kind
from adapters.llama_cpp.places import Place
from adapters.llama_cpp.schema import any_object_grammar, arguments_grammar, calls_grammar, to_grammar
from adapters.llama_cpp.speeds import Outlook

if TYPE_CHECKING:  # not at run time: only the process that loads a model may load the native library
    from adapters.llama_cpp.model import LoadedModel
    from adapters.llama_cpp.sampler import Sampler

_LONGEST = 5.0  # seconds that a grammar may take for one token: the next one might take a hundred times as long


Request = TypeVar("Request")
Emit: TypeAlias = Callable[[Kind, bytes], None]


@dataclass(frozen=True, slots=True)
class Terms:
    """What the gateway knows of a request. `first_token` is how many seconds its first token may take; None: any."""

    tenant: str = ""
    first_token: float | None = None


@dataclass(slots=True, repr=False, eq=False)
class Job(Generic[Request]):
    """A request as it came. `emit` may be called on any thread and must not block or raise. `tenant` bounds who shares
    prefixes with it; `first_token` is how many seconds the first token may take, None for any time. `background` work
    waits for all other. `outlook` is what it met when it was submitted."""

    request: Request
    emit: Emit
    tenant: str = ""
    first_token: float | None = None
    background: bool = False
    cancelled: bool = False
    started: bool = False
    outlook: Outlook = field(default_factory=Outlook)
    born: float = field(default_factory=time.monotonic)


class Sequence:
    """One choice of one work. `tokens` are the prompt and what was sampled; `place.tokens` those of them that are in
    the cache. `age` orders sequences by when they were admitted; `shared` is that of the place it got. It
    waits while `behind` reads the `common` tokens that they begin with."""

    def __init__(self, work: Work, choice: Choice, sampler: Sampler) -> None:
        self.work, self.choice, self.sampler = work, choice, sampler
        self.tokens = list(work.prompt)
        self.place: Place | None = None
        self.age = 0
        self.shared = self.common = 0
        self.behind: Sequence | None = None
        self.made = 0
        self.turn = 0  # see `turns.Turns`

    @property
    def unread(self) -> int:
        """Tokens that are still to be read before the next one can be sampled."""
        return len(self.tokens) - (len(self.place.tokens) if self.place is not None else 0)


class Work:
    """A job whose prompt and grammar are in order. `open` are the sequences that are not complete yet; `began` is when
    it got a place, 0 before."""

    def __init__(self, job: Job[ChatRequest], model: LoadedModel, name: str) -> None:
        """Raises `BadRequest`. Takes milliseconds for long prompts and odd grammars: not for the decode thread."""
        request = job.request
        grammar = grammar_for(request)
        self.job = job
        self.tenant, self.background = job.tenant, request.background
        self.prompt = model.prompt(request)
        self.prompt_read = False
        self.predicted = 0.0  # seconds from the job's birth to the first token, as it looked then; 0: unknown
        self.began = 0.0
        self.usage = Usage(prompt=len(self.prompt))
        self._writer = Writer(request, name)
        room = model.context_tokens - len(self.prompt)
        limit = min(request.max_tokens or room, room)
        self._choices = [Choice(request, index, limit) for index in range(request.choices)]
        self.open: list[Sequence] = []
        try:
            for choice in self._choices:
                sampler = model.sampler(request.sampling, grammar, choice.index)
                self.open.append(Sequence(self, choice, sampler))
        except BaseException:
            self.close()
            raise
        self.leader = self.open[0]

    def close(self) -> None:
        """Free the samplers. Closing twice is fine."""
        for sequence in self.open:
            sequence.sampler.close()
        self.open = []

    def sampled(self, sequence: Sequence, model: LoadedModel, row: int, token: int) -> bool:
        """One more token of an answer. True when the answer is complete. Raises `EngineFault` where its grammar has
        grown too costly to go on."""
        if sequence.sampler.seconds > _LONGEST:
            raise EngineFault("the grammar of an answer takes too long")
        request, choice = self.job.request, sequence.choice
        sequence.made += 1
        self.usage.completion += 1
        if model.ends(token):
            deltas = choice.end()
        else:
            top = request.top_logprobs
            entry = None if top is None else model.log_probabilities(row, token, top)
            deltas = choice.push(model.piece(token), entry)
            sequence.tokens.append(token)
        if request.stream:
            self._emit_deltas(choice, deltas, first=sequence.made == 1)
        return choice.finish_reason is not None

    def finished(self, sequence: Sequence) -> None:
        """The answer is complete. With the last one everything is sent."""
        sequence.sampler.close()
        self.open.remove(sequence)
        if self.open:
            return
        if self.job.request.stream:
            last = self._writer.usage_chunk(self.usage)
            if last is not None:
                self.job.emit(Kind.CHUNK, last)
            self.job.emit(Kind.END, b"")
        else:
            self.job.emit(Kind.WHOLE, self._writer.whole(self._choices, self.usage))

    def _emit_deltas(self, choice: Choice, deltas: list[dict[str, object]], *, first: bool) -> None:
        emit, writer = self.job.emit, self._writer
        if first:
            emit(Kind.CHUNK, writer.chunk(choice, {"role": "assistant", "content": ""}))
        for delta in deltas:
            emit(Kind.CHUNK, writer.chunk(choice, delta))
        if choice.finish_reason is not None:
            emit(Kind.CHUNK, writer.chunk(choice, {}, last=True))


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
