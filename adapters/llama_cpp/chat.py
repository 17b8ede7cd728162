"""The body of a chat completion request: checked once, then frozen. No I/O.

Source: the Chat Completions reference of the OpenAI API. `top_k`, `min_p`, `repeat_penalty` and
`chat_template_kwargs` are llama.cpp's and vLLM's extensions. A field that is not known is ignored, as they do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import orjson

from adapters.llama_cpp.failures import BadRequest

MAX_CHOICES = 16
MAX_STOPS = 16
MAX_TOP_LOGPROBS = 20
MAX_TOOLS = 128
_ROLES = {
    "system": "system",
    "developer": "system",  # chat templates know the older name
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}

Message = dict[str, Any]


class ToolMode(Enum):
    """OFF: text only. AUTO: the model decides. ONE: it must call `ChatRequest.forced`. SOME: it must call any."""

    OFF = auto()
    AUTO = auto()
    ONE = auto()
    SOME = auto()


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to choose a token. Where the caller says nothing: llama.cpp's own defaults, which suit small models."""

    temperature: float = 0.8
    top_p: float = 0.95
    top_k: int = 40
    min_p: float = 0.05
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repeat_penalty: float = 1.0
    seed: int | None = None
    logit_bias: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Tool:
    """A function the model may call. `schema` is the JSON schema of its arguments."""

    name: str
    schema: Any
    where: str


@dataclass(frozen=True, slots=True, repr=False)
class ChatRequest:
    """A checked request. The repr is the class name only: it holds content.

    `schema` is None for free text, True for any JSON object, else the JSON schema; `top_logprobs` is None when no
    log probabilities are wanted. `background` says that others go first (OpenAI's ``service_tier: flex``).
    """

    messages: tuple[Message, ...]
    raw_tools: tuple[Any, ...]
    tools: tuple[Tool, ...]
    tool_mode: ToolMode
    forced: Tool | None
    stream: bool
    include_usage: bool
    choices: int
    max_tokens: int | None
    stop: tuple[str, ...]
    sampling: Sampling
    schema: Any
    top_logprobs: int | None
    template_options: Mapping[str, Any]
    background: bool = False


