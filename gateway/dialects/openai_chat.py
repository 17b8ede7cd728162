"""OpenAI's chat completions: what to read in a request, what to change in it, what to take from an answer.

Pure translation. A field that is not named here is neither read nor changed, so the ones of tomorrow pass through.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

import orjson

from gateway.dialects import sse
from gateway.dialects.fields import MODEL_NAME, count, flag, integer, model_of, string, tree_of, wrong
from gateway.domain.errors import Code, GatewayError, ProviderError
from gateway.domain.grammar import Grammar
from gateway.domain.money import Usage
from gateway.domain.request import InferenceRequest
from gateway.domain.tree import Json, JsonObject, Path

DIALECT: Final = "openai_chat"
PATH: Final = "/chat/completions"
"""Under a server's base URL, which ends in ``/v1`` as a rule."""

OPERATION: Final = "chat"
"""The value of ``gen_ai.operation.name`` in traces."""

ANSWERS_IN_WORDS: Final = True
"""Whether an answer holds words, in which values may be hidden or put back."""

MAX_CHOICES = 128
"""The most choices (`n`) that OpenAI takes."""

LimitField: TypeAlias = Literal["max_completion_tokens", "max_tokens"]
LIMIT_FIELDS: tuple[LimitField, LimitField] = ("max_completion_tokens", "max_tokens")
"""The present and the former name of the bound on one choice."""

_PREMIUM = frozenset({"priority", "fast"})
"""Service tiers at a higher price; the answer says which tier it was made in."""

_PART_TYPES = frozenset({"text", "refusal", "image_url", "input_audio", "file"})
# An id that OpenAI makes is random. A run of seven digits may be somebody's number, so such an id is read as text.
_CALL_ID = re.compile(r"call_(?=[A-Za-z]*[0-9])(?![A-Za-z0-9]*[0-9]{7})[A-Za-z0-9]{20,40}", re.ASCII)

# The names that members have by protocol: of a request, of a message, and of JSON Schema in tools and response formats.
_NAMES = """
model messages stream stream_options include_usage include_obfuscation max_tokens max_completion_tokens n stop
temperature top_p presence_penalty frequency_penalty logit_bias logprobs top_logprobs seed user safety_identifier
prompt_cache_key prompt_cache_options prompt_cache_retention moderation response_format json_schema schema strict tools
tool_choice parallel_tool_calls functions function_call modalities audio voice format prediction reasoning_effort
verbosity service_tier store metadata web_search_options
role content name type text refusal image_url url detail input_audio data file file_id file_data filename
tool_calls tool_call_id id index function arguments custom input reasoning_content annotations
properties required items description parameters enum const default additionalProperties anyOf oneOf allOf
$ref $defs definitions title minimum maximum minLength maxLength minItems maxItems pattern
"""

GRAMMAR = Grammar(
    controls={
        ("model",): MODEL_NAME,
        ("messages", "*", "role"): frozenset({"system", "developer", "user", "assistant", "tool", "function"}),
        ("messages", "*", "content", "*", "type"): _PART_TYPES,
        ("messages", "*", "tool_calls", "*", "type"): frozenset({"function", "custom"}),
        ("messages", "*", "tool_calls", "*", "id"): _CALL_ID,
        ("messages", "*", "tool_call_id"): _CALL_ID,
        ("tools", "*", "type"): frozenset({"function", "custom"}),
        ("tool_choice",): frozenset({"none", "auto", "required"}),
        ("tool_choice", "type"): frozenset({"function", "custom", "allowed_tools"}),
        ("response_format", "type"): frozenset({"text", "json_object", "json_schema"}),
        ("reasoning_effort",): frozenset({"none", "minimal", "low", "medium", "high", "xhigh"}),
        ("verbosity",): frozenset({"low", "medium", "high"}),
        ("service_tier",): frozenset({"auto", "default", "flex", "scale", "priority", "fast"}),
        ("modalities", "*"): frozenset({"text", "audio"}),
    },
    names=frozenset(_NAMES.split()),
    readable_parts=frozenset({"text", "refusal"}),
)


def parse(body: bytes) -> InferenceRequest:
    """Read a request. Raises `GatewayError` with the field at fault in `param`, and never with its value."""
    tree = tree_of(body)
    model = model_of(tree)
    _check_messages(tree)
    stream = flag(tree, "stream", "stream")
    choices = integer(tree, "n", MAX_CHOICES)
    limits = [limit for name in LIMIT_FIELDS if (limit := integer(tree, name)) is not None]
    options = tree.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise wrong("stream_options", "must be an object")
    return InferenceRequest(
        dialect=DIALECT,
        body=tree,
        size=len(body),
        model=model,
        stream=stream,
        choices=choices or 1,
        max_output_tokens=max(limits, default=None),  # a server may know only one of the two names
        user=string(tree, "user") or string(tree, "safety_identifier"),
        wants_usage=options is not None and flag(options, "include_usage", "stream_options.include_usage"),
    )


