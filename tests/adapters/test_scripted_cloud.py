"""The scripted cloud: it speaks OpenAI's format to OpenAI's own client, remembers, and fails as it is told."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from adapters.scripted_cloud import ScriptedCloud
from adapters.scripted_cloud.faults import FAULTS, NONE, Fault, fault, fault_in

ROOT = Path(__file__).parents[2]
MAIL = {
    "type": "function",
    "function": {
        "name": "send_mail",
        "parameters": {
            "type": "object",
            "properties": {
                "to": {"type": "string"},
                "copies": {"type": "integer", "minimum": 2},
                "urgent": {"type": "boolean"},
                "kind": {"enum": ["letter", "note"]},
                "tags": {"type": "array", "items": {"type": "string"}},
                "extra": {"anyOf": [{"type": "null"}, {"type": "string"}]},
            },
        },
    },
}


@pytest.fixture
async def cloud() -> AsyncIterator[ScriptedCloud]:
    """A running scripted cloud."""
    async with ScriptedCloud() as running:
        yield running


@pytest.fixture
async def client(cloud: ScriptedCloud) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's own client, which does not try again."""
    async with openai.AsyncOpenAI(base_url=cloud.base_url, api_key="sk-test", max_retries=0, timeout=5) as sdk:
        yield sdk


@pytest.fixture
async def web(cloud: ScriptedCloud) -> AsyncIterator[httpx.AsyncClient]:
    """A plain HTTP client at the root of the server."""
    async with httpx.AsyncClient(base_url=cloud.url, trust_env=False) as plain:
        yield plain


async def eventually(condition: Callable[[], bool], seconds: float = 2) -> None:
    """Wait until something outside of this task's reach has happened."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # another process, or the server's side of a socket, sets no event
            await asyncio.sleep(0.005)


def user(text: Any) -> list[Any]:
    """A conversation of one message."""
    return [{"role": "user", "content": text}]


@pytest.mark.anyio
async def test_plain(client: openai.AsyncOpenAI) -> None:
    """The SDK gets an echo of the user's text, with usage."""
    answer = await client.chat.completions.create(model="m", messages=user("Hello, Ann."))
    assert answer.choices[0].message.content == "You wrote: «Hello, Ann.»"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


@pytest.mark.anyio
async def test_parts_choices_logprobs_and_limit(client: openai.AsyncOpenAI) -> None:
    """Text parts are joined, each choice is told apart, logprobs come when asked, and a bound is kept."""
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    answer = await client.chat.completions.create(model="m", messages=user(parts), n=2, logprobs=True)
    assert [choice.message.content for choice in answer.choices] == [
        "You wrote: «one\ntwo» (answer 1 of 2)",
        "You wrote: «one\ntwo» (answer 2 of 2)",
    ]
    assert answer.choices[0].logprobs is not None
    tokens = answer.choices[0].logprobs.content or []
    assert "".join(token.token for token in tokens) == answer.choices[0].message.content
    short = await client.chat.completions.create(model="m", messages=user("x" * 100), max_tokens=3)
    assert short.choices[0].finish_reason == "length"
    assert short.usage is not None
    assert short.usage.completion_tokens == 3


