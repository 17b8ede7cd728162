"""OpenAI's own SDK, unmodified, through a running gateway: what an application that changes `base_url` goes through."""

from __future__ import annotations

from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from support.nursery import make_key
from support.sdk import Sdk, said

TOOL: Any = {
    "type": "function",
    "function": {
        "name": "set_light",
        "description": "Switch a light.",
        "parameters": {
            "type": "object",
            "properties": {"on": {"type": "boolean"}, "room": {"enum": ["hall", "attic"]}},
            "required": ["on", "room"],
            "additionalProperties": False,
        },
    },
}
FORCED: Any = {"type": "function", "function": {"name": "set_light"}}


class Light(BaseModel):
    on: bool
    room: str


BOTH = pytest.mark.parametrize("model", ["gpt-x", "local"])


# ---- answers


@BOTH
def test_plain(client: OpenAI, model: str) -> None:
    """A plain call gives the SDK's own object, with usage and the answer's text."""
    answer = client.chat.completions.create(model=model, messages=said(), max_tokens=8)
    (choice,) = answer.choices
    assert choice.message.content
    assert choice.finish_reason in ("stop", "length")
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.object == "chat.completion"


@BOTH
def test_stream(client: OpenAI, model: str) -> None:
    """A stream gives the same text as a plain call; no usage comes to who did not ask for it."""
    settings: Any = {"model": model, "messages": said(), "max_tokens": 8, "seed": 7, "temperature": 0}
    whole = client.chat.completions.create(**settings).choices[0].message.content
    chunks = list(client.chat.completions.create(**settings, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole
    assert all(len(chunk.choices) == 1 for chunk in chunks)
    assert all(chunk.usage is None and "usage" not in chunk.model_fields_set for chunk in chunks)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason in ("stop", "length")
    assert len({chunk.id for chunk in chunks}) == 1


@BOTH
def test_stream_with_usage(client: OpenAI, model: str) -> None:
    """Who asks for the usage gets it, in a last chunk without choices and null in the others."""
    options: Any = {"include_usage": True}
    chunks = list(
        client.chat.completions.create(model=model, messages=said(), max_tokens=6, stream=True, stream_options=options)
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens > 0
    assert all(chunk.usage is None for chunk in chunks[:-1])


@BOTH
def test_tools(client: OpenAI, model: str) -> None:
    """A forced tool gives arguments that fit its schema, streamed ones add up to the same form, and the tool's result
    is taken in the next turn."""
    settings: Any = {"model": model, "tools": [TOOL], "tool_choice": FORCED, "max_tokens": 48}
    answer = client.chat.completions.create(messages=said("Light in the hall, please"), **settings)
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls is not None
    (call,) = message.tool_calls
    assert call.type == "function"
    assert call.function.name == "set_light"
    Light.model_validate_json(call.function.arguments)

    pieces, names = "", set()
    for chunk in client.chat.completions.create(messages=said("Light!"), stream=True, **settings):
        for delta in chunk.choices[0].delta.tool_calls or []:
            assert delta.function is not None
            pieces += delta.function.arguments or ""
            names |= {delta.function.name} if delta.function.name else set()
    Light.model_validate_json(pieces)
    assert names == {"set_light"}

    turn: list[Any] = [
        *said("Light in the hall, please"),
        message,
        {"role": "tool", "tool_call_id": call.id, "content": "It is on."},
    ]
    following = client.chat.completions.create(model=model, messages=turn, tools=[TOOL], max_tokens=8)
    assert following.choices[0].message.role == "assistant"
    if model == "gpt-x":
        assert following.choices[0].message.content == "The tool answered: «It is on.»"


@BOTH
def test_settings_are_honoured(client: OpenAI, model: str) -> None:
    """n, logprobs, stop, seed and max_tokens do what the SDK promises."""
    settings: Any = {"model": model, "messages": said(), "max_tokens": 6, "temperature": 1.0}
    answer = client.chat.completions.create(n=2, logprobs=True, top_logprobs=2, **settings)
    assert [choice.index for choice in answer.choices] == [0, 1]
    for choice in answer.choices:
        assert choice.logprobs is not None
        assert choice.logprobs.content
        assert all(token.logprob <= 0 for token in choice.logprobs.content)
    assert answer.choices[0].finish_reason == "length"
    streamed = list(client.chat.completions.create(n=2, stream=True, **settings))
    assert {chunk.choices[0].index for chunk in streamed} == {0, 1}
    if model == "local":
        again = [client.chat.completions.create(seed=11, **settings).choices[0].message.content for _ in range(2)]
        assert again[0] == again[1]
        assert again[0]
        stopped = client.chat.completions.create(seed=11, stop=[again[0][2]], **settings)
        assert stopped.choices[0].message.content == again[0].split(again[0][2])[0]
        assert stopped.choices[0].finish_reason == "stop"


@BOTH
def test_answers_by_schema(client: OpenAI, model: str) -> None:
    """`response_format` with a schema, by way of the SDK's own `parse`, gives an object of the class."""
    if model == "gpt-x":
        answer = client.chat.completions.parse(model=model, messages=said("Which light?"), response_format=Light)
        assert isinstance(answer.choices[0].message.parsed, Light)
    schema: Any = {
        "type": "json_schema",
        "json_schema": {"name": "light", "schema": TOOL["function"]["parameters"], "strict": True},
    }
    whole = client.chat.completions.create(model=model, messages=said(), response_format=schema, max_tokens=48)
    assert whole.choices[0].finish_reason == "stop"
    Light.model_validate_json(whole.choices[0].message.content or "")


def test_the_streaming_helper(client: OpenAI) -> None:
    """The SDK's event interface over a stream ends with the whole completion."""
    kinds = set()
    with client.chat.completions.stream(model="gpt-x", messages=said(), tools=[TOOL]) as stream:
        for event in stream:
            kinds.add(event.type)
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert final.choices[0].message.content == "You wrote: «Hello there»"


@BOTH
@pytest.mark.anyio
async def test_async(sdk: Sdk, model: str) -> None:
    """The asynchronous client: plain, streamed, with a tool, and a stream that is left."""
    http_client = httpx.AsyncClient(trust_env=False)
    async with AsyncOpenAI(base_url=sdk.gateway.base_url, api_key=sdk.gateway.key, http_client=http_client) as client:
        settings: Any = {"model": model, "messages": said(), "max_tokens": 8, "seed": 5, "temperature": 0}
        whole = await client.chat.completions.create(**settings)
        text = ""
        async for chunk in await client.chat.completions.create(**settings, stream=True):
            text += chunk.choices[0].delta.content or ""
        assert text == whole.choices[0].message.content
        called = await client.chat.completions.create(
            model=model, messages=said(), tools=[TOOL], tool_choice=FORCED, max_tokens=48
        )
        (call,) = called.choices[0].message.tool_calls or []
        assert call.type == "function"
        Light.model_validate_json(call.function.arguments)
        stream = await client.chat.completions.create(**settings, stream=True)
        await anext(aiter(stream))
        await stream.close()
        listed = [model.id async for model in client.models.list()]
    assert listed == ["gpt-x", "rude", "local", "auto"]


PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


@pytest.mark.anyio
async def test_with_its_own_http_client(sdk: Sdk, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an application makes it: nothing but the address and the key, here from the environment."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_BASE_URL", sdk.gateway.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", sdk.gateway.key)
    with OpenAI() as client:
        assert client.chat.completions.create(model="gpt-x", messages=said()).choices[0].message.content
        chunks = list(client.chat.completions.create(model="gpt-x", messages=said(), stream=True))
        assert chunks[-1].choices[0].finish_reason == "stop"
    async with AsyncOpenAI() as asynchronous:
        answer = await asynchronous.chat.completions.create(model="gpt-x", messages=said())
        assert answer.choices[0].message.content
        stream = await asynchronous.chat.completions.create(model="gpt-x", messages=said(), stream=True)
        assert [chunk.choices[0].finish_reason async for chunk in stream][-1] == "stop"


def test_models(client: OpenAI) -> None:
    """The configured models are listed and can be looked up; another one is not found."""
    assert [model.id for model in client.models.list()] == ["gpt-x", "rude", "local", "auto"]
    found = client.models.retrieve("local")
    assert (found.id, found.object, found.owned_by) == ("local", "model", "llama_cpp")
    with pytest.raises(openai.NotFoundError) as refused:
        client.models.retrieve("gpt-99")
    assert refused.value.code == "model_not_found"


def test_the_decision_is_in_the_headers(client: OpenAI) -> None:
    """`with_raw_response` shows the decision, plain and streamed, and what a caller asked for by header."""
    raw = client.chat.completions.with_raw_response.create(model="auto", messages=said(), max_tokens=4)
    assert raw.headers["x-bailiwick-target"] == "cloud"
    assert raw.headers["x-bailiwick-action"] == "allow"
    assert raw.headers["x-bailiwick-cost-basis"] == "usage"
    assert raw.parse().choices[0].message.content
    hint = {"x-bailiwick-min-level": "restricted"}
    kept = client.chat.completions.with_raw_response.create(
        model="auto", messages=said(), max_tokens=4, extra_headers=hint
    )
    assert kept.headers["x-bailiwick-target"] == "local"
    card = said("Card 4242 4242 4242 4242")
    with client.chat.completions.with_streaming_response.create(
        model="auto", messages=card, stream=True, max_tokens=4
    ) as streamed:
        assert streamed.headers["x-bailiwick-level"] == "restricted"
        assert streamed.headers["x-bailiwick-target"] == "local"
        assert streamed.headers["content-type"].startswith("text/event-stream")


# ---- errors


def test_errors_have_their_classes(sdk: Sdk, client: OpenAI) -> None:
    """Each refusal is the SDK's exception for it, with code, parameter and the decision's id."""
    create = client.chat.completions.create
    with pytest.raises(openai.AuthenticationError) as wrong_key:
        sdk.client("bk_wrong").chat.completions.create(model="auto", messages=said())
    assert wrong_key.value.code == "invalid_api_key"
    with pytest.raises(openai.NotFoundError) as no_model:
        create(model="gpt-99", messages=said())
    assert (no_model.value.code, no_model.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError) as no_path:
        client.moderations.create(model="auto", input="x")
    assert no_path.value.code == "unknown_path"
    with pytest.raises(openai.BadRequestError) as bad:
        create(model="auto", messages=said(), extra_body={"n": 0})
    assert (bad.value.code, bad.value.param, bad.value.type) == ("invalid_request", "n", "invalid_request_error")
    games = sdk.client(make_key(sdk.gateway, app="games"), max_retries=5)
    with pytest.raises(openai.PermissionDeniedError) as blocked:
        _once_known(games)
    assert blocked.value.code == "blocked_by_policy"
    assert "Not for games." in blocked.value.message
    assert blocked.value.response.headers["x-bailiwick-decision"].startswith("d")
    with pytest.raises(openai.PermissionDeniedError):
        create(model="auto", messages=said(), stream=True, extra_headers={"x-bailiwick-app": "other"})
    for stream in (False, True):
        sdk.cloud.script("429", count=3, retry_after=0)
        with pytest.raises(openai.RateLimitError) as busy:
            create(model="gpt-x", messages=said(), stream=stream)  # type: ignore[call-overload]
        assert busy.value.code == "target_rate_limited"
    sdk.cloud.script("400")
    with pytest.raises(openai.BadRequestError, match="Scripted error 400"):
        create(model="gpt-x", messages=said())
    sdk.cloud.script("503", count=3, retry_after=0)
    with pytest.raises(openai.InternalServerError) as down:
        create(model="gpt-x", messages=said())
    assert down.value.status_code == 503
    with pytest.raises(openai.BadRequestError) as deep:
        create(model="local", messages=said("some words " * 150), max_tokens=4)
    assert deep.value.code in ("context_length_exceeded", "invalid_request")


def _once_known(client: OpenAI) -> None:
    """A call with a new key, which the gateway knows within a second."""
    while True:
        try:
            client.chat.completions.create(model="auto", messages=said())
        except openai.AuthenticationError:
            continue
        return


def test_a_stream_that_breaks_is_an_error(sdk: Sdk, client: OpenAI) -> None:
    """A stream that ends in the middle raises in the SDK, instead of looking complete."""
    sdk.cloud.script("truncated")
    with pytest.raises(openai.APIError, match=r"."):
        for _ in client.chat.completions.create(model="gpt-x", messages=said(), stream=True):
            pass


def test_the_sdk_retries(sdk: Sdk) -> None:
    """What the gateway calls temporary, the SDK tries again by itself, and succeeds."""
    sdk.cloud.script("503", count=3, retry_after=0)
    answer = sdk.client(max_retries=2).chat.completions.create(model="gpt-x", messages=said())
    assert answer.choices[0].message.content
    assert len(sdk.sent) == 2
