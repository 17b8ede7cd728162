"""Promise 9: a person's data comes back right: exactly, escaped as it must be, and never to anybody else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import httpx
import pytest

from gateway.dialects import openai_chat
from gateway.domain.finding import Finding, Span
from gateway.inspection.redact import Pseudonymiser
from gateway.inspection.restore import RestoreMap
from support.assembly import Assembly, RecordingProvider, a_target
from support.detectors import ListedDetector
from support.exposure import EMAIL, EVERYTHING, NAME, PHONE, REDACT_EVERYTHING, exposed
from support.live import Cloud, Setup, cloud_target
from support.nursery import ForkedGateway, client_of, forked_gateway
from support.streams import arguments_of, content_of, messages_in

PEOPLE = [
    f"{first} {last}"
    for last in ("Kowalski", "Schneider", "O'Brien", "Fernández", "Müller")
    for first in ("Anna", "Bernd", "Clara", "Daniel", "Elena", "Frank", "Greta", "Hugo", "Irene", "Jakob")
]
TOKEN = re.compile(r"[A-Z]+_[A-Z2-7]{8}")
SEND = {
    "type": "function",
    "function": {
        "name": "send_letter",
        "parameters": {"type": "object", "properties": {"to": {"type": "string"}, "text": {"type": "string"}}},
    },
}


@pytest.fixture(scope="module")
def gateway(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkedGateway]:
    """Everything is hidden and sent to a cloud that repeats it."""
    setup = Setup(
        tmp_path_factory.mktemp("promise9"),
        [cloud_target("cloud", cloud.base_url, max_output_tokens="20000")],
        {"auto": "{targets: [cloud]}"},
        REDACT_EVERYTHING,
    )
    with forked_gateway(setup) as running:
        yield running


def echo(text: str) -> str:
    return f"You wrote: «{text}»"


# ---- whole and in pieces, over the network


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_everything_comes_back(gateway: ForkedGateway, cloud: Cloud, stream: bool) -> None:
    """Every kind of value comes back character by character, and the cloud has seen none of them."""
    text = f"{EVERYTHING} Zoë Müller-Lüdenscheidt ({EMAIL}) and Conor O'Brien, tel:{PHONE}; again {NAME}!"
    cloud.forget()
    assert content_of(gateway.chat(text, stream=stream).text) == echo(text)
    assert exposed(cloud.bodies()) == []
    assert len(TOKEN.findall(cloud.bodies()[0])) >= 8


def test_network_pieces_of_every_size(gateway: ForkedGateway, cloud: Cloud) -> None:
    """A stream that the network cuts into pieces of 1, 2, 3, … bytes gives the same text."""
    text = f"Write to {NAME}, {EMAIL}, and to Zoë Müller."
    for size in [*range(1, 48), 64, 100, 255, 256, 1000, 4096]:
        cloud.script(f"cut{size}")
        assert content_of(gateway.chat(text, stream=True).text) == echo(text)
    for size in (1, 7, 64):
        cloud.script(f"cut{size}")
        assert content_of(gateway.chat(text).text) == echo(text)


def test_an_answer_cut_short_is_the_same_streamed_and_plain(gateway: ForkedGateway) -> None:
    """Where the model stops in the middle of a stand-in, nothing is lost, doubled or made up."""
    text = f"{NAME} and {EMAIL}"
    for limit in range(1, 24):
        plain = content_of(gateway.chat(text, max_tokens=limit).text)
        assert content_of(gateway.chat(text, max_tokens=limit, stream=True).text) == plain
        assert echo(text).startswith(TOKEN.sub("", re.sub(r"[A-Z]{3,}(_[A-Z2-7]*)?$", "", plain)))


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_people_are_never_swapped(gateway: ForkedGateway, cloud: Cloud, stream: bool) -> None:
    """Fifty people in one request, some with the same first or last name, keep their places."""
    text = "; ".join(f"{name} <{name.split()[0].lower()}{place}@example.com>" for place, name in enumerate(PEOPLE))
    cloud.forget()
    assert content_of(gateway.chat(text, stream=stream).text) == echo(text)
    tokens = TOKEN.findall(json.loads(cloud.bodies()[0])["messages"][0]["content"])
    assert len(tokens) == len(set(tokens)) == 2 * len(PEOPLE)


def test_interleaved_choices(gateway: ForkedGateway) -> None:
    """The choices of one stream take turns, and each is restored on its own."""
    text = f"{NAME}, {EMAIL} and {PEOPLE[7]}"
    for stream in (False, True):
        found = messages_in(gateway.chat(text, n=5, stream=stream).text)
        assert [message["content"] for message in found] == [
            f"{echo(text)} (answer {place} of 5)" for place in range(1, 6)
        ]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_tool_calls_come_back(gateway: ForkedGateway, cloud: Cloud, stream: bool) -> None:
    """Arguments of two tools called at once are valid JSON with the values themselves."""
    text = f"Use send_letter and file_case for Conor O'Brien, {EMAIL}"
    case = json.loads(json.dumps(SEND).replace("send_letter", "file_case"))
    cloud.forget()
    answer = gateway.chat(text, tools=[SEND, case], stream=stream)
    assert [json.loads(arguments) for arguments in arguments_of(answer.text)] == [{"to": text, "text": text}] * 2
    assert exposed(cloud.bodies(), (EMAIL, "o'brien")) == []


def test_fifty_people_at_once(gateway: ForkedGateway, cloud: Cloud) -> None:
    """Fifty requests at the same time, half of them streams, get back their own person and nobody else's."""
    cloud.forget()

    def ask(place: int) -> tuple[str, str]:
        text = f"I am {PEOPLE[place]}, customer{place}@example.com. " + "Please write soon. " * (place % 7)
        with httpx.Client(base_url=gateway.url, headers=gateway.client.headers, timeout=60, trust_env=False) as client:
            body = {"model": "auto", "messages": [{"role": "user", "content": text}], "stream": place % 2 == 1}
            return text, content_of(client.post("/v1/chat/completions", json=body).text)

    with ThreadPoolExecutor(50) as pool:
        for text, answer in pool.map(ask, range(50)):
            assert answer == echo(text)
    assert exposed(cloud.bodies(), PEOPLE) == []
    assert len(cloud.bodies()) == 50


