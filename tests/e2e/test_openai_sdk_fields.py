"""No field is lost on the way to a provider or on the way back: OpenAI's SDK, with all that its types know."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, get_type_hints

import openai
import pytest
from openai import OpenAI
from openai.types.chat import completion_create_params

from support.needles import ROOT
from support.sdk import Sdk, said
from support.sdk_values import values

PARAMETERS = get_type_hints(completion_create_params.CompletionCreateParamsBase, include_extras=True)
UNREADABLE = ("image_url", "input_audio", "file")
"""Parts that a policy keeps from clouds, since nobody can search them."""

TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]

TRIED = [
    pytest.param(name, place, id=f"{name}-{place}")
    for name, hint in PARAMETERS.items()
    if name != "model"
    for place in range(len(list(values(hint, UNREADABLE))))
]


@pytest.mark.parametrize(("name", "place"), TRIED)
def test_each_field_arrives(sdk: Sdk, client: OpenAI, name: str, place: int) -> None:
    """Every value that the SDK's types know for a field arrives as it was sent; only the model's name is the
    provider's, and a bound on the answer is added where there was none."""
    wanted = list(values(PARAMETERS[name], UNREADABLE))[place]
    request: dict[str, Any] = {"model": "gpt-x", "messages": said(), name: wanted}
    with suppress(openai.BadRequestError):  # from the cloud: a tool that is chosen and not there
        client.chat.completions.create(**request)
    sent, arrived = sdk.exchanged()
    assert sent[name] == wanted
    _same(sent, arrived)


def _same(sent: dict[str, Any], arrived: dict[str, Any]) -> None:
    """Equal but for what the gateway may change, and in the same order."""
    expected = {**sent, "model": "scripted-echo"}
    if sent.get("stream"):
        expected["stream_options"] = {**(sent.get("stream_options") or {}), "include_usage": True}
    if sent.get("max_tokens") is None and sent.get("max_completion_tokens") is None:
        expected["max_completion_tokens"] = 1000
    assert arrived == expected
    assert json.dumps(arrived) == json.dumps(expected)  # members in the order in which they were sent


@pytest.mark.parametrize("stream", [False, True])
def test_all_fields_at_once_arrive(sdk: Sdk, client: OpenAI, stream: bool) -> None:
    """A request with every field of the SDK, and with fields that it does not know, loses none of them."""
    request: dict[str, Any] = {name: next(values(hint, UNREADABLE)) for name, hint in PARAMETERS.items()}
    request |= {"model": "gpt-x", "stream": stream, "tool_choice": "auto", "tools": TOOLS}
    unknown = {"top_k": 40, "vendor": {"deep": [{"deeper": None}, 1.5, "é☃\u2028"]}, "x": [], "reasoning": {}}
    answer = client.chat.completions.create(**request, extra_body=unknown, extra_query={"q": ROOT})
    if stream:
        list(answer)
    sent, arrived = sdk.exchanged()
    assert set(PARAMETERS) | set(unknown) <= set(sent)
    _same(sent, arrived)
    assert ROOT not in json.dumps(sdk.cloud.received())


# ---- answers are handed on as they came

ODD = (
    '{ "id":"x",  "object":"chat.completion","created":1,"model":"m-2","choices":[{"index":0,"message":{"role":'
    '"assistant","content":"caf\\u00e9 \\/ \\ud83d\\ude00","refusal":null,"annotations":[],"vendor":{"a":[1.0,1e3,'
    '-0.0]}},"logprobs":null,"finish_reason":"stop"}],\n"usage":{"prompt_tokens":1,"completion_tokens":2,'
    '"total_tokens":3,"x":null},"service_tier":"default","zzz":{"b":1,"a":[[],{}]}}'
)


def test_an_answer_is_handed_on_byte_by_byte(sdk: Sdk, client: OpenAI) -> None:
    """Where nothing had to be restored, the answer's bytes are the provider's own, white space and all."""
    sdk.rude.json(200, ODD)
    raw = client.chat.completions.with_raw_response.create(model="rude", messages=said())
    assert raw.http_response.content == ODD.encode()
    assert raw.parse().choices[0].message.content == "café / 😀"


@pytest.mark.parametrize("asked", [False, True])
def test_a_stream_is_handed_on_event_by_event(sdk: Sdk, client: OpenAI, asked: bool) -> None:
    """The events of a stream are the provider's own; what it adds because the gateway asked for the usage is taken out
    for a client that did not."""
    null = ',"usage":null' if asked else ""
    chunk = '{ "id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[%s],"zzz":[1.0]%s}'
    choice = '{"index":0,"delta":{"content":"caf\\u00e9 \\"usage\\":null"},"finish_reason":null}'
    last = '{"index":0,"delta":{},"finish_reason":"stop"}'
    usage = '{"id":"x","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}'
    told = [chunk % (text, ',"usage":null') for text in (choice, choice, last)]
    sdk.rude.events(*told, usage, "[DONE]")
    options: Any = {"include_usage": True} if asked else openai.NOT_GIVEN
    with client.chat.completions.with_streaming_response.create(
        model="rude", messages=said(), stream=True, stream_options=options
    ) as raw:
        received = raw.http_response.read().decode()
    expected = [chunk % (text, null) for text in (choice, choice, last)]
    expected += [usage, "[DONE]"] if asked else ["[DONE]"]
    assert [line.removeprefix("data: ") for line in received.split("\n\n") if line] == expected
