"""OpenAI's chat completions: requests in, changed requests out, usage and errors."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson
import pytest
from openai.types import chat

from gateway.dialects import openai_chat
from gateway.dialects.openai_chat import (
    GRAMMAR,
    ChunkUsage,
    error_body,
    error_frame,
    parse,
    usage_in_chunk,
    usage_of,
    with_changes,
)
from gateway.domain.errors import Code, GatewayError
from gateway.domain.money import Usage

MESSAGES = [{"role": "user", "content": "hello"}]
SECRET = "4111 1111 1111 1111"


def request(**members: Any) -> bytes:
    """A small request with these members changed; None takes one out."""
    tree = {"model": "gpt-4o", "messages": MESSAGES, **members}
    return json.dumps({name: value for name, value in tree.items() if value is not ...}).encode()


def test_a_small_request_has_the_defaults() -> None:
    """What a request leaves out has OpenAI's meaning: no stream, one choice, no bound, no user."""
    parsed = parse(request())
    assert (parsed.dialect, parsed.model, parsed.stream, parsed.choices) == ("openai_chat", "gpt-4o", False, 1)
    assert (parsed.max_output_tokens, parsed.user, parsed.wants_usage) == (None, "", False)
    assert parsed.size == len(request())


def test_null_is_like_nothing() -> None:
    """A member that is null counts as left out, as SDKs send it."""
    names = ("stream", "stream_options", "n", "max_tokens", "max_completion_tokens", "user", "safety_identifier")
    nulls = request(**dict.fromkeys(names))
    parsed = parse(nulls)
    assert (parsed.stream, parsed.choices, parsed.max_output_tokens, parsed.user) == (False, 1, None, "")


def test_everything_that_matters_is_read() -> None:
    """Stream, choices, bound, user and the wish for usage come from their members."""
    parsed = parse(
        request(stream=True, n=3, max_tokens=50, user="u-1", stream_options={"include_usage": True}, future={"x": [1]})
    )
    assert (parsed.stream, parsed.choices, parsed.max_output_tokens) == (True, 3, 50)
    assert (parsed.user, parsed.wants_usage) == ("u-1", True)
    assert parsed.body["future"] == {"x": [1]}


def test_the_user_may_have_its_new_name() -> None:
    """`safety_identifier` names the user where `user` does not."""
    assert parse(request(safety_identifier="s-1")).user == "s-1"
    assert parse(request(safety_identifier="s-1", user="u-1")).user == "u-1"


def test_two_bounds_mean_the_larger() -> None:
    """A server may know only one of the two names, so the larger bound is what the answer can cost."""
    assert parse(request(max_tokens=50, max_completion_tokens=20)).max_output_tokens == 50


FAULTS: list[tuple[bytes, str | None, str]] = [
    (request(model=...), "model", "'model' is missing."),
    (request(model=7), "model", "'model' must be a string"),
    (request(model=""), "model", "'model' must be a string"),
    (request(messages=...), "messages", "'messages' is missing."),
    (request(messages=SECRET), "messages", "'messages' must be a list"),
    (request(messages=[]), "messages", "'messages' must be a list"),
    (request(messages=[*MESSAGES, SECRET]), "messages[1]", "'messages[1]' must be an object."),
    (request(stream=SECRET), "stream", "'stream' must be true or false."),
    (request(stream=1), "stream", "'stream' must be true or false."),
    (request(stream_options=SECRET), "stream_options", "must be an object"),
    (request(stream_options={"include_usage": SECRET}), "stream_options.include_usage", "true or false"),
    (request(n=0), "n", "at least 1"),
    (request(n=129), "n", "not be more than 128"),
    (request(n=True), "n", "whole number"),
    (request(n=1.5), "n", "whole number"),
    (request(max_tokens=0), "max_tokens", "at least 1"),
    (request(max_tokens=-5), "max_tokens", "at least 1"),
    (request(max_completion_tokens=SECRET), "max_completion_tokens", "whole number"),
    (request(user={"id": SECRET}), "user", "'user' must be a string."),
    (request(safety_identifier=[SECRET]), "safety_identifier", "must be a string"),
    (b"[]", None, "must be a JSON object"),
    (b'"4111 1111 1111 1111"', None, "must be a JSON object"),
]