def parse(raw: bytes) -> ChatRequest:
    """The request in `raw`. Raises `BadRequest`, which names the field at fault."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise BadRequest("The body is not valid JSON.", code="invalid_json") from None
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.", code="invalid_json")
    for old in ("functions", "function_call"):
        if body.get(old) is not None:
            message = f"'{old}' is the deprecated form; use 'tools' and 'tool_choice'."
            raise BadRequest(message, old, "unsupported_parameter")
    raw_tools, tools = _tools(body)
    mode, forced = _tool_choice(body, tools)
    options = body.get("stream_options") or {}
    if not isinstance(options, dict):
        raise _wrong("stream_options", "an object")
    template_options = body.get("chat_template_kwargs") or {}
    if not isinstance(template_options, dict):
        raise _wrong("chat_template_kwargs", "an object")
    return ChatRequest(
        messages=_messages(body.get("messages")),
        raw_tools=raw_tools if mode is not ToolMode.OFF else (),
        tools=tools,
        tool_mode=mode,
        forced=forced,
        stream=_flag(body, "stream"),
        include_usage=bool(options.get("include_usage")),
        choices=_whole(body, "n", 1, MAX_CHOICES) or 1,
        max_tokens=_whole(body, "max_completion_tokens", 1) or _whole(body, "max_tokens", 1),
        stop=_stop(body.get("stop")),
        sampling=_sampling(body),
        schema=_response_format(body.get("response_format")),
        top_logprobs=_logprobs(body),
        template_options={key: value for key, value in template_options.items() if key not in _TEMPLATE_OWN},
        background=body.get("service_tier") == "flex",
    )


_TEMPLATE_OWN = {"messages", "tools", "tool_choice", "functions", "function_call", "add_generation_prompt"}


def _wrong(param: str, wanted: str) -> BadRequest:
    return BadRequest(f"'{param}' must be {wanted}.", param, "invalid_type")


def _flag(body: Message, name: str) -> bool:
    value = body.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise _wrong(name, "true or false")


def _number(body: Message, name: str, low: float, high: float, default: float) -> float:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(name, "a number")
    if not low <= value <= high:
        raise BadRequest(f"'{name}' must be from {low:g} to {high:g}.", name)
    return float(value)


def _whole(body: Message, name: str, low: int, high: int | None = None) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(name, "a whole number")
    if value < low or (high is not None and value > high):
        raise BadRequest(f"'{name}' must be at least {low}" + (f" and at most {high}." if high else "."), name)
    return value


def _sampling(body: Message) -> Sampling:
    default = Sampling()
    seed = body.get("seed")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise _wrong("seed", "a whole number")
    top_k = _whole(body, "top_k", -1)
    return Sampling(
        temperature=_number(body, "temperature", 0, 2, default.temperature),
        top_p=_number(body, "top_p", 0, 1, default.top_p),
        top_k=default.top_k if top_k is None else min(max(top_k, 0), 2**31 - 1),
        min_p=_number(body, "min_p", 0, 1, default.min_p),
        presence_penalty=_number(body, "presence_penalty", -2, 2, 0),
        frequency_penalty=_number(body, "frequency_penalty", -2, 2, 0),
        repeat_penalty=_number(body, "repeat_penalty", 0.1, 10, default.repeat_penalty),
        seed=seed,
        logit_bias=_logit_bias(body.get("logit_bias")),
    )


def _logit_bias(value: object) -> tuple[tuple[int, float], ...]:
    if value is None:
        return ()
    if not isinstance(value, dict):
        raise _wrong("logit_bias", "an object of token ids and numbers")
    biases = []
    for token, bias in value.items():
        if not (token.isascii() and token.isdigit() and len(token) < 10):
            raise _wrong("logit_bias", "an object whose names are token ids")
        if isinstance(bias, bool) or not isinstance(bias, int | float) or not -100 <= bias <= 100:
            raise BadRequest("A value in 'logit_bias' must be a number from -100 to 100.", "logit_bias")
        biases.append((int(token), float(bias)))
    return tuple(biases)


def _logprobs(body: Message) -> int | None:
    wanted = _flag(body, "logprobs")
    top = _whole(body, "top_logprobs", 0, MAX_TOP_LOGPROBS)
    if top is not None and not wanted:
        raise BadRequest("'top_logprobs' needs 'logprobs': true.", "top_logprobs")
    return (top or 0) if wanted else None


def _stop(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
        raise _wrong("stop", "a string or a list of strings")
    if len(stops) > MAX_STOPS or any(not 0 < len(stop) <= 1024 for stop in stops):
        raise BadRequest(f"'stop' may hold at most {MAX_STOPS} strings of 1 to 1024 characters.", "stop")
    return tuple(stops)


def _response_format(value: Any) -> Any:
    if value is None:
        return None
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "text":
        return None
    if kind == "json_object":
        # llama.cpp's older servers take a schema here
        return value.get("schema", True)
    if kind == "json_schema":
        inner = value.get("json_schema")
        if not isinstance(inner, dict):
            raise _wrong("response_format.json_schema", "an object")
        return inner.get("schema", True)
    raise BadRequest("'response_format.type' must be text, json_object or json_schema.", "response_format.type")


def _tools(body: Message) -> tuple[tuple[Any, ...], tuple[Tool, ...]]:
    value = body.get("tools")
    if value is None:
        return (), ()
    if not isinstance(value, list) or len(value) > MAX_TOOLS:
        raise _wrong("tools", f"a list of at most {MAX_TOOLS} tools")
    tools = []
    for index, item in enumerate(value):
        where = f"tools[{index}].function"
        function = item.get("function") if isinstance(item, dict) and item.get("type") == "function" else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
            raise BadRequest(f"'tools[{index}]' must be a function with a name.", f"tools[{index}]")
        schema = function.get("parameters")
        tools.append(Tool(function["name"], {} if schema is None else schema, f"{where}.parameters"))
    return tuple(value), tuple(tools)


def _tool_choice(body: Message, tools: tuple[Tool, ...]) -> tuple[ToolMode, Tool | None]:
    choice = body.get("tool_choice")
    if choice is None or choice == "auto":
        return (ToolMode.AUTO if tools else ToolMode.OFF), None
    if choice == "none":
        return ToolMode.OFF, None
    if not tools:
        raise BadRequest("'tool_choice' needs 'tools'.", "tool_choice")
    if choice == "required":
        return (ToolMode.ONE, tools[0]) if len(tools) == 1 else (ToolMode.SOME, None)
    function = choice.get("function") if isinstance(choice, dict) and choice.get("type") == "function" else None
    name = function.get("name") if isinstance(function, dict) else None
    for tool in tools:
        if tool.name == name:
            return ToolMode.ONE, tool
    raise BadRequest("'tool_choice' must be none, auto, required, or name one of 'tools'.", "tool_choice")


def _messages(value: object) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise _wrong("messages", "a list with at least one message")
    return tuple(_message(item, f"messages[{index}]") for index, item in enumerate(value))


def _message(item: object, where: str) -> Message:
    role = item.get("role") if isinstance(item, dict) else None
    if not isinstance(item, dict) or not isinstance(role, str) or role not in _ROLES:
        raise BadRequest(f"'{where}.role' must be one of {', '.join(_ROLES)}.", f"{where}.role")
    message: Message = {"role": _ROLES[role], "content": _content(item.get("content"), f"{where}.content")}
    calls = item.get("tool_calls")
    if calls is not None:
        here = f"{where}.tool_calls"
        if role != "assistant" or not isinstance(calls, list):
            raise BadRequest(f"'{here}' must be a list in a message of the assistant.", here)
        if calls:
            message["tool_calls"] = [_call(call, f"{here}[{at}]") for at, call in enumerate(calls)]
    for name in ("name", "tool_call_id", "reasoning_content"):
        if isinstance(item.get(name), str):
            message[name] = item[name]
    return message


def _content(value: object, where: str) -> str:
    """Text only. Templates differ in what they make of lists and of null, so they get neither."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise _wrong(where, "a string or a list of text parts")
    texts = []
    for index, part in enumerate(value):
        kind = part.get("type") if isinstance(part, dict) else None
        text = part.get(kind) if kind in ("text", "refusal") else None
        if not isinstance(text, str):
            here = f"{where}[{index}]"
            raise BadRequest(f"'{here}' must be a text part: this model reads text only.", here)
        texts.append(text)
    return "\n".join(texts)


def _call(call: object, where: str) -> Message:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(call, dict) or not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise BadRequest(f"'{where}' must be a function call with a name.", where)
    arguments: Any = function.get("arguments") or "{}"
    if isinstance(arguments, str):
        # Templates print the arguments as JSON themselves; a string would come out quoted twice.
        try:
            decoded = json.loads(arguments)
        except (ValueError, RecursionError):  # a thousand brackets are text, too
            decoded = None
        arguments = decoded if isinstance(decoded, dict) else arguments
    return {"id": call.get("id"), "type": "function", "function": {"name": function["name"], "arguments": arguments}}
