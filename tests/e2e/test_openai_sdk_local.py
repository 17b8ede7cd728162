"""OpenAI's SDK against the local engine: pydantic models, plain and streamed, and whole loops of tool calls, with usage
that is exact to the token."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel, Field

from adapters.llama_cpp.chat import parse
from adapters.llama_cpp.model import LoadedModel, ModelConfig
from support.live import DEMO_MODEL, Setup, local_target
from support.nursery import ForkedGateway, forked_gateway
from support.sdk import POLICY, said


class Speed(StrEnum):
    SLOW = "slow"
    FAST = "fast"


class Parcel(BaseModel):
    number: int
    speed: Speed
    note: str | None = Field(max_length=12)


class Order(BaseModel):
    kind: Literal["order", "return"]
    urgent: bool
    parcels: list[Parcel] = Field(max_length=2)


class set_light(BaseModel):
    """Switch a light."""

    on: bool
    room: Literal["hall", "attic"]


class order_status(BaseModel):
    """Look an order up."""

    number: int


TOOLS: Any = [openai.pydantic_function_tool(set_light), openai.pydantic_function_tool(order_status)]
FORCED: Any = {"type": "function", "function": {"name": "set_light"}}
SETTINGS: Any = {"model": "local", "seed": 11, "max_tokens": 200}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkedGateway]:
    """With the demo model, which is trained and so comes to an end by itself."""
    target = local_target(context_tokens="1024", max_output_tokens="200", flash_attention="off")
    setup = Setup(tmp_path_factory.mktemp("local"), [target], {"local": "{targets: [local]}"}, POLICY)
    with forked_gateway(setup) as running:
        yield running


@pytest.fixture
def client(gateway: ForkedGateway) -> Iterator[OpenAI]:
    http_client = httpx.Client(trust_env=False)
    with OpenAI(base_url=gateway.base_url, api_key=gateway.key, max_retries=0, http_client=http_client) as opened:
        yield opened


@pytest.fixture(scope="module")
def prompt_tokens() -> Iterator[Callable[..., int]]:
    """How many tokens a request's prompt has, by the model's own template and tokenizer."""
    model = LoadedModel(ModelConfig(Path(DEMO_MODEL), context_tokens=1024, parallel=1))

    def count(messages: list[Any], **fields: Any) -> int:
        plain = [one.model_dump(exclude_none=True) if isinstance(one, BaseModel) else one for one in messages]
        return len(model.prompt(parse(json.dumps({"messages": plain, **fields}).encode())))

    yield count
    model.close()


def checked(answer: Any, prompt: int) -> Any:
    """The one choice, after a look at the usage: every token of the prompt and of the answer, with its end."""
    (choice,) = answer.choices
    made = len(choice.logprobs.content) + (choice.finish_reason != "length")
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (prompt, made, prompt + made)
    return choice


def test_parse(client: OpenAI, prompt_tokens: Callable[..., int]) -> None:
    """`parse` gives an object of the class, nested, with enumerations, optional members and bounded lists."""
    messages = said("Order 4711, two parcels, please.")
    answer = client.chat.completions.parse(messages=messages, response_format=Order, logprobs=True, **SETTINGS)
    choice = checked(answer, prompt_tokens(messages))
    assert isinstance(choice.message.parsed, Order)
    assert choice.message.parsed == Order.model_validate_json(choice.message.content)
    assert choice.finish_reason == "stop"


@pytest.mark.anyio
async def test_parse_without_waiting(gateway: ForkedGateway, client: OpenAI) -> None:
    """The asynchronous client gives the same object."""
    http_client = httpx.AsyncClient(trust_env=False)
    messages = said("A return, please.")
    async with AsyncOpenAI(base_url=gateway.base_url, api_key=gateway.key, http_client=http_client) as waiting:
        answer = await waiting.chat.completions.parse(messages=messages, response_format=Order, **SETTINGS)
    again = client.chat.completions.parse(messages=messages, response_format=Order, **SETTINGS)
    assert isinstance(answer.choices[0].message.parsed, Order)
    assert answer.choices[0].message.parsed == again.choices[0].message.parsed


def test_stream_of_an_object(client: OpenAI) -> None:
    """The SDK's events bring the object piece by piece, and in the end the same one, with the same usage."""
    messages = said("Order 4711, two parcels, please.")
    settings: Any = {"messages": messages, "response_format": Order, **SETTINGS}
    whole = client.chat.completions.parse(**settings)
    deltas: list[str] = []
    with client.chat.completions.stream(**settings, stream_options={"include_usage": True}) as stream:
        for event in stream:
            if event.type == "content.delta":
                deltas.append(event.delta)
            elif event.type == "content.done":
                assert isinstance(event.parsed, Order)
        final = stream.get_final_completion()
    assert len(deltas) > 5
    assert "".join(deltas) == whole.choices[0].message.content
    assert final.choices[0].message.parsed == whole.choices[0].message.parsed
    assert final.usage is not None
    assert whole.usage is not None
    assert final.usage.total_tokens == whole.usage.total_tokens
    assert final.usage.completion_tokens == whole.usage.completion_tokens


