"""Promise 3: whatever goes wrong, every further try is at a target that the decision permits."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from support.exposure import EMAIL, NAME, SSN, exposed
from support.live import Cloud, Gateway, Setup, cloud_target, live_gateway, local_target, scripted_cloud

POLICY = """\
schema: 1
policy: zones
version: 1
owner: privacy@example.com
mode: enforce
data_types:
  contact: {detect: [PERSON, EMAIL_ADDRESS], confidence: 0.40}
  ids: {detect: [US_SSN], confidence: 0.40}
levels:
  restricted:
    - any_of: [ids]
  confidential:
    - any_of: [contact]
      at_least: 3
  internal:
    - any_of: [contact]
handling:
  public: {action: allow, regions: [EU]}
  internal: {action: redact, regions: [EU]}
  confidential: {action: redact, regions: [EU], provider_must_have: [baa]}
  restricted: {action: local_only}
if_unsure: {detector_fails: local_only, unreadable_content: local_only, redaction_incomplete: local_only}
"""

PUBLIC = "How do I reset my password?"
INTERNAL = f"Write a short letter to {NAME} about her refund."
CONFIDENTIAL = f"Write to {NAME} ({EMAIL}) and to Thomas Becker about their refunds."
RESTRICTED = f"My social security number is {SSN}, is it valid?"

STATUSES = ("408", "429", "500", "503")
AT_ONCE = ("reset-early", "malformed", "html", "empty", "redirect", "401")
IN_A_BODY = ("reset", "truncated", "badchunk", "error-event")
IN_A_STREAM = ("reset", "truncated", "badchunk", "error-event", "stall")
WAIT = 1.0
"""Seconds for the first event and between two: what hangs is given up after them."""


@dataclass(frozen=True)
class World:
    """Three clouds, of which `us` comes first in every route and is permitted to nobody."""

    gateway: Gateway
    us: Cloud
    eu: Cloud
    baa: Cloud

    @property
    def clouds(self) -> dict[str, Cloud]:
        return {"us": self.us, "eu": self.eu, "baa": self.baa}

    def arrived(self) -> dict[str, int]:
        """How many requests reached each cloud, and none of them with a protected value."""
        bodies = {name: cloud.bodies() for name, cloud in self.clouds.items()}
        for texts in bodies.values():
            assert exposed(texts) == []
        return {name: len(texts) for name, texts in bodies.items()}


@pytest.fixture(scope="module")
def world(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        us, eu, baa = (stack.enter_context(scripted_cloud("--keep", "1000")) for _ in range(3))
        timeouts = f"{{connect: 1s, first_event: {WAIT}s, idle: {WAIT}s}}"
        targets = [
            cloud_target("us", us.base_url, region="US", labels="[baa]", price="{input: 0 USD, output: 0 USD}"),
            cloud_target("eu", eu.base_url, timeouts=timeouts),
            cloud_target("baa", baa.base_url, labels="[baa]", timeouts=timeouts),
            local_target(file=str(tiny_model), context_tokens="512", max_output_tokens="8"),
        ]
        routes = {
            "auto": "{targets: [us, eu, baa, local], rank: listed}",
            "clouds": "{targets: [us, eu, baa], rank: listed}",
            "cheapest": "{targets: [us, eu, baa, local], rank: cost}",
            **{name: f"{{targets: [{name}]}}" for name in ("us", "eu", "baa", "local")},
        }
        setup = Setup(tmp_path_factory.mktemp("promise3"), targets, routes, POLICY)
        yield World(stack.enter_context(live_gateway(setup)), us, eu, baa)


@pytest.fixture(autouse=True)
def _fresh(world: World) -> None:
    """Each test finds clouds that have answered last (a breaker would leave them alone), and an empty memory."""
    for name in ("eu", "baa"):
        assert world.gateway.chat(PUBLIC, model=name).status_code == 200
    for cloud in world.clouds.values():
        cloud.forget()


def frames(answer: httpx.Response) -> list[Any]:
    """The events of a stream; ``[DONE]`` as text."""
    payloads = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    return [payload if payload == "[DONE]" else json.loads(payload) for payload in payloads]


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The error object of a refusal: in OpenAI's shape, with the decision's id in it and in the headers."""
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert error["code"] == code
    assert {"message", "type", "param", "code", "decision"} == error.keys()
    assert error["message"]
    assert error["decision"] == answer.headers["x-bailiwick-decision"]
    assert answer.headers["x-bailiwick-because"]
    assert answer.headers["x-bailiwick-policy"]
    return error


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", [*STATUSES, *AT_ONCE])
def test_a_fault_before_the_answer_leads_to_the_next_permitted_cloud(world: World, fault: str, stream: bool) -> None:
    """A cloud that fails before it answers is replaced by the next permitted one, and only by that."""
    tries = 3 if fault in STATUSES else 1
    world.eu.script(fault, tries, retry_after=0.02)
    answer = world.gateway.chat(INTERNAL, stream=stream)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-bailiwick-target"] == "baa"
    assert world.arrived() == {"us": 0, "eu": tries, "baa": 1}
    assert NAME in "".join(_said(answer, stream)), "the restored answer of the second cloud"