@pytest.mark.anyio
async def test_stream(client: openai.AsyncOpenAI) -> None:
    """A stream says the same as a plain answer, cuts a long word in several pieces, and ends with usage if asked."""
    stream = await client.chat.completions.create(
        model="m", messages=user("PERSON_0123456789"), stream=True, stream_options={"include_usage": True}, n=2
    )
    chunks = [chunk async for chunk in stream]
    for index in range(2):
        choices = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
        text = "".join(choice.delta.content or "" for choice in choices)
        assert text == f"You wrote: «PERSON_0123456789» (answer {index + 1} of 2)"
        assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["stop"]
    assert not any("PERSON_0123456789" in chunk.model_dump_json() for chunk in chunks)
    assert chunks[-1].usage is not None
    assert chunks[-1].choices == []
    quiet = await client.chat.completions.create(model="m", messages=user("x"), stream=True)
    assert [chunk.usage async for chunk in quiet if chunk.usage is not None or not chunk.choices] == []


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("choice", "text"),
    [
        ("required", "for Ann"),
        ({"type": "function", "function": {"name": "send_mail"}}, "for Ann"),
        ("auto", "please call the tool for Ann"),
        ("auto", "send_mail for Ann"),
    ],
)
async def test_tool_calls(client: openai.AsyncOpenAI, choice: Any, text: str) -> None:
    """A tool is called when it must be or when the user says so, with arguments that fit its schema."""
    ask: Any = {"model": "m", "messages": user(text), "tools": [MAIL], "tool_choice": choice}
    answer = await client.chat.completions.create(**ask)
    assert answer.choices[0].finish_reason == "tool_calls"
    call = (answer.choices[0].message.tool_calls or [])[0]
    expected = {"to": text, "copies": 2, "urgent": True, "kind": "letter", "tags": [text], "extra": None}
    assert isinstance(call, openai.types.chat.ChatCompletionMessageFunctionToolCall)
    assert (call.function.name, json.loads(call.function.arguments)) == ("send_mail", expected)
    async with client.chat.completions.stream(**ask) as stream:
        final = await stream.get_final_completion()
    streamed = (final.choices[0].message.tool_calls or [])[0]
    assert json.loads(streamed.function.arguments) == expected


@pytest.mark.anyio
async def test_no_tool_call_and_the_tools_answer(client: openai.AsyncOpenAI) -> None:
    """Without a reason no tool is called, and what a tool answered is said."""
    calm: Any = {"model": "m", "tools": [MAIL]}
    answer = await client.chat.completions.create(messages=user("hello"), **calm)
    assert answer.choices[0].message.content == "You wrote: «hello»"
    answer = await client.chat.completions.create(messages=user("call the tool"), tool_choice="none", **calm)
    assert answer.choices[0].message.tool_calls is None
    talk: Any = [*user("call the tool"), {"role": "tool", "tool_call_id": "c", "content": "sent to Ann"}]
    answer = await client.chat.completions.create(messages=talk, **calm)
    assert answer.choices[0].message.content == "The tool answered: «sent to Ann»"


@pytest.mark.anyio
async def test_json_answers(client: openai.AsyncOpenAI) -> None:
    """Asked for JSON, it answers JSON, by the schema where there is one."""
    ask: Any = {"model": "m", "messages": user('say "Žižek"')}
    answer = await client.chat.completions.create(response_format={"type": "json_object"}, **ask)
    assert json.loads(answer.choices[0].message.content or "") == {"you_wrote": 'say "Žižek"'}
    schema = {"name": "s", "schema": {"type": "object", "properties": {"who": {"type": "string"}}}}
    answer = await client.chat.completions.create(
        response_format={"type": "json_schema", "json_schema": schema},  # type: ignore[typeddict-item]
        **ask,
    )
    assert json.loads(answer.choices[0].message.content or "") == {"who": 'say "Žižek"'}


@pytest.mark.anyio
async def test_cached_tokens_grow_with_the_conversation(client: openai.AsyncOpenAI) -> None:
    """A conversation that goes on finds its earlier turns in the cache."""
    first = user("a long first message " * 20)
    answer = await client.chat.completions.create(model="m", messages=first)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 0
    more = await client.chat.completions.create(model="m", messages=[*first, *user("and now?")])
    assert more.usage is not None
    assert more.usage.prompt_tokens_details is not None
    assert more.usage.prompt_tokens_details.cached_tokens == answer.usage.prompt_tokens


@pytest.mark.anyio
async def test_models(client: openai.AsyncOpenAI) -> None:
    """The SDK can list the models."""
    assert "scripted-echo" in [model.id async for model in client.models.list()]