def test_an_answer_that_is_cut_is_the_sdks_exception(client: OpenAI) -> None:
    """Half an object is no object: `parse` says that the length is at fault."""
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(messages=said(), response_format=Order, **{**SETTINGS, "max_tokens": 3})


def test_a_whole_loop(client: OpenAI, prompt_tokens: Callable[..., int]) -> None:
    """A forced call with arguments of its class, the tool's result, and an answer in text, each counted exactly."""
    messages = said("Light in the hall, please")
    create: Any = client.chat.completions.parse
    answer = create(messages=messages, tools=TOOLS, tool_choice=FORCED, logprobs=True, **SETTINGS)
    choice = checked(answer, prompt_tokens(messages, tools=TOOLS, tool_choice=FORCED))
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    (call,) = choice.message.tool_calls
    assert isinstance(call.function.parsed_arguments, set_light)
    assert call.function.parsed_arguments == set_light.model_validate_json(call.function.arguments)

    messages += [choice.message, {"role": "tool", "tool_call_id": call.id, "content": '{"done": true}'}]
    following = create(messages=messages, tools=TOOLS, tool_choice="none", logprobs=True, **SETTINGS)
    told = checked(following, prompt_tokens(messages, tools=TOOLS, tool_choice="none"))
    assert told.message.tool_calls is None
    assert told.message.content
    assert following.usage.prompt_tokens > 0

    messages += [told.message, *said("And order 12345?")]
    required = create(messages=messages, tools=TOOLS, tool_choice="required", logprobs=True, **SETTINGS)
    again = checked(required, prompt_tokens(messages, tools=TOOLS, tool_choice="required"))
    (chosen,) = again.message.tool_calls
    assert isinstance(chosen.function.parsed_arguments, set_light | order_status)
    assert chosen.function.name == type(chosen.function.parsed_arguments).__name__


def test_results_of_parallel_calls(client: OpenAI, prompt_tokens: Callable[..., int]) -> None:
    """A turn with two calls and their two results is taken, whatever model made it."""
    calls = [
        {
            "id": "call_1",
            "type": "function",
            "function": {"name": "set_light", "arguments": '{"on":true,"room":"hall"}'},
        },
        {"id": "call_2", "type": "function", "function": {"name": "order_status", "arguments": '{"number":7}'}},
    ]
    messages: list[Any] = [
        *said("Light in the hall, and where is order 7?"),
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "call_1", "content": "on"},
        {"role": "tool", "tool_call_id": "call_2", "content": "on its way"},
    ]
    create: Any = client.chat.completions.create
    answer = create(messages=messages, tools=TOOLS, logprobs=True, **SETTINGS)
    assert checked(answer, prompt_tokens(messages, tools=TOOLS)).message.content


def test_a_streamed_call(client: OpenAI) -> None:
    """The SDK's events bring the arguments piece by piece, and in the end an object of the tool's class."""
    settings: Any = {"messages": said("Light!"), "tools": TOOLS, "tool_choice": FORCED, **SETTINGS}
    whole = client.chat.completions.parse(**settings)
    pieces: list[str] = []
    with client.chat.completions.stream(**settings, stream_options={"include_usage": True}) as stream:
        for event in stream:
            if event.type == "tool_calls.function.arguments.delta":
                pieces.append(event.arguments_delta)
        final = stream.get_final_completion()
    (call,) = final.choices[0].message.tool_calls or []
    (expected,) = whole.choices[0].message.tool_calls or []
    assert isinstance(call.function.parsed_arguments, set_light)
    assert "".join(pieces) == call.function.arguments == expected.function.arguments
    assert final.choices[0].finish_reason == "tool_calls"
    assert final.usage is not None
    assert whole.usage is not None
    assert final.usage.completion_tokens == whole.usage.completion_tokens
