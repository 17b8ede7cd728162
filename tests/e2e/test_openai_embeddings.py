"""OpenAI's own SDK, unmodified, asks for embeddings: of a model in the cloud and of the local engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from gateway.domain.record import RecordKind
from support.evidence import eventually, records
from support.live import Cloud, Setup, cloud_target, local_target, scripted_cloud, without_output
from support.nursery import ForkedGateway, forked_gateway
from support.sdk import POLICY, said

TEXTS = ["My parcel has not arrived.", "Where is my parcel?", "How do I reset my password?"]
CARD = "Card 4242 4242 4242 4242"
BOTH = pytest.mark.parametrize("model", ["embed-x", "embed-local"])


@dataclass
class Embedding:
    """A gateway with embedding models, and the cloud behind one of them."""

    gateway: ForkedGateway
    cloud: Cloud

    def client(self, **more: Any) -> OpenAI:
        options = {"max_retries": 0, "http_client": httpx.Client(trust_env=False), **more}
        return OpenAI(base_url=self.gateway.base_url, api_key=self.gateway.key, **options)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedding]:
    """embed-x is in the cloud, embed-local here, embed either; local and gpt-x chat."""
    with ExitStack() as stack:
        cloud = stack.enter_context(scripted_cloud())
        remote = cloud_target("cloud-embed", cloud.base_url, embeddings="true", price="{input: 0.02 USD}")
        local = local_target("local-embed", embeddings="true", pooling="mean", context_tokens="256")
        targets = [without_output(remote), without_output(local), cloud_target("cloud", cloud.base_url)]
        models = {
            "embed-x": "{targets: [cloud-embed]}",
            "embed-local": "{targets: [local-embed]}",
            "embed": "{targets: [cloud-embed, local-embed], rank: listed}",
            "gpt-x": "{targets: [cloud]}",
        }
        setup = Setup(tmp_path_factory.mktemp("embeddings"), targets, models, POLICY)
        yield Embedding(stack.enter_context(forked_gateway(setup)), cloud)


@pytest.fixture
def embedding(session: Embedding) -> Embedding:
    """With nothing sent yet."""
    session.cloud.forget()
    return session


@pytest.fixture
def client(embedding: Embedding) -> Iterator[OpenAI]:
    with embedding.client() as opened:
        yield opened


def vectors(answer: openai.types.CreateEmbeddingResponse) -> Any:
    assert [one.index for one in answer.data] == list(range(len(answer.data)))
    return np.array([one.embedding for one in answer.data])


@BOTH
def test_as_an_application_asks(embedding: Embedding, client: OpenAI, model: str) -> None:
    """The SDK asks for base64 by itself, and gives lists of numbers: the same ones as without, alone and in a list,
    with the usage of every text."""
    together = client.embeddings.create(model=model, input=TEXTS)
    assert (together.object, together.data[0].object) == ("list", "embedding")
    assert together.usage.total_tokens == together.usage.prompt_tokens
    alone = [client.embeddings.create(model=model, input=text, encoding_format="float") for text in TEXTS]
    np.testing.assert_allclose(vectors(together), [vectors(one)[0] for one in alone], atol=2e-5)
    assert together.usage.prompt_tokens == sum(one.usage.prompt_tokens for one in alone)
    np.testing.assert_allclose(np.linalg.norm(vectors(together), axis=1), 1, atol=1e-5)
    near, far = vectors(together)[0] @ vectors(together)[1], vectors(together)[0] @ vectors(together)[2]
    if model == "embed-x":
        assert near > far
        assert json.loads(embedding.cloud.bodies()[0]) == {
            "input": TEXTS, "model": "scripted-echo", "encoding_format": "base64",
        }  # fmt: skip
        assert {request["path"] for request in embedding.cloud.received()} == {"/v1/embeddings"}
    else:
        assert embedding.cloud.received() == []


@BOTH
@pytest.mark.anyio
async def test_async(embedding: Embedding, model: str) -> None:
    """The asynchronous client gives the same."""
    http_client = httpx.AsyncClient(trust_env=False)
    gateway = embedding.gateway
    async with AsyncOpenAI(base_url=gateway.base_url, api_key=gateway.key, http_client=http_client) as client:
        answer = await client.embeddings.create(model=model, input=TEXTS)
    with embedding.client() as synchronous:
        np.testing.assert_allclose(
            vectors(answer), vectors(synchronous.embeddings.create(model=model, input=TEXTS)), atol=2e-5
        )


def test_fewer_dimensions(client: OpenAI) -> None:
    """As far as the model allows; else a 400 of whoever it is that cannot."""
    assert vectors(client.embeddings.create(model="embed-x", input="a", dimensions=16)).shape == (1, 16)
    for model in ("embed-x", "embed-local"):
        with pytest.raises(openai.BadRequestError) as refused:
            client.embeddings.create(model=model, input="a", dimensions=100_000)
        assert refused.value.param == "dimensions"


@BOTH
@pytest.mark.parametrize("tokens", [[1212, 318], [[1212, 318], [257]]])
def test_tokens_in_place_of_texts_are_refused(embedding: Embedding, client: OpenAI, model: str, tokens: Any) -> None:
    """They cannot be inspected, so they go nowhere, and the caller is told to send the text."""
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model=model, input=tokens)
    assert (refused.value.code, refused.value.param) == ("invalid_request", "input[0]")
    assert "send the text itself" in refused.value.message
    assert embedding.cloud.received() == []


def test_a_text_that_is_too_long_is_refused(client: OpenAI) -> None:
    """With both numbers and the place; nothing is cut off."""
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model="embed-local", input=["short", "far too long " * 300])
    assert (refused.value.code, refused.value.param) == ("context_length_exceeded", "input[1]")
    assert "256 tokens" in refused.value.message


def test_each_model_has_its_endpoint(client: OpenAI) -> None:
    """A chat with an embedding model, and an embedding of a chat model, are refused in words; /v1/models tells."""
    with pytest.raises(openai.BadRequestError, match="not for /v1/chat/completions") as chat:
        client.chat.completions.create(model="embed-local", messages=said())
    with pytest.raises(openai.BadRequestError, match="not for /v1/embeddings") as embedded:
        client.embeddings.create(model="gpt-x", input="a")
    assert (chat.value.param, embedded.value.param) == ("model", "model")
    endpoints = {model.id: model.model_dump()["endpoints"] for model in client.models.list()}
    embeds, chats = ["/v1/embeddings"], ["/v1/chat/completions"]
    assert endpoints == {"embed-x": embeds, "embed-local": embeds, "embed": embeds, "gpt-x": chats}


def test_the_policy_decides(embedding: Embedding, client: OpenAI) -> None:
    """A card number in one of many texts keeps all of them here; the decision, its cost and its record are there."""
    raw = client.embeddings.with_raw_response.create(model="embed", input=TEXTS)
    assert (raw.headers["x-bailiwick-target"], raw.headers["x-bailiwick-cost-basis"]) == ("cloud-embed", "usage")
    usage = raw.parse().usage.prompt_tokens
    assert float(raw.headers["x-bailiwick-cost"]) == pytest.approx(usage * 0.02e-6, abs=1e-9)
    embedding.cloud.forget()
    kept = client.embeddings.with_raw_response.create(model="embed", input=[*TEXTS, CARD, "more"])
    assert (kept.headers["x-bailiwick-target"], kept.headers["x-bailiwick-level"]) == ("local-embed", "restricted")
    assert len(kept.parse().data) == 5
    assert embedding.cloud.received() == []
    with pytest.raises(openai.PermissionDeniedError):
        client.embeddings.create(model="embed-x", input=CARD)
    assert embedding.cloud.received() == []
    decision = raw.headers["x-bailiwick-decision"]
    eventually(lambda: len(records(embedding.gateway.state, decision)) == 2)
    intent, outcome = records(embedding.gateway.state, decision)
    assert (intent.kind, intent.dialect, outcome.kind) == (RecordKind.INTENT, "openai_embeddings", RecordKind.OUTCOME)
    assert (outcome.input_tokens, outcome.output_tokens) == (usage, 0)


def test_an_explanation_is_of_an_embedding(embedding: Embedding) -> None:
    """`explain` takes a request of this shape, too, and sends nothing."""
    answer = embedding.gateway.client.post("/bailiwick/v1/explain", json={"model": "embed", "input": [CARD]})
    assert answer.status_code == 200, answer.text
    assert answer.json()["action"] == "local_only"
    assert [one["target"] for one in answer.json()["candidates"]] == ["local-embed"]
    assert embedding.cloud.received() == []


def test_a_failing_provider_is_the_sdks_exception(embedding: Embedding, client: OpenAI) -> None:
    """Busy and broken providers, and what they refuse, as for a chat."""
    embedding.cloud.script("429", count=3, retry_after=0)
    with pytest.raises(openai.RateLimitError):
        client.embeddings.create(model="embed-x", input="a")
    for fault in ("malformed", "truncated", "html"):
        embedding.cloud.script(fault)
        with pytest.raises(openai.InternalServerError):
            client.embeddings.create(model="embed-x", input="a")
    embedding.cloud.script("503", count=3, retry_after=0)
    assert client.embeddings.create(model="embed", input="a").data  # the next permitted target