# ---- the same token, for whom and how long


def tokens_of(cloud: Cloud) -> list[str]:
    """The stand-ins in the last request that arrived."""
    return TOKEN.findall(cloud.bodies()[-1])


def test_a_value_keeps_its_token(gateway: ForkedGateway, cloud: Cloud) -> None:
    """On every turn of a conversation, in any company and after a restart, a value has the same stand-in."""
    gateway.chat(f"I am {NAME}")
    (first,) = tokens_of(cloud)
    gateway.chat(f"{PEOPLE[1]} asks for {EMAIL} of {NAME}")
    assert first in tokens_of(cloud)
    history = [{"role": "user", "content": f"I am {NAME}"}, {"role": "assistant", "content": f"Hello {NAME}!"}]
    body = {"model": "auto", "messages": [*history, {"role": "user", "content": "Who am I?"}], "user": NAME}
    gateway.client.post("/v1/chat/completions", json=body)
    assert tokens_of(cloud) == [first] * 3
    gateway.kill()
    gateway.restart()
    gateway.wait_ready()
    gateway.chat(f"I am {NAME}")
    assert tokens_of(cloud) == [first]


def test_tenants_have_tokens_of_their_own(gateway: ForkedGateway, cloud: Cloud) -> None:
    """Two tenants' stand-ins for one person differ, and nobody gets a value for a stand-in that he has seen."""
    gateway.chat(f"I am {NAME}")
    (ours,) = tokens_of(cloud)
    with closing(client_of(gateway, gateway.new_key(tenant="other"))) as other:
        body: dict[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": f"I am {NAME}"}]}
        assert content_of(other.post("/v1/chat/completions", json=body).text) == echo(f"I am {NAME}")
        (theirs,) = tokens_of(cloud)
        assert theirs != ours
        for client in (other, gateway.client):
            text = f"Who is {ours}? I am {PEOPLE[3]}."
            body["messages"] = [{"role": "user", "content": text}]
            assert content_of(client.post("/v1/chat/completions", json=body).text) == echo(text)


def test_a_text_that_looks_like_a_token_stays(gateway: ForkedGateway, cloud: Cloud) -> None:
    """The stand-in of a person, written by a user beside that person, is not taken for the person."""
    gateway.chat(f"I am {NAME}")
    (token,) = tokens_of(cloud)
    text = f"Is {token} or {token.lower()} the stand-in of {NAME}?"
    for stream in (False, True):
        assert content_of(gateway.chat(text, stream=stream).text) == echo(text)


# ---- values that need escaping, and models that do not copy exactly

CLOUD = a_target("cloud")
AWKWARD = {
    "quotes": 'Conor "Bob" O\'Brien',
    "backslash": "CORP\\anna.k",
    "line break": "-----BEGIN KEY-----\nMIIB\r\n\tAB\n-----END KEY-----",
    "looks escaped": "C:\\new\\table\\u0041",
    "ends in a backslash": "pass\\",
    "quote only": 'x"',
    "control characters": "a\x01b\x7fc\u2028d",
    "beyond the plane": "Zoë \U0001d49cnna \U0001f469\u200d\u2695",
    "looks like JSON": '{"a": ["b"]}',
}


def assembly(value: str, **more: Any) -> tuple[Assembly, RecordingProvider]:
    """A pipeline that hides this value, and its cloud."""
    provider = RecordingProvider(**more)
    return Assembly(REDACT_EVERYTHING, {CLOUD: provider}, detector=ListedDetector({"PERSON": value})), provider


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("kind", AWKWARD)
async def test_tool_arguments_are_escaped(kind: str, stream: bool) -> None:
    """Quotes, backslashes and line breaks of a value are escaped in JSON arguments, and only there."""
    value = AWKWARD[kind]
    parts, provider = assembly(value)
    text = f"call the tool for {value} and {value}"
    body = await parts.ask(text, tools=[SEND], stream=stream)
    assert [json.loads(arguments) for arguments in arguments_of(body)] == [{"to": text, "text": text}]
    free = {"type": "custom", "custom": {"name": "shell"}}
    assert arguments_of(await parts.ask(text, tools=[free], stream=stream)) == [text]
    assert content_of(await parts.ask(f"See {value}!", stream=stream)) == echo(f"See {value}!")
    assert all("PERSON_" in body for body in provider.bodies)
    assert exposed(provider.bodies, [value]) == []


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("kind", AWKWARD)
async def test_answers_in_json_stay_json(kind: str, stream: bool) -> None:
    """In an answer that was asked for as JSON a value is escaped too: the client can parse it."""
    value = AWKWARD[kind]
    parts, _ = assembly(value)
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    for wanted in (
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}},
    ):
        body = await parts.ask(f"Name: {value}.", response_format=wanted, stream=stream)
        answer = json.loads(content_of(body))
        assert f"Name: {value}." in answer.values()


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_json_within_arguments(stream: bool) -> None:
    """A value in JSON within a JSON argument is escaped for both."""
    value = AWKWARD["quotes"]
    parts, _ = assembly(value)
    inner = json.dumps({"who": "PLACE", "list": ["PLACE"]}).replace("PLACE", json.dumps(value)[1:-1])
    body = await parts.ask(inner, tools=[SEND], tool_choice="required", stream=stream)
    (arguments,) = arguments_of(body)
    assert json.loads(json.loads(arguments)["text"]) == {"who": value, "list": [value]}


