"""What the scripted cloud says: pure functions from a request to an answer in OpenAI's shape."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, TypeAlias

Object: TypeAlias = dict[str, Any]

_PIECES = re.compile(r"\s*\S{1,6}|\s+")  # a tokeniser's pieces: a long word, or a pseudonym, is cut into several
_ASKS_FOR_TOOL = re.compile(r"\b(?:call|use) (?:the|a|this|that|your) (?:tool|function)", re.IGNORECASE)
_ARGUMENT_PIECE = 5
_MAX_DEPTH = 8


class BadRequest(Exception):
    """The request has a fault; `param` names the field."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


@dataclass(frozen=True, slots=True)
class ToolCall:
    """`custom` tools take free text, functions take JSON."""

    id: str
    name: str
    arguments: str
    custom: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """Either `pieces` of text or `tools` to call."""

    pieces: tuple[str, ...]
    tools: tuple[ToolCall, ...]
    finish_reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """`created` is seconds since the epoch."""

    id: str
    created: int
    model: str
    choices: tuple[Choice, ...]
    usage: Object
    logprobs: bool


def answer_to(request: Object, *, number: int, created: int, cached_tokens: int) -> Answer:
    """The answer to a chat request. `number` makes its ids. Raises `BadRequest`."""
    model, messages = request.get("model"), request.get("messages")
    if not isinstance(model, str):
        raise BadRequest("you must provide a model parameter", "model")
    if not isinstance(messages, list) or not messages or not all(isinstance(item, dict) for item in messages):
        raise BadRequest("'messages' must be a list of at least one message", "messages")
    count = request.get("n") or 1
    if not isinstance(count, int) or not 1 <= count <= 128:
        raise BadRequest("'n' must be from 1 to 128", "n")
    limit = request.get("max_completion_tokens") or request.get("max_tokens")
    text = _said(messages)
    tools = _tool_calls(request, messages, text, number)
    choices = tuple(_choice(request, messages, text, tools, place, count, limit) for place in range(count))
    prompt = tokens_of(messages)
    completion = sum(len(choice.pieces) + sum(len(tool.arguments) // 4 for tool in choice.tools) for choice in choices)
    usage: Object = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": min(cached_tokens, prompt)},
    }
    return Answer(f"chatcmpl-scripted-{number}", created, model, choices, usage, bool(request.get("logprobs")))


def tokens_of(messages: Sequence[Object]) -> int:
    """The token count of messages: four bytes of JSON each, about what real ones need."""
    return max(1, len(json.dumps(messages, ensure_ascii=False, separators=(",", ":")).encode()) // 4)


def completion(answer: Answer) -> Object:
    """The answer as one JSON object."""
    choices = [
        {
            "index": index,
            "message": {
                "role": "assistant",
                "content": None if choice.tools else "".join(choice.pieces),
                "refusal": None,
                **({"tool_calls": [_tool_json(tool) for tool in choice.tools]} if choice.tools else {}),
            },
            "logprobs": _logprobs(choice.pieces) if answer.logprobs else None,
            "finish_reason": choice.finish_reason,
        }
        for index, choice in enumerate(answer.choices)
    ]
    return {**_frame(answer, "chat.completion"), "choices": choices, "usage": answer.usage}


def chunks(answer: Answer, include_usage: bool) -> Iterator[Object]:
    """The answer as the JSON objects of a stream, the choices taking turns."""
    frame = _frame(answer, "chat.completion.chunk")
    if include_usage:
        frame["usage"] = None
    for turn in zip_longest(*(_deltas(answer, index) for index in range(len(answer.choices)))):
        for choice in turn:
            if choice is not None:
                yield {**frame, "choices": [choice]}
    if include_usage:
        yield {**frame, "choices": [], "usage": answer.usage}


def _deltas(answer: Answer, index: int) -> Iterator[Object]:
    choice = answer.choices[index]

    def step(delta: Object, pieces: Sequence[str] = (), finish: str | None = None) -> Object:
        logprobs = _logprobs(pieces) if answer.logprobs and pieces else None
        return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}

    yield step({"role": "assistant", "content": None if choice.tools else "", "refusal": None})
    for piece in choice.pieces:
        yield step({"content": piece}, [piece])
    for place, tool in enumerate(choice.tools):
        kind, text = ("custom", "input") if tool.custom else ("function", "arguments")
        head = {"index": place, "id": tool.id, "type": kind, kind: {"name": tool.name, text: ""}}
        yield step({"tool_calls": [head]})
        for start in range(0, len(tool.arguments), _ARGUMENT_PIECE):
            piece = tool.arguments[start : start + _ARGUMENT_PIECE]
            yield step({"tool_calls": [{"index": place, kind: {text: piece}}]})
    yield step({}, finish=choice.finish_reason)


def _choice(
    request: Object,
    messages: list[Object],
    text: str,
    tools: tuple[ToolCall, ...],
    place: int,
    count: int,
    limit: int | None,
) -> Choice:
    if tools:
        return Choice((), tools, "tool_calls")
    wanted = request.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "json_schema":
        schema = (wanted or {}).get("json_schema", {}).get("schema", {})
        said = json.dumps(_fill(schema, text), ensure_ascii=False)
    elif kind == "json_object":
        said = json.dumps({"you_wrote": text}, ensure_ascii=False)
    else:
        said = f"The tool answered: «{text}»" if messages[-1].get("role") == "tool" else f"You wrote: «{text}»"
        if count > 1:
            said += f" (answer {place + 1} of {count})"
    pieces = tuple(_PIECES.findall(said))
    if limit is not None and limit < len(pieces):
        return Choice(pieces[:limit], (), "length")
    return Choice(pieces, (), "stop")


def _said(messages: list[Object]) -> str:
    """The text of the last message if a tool sent it, else of the last one that a user sent."""
    last = messages[-1]
    if last.get("role") != "tool":
        last = next((item for item in reversed(messages) if item.get("role") == "user"), last)
    content = last.get("content")
    if isinstance(content, list):
        return "\n".join(
            part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)
        )
    return content if isinstance(content, str) else ""