def _said(answer: httpx.Response, stream: bool) -> list[str]:
    if not stream:
        return [answer.json()["choices"][0]["message"]["content"]]
    assert frames(answer)[-1] == "[DONE]"
    choices = [choice for frame in frames(answer)[:-1] for choice in frame["choices"]]
    return [choice["delta"].get("content") or "" for choice in choices]


@pytest.mark.parametrize("fault", [*IN_A_BODY, "hang"])
def test_a_fault_in_the_middle_of_a_whole_answer_leads_on_as_well(world: World, fault: str) -> None:
    """Half an answer is no answer: it is thrown away and the next permitted cloud is asked."""
    world.eu.script(fault)
    answer = world.gateway.chat(INTERNAL)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-bailiwick-target"] == "baa"
    assert world.arrived() == {"us": 0, "eu": 1, "baa": 1}


@pytest.mark.parametrize("fault", IN_A_STREAM)
def test_a_stream_that_breaks_ends_with_an_error_and_goes_nowhere_else(world: World, fault: str) -> None:
    """What has begun cannot begin again: the client gets an error event without [DONE], nobody gets the prompt."""
    world.eu.script(fault)
    answer = world.gateway.chat(INTERNAL, stream=True)
    assert answer.status_code == 200
    *_, last = frames(answer)
    assert last["error"]["code"] in ("target_unavailable", "target_bad_answer", "target_timeout")
    assert last["error"]["decision"] == answer.headers["x-bailiwick-decision"]
    assert world.arrived() == {"us": 0, "eu": 1, "baa": 0}


def test_labels_bind_the_fallback_too(world: World) -> None:
    """Where an agreement is required, a cloud without one is not even tried; the local model is what is left."""
    world.baa.script("500", 3, retry_after=0.02)
    answer = world.gateway.chat(CONFIDENTIAL)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-bailiwick-level"] == "confidential"
    assert answer.headers["x-bailiwick-target"] == "local"
    assert world.arrived() == {"us": 0, "eu": 0, "baa": 3}


@pytest.mark.parametrize("route", ["auto", "cheapest"])
def test_restricted_data_has_the_local_model_alone(world: World, route: str) -> None:
    """However cheap a cloud is and wherever it stands in the list, restricted data is answered inside."""
    answer = world.gateway.chat(RESTRICTED, model=route)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-bailiwick-target"] == "local"
    assert world.arrived() == {"us": 0, "eu": 0, "baa": 0}


@pytest.mark.parametrize(("model", "text"), [("clouds", RESTRICTED), ("us", PUBLIC)])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_no_permitted_target_is_a_clear_refusal(world: World, model: str, text: str, stream: bool) -> None:
    """Where the route has no permitted target, the answer is 403, says which rule, and nothing leaves."""
    error = refused(world.gateway.chat(text, model=model, stream=stream), 403, "blocked_by_policy")
    assert "no_target_left" in error["message"]
    assert world.arrived() == {"us": 0, "eu": 0, "baa": 0}


def test_when_all_permitted_clouds_are_down_the_answer_is_503(world: World) -> None:
    """With every permitted cloud out of order, the caller is told so and when to come again."""
    for cloud in (world.eu, world.baa):
        cloud.script("503", retry_after=30)
    answer = world.gateway.chat(INTERNAL, model="clouds")
    refused(answer, 503, "target_unavailable")
    assert answer.headers["retry-after"] == "30"
    assert world.arrived() == {"us": 0, "eu": 1, "baa": 1}


def test_a_providers_refusal_of_the_request_is_handed_on(world: World) -> None:
    """A request that one provider finds wrong is not sent to others: the caller gets that provider's words."""
    world.eu.script("422")
    answer = world.gateway.chat(INTERNAL, model="clouds")
    assert answer.status_code == 422
    assert answer.json()["error"]["message"] == "Scripted error 422."
    assert answer.headers["x-bailiwick-decision"]
    assert world.arrived() == {"us": 0, "eu": 1, "baa": 0}