def probe(model: str, said: str) -> JsonObject:
    """The smallest request for this model with this text in it."""
    return {"model": model, "messages": [{"role": "user", "content": said}]}


def _check_messages(tree: JsonObject) -> None:
    messages = tree.get("messages")
    if not isinstance(messages, list) or not messages:
        raise wrong("messages", "must be a list with at least one message" if "messages" in tree else "is missing")
    for place, message in enumerate(messages):
        if not isinstance(message, dict):
            raise wrong(f"messages[{place}]", "must be an object")


def with_changes(
    body: JsonObject,
    *,
    model: str,
    include_usage: bool,
    max_output_tokens: int | None,
    output_limit_field: LimitField | None = None,
) -> JsonObject:
    """A shallow copy of a request for one target; `body` itself stays as it is.

    `model` is the provider's name of the model. With `include_usage` a streamed answer ends with the token count.
    `max_output_tokens` bounds each choice: written into the member that the caller used, or else into
    ``max_completion_tokens``, and never above what the caller asked for. `output_limit_field` is for servers that
    know one of the two names only: the bound, also the caller's own, goes there and nowhere else.
    """
    changed = dict(body)
    changed["model"] = model
    if include_usage and body.get("stream") is True:
        options = body.get("stream_options")
        changed["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    asked: dict[LimitField, int] = {name: limit for name in LIMIT_FIELDS if isinstance(limit := body.get(name), int)}
    if output_limit_field is not None and asked:
        for name in asked:
            del changed[name]
        asked = {output_limit_field: max(asked.values())}
        changed[output_limit_field] = asked[output_limit_field]
    if max_output_tokens is not None:
        for name in asked or (output_limit_field or LIMIT_FIELDS[0],):
            changed[name] = min(asked.get(name, max_output_tokens), max_output_tokens)
    return changed


def usage_of(answer: JsonObject) -> Usage | None:
    """The tokens of an answer or of a chunk as the provider counted them; None where it gives no sound count."""
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return None
    prompt = count(usage.get("prompt_tokens"))
    if prompt is None:
        return None
    details = usage.get("prompt_tokens_details")
    cached = count(details.get("cached_tokens")) if isinstance(details, dict) else None
    premium = answer.get("service_tier") in _PREMIUM
    return Usage(prompt, count(usage.get("completion_tokens")) or 0, min(cached or 0, prompt), premium)


@dataclass(frozen=True, slots=True)
class ChunkUsage:
    """The token count in a stream chunk. `alone` marks the chunk that carries nothing else (no choices), which a
    client that did not ask for it must not get."""

    usage: Usage
    alone: bool


def usage_in_chunk(data: bytes) -> ChunkUsage | None:
    """The token count that a stream chunk carries, or None. Cheap for the many chunks that carry none."""
    if b'"usage"' not in data or b'"usage":null' in data:
        return None
    tree = _chunk_of(data)
    usage = usage_of(tree)
    return None if usage is None else ChunkUsage(usage, not tree.get("choices"))


class TextRestorer(Protocol):
    """Puts original values back into one text that arrives in pieces, holding back what may begin a token."""

    def feed(self, text: str) -> str: ...

    def flush(self) -> str:
        """What is still held back; nothing more follows."""
        ...


# Members of a delta that are no prose: restoring could only break them.
_NO_PROSE = frozenset({"role", "type", "id", "tool_call_id", "status", "format", "data", "signature"})
# Members that come whole in one chunk. Holding back their last characters would tear them apart.
_WHOLE = frozenset({"name", "url", "title"})
_FRAME = ("id", "object", "created", "model", "system_fingerprint", "service_tier")
_MAX_DEPTH = 32

_Place: TypeAlias = tuple[str | int, ...]


class ChunkRestorer:
    """Puts original values back into a streamed answer.

    Every text of every choice is a channel of its own (the content, the arguments of each tool call, ...), known by
    its choice and its place in `delta`, because a token can be cut between two chunks but never runs from one channel
    into another. `make` gives the restorer of a channel; its argument says whether the text is JSON, in which a value
    has to be escaped. What a channel still holds back goes out in a chunk of its own before the one with the choice's
    ``finish_reason``, or at the end. A chunk in which nothing changes is passed on byte by byte. Without `logprobs` the
    probabilities of the tokens, which spell the text out, are taken away.
    """

    __slots__ = ("_channels", "_last", "_logprobs", "_make")

    def __init__(self, make: Callable[[bool], TextRestorer], logprobs: bool = True) -> None:
        self._make = make
        self._logprobs = logprobs
        self._channels: dict[_Place, TextRestorer] = {}
        self._last: JsonObject = {}

    def feed(self, data: bytes) -> list[bytes]:
        """The chunks to send instead of this one. Raises `ProviderError` where it is not a JSON object."""
        tree = _chunk_of(data)
        choices = tree.get("choices")
        if not isinstance(choices, list) or not choices:
            return [data]
        self._last = tree
        changed = False
        before: list[bytes] = []
        for choice in choices:
            if not isinstance(choice, dict):
                continue
            index = choice.get("index")
            root = index if isinstance(index, int) else 0
            finished = choice.get("finish_reason") is not None
            changed |= self._restore(choice.get("delta"), (root,), finished)
            if choice.get("logprobs") and not self._logprobs:
                choice["logprobs"] = None
                changed = True
            if finished and self._channels:
                before += self._flush([place for place in self._channels if place[0] == root])
        return [*before, orjson.dumps(tree) if changed else data]

    def finish(self) -> list[bytes]:
        """The chunks for whatever is still held back when the stream ends."""
        return self._flush(list(self._channels))

    def _restore(self, node: Json, place: _Place, finished: bool) -> bool:
        """Restore the texts under `node` in place; whether anything changed."""
        if len(place) > _MAX_DEPTH:
            return False
        members: list[tuple[str | int, Json]]
        if isinstance(node, dict):
            members = list(node.items())
        elif isinstance(node, list):
            members = list(enumerate(node))
        else:
            return False
        changed = False
        for step, value in members:
            if isinstance(value, str):
                if value and step not in _NO_PROSE:
                    restored = self._text((*place, step), value, finished)
                    if restored != value:
                        node[step] = restored  # type: ignore[index]  # the step is a key of this node
                        changed = True
            elif value.__class__ is dict or value.__class__ is list:
                changed |= self._restore(value, (*place, _step_into(step, value)), finished)
        return changed

    def _text(self, place: _Place, text: str, finished: bool) -> str:
        last = place[-1]
        if last in _WHOLE:
            restorer = self._make(False)
            return restorer.feed(text) + restorer.flush()
        channel = self._channels.get(place)
        if channel is None:
            channel = self._channels[place] = self._make(last == "arguments")
        restored = channel.feed(text)
        if finished:
            restored += channel.flush()
            del self._channels[place]
        return restored

    def _flush(self, places: list[_Place]) -> list[bytes]:
        held = [(place, self._channels.pop(place).flush()) for place in places]
        return [self._chunk(place, text) for place, text in held if text]

    def _chunk(self, place: _Place, text: str) -> bytes:
        """A chunk like the last one seen, with nothing but `text` in one channel."""
        node: Json = text
        for step in reversed(place[1:]):
            if isinstance(step, str):
                node = {step: node}
            else:
                node = [{"index": step, **node}] if isinstance(node, dict) else [node]
        frame = {name: self._last[name] for name in _FRAME if name in self._last}
        choice: JsonObject = {"index": place[0], "delta": node, "finish_reason": None}
        return orjson.dumps({**frame, "choices": [choice]})


def _step_into(step: str | int, value: Json) -> str | int:
    """An item of a list is known by its own ``index``, since a chunk lists only the items that grow."""
    if isinstance(step, int) and isinstance(value, dict):
        index = value.get("index")
        if isinstance(index, int):
            return index
    return step


def _chunk_of(data: bytes) -> JsonObject:
    try:
        tree = orjson.loads(data)
    except orjson.JSONDecodeError:
        tree = None
    if isinstance(tree, dict):
        return tree
    raise ProviderError(Code.TARGET_BAD_ANSWER, "The model's answer could not be read.", detail="chunk is not JSON")


def error_body(
    code: str, message: str, kind: str, *, param: str | None = None, decision: str | None = None, **more: Json
) -> bytes:
    """An error as OpenAI's clients expect it. `kind` is their ``type``; `decision` is the id to ask about it with;
    `more` are members that they do not know."""
    error: JsonObject = {"message": message, "type": kind, "param": param, "code": code, **more}
    if decision is not None:
        error["decision"] = decision
    return orjson.dumps({"error": error})


def error_frame(body: bytes) -> bytes:
    """An `error_body` as the last event of a stream that has already begun."""
    return sse.encode(body)


def is_json_text(path: Path) -> bool:
    """Is the string at this place of an answer JSON text? The arguments of a tool call are, even when cut short."""
    return bool(path) and path[-1] == "arguments"


def is_prose(path: Path) -> bool:
    """Does the model's own word stand at this place of an answer? Ids, roles and counts are not."""
    return len(path) > 3 and path[0] == "choices" and path[2] == "message" and path[-1] not in _NO_PROSE


def chunk_restorer(make: Callable[[bool], TextRestorer], logprobs: bool = True) -> ChunkRestorer:
    return ChunkRestorer(make, logprobs)


def without_logprobs(answer: JsonObject) -> JsonObject:
    """A whole answer without the probabilities of its tokens, which spell the text out."""
    choices = answer.get("choices")
    if not isinstance(choices, list) or not any(isinstance(c, dict) and c.get("logprobs") for c in choices):
        return answer
    return {**answer, "choices": [{**c, "logprobs": None} if isinstance(c, dict) else c for c in choices]}


def stream_error(error: GatewayError, decision: str) -> bytes:
    """The frame that ends a stream which broke after it began."""
    return error_frame(error_body(error.code.value, error.public, "server_error", decision=decision))