def _tool_calls(request: Object, messages: list[Object], text: str, number: int) -> tuple[ToolCall, ...]:
    """The tools to call: the one that is forced, or those that the user's text names, or the first of all."""
    tools = [tool for tool in request.get("tools") or [] if isinstance(tool, dict)]
    wanted = request.get("tool_choice")
    if not tools or wanted == "none":
        return ()
    if isinstance(wanted, dict):
        forced = _named(wanted)[1]
        called = [tool for tool in tools if _named(tool)[1] == forced]
        if not called:
            raise BadRequest("tool_choice names no tool of this request", "tool_choice")
    else:
        called = [tool for tool in tools if _named(tool)[1] and _named(tool)[1] in text]
        asked = called or wanted == "required" or _ASKS_FOR_TOOL.search(text)
        if not asked or (messages[-1].get("role") == "tool" and wanted != "required"):
            return ()
        called = called or tools[:1]
    return tuple(_tool_call(tool, text, f"{number}/{place}") for place, tool in enumerate(called))


def _tool_call(tool: Object, text: str, seed: str) -> ToolCall:
    custom, name = _named(tool)
    identity = "call_" + hashlib.sha256(seed.encode()).hexdigest()[:24]
    if custom:
        return ToolCall(identity, name, text, custom=True)
    schema = tool["function"].get("parameters") or {"type": "object", "properties": {"text": {"type": "string"}}}
    return ToolCall(identity, name, json.dumps(_fill(schema, text), ensure_ascii=False))


def _named(tool: Object) -> tuple[bool, str]:
    """Is it a custom tool, and its name."""
    custom = tool.get("type") == "custom"
    inner = tool.get("custom" if custom else "function")
    name = inner.get("name") if isinstance(inner, dict) else None
    if not isinstance(name, str):
        raise BadRequest("a tool must have a name", "tools")
    return custom, name


def _fill(schema: Any, text: str, depth: int = 0) -> Any:
    """A value that fits a JSON Schema, with `text` wherever it wants a string."""
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return text
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for either in ("anyOf", "oneOf", "allOf"):
        if schema.get(either):
            return _fill(schema[either][0], text, depth + 1)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0] if kind else None
    match kind:
        case "object":
            properties = schema.get("properties") or {}
            return {name: _fill(inner, text, depth + 1) for name, inner in properties.items()}
        case "array":
            return [_fill(schema.get("items"), text, depth + 1)]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "null":
            return None
    return text


def _tool_json(tool: ToolCall) -> Object:
    if tool.custom:
        return {"id": tool.id, "type": "custom", "custom": {"name": tool.name, "input": tool.arguments}}
    return {"id": tool.id, "type": "function", "function": {"name": tool.name, "arguments": tool.arguments}}


def _logprobs(pieces: Sequence[str]) -> Object:
    content = [{"token": piece, "logprob": -0.1, "bytes": list(piece.encode()), "top_logprobs": []} for piece in pieces]
    return {"content": content, "refusal": None}


def _frame(answer: Answer, kind: str) -> Object:
    return {
        "id": answer.id,
        "object": kind,
        "created": answer.created,
        "model": answer.model,
        "system_fingerprint": "fp_scripted",
    }