WRITTEN: dict[str, Callable[[str], str]] = {
    "small letters": str.lower,
    "capitals": str.upper,
    "capitalised": str.capitalize,
    "bold": lambda token: f"**{token}**",
    "emphasised": lambda token: f"*{token}*",
    "underlined": lambda token: f"_{token}_",
    "code": lambda token: f"`{token}`",
    "escaped underscore": lambda token: token.replace("_", "\\_"),
    "bold and escaped": lambda token: f"**{token.lower()}**".replace("_", "\\_"),
    "possessive": lambda token: f"{token}'s",
    "plural": lambda token: f"{token}s",
    "in a link": lambda token: f"[{token}](https://x.example/{token}?q={token})",
    "twice without a space": lambda token: token + token,
    "in other letters": lambda token: f"\u017f{token}\u0130",
}


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("way", WRITTEN)
async def test_what_models_make_of_tokens(way: str, stream: bool) -> None:
    """Other letter cases, Markdown and endings that a model adds do not keep a value from coming back."""
    write = WRITTEN[way]
    parts, _ = assembly(NAME, rewrite=lambda text: TOKEN.sub(lambda token: write(token[0]), text))
    marks = write("PERSON_AAAAAAAA").casefold().replace("\\_", "_")
    expected = marks.replace("person_aaaaaaaa", NAME)
    answer = content_of(await parts.ask(f"I am {NAME} and stay", stream=stream))
    assert answer in (echo(f"I am {expected} and stay"), echo(f"I am {write(NAME)} and stay"))


@pytest.mark.parametrize("json_text", [False, True], ids=["text", "arguments"])
def test_chunks_cut_at_every_place(json_text: bool) -> None:
    """A text cut into three chunks at any two places is restored as the whole is, with nothing held back at the end."""
    mapping = RestoreMap({"PERSON_AB2CD3EF": 'Conor "Bob"', "EMAIL_QRSTUV22": EMAIL, "PERSON_PERSON22": "Per Son"})
    text = "PERSO PERSON_AB2CD3EF, person\\_ab2cd3efEMAIL_QRSTUV22 PERSON_PERSON22 PERSON_AB"
    whole, _ = mapping.restored(text, json_text=json_text)
    for first in range(len(text) + 1):
        for second in range(first, len(text) + 1):
            pieces = (text[:first], text[first:second], text[second:])
            restorer = openai_chat.chunk_restorer(mapping.stream_restorer)
            chunks = [data for piece in pieces for data in restorer.feed(_chunk(piece, json_text))]
            chunks += restorer.finish()
            assert "".join(_piece(data, json_text) for data in chunks) == whole


def _chunk(piece: str, json_text: bool) -> bytes:
    call = {"index": 0, "function": {"arguments": piece}}
    delta: dict[str, Any] = {"tool_calls": [call]} if json_text else {"content": piece}
    return json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}).encode()


def _piece(data: bytes, json_text: bool) -> str:
    delta = json.loads(data)["choices"][0]["delta"]
    text: str = delta["tool_calls"][0]["function"]["arguments"] if json_text else delta["content"]
    return text


def test_tokens_depend_on_key_and_tenant_only() -> None:
    """The same key gives the same stand-ins in any process; another key or tenant gives others."""
    findings = [Finding(("content",), Span(0, len(NAME), "PERSON", 100))]
    made = {
        (key[0], tenant): Pseudonymiser(key).redact({"content": NAME}, findings, tenant).tree["content"]
        for key in (b"a" * 32, b"b" * 32)
        for tenant in ("acme", "other")
        for _ in range(3)
    }
    assert len(set(made.values())) == 4
