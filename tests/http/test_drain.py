"""SIGTERM: what runs is finished or recorded, nothing new begins, and the exit is clean."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.evidence import audit_verify, chat_body, eventually, intents, outcomes, records
from support.live import Cloud, Setup, cloud_target, scripted_cloud
from support.nursery import ForkedGateway
from support.wire import openai_error

CHAT = "/v1/chat/completions"
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def slow_cloud() -> Iterator[Cloud]:
    with scripted_cloud("--chunk-delay", "0.05") as running:
        yield running


def started(folder: Path, cloud: Cloud, drain: str) -> ForkedGateway:
    server = f"{{host: 127.0.0.1, port: 0, drain: {drain}}}"
    return ForkedGateway(
        Setup(folder, [cloud_target("cloud", cloud.base_url)], {"auto": "{targets: [cloud]}"}, server=server)
    )


def last_event(gateway: ForkedGateway) -> str:
    return [record.event for record in records(gateway.state) if record.event][-1]


def test_a_stream_in_flight_is_finished(slow_cloud: Cloud, tmp_path: Path) -> None:
    """The client gets all of its stream; new requests are refused meanwhile; the exit code is 0 and the last word of
    the log is that the gateway stopped."""
    gateway = started(tmp_path, slow_cloud, "10s")
    with (
        httpx.Client(base_url=gateway.url, headers=gateway.client.headers, trust_env=False) as idle,
        gateway.client.stream("POST", CHAT, content=chat_body("word " * 20, stream=True), headers=JSON) as answer,
    ):
        assert idle.get("/readyz").status_code == 200
        pieces = answer.iter_text()
        received = next(pieces)
        gateway.process.send(signal.SIGTERM)
        _refused(idle)
        received += "".join(pieces)
    assert received.endswith("data: [DONE]\n\n")
    assert gateway.process.ended() == 0
    assert last_event(gateway) == "gateway stopped"
    (outcome,) = outcomes(gateway.state)
    assert (outcome.outcome, outcome.cost_basis) == ("completed", "usage")
    assert audit_verify(gateway).exit_code == 0
    assert "Traceback" not in gateway.process.output


def _refused(client: httpx.Client) -> None:
    """A new request gets 503 or no connection, from the first moment on."""
    time.sleep(0.03)  # the signal has to arrive
    for _ in range(5):
        try:
            answer = client.post(CHAT, content=chat_body("One more?"), headers=JSON)
        except httpx.TransportError:
            return
        openai_error(answer, 503, "shutting_down")
        assert answer.headers["retry-after"]
        try:
            ready = client.get("/readyz")
        except httpx.TransportError:
            return
        assert ready.status_code == 503
        time.sleep(0.05)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_at_the_deadline_the_rest_is_cancelled_and_recorded(slow_cloud: Cloud, tmp_path: Path, stream: bool) -> None:
    """What does not end in time is cut off, its outcome is in the log, the cloud is let go, and the exit is clean."""
    gateway = started(tmp_path, slow_cloud, "1s")
    slow_cloud.forget()
    slow_cloud.script("stall" if stream else "hang")
    lost: list[Exception] = []

    def ask() -> None:
        try:
            answer = gateway.client.post(CHAT, content=chat_body("word " * 10, stream=stream), headers=JSON)
            assert not answer.text.endswith("[DONE]\n\n")
        except httpx.TransportError as error:
            lost.append(error)

    client = threading.Thread(target=ask)
    client.start()
    eventually(lambda: len(slow_cloud.bodies()) == 1)
    began = time.monotonic()
    gateway.process.send(signal.SIGTERM)
    assert gateway.process.ended() == 0
    assert 0.8 <= time.monotonic() - began < 8
    client.join(5)
    (intent,) = intents(gateway.state)
    (outcome,) = outcomes(gateway.state)
    assert (outcome.decision, outcome.outcome) == (intent.decision, "cancelled")
    assert (outcome.cost, outcome.cost_basis) == (intent.reserved, "reserved")
    assert last_event(gateway) == "gateway stopped"
    assert audit_verify(gateway).exit_code == 0
    eventually(lambda: slow_cloud.counters()["open_streams"] == 0)
