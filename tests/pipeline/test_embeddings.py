"""Embeddings go the way of every request: inspected, decided, paid for, recorded; and nothing else of a chat."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.dialects import openai_chat
from gateway.domain.call import Chunk
from gateway.domain.errors import Code, GatewayError
from gateway.domain.money import NanoUsd
from gateway.domain.record import RecordKind
from gateway.domain.target import Zone
from gateway.pipeline.dialects import DIALECTS, dialect_of
from gateway.pipeline.probe import SelfProbe
from support.assembly import Assembly, RecordingProvider, a_target, an_embedder
from support.detectors import ListedDetector
from support.exposure import CARD, EMAIL, NAME
from support.playing import BLOCKING, Counting, Playing

pytestmark = pytest.mark.anyio

CLOUD, HERE = an_embedder("cloud"), an_embedder("here", Zone.LOCAL, "on-premises")
WITH_CARDS = BLOCKING.replace(
    "levels:\n", "  cards: {detect: [CREDIT_CARD], confidence: 0.40}\nlevels:\n  restricted:\n    - any_of: [cards]\n"
)
INPUT = 1000
"""Nano-dollars a token at the cloud."""


async def test_every_text_is_hidden_where_the_policy_says_so() -> None:
    """Each text of a list has its stand-ins, the same value the same one, and the vectors come back as they are."""
    cloud = RecordingProvider()
    parts = Assembly(BLOCKING, {CLOUD: cloud})
    answer = await parts.embed([f"Write to {NAME}", "Hello", f"{NAME}, {EMAIL}", f"again {NAME}", "x"])
    (sent,) = cloud.bodies
    assert NAME not in sent
    assert EMAIL not in sent
    assert sent.count("PERSON_") == 3
    assert [one["index"] for one in answer["data"]] == [0, 1, 2, 3, 4]
    kinds = [record.kind for record in parts.log.records]
    assert kinds == [RecordKind.INTENT, RecordKind.OUTCOME]
    intent, outcome = parts.log.records
    assert (intent.dialect, intent.action, intent.stream) == ("openai_embeddings", "redact", False)
    assert {found.entity for found in intent.hidden} == {"PERSON", "EMAIL_ADDRESS"}
    assert (outcome.input_tokens, outcome.output_tokens) == (answer["usage"]["prompt_tokens"], 0)


async def test_restricted_texts_stay() -> None:
    """One of many is enough: all of them go to the local model."""
    cloud, local = RecordingProvider(), RecordingProvider()
    parts = Assembly(WITH_CARDS, {CLOUD: cloud, HERE: local})
    await parts.embed(["a", "b", "c", f"Card {CARD}"])
    assert (len(cloud.calls), len(local.calls)) == (0, 1)
    with pytest.raises(GatewayError) as caught:
        await Assembly(WITH_CARDS, {CLOUD: cloud}).embed(f"Card {CARD}")
    assert caught.value.code is Code.BLOCKED
    assert cloud.calls == []


async def test_what_is_reserved_is_settled_to_the_usage() -> None:
    """The worst is one token for each byte; what counts in the end is what the provider counted, at the input price."""
    ledger = Counting()
    parts = Assembly(BLOCKING, {CLOUD: RecordingProvider()}, ledger=ledger)
    answer = await parts.embed(["some words here", "and more"])
    await parts.purse.drain()
    assert ledger.open == {}
    assert ledger.paid == answer["usage"]["prompt_tokens"] * INPUT > 0
    intent, outcome = parts.log.records
    assert intent.reserved >= outcome.cost == ledger.paid


async def test_a_budget_is_not_overspent() -> None:
    """There is no output to shorten, so what the texts alone could cost has to be there."""
    ledger, cloud = Counting(), RecordingProvider()
    parts = Assembly(BLOCKING, {CLOUD: cloud}, ledger=ledger)  # 0.01 USD a day: 10,000 bytes
    with pytest.raises(GatewayError) as caught:
        await parts.embed("word " * 2500)
    assert caught.value.code is Code.BUDGET_SPENT
    assert (cloud.calls, ledger.open, ledger.paid) == ([], {}, 0)
    await parts.embed("word " * 1500)
    await parts.purse.drain()
    assert 0 < ledger.paid <= NanoUsd(10_000_000)


@pytest.mark.parametrize("text", ["word " * 500, f"{NAME} " * 100])
async def test_a_cap_bounds_what_one_request_may_cost(text: str) -> None:
    """Also where the stand-ins make it longer than it came."""
    cloud = RecordingProvider()
    policy = BLOCKING.replace("{per_app_per_day: 0.01 USD", "{per_request: 0.0015 USD, per_app_per_day: 0.01 USD")
    with pytest.raises(GatewayError) as caught:
        await Assembly(policy, {CLOUD: cloud}).embed(text)
    assert caught.value.code in (Code.NO_TARGET, Code.COST_CAP)
    assert cloud.calls == []


async def test_many_texts_need_no_context_that_holds_them_all() -> None:
    """A target's context bounds each text, not the list."""
    local = RecordingProvider()
    answer = await Assembly(BLOCKING, {HERE: local}).embed(["some words " * 20] * 50)
    assert len(answer["data"]) == 50


async def test_a_model_is_asked_at_its_own_endpoint() -> None:
    """A chat for an embedding model, and the other way round, are refused before anything is sent or decided."""
    provider = RecordingProvider()
    embedders, chats = Assembly(BLOCKING, {CLOUD: provider}), Assembly(BLOCKING, {a_target("cloud"): provider})
    with pytest.raises(GatewayError) as chat:
        await embedders.ask("Hello")
    with pytest.raises(GatewayError) as embedding:
        await chats.embed("Hello")
    for caught, path in ((chat, "/v1/chat/completions"), (embedding, "/v1/embeddings")):
        assert (caught.value.code, caught.value.param) == (Code.INVALID_REQUEST, "model")
        assert path in caught.value.public
    mixed = Assembly(BLOCKING, {CLOUD: provider, replace(HERE, dialect=openai_chat.DIALECT): provider})
    with pytest.raises(GatewayError):
        await mixed.embed("Hello")
    assert provider.calls == []


async def test_an_answer_in_another_form_is_a_fault_of_the_target() -> None:
    """A stream where one answer was asked for is not passed on."""
    with pytest.raises(GatewayError) as caught:
        await Assembly(BLOCKING, {CLOUD: Playing(Chunk(b"{}"))}).embed("Hello")
    assert caught.value.code is Code.TARGET_BAD_ANSWER


async def test_the_self_probe_speaks_the_models_dialect() -> None:
    """An embedding model is probed by an embedding: a leak there is an alarm as well."""
    values = {"CREDIT_CARD": "4242 4242 4242 4242", "US_SSN": "536-90-4399"}
    parts = Assembly(BLOCKING, {CLOUD: RecordingProvider()}, detector=ListedDetector(values))
    result = await SelfProbe(parts.pipeline, parts.directory, DIALECTS).run(lambda found: False)
    assert "would leave" in result.problem
    result = await SelfProbe(parts.pipeline, parts.directory, DIALECTS).run(lambda found: True)
    assert result.ok


def test_a_request_without_its_path_is_known_by_its_shape() -> None:
    """For what is only to be explained."""
    assert dialect_of(b'{"model": "m", "input": "a"}').DIALECT == "openai_embeddings"
    assert dialect_of(b'{"model": "m", "messages": [], "input": "a"}').DIALECT == "openai_chat"
