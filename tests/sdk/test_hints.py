"""Hints travel as headers, never in the body."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from bailiwick import AsyncBailiwick, Bailiwick, Hints

MESSAGES: list[Any] = [{"role": "user", "content": "Hello"}]
ALL = Hints(
    user="u-17",
    app="support-bot",
    max_latency=1.5,
    max_cost="0.01",
    min_level="confidential",
    labels=("Patient", "contract-draft"),
    conversation="chat 7",
)
HEADERS = {
    "x-bailiwick-user": "u-17",
    "x-bailiwick-app": "support-bot",
    "x-bailiwick-max-latency": "1.5",
    "x-bailiwick-max-cost": "0.01",
    "x-bailiwick-min-level": "confidential",
    "x-bailiwick-labels": "contract-draft, patient",
    "x-bailiwick-conversation": "chat 7",
}


def hints_in(server: Any) -> dict[str, str]:
    return {name: value for name, value in server.last.headers.items() if name.startswith("x-bailiwick-")}


@pytest.fixture
def client(server: Any) -> Iterator[Bailiwick]:
    with Bailiwick(base_url=server.base_url, api_key="bk_test", max_retries=0) as client:
        yield client


def test_hints_of_one_call_are_headers_only(client: Bailiwick, server: Any) -> None:
    """A call's hints are in its headers, its body is as without them, and the next call has none."""
    client.chat.completions.create(model="auto", messages=MESSAGES, bailiwick=ALL)
    assert hints_in(server) == HEADERS
    assert server.last.body == {"model": "auto", "messages": MESSAGES}
    client.chat.completions.create(model="auto", messages=MESSAGES)
    assert hints_in(server) == {}


def test_every_way_to_call_takes_hints(client: Bailiwick, server: Any) -> None:
    """`parse`, `stream`, raw and streamed calls take hints as `create` does, beside other headers."""
    completions = client.chat.completions
    hints = Hints(user="u")
    completions.parse(model="auto", messages=MESSAGES, bailiwick=hints)
    assert hints_in(server) == {"x-bailiwick-user": "u"}
    with completions.stream(model="auto", messages=MESSAGES, bailiwick=hints):
        assert hints_in(server) == {"x-bailiwick-user": "u"}
    raw: Any = completions.with_raw_response
    raw.create(model="auto", messages=MESSAGES, bailiwick=hints, extra_headers={"x-mine": "1"})
    assert hints_in(server) == {"x-bailiwick-user": "u"}
    assert server.last.headers["x-mine"] == "1"


def test_hints_of_a_client_go_with_every_call(server: Any) -> None:
    """A client's hints are on each call; a call's own replace those of the same name only."""
    with Bailiwick(base_url=server.base_url, api_key="bk_test", hints=Hints(user="u", max_cost="0.01")) as client:
        client.chat.completions.create(model="auto", messages=MESSAGES)
        assert hints_in(server) == {"x-bailiwick-user": "u", "x-bailiwick-max-cost": "0.01"}
        client.chat.completions.create(model="auto", messages=MESSAGES, bailiwick=Hints(max_cost="0.002"))
        assert hints_in(server) == {"x-bailiwick-user": "u", "x-bailiwick-max-cost": "0.002"}


def test_with_hints_adds_to_a_clients_hints(server: Any) -> None:
    """`with_hints` gives a client of the same kind with more hints and leaves the first as it is; OpenAI's
    `with_options` keeps them."""
    with Bailiwick(base_url=server.base_url, api_key="bk_test", hints=Hints(user="u")) as client:
        more = client.with_hints(Hints(min_level="restricted")).with_options(max_retries=0)
        assert type(more) is Bailiwick
        more.chat.completions.create(model="auto", messages=MESSAGES)
        assert hints_in(server) == {"x-bailiwick-user": "u", "x-bailiwick-min-level": "restricted"}
        client.chat.completions.create(model="auto", messages=MESSAGES)
        assert hints_in(server) == {"x-bailiwick-user": "u"}


@pytest.mark.anyio
async def test_async_clients_send_hints(server: Any) -> None:
    """The asynchronous client sends a client's and a call's hints."""
    async with AsyncBailiwick(base_url=server.base_url, api_key="bk_test", hints=Hints(user="u")) as client:
        more = client.with_hints(Hints(app="a"))
        await more.chat.completions.create(model="auto", messages=MESSAGES, bailiwick=Hints(max_latency=2))
        assert hints_in(server) == {"x-bailiwick-user": "u", "x-bailiwick-app": "a", "x-bailiwick-max-latency": "2"}


@pytest.mark.parametrize(
    ("given", "sent"), [("0.010", "0.010"), (Decimal("1E-7"), "0.0000001"), (0.05, "0.05"), (1e-07, "0.0000001")]
)
def test_amounts_are_plain_decimals(given: Any, sent: str) -> None:
    """An amount is sent as digits, however it was given."""
    assert Hints(max_cost=given).headers() == {"x-bailiwick-max-cost": sent}


def test_one_label_may_stand_alone() -> None:
    """A text is one label, and equal labels are sent once."""
    assert Hints(labels="patient").headers() == {"x-bailiwick-labels": "patient"}
    assert Hints(labels=["b", "A", "a"]).headers() == {"x-bailiwick-labels": "a, b"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_cost": "1 USD"},
        {"max_cost": "-1"},
        {"max_cost": "NaN"},
        {"max_cost": "1e9"},
        {"max_latency": 0},
        {"max_latency": float("nan")},
        {"max_latency": 86_400},
        {"min_level": "secret"},
        {"labels": []},
        {"labels": ["a b"]},
        {"labels": ["patient", ""]},
        {"labels": ["a,b"]},
        {"labels": [f"l{number}" for number in range(17)]},
        {"conversation": ""},
        {"conversation": "   "},
        {"conversation": "x" * 257},
        {"conversation": "a\r\nb"},
        {"user": ""},
        {"user": "Zoë"},
        {"app": "a\r\nx-bailiwick-user: b"},
    ],
)
def test_wrong_hints_are_refused_at_once(wrong: dict[str, Any]) -> None:
    """A hint that the gateway would refuse, or that would break out of its header, is an error naming it."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Hints(**wrong)
