"""A local model whose queue is full, as the official SDK and the operator see it."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI

from support.evidence import eventually, records
from support.live import Setup, cloud_target, local_target, scripted_cloud
from support.nursery import ForkedGateway, forked_gateway
from support.sdk import OPEN, said
from support.tiny_gguf import write_tiny_gguf

LONG = 12_000  # tokens: seconds of decoding


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkedGateway]:
    """One place and one that waits; ``auto`` may go to the cloud instead."""
    folder = tmp_path_factory.mktemp("busy")
    model = write_tiny_gguf(folder / "tiny.gguf", context_tokens=16384)
    more = {"context_tokens": "16384", "max_output_tokens": str(LONG), "parallel": "1", "queue": "1"}
    models = {"local": "{targets: [local]}", "auto": "{targets: [local, cloud], rank: listed}"}
    with scripted_cloud() as cloud:
        targets = [local_target(file=str(model), **more), cloud_target("cloud", cloud.base_url)]
        with forked_gateway(Setup(folder / "gateway", targets, models, OPEN)) as opened:
            yield opened


@pytest.fixture
def full(gateway: ForkedGateway) -> Iterator[ExitStack]:
    """One answer is being made and another waits; closing the stack ends both."""
    with ExitStack() as stack:
        body = {"model": "local", "messages": said(), "max_tokens": LONG, "stream": True, "logit_bias": {"2": -100}}
        stream = stack.enter_context(gateway.client.stream("POST", "/v1/chat/completions", json=body))
        pieces = stream.iter_raw()  # kept: httpx closes the stream of an iterator that nobody holds
        next(pieces)
        waiting = threading.Thread(target=_wait_in_line, args=(gateway, {**body, "max_tokens": 1}))
        waiting.start()
        stack.callback(waiting.join, 20)
        stack.callback(stream.close)
        eventually(lambda: _busy(gateway), 10)
        yield stack


def _wait_in_line(gateway: ForkedGateway, body: dict[str, Any]) -> None:
    """Until it got the place in the queue, which `_busy` may have had a moment before."""
    while gateway.client.post("/v1/chat/completions", json=body).status_code == 429:
        time.sleep(0.05)


def _busy(gateway: ForkedGateway) -> bool:
    """One that waits has come too early: it leaves again."""
    body = {"model": "local", "messages": said(), "max_tokens": 1}
    try:
        return gateway.client.post("/v1/chat/completions", json=body, timeout=0.3).status_code == 429
    except httpx.ReadTimeout:
        return False


def _sdk(gateway: ForkedGateway, **more: Any) -> OpenAI:
    return OpenAI(base_url=gateway.base_url, api_key=gateway.key, **more)


def test_a_full_queue_is_the_sdks_rate_limit_error(gateway: ForkedGateway, full: ExitStack) -> None:
    """Of a stream, too: 429, a code for programs, and in whole seconds when a place is likely to be free."""
    with _sdk(gateway, max_retries=0) as client:
        for stream in (False, True):
            with pytest.raises(openai.RateLimitError) as caught:
                client.chat.completions.create(model="local", messages=said(), stream=stream)  # type: ignore[call-overload]
            error = caught.value
            assert (error.code, error.type, error.param) == ("target_busy", "rate_limit_error", None)
            assert 1 <= int(error.response.headers["retry-after"]) <= 60
            assert "x-should-retry" not in error.response.headers
            decision = error.response.headers["x-bailiwick-decision"]
            eventually(lambda decision=decision: len(records(gateway.state, decision)) == 3)  # type: ignore[misc]
            intent, outcome, refusal = records(gateway.state, decision)
            assert (intent.target, outcome.error, refusal.error) == ("local", "target_busy", "target_busy")
            assert (outcome.cost, outcome.cost_basis) == (0, "none"), "nobody worked on it"


def test_the_sdk_comes_back_by_itself(gateway: ForkedGateway, full: ExitStack) -> None:
    """It waits as long as it was told to, and is answered."""
    with _sdk(gateway, max_retries=5) as client:
        free = threading.Timer(0.5, full.close)
        free.start()
        started = time.monotonic()
        answer = client.chat.completions.create(model="local", messages=said(), max_tokens=1)
        free.join()
    assert answer.choices
    assert time.monotonic() - started >= 1


def test_another_permitted_target_takes_it(gateway: ForkedGateway, full: ExitStack) -> None:
    """Nobody waits for the full one where the policy permits another; many such refusals do not open its breaker."""
    for _ in range(8):
        answer = gateway.chat("Hello", "auto", max_tokens=20)
        assert (answer.status_code, answer.headers["x-bailiwick-target"]) == (200, "cloud")
    full.close()
    eventually(lambda: not _busy(gateway), 10)
    answer = gateway.chat("Hello", "auto", max_tokens=1)
    assert (answer.status_code, answer.headers["x-bailiwick-target"]) == (200, "local")


def test_what_must_stay_inside_waits_rather_than_leaves(gateway: ForkedGateway, full: ExitStack) -> None:
    """With the only permitted target full, the client hears 429; no cloud sees it."""
    answer = gateway.chat("Card 4111 1111 1111 1111", "auto", max_tokens=1)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "target_busy")


def test_the_operator_sees_it(gateway: ForkedGateway, full: ExitStack) -> None:
    """Refusals count by status, and requests that went elsewhere by their reason."""
    gateway.chat("Hello", "auto", max_tokens=5)
    text = gateway.client.get("/metrics").text
    assert re.search(r'bailiwick_requests_total\{.*status="429".*\} [1-9]', text)
    assert re.search(r'bailiwick_retries_total\{code="target_busy",target="local"\} [1-9]', text)