@pytest.mark.anyio
async def test_what_was_received_can_be_seen(client: openai.AsyncOpenAI, web: httpx.AsyncClient) -> None:
    """Requests are shown as they arrived, byte by byte, without their key; they can be forgotten."""
    await client.chat.completions.create(model="m", messages=user("for Ann"))
    (seen,) = (await web.get("/received")).json()
    assert json.loads(seen["body"])["messages"] == user("for Ann")
    assert seen["headers"]["content-type"] == "application/json"
    text = (await web.get("/received", params={"format": "text"})).text
    assert "POST /v1/chat/completions" in text
    assert "for Ann" in text
    assert "sk-test" not in json.dumps(seen) + text
    await web.delete("/received")
    assert (await web.get("/received")).json() == []
    assert "Nothing" in (await web.get("/received?format=text")).text


@pytest.mark.anyio
async def test_only_the_last_requests_are_kept() -> None:
    """The memory of requests is bounded."""
    async with ScriptedCloud(keep=2) as cloud, httpx.AsyncClient(trust_env=False) as web:
        for text in "abc":
            await web.post(f"{cloud.base_url}/chat/completions", json={"model": "m", "messages": user(text)})
        assert [item.json["messages"][0]["content"] for item in cloud.received] == ["b", "c"]
        assert cloud.counters.requests == 3


@pytest.mark.anyio
async def test_a_key_can_be_required() -> None:
    """With a key set, a request without it is refused as OpenAI refuses it."""
    async with ScriptedCloud(api_key="right") as cloud:
        for key in ("right", "wrong"):
            async with openai.AsyncOpenAI(base_url=cloud.base_url, api_key=key, max_retries=0) as sdk:
                if key == "right":
                    await sdk.chat.completions.create(model="m", messages=user("x"))
                else:
                    with pytest.raises(openai.AuthenticationError):
                        await sdk.chat.completions.create(model="m", messages=user("x"))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"[]", None),
        (b"{}", "model"),
        (b'{"model": "m"}', "messages"),
        (b'{"model": "m", "messages": [7]}', "messages"),
        (b'{"model": "m", "messages": [{}], "n": 0.5}', "n"),
        (b'{"model": "m", "messages": [{}], "tools": [{}], "tool_choice": "required"}', "tools"),
    ],
)
async def test_bad_requests(web: httpx.AsyncClient, body: bytes, param: str | None) -> None:
    """A request that OpenAI would refuse is refused, with the field at fault."""
    answer = await web.post("/v1/chat/completions", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


@pytest.mark.anyio
async def test_unknown_pages_and_bytes(web: httpx.AsyncClient, cloud: ScriptedCloud) -> None:
    """An unknown page is a 404, the root tells what there is, and what is not HTTP is refused."""
    assert (await web.get("/nothing")).status_code == 404
    assert "/received" in (await web.get("/")).text
    reader, writer = await asyncio.open_connection("127.0.0.1", int(cloud.url.rpartition(":")[2]))
    writer.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
    assert b" 400 " in await reader.read()
    writer.close()


@pytest.mark.anyio
async def test_scripted_statuses(client: openai.AsyncOpenAI, web: httpx.AsyncClient, cloud: ScriptedCloud) -> None:
    """A script holds for its count of requests and then ends; the model's name asks for a fault of its own."""
    answer = await web.post("/script", json={"fault": "500", "count": 2, "retry_after": 3})
    assert answer.json() == {"scripted": 2}
    for _ in range(2):
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(model="m", messages=user("x"))
        assert caught.value.response.headers["retry-after"] == "3"
    await client.chat.completions.create(model="m", messages=user("x"))
    with pytest.raises(openai.RateLimitError) as limited:
        await client.chat.completions.create(model="openai/scripted-429", messages=user("x"))
    assert limited.value.response.headers["retry-after"] == "1"
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(model="scripted-400", messages=user("x"))
    for wrong in (b"", b"{}", b'{"fault": "none-such"}', b'{"fault": "500", "count": 0}', b"[]"):
        assert (await web.post("/script", content=wrong)).status_code == 400


@pytest.mark.anyio
@pytest.mark.parametrize("size", [1, 7])
@pytest.mark.parametrize("stream", [False, True])
async def test_cut_answers_are_complete(client: openai.AsyncOpenAI, size: int, stream: bool) -> None:
    """An answer that is written in pieces of any size is still the same answer."""
    answer: Any = await client.chat.completions.create(model=f"scripted-cut{size}", messages=user("hi"), stream=stream)
    if stream:
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in answer])
    else:
        text = answer.choices[0].message.content
    assert text == "You wrote: «hi»"


