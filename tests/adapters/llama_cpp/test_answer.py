"""Tests of `adapters.llama_cpp.answer` for what a random model does not do by itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.llama_cpp.answer import Choice, Usage, Writer
from adapters.llama_cpp.chat import ChatRequest, parse

TOOL = {"type": "function", "function": {"name": "f"}}


def request(**fields: Any) -> ChatRequest:
    return parse(json.dumps({"messages": [{"role": "user", "content": "hi"}], **fields}).encode())


def run(choice: Choice, text: str) -> list[dict[str, Any]]:
    deltas = [delta for character in text for delta in choice.push(character.encode(), None)]
    return deltas + choice.end()


def test_a_call_that_the_model_decides_on_is_a_tool_call() -> None:
    """With ``tool_choice: auto``, text before a call is content, the call is none."""
    choice = Choice(request(tools=[TOOL]), 0, 1000)
    deltas = run(choice, 'Let me see.\n<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>')
    assert "".join(delta.get("content", "") for delta in deltas) == "Let me see."
    (called,) = (delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta)
    assert called["function"] == {"name": "f", "arguments": '{"a": 1}'}
    body = choice.body()
    assert (body["finish_reason"], body["message"]["content"]) == ("tool_calls", "Let me see.")
    assert body["message"]["tool_calls"][0] == {key: called[key] for key in ("id", "type", "function")}


def test_without_tools_the_same_text_is_text() -> None:
    """What looks like a call is content when the caller offered no tools, or none may be called."""
    text = '<tool_call>{"name": "f", "arguments": {}}</tool_call>'
    for fields in ({}, {"tools": [TOOL], "tool_choice": "none"}):
        choice = Choice(request(**fields), 0, 1000)
        run(choice, text)
        assert choice.body()["message"]["content"] == text
        assert choice.finish_reason == "stop"


def test_a_cut_answer_says_so() -> None:
    """When the limit is reached in the middle of a forced call, the reason is ``length``."""
    choice = Choice(request(tools=[TOOL], tool_choice="required"), 0, 3)
    for character in '{"a':
        if choice.finish_reason is None:
            choice.push(character.encode(), None)
    body = choice.body()
    assert (body["finish_reason"], body["message"]["tool_calls"][0]["function"]["arguments"]) == ("length", '{"a')


def test_a_stop_string_does_not_cut_json() -> None:
    """Stop strings apply to free text; inside a forced call they would leave broken JSON."""
    choice = Choice(request(tools=[TOOL], tool_choice="required", stop=["a"]), 0, 100)
    run(choice, '{"a": 1}')
    assert choice.body()["message"]["tool_calls"][0]["function"]["arguments"] == '{"a": 1}'


@pytest.mark.parametrize("wanted", [True, False])
def test_the_usage_chunk_is_only_for_who_asked(wanted: bool) -> None:
    """It holds no choices and the counts of the whole request."""
    writer = Writer(request(stream=True, stream_options={"include_usage": wanted}), "m")
    chunk = writer.usage_chunk(Usage(prompt=3, cached=1, completion=2))
    assert (chunk is not None) == wanted
    if chunk is not None:
        usage = {
            "prompt_tokens": 3,
            "completion_tokens": 2,
            "total_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 1},
        }
        assert (json.loads(chunk)["choices"], json.loads(chunk)["usage"]) == ([], usage)
