"""Tests of `adapters.llama_cpp.chat`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.llama_cpp.chat import Sampling, ToolMode, parse
from adapters.llama_cpp.failures import BadRequest

HELLO = [{"role": "user", "content": "hello"}]
F = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
G = {"type": "function", "function": {"name": "g"}}


def body(**fields: Any) -> bytes:
    return json.dumps({"messages": HELLO, **fields}).encode()


def test_a_request_without_options_has_llama_cpps_defaults() -> None:
    """Nothing but messages is needed; null is the same as nothing."""
    for raw in (body(), body(max_tokens=None, stop=None, n=None, tools=None, response_format=None, stream=None)):
        request = parse(raw)
        assert request.sampling == Sampling(0.8, 0.95, 40, 0.05)
        assert (request.choices, request.max_tokens, request.stop, request.stream) == (1, None, (), False)
        assert (request.tool_mode, request.schema, request.top_logprobs) == (ToolMode.OFF, None, None)


def test_options_are_read() -> None:
    """Each option that OpenAI documents, and llama.cpp's own, arrives where it belongs."""
    request = parse(
        body(
            temperature=0, top_p=0.5, top_k=7, min_p=0.1, seed=-3, presence_penalty=1, frequency_penalty=-1.5, n=2,
            logit_bias={"5": -100}, stop="END", max_tokens=9, max_completion_tokens=8, logprobs=True, top_logprobs=3,
            stream=True, stream_options={"include_usage": True}, unknown={"kept": "out"},
        )
    )  # fmt: skip
    assert request.sampling == Sampling(0.0, 0.5, 7, 0.1, 1.0, -1.5, 1.0, -3, ((5, -100.0),))
    assert (request.choices, request.max_tokens, request.stop, request.top_logprobs) == (2, 8, ("END",), 3)
    assert request.stream
    assert request.include_usage


def test_messages_come_in_the_form_that_templates_know() -> None:
    """Text parts become one string, null becomes empty, developer is system, arguments are JSON values."""
    messages = [
        {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
        {"role": "user", "name": "bob", "content": ""},
    ]  # fmt: skip
    assert parse(body(messages=messages)).messages == (
        {"role": "system", "content": "a\nb"},
        {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}]},
        {"role": "tool", "content": "42", "tool_call_id": "c1"},
        {"role": "user", "content": "", "name": "bob"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "mode", "forced"),
    [
        ({"tools": [F, G]}, ToolMode.AUTO, None),
        ({"tools": [F], "tool_choice": "auto"}, ToolMode.AUTO, None),
        ({"tools": [F], "tool_choice": "none"}, ToolMode.OFF, None),
        ({"tools": [F], "tool_choice": "required"}, ToolMode.ONE, "f"),
        ({"tools": [F, G], "tool_choice": "required"}, ToolMode.SOME, None),
        ({"tools": [F, G], "tool_choice": {"type": "function", "function": {"name": "g"}}}, ToolMode.ONE, "g"),
    ],
)
def test_tool_choice(fields: dict[str, Any], mode: ToolMode, forced: str | None) -> None:
    """Every form of tool_choice has its mode."""
    request = parse(body(**fields))
    assert request.tool_mode is mode
    assert (request.forced.name if request.forced else None) == forced


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, True),
        ({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "null"}}}, {"type": "null"}),
        ({"type": "json_schema", "json_schema": {"name": "n"}}, True),
    ],
)
def test_response_format(value: dict[str, Any], schema: object) -> None:
    """Every form of response_format has its schema."""
    assert parse(body(response_format=value)).schema == schema


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages[0].role"),
        ({"messages": [*HELLO, {"role": "robot", "content": ""}]}, "messages[1].role"),
        ({"messages": [{"role": ["user"], "content": ""}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": ["text"]}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": "", "tool_calls": []}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "messages[0].tool_calls[0]"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": 1.5}, "max_completion_tokens"),
        ({"n": 17}, "n"),
        ({"seed": "1"}, "seed"),
        ({"stop": [1]}, "stop"),
        ({"stop": [""]}, "stop"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"logit_bias": {"a": 1}}, "logit_bias"),
        ({"logit_bias": {"-1": 1}}, "logit_bias"),
        ({"logit_bias": {"1": 101}}, "logit_bias"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": [1]}, "stream_options"),
        ({"tools": {}}, "tools"),
        ({"tools": [F, {"type": "function"}]}, "tools[1]"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [F], "tool_choice": "always"}, "tool_choice"),
        ({"tools": [F], "tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice"),
        ({"functions": []}, "functions"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(fields: dict[str, Any], param: str) -> None:
    """A bad field is an error with the path of that field, as OpenAI's clients show it."""
    with pytest.raises(BadRequest) as caught:
        parse(body(**fields))
    assert caught.value.param == param
    assert param.split(".")[-1].split("[")[0] in caught.value.message


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"x"', b"\xff", b"null"])
def test_what_is_no_json_object_is_refused(raw: bytes) -> None:
    """Any bytes at all get an answer."""
    with pytest.raises(BadRequest) as caught:
        parse(raw)
    assert caught.value.code == "invalid_json"


def test_a_request_and_its_errors_do_not_show_content() -> None:
    """What ends up in a log or a traceback has nothing of the messages."""
    raw = body(messages=[{"role": "user", "content": "my secret"}], tools=[F])
    assert "secret" not in repr(parse(raw))
    with pytest.raises(BadRequest) as caught:
        parse(body(messages=[{"role": "user", "content": {"my": "secret"}}]))
    assert "secret" not in str(caught.value)


def test_arguments_of_a_thousand_brackets_are_text() -> None:
    """What a model made of a tool call earlier may be no JSON, however deep it is."""
    call = {"type": "function", "function": {"name": "f", "arguments": "[" * 100_000}}
    request = parse(json.dumps({"messages": [{"role": "assistant", "tool_calls": [call]}]}).encode())
    assert request.messages[0]["tool_calls"][0]["function"]["arguments"] == "[" * 100_000
