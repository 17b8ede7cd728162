"""OpenAI's client unchanged, and a decision on every answer."""

from __future__ import annotations

import copy
import pickle
import tomllib
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

import bailiwick
from bailiwick import AsyncBailiwick, Bailiwick, Decision, decision_of

MESSAGES: list[Any] = [{"role": "user", "content": "Which colour?"}]
EXPECTED = Decision(
    id="d019c0ffee0123456789abcdef",
    target="cloud-mini-eu",
    level="confidential",
    action="redact",
    because=("handling.confidential", "health-needs-agreement"),
    policy="0123456789ab",
    cost=Decimal("0.0001252"),
    cost_basis="usage",
)
SDK = Path(__file__).resolve().parents[2] / "sdk"


class Colour(BaseModel):
    colour: str


def chunk(text: str, finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish, "logprobs": None}
    return {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


CHUNKS = [chunk('{"colour":'), chunk(' "blue"}'), chunk("", "stop")]


@pytest.fixture
def client(server: Any) -> Iterator[Bailiwick]:
    with Bailiwick(base_url=server.base_url, api_key="bk_test", max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client(server: Any) -> AsyncIterator[AsyncBailiwick]:
    async with AsyncBailiwick(base_url=server.base_url, api_key="bk_test", max_retries=0) as client:
        yield client


def test_a_completion_has_its_decision(client: Bailiwick) -> None:
    """A completion tells where it went and why, and is OpenAI's own class."""
    answer = client.chat.completions.create(model="auto", messages=MESSAGES)
    assert answer.decision == EXPECTED
    assert type(answer) is ChatCompletion
    assert decision_of(answer) is answer.decision


def test_a_completion_is_otherwise_the_same(client: Bailiwick, server: Any) -> None:
    """Dumps, comparison and repr of a completion are those of OpenAI's client; copies keep the decision."""
    with openai.OpenAI(base_url=server.base_url, api_key="bk_test") as plain:
        theirs = plain.chat.completions.create(model="auto", messages=MESSAGES)
    ours = client.chat.completions.create(model="auto", messages=MESSAGES)
    assert ours.model_dump() == theirs.model_dump()
    assert ours.model_dump_json() == theirs.model_dump_json()
    assert ours.to_dict() == theirs.to_dict()
    assert repr(ours) == repr(theirs)
    assert ours == theirs
    for copied in (copy.deepcopy(ours), ours.model_copy(), pickle.loads(pickle.dumps(ours))):
        assert copied.decision == EXPECTED


def test_another_server_gives_no_decision(client: Bailiwick, server: Any) -> None:
    """Against a server that is no gateway everything works, and the decision is None."""
    server.complete(headers={})
    assert client.chat.completions.create(model="auto", messages=MESSAGES).decision is None


def test_a_mangled_cost_is_no_error(client: Bailiwick, server: Any) -> None:
    """A cost that cannot be read leaves a good answer good."""
    server.complete(headers={"x-bailiwick-decision": "d1", "x-bailiwick-cost": "NaN", "x-bailiwick-because": ""})
    assert client.chat.completions.create(model="auto", messages=MESSAGES).decision == Decision(id="d1")


def test_a_stream_has_its_decision_before_the_first_chunk(client: Bailiwick, server: Any) -> None:
    """A stream tells its decision before anything is read of it, and its chunks are OpenAI's."""
    server.complete(CHUNKS)
    with client.chat.completions.create(model="auto", messages=MESSAGES, stream=True) as stream:
        assert stream.decision == EXPECTED
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text == '{"colour": "blue"}'
    assert isinstance(stream, openai.Stream)


def test_the_stream_helper_has_its_decision(client: Bailiwick, server: Any) -> None:
    """OpenAI's `stream` helper gives its events, a parsed completion, and the decision on both."""
    server.complete(CHUNKS)
    with client.chat.completions.stream(model="auto", messages=MESSAGES, response_format=Colour) as stream:
        assert stream.decision == EXPECTED
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert final.choices[0].message.parsed == Colour(colour="blue")
    assert final.decision == EXPECTED


def test_a_parsed_completion_has_its_decision(client: Bailiwick) -> None:
    """`parse` makes the caller's own model of the answer and keeps the decision."""
    answer = client.chat.completions.parse(model="auto", messages=MESSAGES, response_format=Colour)
    assert answer.choices[0].message.parsed == Colour(colour="blue")
    assert answer.decision == EXPECTED


def test_raw_and_streaming_responses(client: Bailiwick) -> None:
    """`decision_of` reads raw responses, and what they parse into has the decision as well."""
    raw = client.chat.completions.with_raw_response.create(model="auto", messages=MESSAGES)
    assert decision_of(raw) == EXPECTED
    assert decision_of(raw.http_response) == EXPECTED
    assert decision_of(raw.parse()) == EXPECTED
    with client.chat.completions.with_streaming_response.create(model="auto", messages=MESSAGES) as response:
        assert decision_of(response) == EXPECTED
        assert decision_of(response.parse()) == EXPECTED
    assert decision_of(client.with_raw_response.chat.completions.create(model="auto", messages=MESSAGES)) == EXPECTED


def test_an_error_has_its_decision(client: Bailiwick, server: Any) -> None:
    """OpenAI's exceptions are raised as ever, and the decision is reachable from them."""
    headers = {"x-bailiwick-decision": "d2", "x-bailiwick-action": "block", "x-bailiwick-because": "pupils-never"}
    server.complete({"error": {"message": "No.", "code": "blocked_by_policy"}}, headers, 403)
    with pytest.raises(openai.PermissionDeniedError) as caught:
        client.chat.completions.create(model="auto", messages=MESSAGES)
    assert caught.value.code == "blocked_by_policy"
    assert decision_of(caught.value) == Decision(id="d2", action="block", because=("pupils-never",))


def test_decision_of_anything_else() -> None:
    """What has no headers, or none of a gateway, has no decision."""

    class Response:
        headers: Any = {"content-type": "application/json"}  # noqa: RUF012 (a stand-in)

    assert decision_of(Response()) is None
    assert decision_of(None) is None
    assert decision_of("text") is None
    assert decision_of(ValueError("no response")) is None


@pytest.mark.anyio
async def test_async_completions_and_parsing(async_client: AsyncBailiwick) -> None:
    """The asynchronous client gives decisions on completions, parsed and not."""
    answer = await async_client.chat.completions.create(model="auto", messages=MESSAGES)
    assert answer.decision == EXPECTED
    parsed = await async_client.chat.completions.parse(model="auto", messages=MESSAGES, response_format=Colour)
    assert parsed.choices[0].message.parsed == Colour(colour="blue")
    assert parsed.decision == EXPECTED
    raw = await async_client.chat.completions.with_raw_response.create(model="auto", messages=MESSAGES)
    assert decision_of(raw) == EXPECTED


@pytest.mark.anyio
async def test_async_streams(async_client: AsyncBailiwick, server: Any) -> None:
    """The asynchronous client gives decisions on streams and on the stream helper's completions."""
    server.complete(CHUNKS)
    async with await async_client.chat.completions.create(model="auto", messages=MESSAGES, stream=True) as stream:
        assert stream.decision == EXPECTED
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == '{"colour": "blue"}'
    manager = async_client.chat.completions.stream(model="auto", messages=MESSAGES, response_format=Colour)
    async with manager as events:
        assert events.decision == EXPECTED
        assert {event.type async for event in events} >= {"chunk", "content.done"}
        final = await events.get_final_completion()
    assert final.choices[0].message.parsed == Colour(colour="blue")
    assert final.decision == EXPECTED


@pytest.mark.anyio
async def test_async_errors(async_client: AsyncBailiwick, server: Any) -> None:
    """The asynchronous client's errors lead to the decision too."""
    server.complete({"error": {"message": "No."}}, {"x-bailiwick-decision": "d2"}, 403)
    with pytest.raises(openai.PermissionDeniedError) as caught:
        await async_client.chat.completions.create(model="auto", messages=MESSAGES)
    assert decision_of(caught.value) == Decision(id="d2")


def test_address_and_key_from_the_environment(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """BAILIWICK_BASE_URL and BAILIWICK_API_KEY stand in for the arguments."""
    monkeypatch.setenv("BAILIWICK_BASE_URL", server.base_url)
    monkeypatch.setenv("BAILIWICK_API_KEY", "bk_from_env")
    with Bailiwick() as client:
        client.chat.completions.create(model="auto", messages=MESSAGES)
    assert server.last.headers["authorization"] == "Bearer bk_from_env"


def test_no_providers_key_is_sent_to_a_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenAI's own variables are not looked at: without a gateway's key there is no client, and no other address."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-provider")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://api.example.com/v1")
    monkeypatch.delenv("BAILIWICK_API_KEY", raising=False)
    monkeypatch.delenv("BAILIWICK_BASE_URL", raising=False)
    with pytest.raises(openai.OpenAIError, match="BAILIWICK_API_KEY"):
        Bailiwick()
    with Bailiwick(api_key="bk_x") as client:
        assert str(client.base_url) == "http://127.0.0.1:8484/v1/"


def test_the_version_is_the_distributions() -> None:
    """`bailiwick.__version__` is the version in pyproject.toml, and the package is typed and has a readme."""
    project = tomllib.loads((SDK / "pyproject.toml").read_text())["project"]
    assert bailiwick.__version__ == project["version"]
    assert (SDK / project["readme"]).is_file()
    assert (SDK / "src" / "bailiwick" / "py.typed").is_file()
    for name in bailiwick.__all__:
        assert hasattr(import_module("bailiwick"), name)