def test_retry_after_is_honoured(world: World) -> None:
    """A cloud that asks for a moment gets exactly that, and then the same request again."""
    world.eu.script("429", retry_after=0.5)
    began = time.monotonic()
    answer = world.gateway.chat(INTERNAL)
    assert answer.headers["x-bailiwick-target"] == "eu"
    assert 0.5 <= time.monotonic() - began < 2.5
    first, second = world.eu.bodies()
    assert first == second


def test_a_cloud_that_asks_for_too_long_is_left_alone(world: World) -> None:
    """Nobody waits a minute while another permitted target is free."""
    world.eu.script("429", retry_after=60)
    began = time.monotonic()
    assert world.gateway.chat(INTERNAL).headers["x-bailiwick-target"] == "baa"
    assert time.monotonic() - began < 2
    assert world.arrived() == {"us": 0, "eu": 1, "baa": 1}


def engine_of(gateway: Gateway) -> psutil.Process:
    """The process of the local model."""
    children = psutil.Process(gateway.process.process.pid).children(recursive=True)
    (engine,) = [child for child in children if any("llama_cpp" in word for word in child.cmdline())]
    return engine


def test_a_killed_engine_is_restarted_and_meanwhile_nothing_restricted_leaves(world: World) -> None:
    """After kill -9 of the local model, restricted requests get 503, others go on, and soon it answers again."""
    gateway = world.gateway
    engine_of(gateway).kill()
    seen: list[int] = []
    deadline = time.monotonic() + 20
    while 200 not in seen[-1:]:
        assert time.monotonic() < deadline, f"the engine does not come back: {set(seen)}"
        answer = gateway.chat(RESTRICTED)
        seen.append(answer.status_code)
        if answer.status_code != 200:
            refused(answer, 503, "target_unavailable")
            assert float(answer.headers["retry-after"]) >= 1
        assert gateway.chat(PUBLIC, model="auto").status_code == 200
        time.sleep(0.02)
    assert 503 in seen
    assert world.arrived().keys() == {"us", "eu", "baa"}
    assert world.arrived()["us"] == 0
    assert exposed([*world.eu.bodies(), *world.baa.bodies()]) == []
    assert gateway.process.process.poll() is None
    assert gateway.client.get("/readyz").status_code == 200


def test_an_engine_that_dies_in_the_middle_of_a_stream_ends_that_stream_alone(world: World) -> None:
    """The stream ends with an error event; the prompt does not go to a cloud to finish it."""
    gateway = world.gateway
    body = {"model": "auto", "messages": [{"role": "user", "content": RESTRICTED}], "stream": True, "max_tokens": 400}
    received = ""
    with gateway.client.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert answer.headers["x-bailiwick-target"] == "local"
        pieces = answer.iter_text()
        received += next(pieces)
        engine_of(gateway).kill()
        received += "".join(pieces)
    assert '"target_unavailable"' in received or received.rstrip().endswith("[DONE]"), received[-300:]
    assert world.arrived() == {"us": 0, "eu": 0, "baa": 0}
    gateway.wait_ready(20)


ALLOWED = {"public": {"eu", "baa"}, "internal": {"eu", "baa"}, "confidential": {"baa"}, "restricted": set[str]()}


def test_a_storm_of_faults_sends_nothing_where_it_may_not_go(world: World) -> None:
    """Under random faults of every kind and many requests at once, each arrival is at a cloud its level permits."""
    chance = random.Random(3)
    texts = {"public": PUBLIC, "internal": INTERNAL, "confidential": CONFIDENTIAL, "restricted": RESTRICTED}
    for cloud in (world.eu, world.baa):
        for fault in chance.choices([*STATUSES, *AT_ONCE, *IN_A_BODY], k=60):
            cloud.script(fault, retry_after=0.01)
    wishes = [(level, number, chance.random() < 0.5) for number in range(35) for level in texts]
    chance.shuffle(wishes)

    def ask(wish: tuple[str, int, bool]) -> int:
        level, number, stream = wish
        text = f"{texts[level]} (this is {level} question {number})"
        answer = world.gateway.chat(text, model=("auto", "clouds", "cheapest")[number % 3], stream=stream)
        assert answer.headers["x-bailiwick-level"] == level
        return answer.status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(ask, wishes))
    assert statuses.count(200) > 80, statuses
    for name, cloud in world.clouds.items():
        bodies = cloud.bodies()
        assert exposed(bodies) == []
        levels = {level for level in texts for body in bodies if f"(this is {level} question" in body}
        assert levels <= {level for level, permitted in ALLOWED.items() if name in permitted}
    assert world.us.bodies() == []
    assert {"public", "internal"} <= {level for level in texts for b in world.eu.bodies() if f"is {level} q" in b}
