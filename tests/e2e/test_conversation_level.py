"""OpenAI's own SDK, unmodified: a conversation stays at its level, and labels that the caller declares tighten."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from support.exposure import CARD
from support.nursery import client_of
from support.sdk import OPEN, Sdk, open_sdk
from support.tiny_gguf import write_tiny_gguf

POLICY = f"""{OPEN}\
if_unsure: {{detector_fails: local_only, unreadable_content: local_only, redaction_incomplete: local_only}}
rules:
  - {{id: patients-stay, why: A test, when: {{declared: [patient]}}, then: {{action: local_only}}}}
  - {{id: drafts-do-not-go, why: A test, when: {{declared: [contract-draft]}}, then: {{action: block}}}}
"""


@pytest.fixture(scope="module")
def session_sdk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sdk]:
    """In place of the one that the other tests share: with a policy of its own, and a gateway that a test kills."""
    folder = tmp_path_factory.mktemp("conversations")
    with open_sdk(folder, write_tiny_gguf(folder / "tiny.gguf"), POLICY) as opened:
        yield opened


def target_of(client: OpenAI, text: str, stream: bool = False, **more: Any) -> tuple[str, str]:
    """Where the answer came from, and its id."""
    call = client.chat.completions.with_raw_response.create
    raw: Any = call(model="auto", messages=[{"role": "user", "content": text}], max_tokens=4, stream=stream, **more)
    parsed = raw.parse()
    name = {chunk.id for chunk in parsed}.pop() if stream else parsed.id
    return raw.headers["x-bailiwick-target"], name


def named(conversation: str) -> dict[str, str]:
    return {"x-bailiwick-conversation": conversation}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_trimmed_history_stays_restricted(client: OpenAI, sdk: Sdk, stream: bool) -> None:
    """Once a card was in the conversation, later turns without it stay inside; other conversations do not."""
    chat = named(f"chat {stream}")
    assert target_of(client, "Hello", stream, extra_headers=chat)[0] == "cloud"
    assert target_of(client, f"Card {CARD}", stream, extra_headers=chat)[0] == "local"
    assert target_of(client, "What was it?", stream, extra_headers=chat)[0] == "local"
    assert target_of(client, "What was it?", stream, extra_headers=named(f"other {stream}"))[0] == "cloud"
    assert target_of(client, "What was it?", stream)[0] == "cloud"
    assert not any(CARD in body for body in sdk.cloud.bodies())


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_earlier_answer_brings_its_level_along(client: OpenAI, sdk: Sdk, stream: bool) -> None:
    """`previous_response_id` of an answer given here has that answer's level; one of elsewhere cannot be read."""
    first, harmless = target_of(client, "Hello", stream, store=True)
    second, sensitive = target_of(client, f"Card {CARD}", stream, store=True)
    assert (first, second) == ("cloud", "local")
    sdk.cloud.forget()

    def goes_on(name: str) -> str:
        return target_of(client, "And then?", stream, extra_body={"previous_response_id": name})[0]

    assert goes_on(sensitive) == "local"
    assert goes_on("resp_of_another_place") == "local"
    assert sdk.cloud.bodies() == []
    assert goes_on(harmless) == "cloud"
    (body,) = sdk.cloud.bodies()
    assert json.loads(body)["previous_response_id"] == harmless


def test_it_outlives_the_process(sdk: Sdk) -> None:
    """A gateway that was killed and started again knows what its conversations came to."""
    with sdk.client() as client:
        assert target_of(client, f"Card {CARD}", extra_headers=named("killed"))[0] == "local"
        _, name = target_of(client, "Hello", extra_headers=named("killed too"))
    sdk.gateway.kill()
    sdk.gateway.restart()
    sdk.gateway.wait_ready()
    with sdk.client() as client:
        assert target_of(client, "Hello", extra_headers=named("killed"))[0] == "local"
        assert target_of(client, "Hello", extra_body={"previous_response_id": name})[0] == "cloud"


def test_another_apps_conversations_are_its_own(sdk: Sdk, client: OpenAI) -> None:
    """The same name, and the id of an answer, of another app or tenant say nothing."""
    _, name = target_of(client, f"Card {CARD}", extra_headers=named("shared"))
    key = sdk.gateway.new_key(app="hr-assistant")
    client_of(sdk.gateway, key).close()
    with sdk.client(key) as other:
        assert target_of(other, "Hello", extra_headers=named("shared"))[0] == "cloud"
        assert target_of(other, "Hello", extra_body={"previous_response_id": name})[0] == "local"


def test_declared_labels_tighten_one_call(client: OpenAI) -> None:
    """A label that a rule knows keeps the call inside, or stops it; one that no rule knows changes nothing."""

    def labelled(labels: str) -> str:
        return target_of(client, "Hello", extra_headers={"x-bailiwick-labels": labels})[0]

    assert labelled("marketing") == "cloud"
    assert labelled("Patient, marketing") == "local"
    with pytest.raises(openai.PermissionDeniedError) as refused:
        labelled("patient, contract-draft")
    assert refused.value.code == "blocked_by_policy"
    with pytest.raises(openai.BadRequestError) as wrong:
        labelled("contract draft")
    assert wrong.value.param == "x-bailiwick-labels"


def test_the_record_tells_history_and_labels(sdk: Sdk, client: OpenAI) -> None:
    """What the decision went by is in the audit log: levels and labels, no name of a conversation."""
    chat = named("a name that is nobody's business")
    target_of(client, f"Card {CARD}", extra_headers=chat)
    raw: Any = client.chat.completions.with_raw_response
    headers = {**chat, "x-bailiwick-labels": "patient, a-b"}
    answer = raw.create(
        model="auto", messages=[{"role": "user", "content": "Hello"}], max_tokens=4, extra_headers=headers
    )
    decision = answer.headers["x-bailiwick-decision"]
    intent = sdk.gateway.client.get(f"/bailiwick/v1/decisions/{decision}").json()["records"][0]
    assert (intent["kind"], intent["history_level"], intent["level"]) == ("intent", "restricted", "restricted")
    assert intent["labels"] == ["a-b", "patient"]
    stored = b"".join(path.read_bytes() for path in sdk.gateway.state.glob("*.db*"))
    assert b"nobody's business" not in stored
