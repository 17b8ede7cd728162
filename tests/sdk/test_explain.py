"""Asking a gateway what it would do, and what it did."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import openai
import pytest

from bailiwick import AsyncBailiwick, Bailiwick, Decision, Explanation, Found, Hints, Reason, Target

MESSAGES: list[Any] = [{"role": "user", "content": "My card is 4242 4242 4242 4242"}]
EXPLAIN = "/bailiwick/v1/explain"
ANSWER: dict[str, Any] = {
    "policy": {"name": "acme", "version": 7, "hash": "0123456789abcdef" * 4},
    "mode": "enforce",
    "level": "restricted",
    "because": ["found payment data (CREDIT_CARD: 1)"],
    "action": "local_only",
    "rules": [{"id": "handling.restricted", "effect": "local_only", "why": "PCI DSS 3.4"}],
    "would": [],
    "targets": [
        {"id": "cloud", "permitted": False, "reason": "the cloud is not permitted"},
        {"id": "local", "permitted": True, "reason": ""},
    ],
    "found": [{"entity": "CREDIT_CARD", "percent": 100, "distinct": 1}],
    "candidates": [{"target": "local", "at_most_usd": "0.0002", "max_output_tokens": 64, "expected_first_token": 0.25}],
    "rejected": [{"target": "cloud", "reason": "the cloud is not permitted"}],
}
READABLE = """\
Level restricted, because found payment data (CREDIT_CARD: 1).
Action local_only.
Found: 1 CREDIT_CARD (100%).

Rules that had a say:
  handling.restricted: local_only (PCI DSS 3.4)

Targets:
  would be tried  local  at most 0.0002 USD, answer cut at 64 tokens, first token in about 0.25 s
  rejected        cloud  the cloud is not permitted

Decided by policy acme, version 7, hash 0123456789ab."""


@pytest.fixture
def client(server: Any) -> Iterator[Bailiwick]:
    server.answers[EXPLAIN] = (200, {}, ANSWER)
    with Bailiwick(base_url=server.base_url, api_key="bk_test", max_retries=0) as client:
        yield client


def test_an_explanation_tells_everything(client: Bailiwick) -> None:
    """An explanation has level, action, reasons, counts and the targets in the order they would be tried."""
    explanation = client.explain(model="auto", messages=MESSAGES)
    assert explanation == Explanation(
        level="restricted",
        because=("found payment data (CREDIT_CARD: 1)",),
        action="local_only",
        reasons=(Reason("handling.restricted", "local_only", "PCI DSS 3.4"),),
        found=(Found("CREDIT_CARD", 1.0, 1),),
        targets=(
            Target("local", permitted=True, at_most=Decimal("0.0002"), max_output_tokens=64, first_token=0.25),
            Target("cloud", permitted=False, reason="the cloud is not permitted"),
        ),
        policy="acme, version 7, hash 0123456789ab",
        raw=ANSWER,
    )
    assert explanation.raw == ANSWER
    assert str(explanation) == READABLE


def test_the_same_fields_are_asked_about(client: Bailiwick, server: Any) -> None:
    """What is explained is the very body and the very headers that a completion would be asked for with."""
    fields: Any = {"temperature": 0.5, "tools": [{"type": "function", "function": {"name": "f"}}], "stream": True}
    client.chat.completions.create(model="auto", messages=MESSAGES, bailiwick=Hints(user="u"), **fields)
    client.explain(model="auto", messages=MESSAGES, bailiwick=Hints(user="u"), **fields)
    completion, explained = server.asked
    assert explained.path == EXPLAIN
    assert explained.body == completion.body
    for header in ("authorization", "x-bailiwick-user"):
        assert explained.headers[header] == completion.headers[header]


@pytest.mark.parametrize("base_url", ["{}/v1", "{}/v1/", "{}/behind/a/proxy/v1"])
def test_the_gateways_own_paths_stand_beside_v1(server: Any, base_url: str) -> None:
    """Explanations are asked for beside the OpenAI paths, wherever those are."""
    prefix = base_url.removeprefix("{}").rstrip("/").removesuffix("/v1")
    server.answers[prefix + EXPLAIN] = (200, {}, ANSWER)
    with Bailiwick(base_url=base_url.format(server.url), api_key="bk_test") as client:
        assert client.explain(model="auto", messages=MESSAGES).action == "local_only"


def test_no_gateway_no_explanation(client: Bailiwick, server: Any) -> None:
    """A server without explanations raises OpenAI's error, and one that answers something else a clear one."""
    server.answers[EXPLAIN] = (200, {}, {"hello": "world"})
    with pytest.raises(ValueError, match="base_url"):
        client.explain(model="auto", messages=MESSAGES)
    server.answers[EXPLAIN] = (200, {}, "hello")
    with pytest.raises(ValueError, match="base_url"):
        client.explain(model="auto", messages=MESSAGES)
    del server.answers[EXPLAIN]
    with pytest.raises(openai.NotFoundError):
        client.explain(model="auto", messages=MESSAGES)


def test_records_of_a_decision(client: Bailiwick, server: Any) -> None:
    """The records of a decision come by its id or by the decision itself, and an id cannot leave its place."""
    records = [{"kind": "intent", "target": "cloud"}, {"kind": "outcome", "target": "cloud"}]
    server.answers["/bailiwick/v1/decisions/d1"] = (200, {}, {"decision": "d1", "records": records})
    assert client.decision("d1") == records
    assert client.decision(Decision(id="d1")) == records
    with pytest.raises(openai.NotFoundError):
        client.decision("../../v1/models")
    assert server.last.path == "/bailiwick/v1/decisions/..%2F..%2Fv1%2Fmodels"


@pytest.mark.anyio
async def test_the_asynchronous_client_asks_the_same(server: Any) -> None:
    """The asynchronous client explains and finds records."""
    server.answers[EXPLAIN] = (200, {}, ANSWER)
    server.answers["/bailiwick/v1/decisions/d1"] = (200, {}, {"decision": "d1", "records": []})
    async with AsyncBailiwick(base_url=server.base_url, api_key="bk_test") as client:
        explanation = await client.explain(model="auto", messages=MESSAGES, bailiwick=Hints(max_cost="1"))
        assert str(explanation) == READABLE
        assert server.last.headers["x-bailiwick-max-cost"] == "1"
        assert await client.decision("d1") == []