@pytest.mark.anyio
async def test_counters_follow_the_connections(web: httpx.AsyncClient, cloud: ScriptedCloud) -> None:
    """Open streams, open connections and clients that leave early are counted; a finished answer is no leaving."""
    wish = {"model": "scripted-stall", "messages": user("x"), "stream": True}
    async with web.stream("POST", "/v1/chat/completions", json=wish) as answer:
        assert b"data: " in await anext(answer.aiter_raw())
        assert cloud.counters.open_streams == 1
    await eventually(lambda: cloud.counters.open_streams == 0)
    assert cloud.counters.client_disconnects == 1
    await web.post("/v1/chat/completions", json={**wish, "model": "m"})
    counters = (await web.get("/counters")).json()
    assert counters == {
        "requests": 2,
        "open_streams": 0,
        "client_disconnects": 1,
        "connections": 2,
        "open_connections": 1,
    }


def test_fault_names() -> None:
    """Every name in the table can be asked for, by script and by model, and others cannot."""
    for name in FAULTS:
        real = name.replace("<N>", "3").replace("<status>", "418")
        assert fault(real).kind in ("status", "cut", "big", real)
        assert fault_in(f"scripted-{real}") == fault_in(f"openai/scripted-{real}") == fault(real)
    assert fault("cut3") == Fault("cut", 3)
    assert fault("429", 2.0) == Fault("status", 429, 2.0)
    for wrong in ("cut0", "cut", "cut<N>", "399", "600", "none", ""):
        with pytest.raises(ValueError, match="no such fault"):
            fault(wrong)
    for model in ("gpt-4o", "scripted-echo", "gpt-500", "unscripted-500", "scripted-500-x"):
        assert fault_in(model) == NONE


def test_every_fault_is_documented() -> None:
    """The page about the scripted cloud names each fault."""
    page = (ROOT / "docs" / "scripted-cloud.md").read_text(encoding="utf-8")
    assert [name for name in FAULTS if f"`{name}`" not in page] == []


@pytest.mark.anyio
async def test_as_a_process(tmp_path: Path) -> None:
    """`python -m adapters.scripted_cloud` announces where it listens, answers, and ends in order on SIGTERM."""
    announced = tmp_path / "cloud"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "adapters.scripted_cloud", "--announce-file", str(announced), "--latency", "0.05"),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        await eventually(announced.exists, 20)
        base_url = announced.read_text(encoding="utf-8").strip()
        started = time.monotonic()
        async with openai.AsyncOpenAI(base_url=base_url, api_key="x", max_retries=0) as sdk:
            await sdk.chat.completions.create(model="m", messages=user("x"))
        assert time.monotonic() - started >= 0.05
        process.send_signal(signal.SIGTERM)
        out, _ = await asyncio.wait_for(process.communicate(), 10)
        assert base_url in out.decode()
        assert process.returncode == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.anyio
async def test_a_port_that_is_taken(cloud: ScriptedCloud) -> None:
    """A port in use is an error at the start."""
    other = ScriptedCloud(port=int(cloud.url.rpartition(":")[2]))
    with pytest.raises(OSError, match=r"."):
        await other.start()