@pytest.mark.parametrize(("body", "param", "public"), FAULTS)
def test_a_fault_is_named(body: bytes, param: str | None, public: str) -> None:
    """A wrong field is named, its value is not."""
    with pytest.raises(GatewayError) as caught:
        parse(body)
    assert caught.value.code is Code.INVALID_REQUEST
    assert caught.value.param == param
    assert public in caught.value.public
    assert SECRET not in f"{caught.value!r} {caught.value} {caught.value.detail}"


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"", "line 1, column 1"),
        (b'{"model": "x",\n "messages": 4111 1111}', "line 2, column 19"),
        (b'{"model": "x", "n": NaN}', "line 1, column 21"),
        (b'{"model": "x", "n": Infinity}', "line 1, column 21"),
        (b'{"model": "caf\xe9"}', "line 1"),
        (b'{"a":' * 2000 + b"1" + b"}" * 2000, "line 1"),
        (request() + b"{}", "line 1"),
        (b"\xef\xbb\xbf{}", "line 1, column 1"),
    ],
)
def test_broken_json_is_located(body: bytes, where: str) -> None:
    """What is not JSON is refused with line and column, and without a word of it."""
    with pytest.raises(GatewayError) as caught:
        parse(body)
    assert caught.value.code is Code.INVALID_JSON
    assert where in caught.value.public
    assert "4111" not in f"{caught.value!r} {caught.value.public}"
    assert caught.value.__context__ is None  # orjson's error holds the whole body in `doc`


def test_changes_leave_the_request_alone() -> None:
    """Changing a request for a target copies it, and keeps each member that is not to be changed."""
    body = orjson.loads(request(stream=True, stream_options={"include_obfuscation": False}, max_tokens=90, future=[1]))
    before = json.dumps(body)
    changed = with_changes(body, model="gpt-4o-mini", include_usage=True, max_output_tokens=40)
    assert json.dumps(body) == before
    assert changed == {
        **body,
        "model": "gpt-4o-mini",
        "max_tokens": 40,
        "stream_options": {"include_obfuscation": False, "include_usage": True},
    }
    assert changed["messages"] is body["messages"]


def test_usage_is_asked_for_in_streams_only() -> None:
    """OpenAI refuses `stream_options` without a stream, so it is not added there."""
    body = orjson.loads(request())
    assert "stream_options" not in with_changes(body, model="m", include_usage=True, max_output_tokens=None)
    streamed = orjson.loads(request(stream=True, stream_options=None))
    changed = with_changes(streamed, model="m", include_usage=True, max_output_tokens=None)
    assert changed["stream_options"] == {"include_usage": True}
    assert with_changes(streamed, model="m", include_usage=False, max_output_tokens=None)["stream_options"] is None


BOUNDS: list[tuple[dict[str, int], int | None, Any, dict[str, int]]] = [
    ({}, None, None, {}),
    ({}, 40, None, {"max_completion_tokens": 40}),
    ({}, 40, "max_tokens", {"max_tokens": 40}),
    ({"max_tokens": 90}, None, None, {"max_tokens": 90}),
    ({"max_tokens": 90}, 40, None, {"max_tokens": 40}),
    ({"max_tokens": 20}, 40, None, {"max_tokens": 20}),
    ({"max_completion_tokens": 90}, 40, None, {"max_completion_tokens": 40}),
    ({"max_completion_tokens": 90, "max_tokens": 20}, 40, None, {"max_completion_tokens": 40, "max_tokens": 20}),
    ({"max_completion_tokens": 90}, 40, "max_tokens", {"max_tokens": 40}),
    ({"max_completion_tokens": 90}, None, "max_tokens", {"max_tokens": 90}),
    ({"max_tokens": 90}, None, "max_completion_tokens", {"max_completion_tokens": 90}),
    ({"max_completion_tokens": 90, "max_tokens": 20}, None, "max_tokens", {"max_tokens": 90}),
]


@pytest.mark.parametrize(("asked", "clamp", "field", "sent"), BOUNDS)
def test_the_bound_goes_where_the_server_looks(
    asked: dict[str, int], clamp: int | None, field: Any, sent: dict[str, int]
) -> None:
    """The bound on the output reaches the server in the member that it knows, and never rises."""
    body = orjson.loads(request(**asked))
    changed = with_changes(body, model="m", include_usage=False, max_output_tokens=clamp, output_limit_field=field)
    assert {name: changed[name] for name in openai_chat.LIMIT_FIELDS if name in changed} == sent


