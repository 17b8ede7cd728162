"""The client against a real gateway, a real local model and a scripted cloud."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from bailiwick import AsyncBailiwick, Bailiwick, Hints, decision_of
from support.live import Cloud, Gateway, Setup, cloud_target, live_gateway, local_target, scripted_cloud, without_output

PUBLIC: list[Any] = [{"role": "user", "content": "Name a colour."}]
NAMED: list[Any] = [{"role": "user", "content": "Please write to anna.kowalski@example.com about the refund."}]
CARD: list[Any] = [{"role": "user", "content": "My card 4242 4242 4242 4242 was charged twice."}]


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with scripted_cloud() as cloud:
        yield cloud


@pytest.fixture(scope="module")
def gateway(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    setup = Setup(
        folder=tmp_path_factory.mktemp("sdk"),
        targets=[
            cloud_target("cloud", cloud.base_url),
            local_target("local"),
            without_output(cloud_target("embed", cloud.base_url, embeddings="true", price="{input: 1.00 USD}")),
        ],
        models={"auto": "{targets: [cloud, local], rank: listed}", "embed": "{targets: [embed]}"},
    )
    with live_gateway(setup) as gateway:
        yield gateway


@pytest.fixture
def client(gateway: Gateway) -> Iterator[Bailiwick]:
    with Bailiwick(base_url=gateway.base_url, api_key=gateway.key, max_retries=0) as client:
        yield client


def test_a_card_number_stays_here_and_the_answer_says_so(client: Bailiwick, cloud: Cloud) -> None:
    """A card number is answered by the local model, the cloud sees nothing, and the decision names the rule."""
    cloud.forget()
    answer = client.chat.completions.create(model="auto", messages=CARD, max_completion_tokens=8)
    decision = answer.decision
    assert decision is not None
    assert (decision.target, decision.level, decision.action) == ("local", "restricted", "local_only")
    assert "handling.restricted" in decision.because
    assert cloud.received() == []


def test_embeddings_have_a_decision(client: Bailiwick) -> None:
    """They are OpenAI's, decoded by its SDK, with the decision of the call and the hints that it was made with."""
    answer = client.embeddings.create(model="embed", input=["one", "two"], bailiwick=Hints(min_level="internal"))
    assert len(answer.data) == 2
    assert isinstance(answer.data[0].embedding[0], float)
    assert answer.decision is not None
    assert (answer.decision.target, answer.decision.level) == ("embed", "internal")
    with pytest.raises(openai.PermissionDeniedError) as refused:
        client.embeddings.create(model="embed", input="x", bailiwick=Hints(min_level="restricted"))
    assert decision_of(refused.value) is not None


@pytest.mark.anyio
async def test_embeddings_without_waiting(gateway: Gateway) -> None:
    """The asynchronous client gives the same."""
    async with AsyncBailiwick(base_url=gateway.base_url, api_key=gateway.key, max_retries=0) as client:
        answer = await client.embeddings.create(model="embed", input="one")
    assert answer.decision is not None
    assert answer.decision.target == "embed"


def test_a_stream_from_the_cloud_is_restored_and_decided(client: Bailiwick, cloud: Cloud) -> None:
    """A streamed answer brings the caller's own words back, and its decision before the first chunk; the cost in it
    is the most that it can be."""
    cloud.forget()
    with client.chat.completions.create(model="auto", messages=NAMED, stream=True) as stream:
        decision = stream.decision
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert decision is not None
    assert (decision.target, decision.action, decision.cost_basis) == ("cloud", "redact", "reserved")
    assert decision.cost is not None
    assert decision.cost > 0
    assert "anna.kowalski@example.com" in text
    assert all("anna.kowalski" not in body for body in cloud.bodies())


def test_hints_tighten_and_cannot_loosen(client: Bailiwick) -> None:
    """A hinted level moves a harmless question here; a hinted public level does not move a card number out."""
    hinted = client.chat.completions.create(
        model="auto", messages=PUBLIC, max_completion_tokens=8, bailiwick=Hints(min_level="restricted")
    )
    assert hinted.decision is not None
    assert (hinted.decision.target, hinted.decision.level) == ("local", "restricted")
    public = client.with_hints(Hints(min_level="public"))
    card = public.chat.completions.create(model="auto", messages=CARD, max_completion_tokens=8)
    assert card.decision is not None
    assert card.decision.target == "local"


def test_the_wrong_apps_key_is_refused(client: Bailiwick) -> None:
    """A call that says which app it is fails with another app's key."""
    with pytest.raises(openai.PermissionDeniedError) as caught:
        client.chat.completions.create(model="auto", messages=PUBLIC, bailiwick=Hints(app="hr-assistant"))
    assert caught.value.code == "forbidden"


def test_an_explanation_agrees_with_the_call(client: Bailiwick, cloud: Cloud) -> None:
    """What `explain` says is what the call then gets, and explaining sends nothing."""
    cloud.forget()
    explanation = client.explain(model="auto", messages=NAMED, max_completion_tokens=8)
    assert cloud.received() == []
    answer = client.chat.completions.create(model="auto", messages=NAMED, max_completion_tokens=8)
    assert answer.decision is not None
    assert explanation.level == answer.decision.level
    assert explanation.action == answer.decision.action
    assert tuple(reason.rule for reason in explanation.reasons) == answer.decision.because
    assert explanation.targets[0].permitted
    assert explanation.targets[0].id == answer.decision.target
    assert {one.entity: one.distinct for one in explanation.found}["EMAIL_ADDRESS"] == 1
    assert "anna" not in str(explanation)


def test_the_records_of_a_decision_are_found(client: Bailiwick) -> None:
    """The audit log's records of one's own call come by its decision: the intent, then the outcome."""
    answer = client.chat.completions.create(model="auto", messages=PUBLIC, max_completion_tokens=8)
    decision = answer.decision
    assert decision is not None
    records = client.decision(decision)
    assert [record["kind"] for record in records] == ["intent", "outcome"]
    assert records[0]["target"] == decision.target
    assert records[1]["outcome"] == "completed"


def test_a_refused_call_has_its_decision(client: Bailiwick) -> None:
    """When no target may be tried, OpenAI's error is raised and leads to the decision."""
    with pytest.raises(openai.PermissionDeniedError) as caught:
        client.chat.completions.create(
            model="auto", messages=PUBLIC, bailiwick=Hints(max_cost="0.000000001", min_level="public")
        )
    decision = decision_of(caught.value)
    assert decision is not None
    assert decision.target is None
    assert client.decision(decision)[0]["kind"] == "refusal"


@pytest.mark.anyio
async def test_the_asynchronous_client_is_served_alike(gateway: Gateway) -> None:
    """The asynchronous client gets the same decision for the same words."""
    async with AsyncBailiwick(base_url=gateway.base_url, api_key=gateway.key, max_retries=0) as client:
        answer = await client.chat.completions.create(model="auto", messages=CARD, max_completion_tokens=8)
    assert answer.decision is not None
    assert answer.decision.target == "local"
