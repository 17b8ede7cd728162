"""Chat requests with a text at one of many places, for trying whether it gets past inspection."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Body = dict[str, Any]


def said(*messages: Body, **fields: Any) -> Body:
    """A request that ends with a harmless question."""
    return {"model": "cloud", "messages": [*messages, {"role": "user", "content": "What is next?"}], **fields}


def called(arguments: str) -> Body:
    """A conversation with a tool call in it."""
    call = {"id": "call_1", "type": "function", "function": {"name": "send", "arguments": arguments}}
    return said(
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "done"},
    )


def tool(**function: Any) -> Body:
    """A request with one tool."""
    return said(
        tools=[{"type": "function", "function": {"name": "send", "parameters": {"type": "object"}, **function}}]
    )


def parameter(**schema: Any) -> Body:
    """A request with a tool that has one parameter."""
    return tool(parameters={"type": "object", "properties": {"to": {"type": "string", **schema}}})


def answer_schema(schema: Body, name: str = "answer", **more: Any) -> Body:
    """A request for an answer of a certain shape."""
    wanted = {"type": "json_schema", "json_schema": {"name": name, "schema": schema, **more}}
    return said(response_format=wanted)


def _nested(text: str, levels: int) -> Any:
    tree: Any = text
    for _ in range(levels):
        tree = [tree]
    return tree


def _wrapped(text: str, times: int) -> str:
    for _ in range(times):
        text = json.dumps({"x": text})
    return text


TOO_DEEP = "JSON deeper than is read"
PLACES: dict[str, Callable[[str], Body]] = {
    "system text": lambda t: said({"role": "system", "content": t}),
    "developer text": lambda t: said({"role": "developer", "content": t}),
    "earlier user turn": lambda t: said({"role": "user", "content": t}, {"role": "assistant", "content": "Thanks."}),
    "assistant turn": lambda t: said({"role": "assistant", "content": t}),
    "assistant refusal": lambda t: said({"role": "assistant", "content": None, "refusal": t}),
    "assistant reasoning": lambda t: said({"role": "assistant", "content": "Yes.", "reasoning_content": t}),
    "text part": lambda t: said({"role": "user", "content": [{"type": "text", "text": t}]}),
    "unknown member of a part": lambda t: said({"role": "user", "content": [{"type": "text", "text": "x", "cap": t}]}),
    "string among parts": lambda t: said({"role": "user", "content": ["Hello", t]}),
    "tool result": lambda t: said({"role": "tool", "tool_call_id": "call_1", "content": t}),
    "tool result in parts": lambda t: said(
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": t}]}
    ),
    "tool result in JSON": lambda t: said(
        {"role": "tool", "tool_call_id": "call_1", "content": json.dumps({"rows": [{"who": t}]})}
    ),
    "tool arguments": lambda t: called(json.dumps({"to": t})),
    "member name in tool arguments": lambda t: called(json.dumps({t: 1})),
    "JSON in JSON in tool arguments": lambda t: called(json.dumps({"body": json.dumps({"to": json.dumps([t])})})),
    TOO_DEEP: lambda t: called(_wrapped(t, 7)),
    "tool arguments with a member twice": lambda t: called('{"to": ' + json.dumps(t) + ', "to": "x"}'),
    "tool arguments cut short": lambda t: called(json.dumps({"to": t})[:-1]),
    "older function call": lambda t: said(
        {"role": "assistant", "content": None, "function_call": {"name": "send", "arguments": json.dumps({"to": t})}}
    ),
    "custom tool input": lambda t: said(
        {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "custom", "custom": {"name": "sh", "input": t}}]}
    ),
    "tool call id": lambda t: said({"role": "tool", "tool_call_id": t, "content": "done"}),
    "tool description": lambda t: tool(description=t),
    "function name": lambda t: tool(name=t),
    "older function": lambda t: said(functions=[{"name": "send", "description": t}]),
    "tool type": lambda t: said(tools=[{"type": t, "function": {"name": "send"}}]),
    "custom tool grammar": lambda t: said(
        tools=[{"type": "custom", "custom": {"name": "sh", "format": {"type": "grammar", "definition": t}}}]
    ),
    "tool choice": lambda t: said(tool_choice=t),
    "parameter description": lambda t: parameter(description=t),
    "parameter enum": lambda t: parameter(enum=["nobody", t]),
    "parameter const": lambda t: parameter(const=t),
    "parameter default": lambda t: parameter(default=t),
    "parameter pattern": lambda t: parameter(pattern=t),
    "parameter examples": lambda t: parameter(examples=[t]),
    "parameter name": lambda t: tool(parameters={"type": "object", "properties": {t: {"type": "string"}}}),
    "message name": lambda t: said({"role": "user", "name": t, "content": "Hi"}),
    "metadata value": lambda t: said(metadata={"case": t}),
    "metadata key": lambda t: said(metadata={t: "case"}),
    "user": lambda t: said(user=t),
    "safety identifier": lambda t: said(safety_identifier=t),
    "cache key": lambda t: said(prompt_cache_key=t),
    "stop": lambda t: said(stop=t),
    "stop list": lambda t: said(stop=["END", t]),
    "answer schema description": lambda t: answer_schema({"type": "object", "description": t}),
    "answer schema enum": lambda t: answer_schema({"type": "object", "properties": {"a": {"enum": [t]}}}),
    "answer schema property": lambda t: answer_schema({"type": "object", "properties": {t: {"type": "string"}}}),
    "answer schema name": lambda t: answer_schema({"type": "object"}, name=t),
    "prediction": lambda t: said(prediction={"type": "content", "content": t}),
    "prediction in parts": lambda t: said(prediction={"type": "content", "content": [{"type": "text", "text": t}]}),
    "role": lambda t: said({"role": t, "content": "Hi"}),
    "response format type": lambda t: said(response_format={"type": t}),
    "reasoning effort": lambda t: said(reasoning_effort=t),
    "service tier": lambda t: said(service_tier=t),
    "modality": lambda t: said(modalities=["text", t]),
    "voice": lambda t: said(audio={"voice": t, "format": "wav"}),
    "search location": lambda t: said(
        web_search_options={"user_location": {"type": "approximate", "approximate": {"city": t}}}
    ),
    "stream options": lambda t: said(stream_options={"include_usage": False, "note": t}),
    "logit bias": lambda t: said(logit_bias={t: 1}),
    "unknown field": lambda t: said(x_note=t),
    "unknown object": lambda t: said(vendor={"options": [{"deep": {"deeper": t}}]}),
    "unknown member name": lambda t: said(vendor={"options": {t: True}}),
    "deep lists": lambda t: said(vendor=_nested(t, 90)),
    "last of many turns": lambda t: said(*({"role": "user", "content": f"Turn {i}"} for i in range(60)), note=t),
}
"""Each place by name; the request is complete but for what a test adds (``stream``, another model)."""