USAGES: list[tuple[Any, Usage | None]] = [
    ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}, Usage(10, 5, 0)),
    ({"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}}, Usage(10, 5, 4)),
    ({"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": None}, Usage(10, 5, 0)),
    ({"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": None}}, Usage(10, 5, 0)),
    ({"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 99}}, Usage(10, 5, 10)),
    ({"prompt_tokens": 10, "completion_tokens": None}, Usage(10, 0, 0)),
    ({"prompt_tokens": 10}, Usage(10, 0, 0)),
    ({"prompt_tokens": None, "completion_tokens": 5}, None),
    ({"prompt_tokens": -1, "completion_tokens": 5}, None),
    ({"prompt_tokens": True, "completion_tokens": 5}, None),
    ({}, None),
    (None, None),
    ("much", None),
]


@pytest.mark.parametrize(("usage", "expected"), USAGES)
def test_usage(usage: Any, expected: Usage | None) -> None:
    """Token counts are read where they are sound, and are unknown where they are not; nothing raises."""
    assert usage_of({"usage": usage}) == expected
    chunk = orjson.dumps({"choices": [], "usage": usage})
    assert usage_in_chunk(chunk) == (None if expected is None else ChunkUsage(expected, alone=True))


def test_usage_next_to_choices_is_not_alone() -> None:
    """A chunk that carries text and usage is told from one that carries usage only."""
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    with_text = orjson.dumps({"choices": [{"index": 0, "delta": {"content": "x"}}], "usage": usage})
    assert usage_in_chunk(with_text) == ChunkUsage(Usage(1, 2), alone=False)
    talk = orjson.dumps({"choices": [{"index": 0, "delta": {"content": '"usage": {"prompt_tokens": 9}'}}]})
    assert usage_in_chunk(talk) is None


def test_errors_have_openais_shape() -> None:
    """An error body has the four members that clients read, and the id of the decision."""
    body = error_body("blocked_by_policy", "Not allowed.", "permission_error", param="messages", decision="d-1")
    assert json.loads(body) == {
        "error": {
            "message": "Not allowed.",
            "type": "permission_error",
            "param": "messages",
            "code": "blocked_by_policy",
            "decision": "d-1",
        }
    }
    assert error_frame(body) == b"data: " + body + b"\n\n"
    assert "decision" not in json.loads(error_body("x", "y", "z"))["error"]


def test_control_values_are_few_and_strict() -> None:
    """A control field passes uninspected with a protocol value only, not with text."""
    role = GRAMMAR.controls[("messages", "*", "role")]
    assert role == {"system", "developer", "user", "assistant", "tool", "function"}
    identity = GRAMMAR.controls[("messages", "*", "tool_call_id")]
    assert isinstance(identity, re.Pattern)
    assert identity.fullmatch("call_h3Xk2LmPq9RsTuVwXyZaBcDe")
    for text in (
        "call_4111111111111111abcdefgh",  # a card number in it
        "call_JohnSmithFromAcmeCorporation",  # letters only
        "call_h3Xk2LmPq9RsTuVwXyZaBcDe x",
        "call_short1",
        "call_ab 41111111 cdefghijklm",
    ):
        assert not identity.fullmatch(text), text
    model = GRAMMAR.controls[("model",)]
    assert isinstance(model, re.Pattern)
    assert model.fullmatch("ft:gpt-4o-mini:acme::8x1")
    assert model.fullmatch("meta-llama/Llama-3.1-8B")
    assert not model.fullmatch("john@example.com")
    assert not model.fullmatch("John Smith")


def test_the_member_names_are_openais() -> None:
    """Every member name of a request and of its messages that the SDK knows is known here."""
    known = set(chat.completion_create_params.CompletionCreateParamsBase.__annotations__)
    for params in (chat.ChatCompletionUserMessageParam, chat.ChatCompletionAssistantMessageParam):
        known |= set(params.__annotations__)
    assert known - GRAMMAR.names == set()
