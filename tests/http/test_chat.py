"""The chat endpoint under clients that are wrong, slow, too many, or gone."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import httpx
import pytest

from support.evidence import chat_body, eventually, records
from support.live import Cloud
from support.nursery import ForkedGateway
from support.wire import openai_error

CHAT = "/v1/chat/completions"
SAID: dict[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": "Hello there"}]}
BODY_BYTES, BODY_SECONDS, WRITE_SECONDS, IN_FLIGHT = 1_000_000, 0.6, 0.7, 4  # as in conftest.py


def head(gateway: ForkedGateway, *lines: str) -> bytes:
    """The head of a chat request."""
    fixed = [f"POST {CHAT} HTTP/1.1", "host: x", f"authorization: Bearer {gateway.key}", *lines]
    return "\r\n".join([*fixed, "", ""]).encode()


def connect(gateway: ForkedGateway) -> socket.socket:
    host, port = gateway.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=5)


@pytest.mark.parametrize("key", ["", "Bearer", "Bearer bk_wrong", "Basic abc", "Bearer " + "x" * 5000])
def test_without_a_good_key_nothing_happens(gateway: ForkedGateway, cloud: Cloud, key: str) -> None:
    """401, and the presented key is not repeated."""
    answer = gateway.client.post(CHAT, json=SAID, headers={"authorization": key})
    openai_error(answer, 401, "invalid_api_key")
    assert "bk_wrong" not in answer.text
    assert cloud.bodies() == []


def test_a_key_may_come_as_anthropics_clients_send_it(gateway: ForkedGateway) -> None:
    """`x-api-key` is as good."""
    answer = gateway.client.post(CHAT, json=SAID, headers={"authorization": "", "x-api-key": gateway.key})
    assert answer.status_code == 200


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
def test_a_body_that_is_too_large_is_refused(gateway: ForkedGateway, cloud: Cloud, chunked: bool) -> None:
    """413, whether the size was declared or only found out."""
    body = chat_body("x" * (BODY_BYTES + 1))

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    headers = {"content-type": "application/json"}
    answer = gateway.client.post(CHAT, content=pieces() if chunked else body, headers=headers)
    openai_error(answer, 413, "request_too_large")
    assert cloud.bodies() == []


@pytest.mark.parametrize("size", ["-1", "1e9", "abc", "9" * 30])
def test_a_strange_content_length_is_refused(gateway: ForkedGateway, size: str) -> None:
    """400 or 413, and the gateway lives."""
    with closing(connect(gateway)) as connection:
        connection.sendall(head(gateway, f"content-length: {size}") + b"{}")
        assert connection.recv(65536).split(b" ")[1] in (b"400", b"413")
    assert gateway.client.get("/healthz").status_code == 200


def test_a_body_that_does_not_come_is_not_waited_for(gateway: ForkedGateway) -> None:
    """408 in OpenAI's shape after the time for a body."""
    began = time.monotonic()
    with closing(connect(gateway)) as connection:
        connection.sendall(head(gateway, "content-type: application/json", "content-length: 100") + b'{"model"')
        received = b""
        while not received.endswith(b"}}"):
            received += connection.recv(65536)
    assert b" 408 " in received.splitlines()[0]
    assert json.loads(received.split(b"\r\n\r\n", 1)[1])["error"]["code"] == "request_timeout"
    assert BODY_SECONDS <= time.monotonic() - began < BODY_SECONDS + 2


def test_a_body_that_drips_is_not_waited_for_either(gateway: ForkedGateway) -> None:
    """The time is for the whole body, not for a piece of it."""
    began = time.monotonic()
    with closing(connect(gateway)) as connection:
        connection.sendall(head(gateway, "content-type: application/json", "content-length: 1000"))
        connection.settimeout(0.05)
        received = b""
        while not received:
            assert time.monotonic() - began < BODY_SECONDS + 2
            connection.sendall(b" ")
            try:
                received = connection.recv(65536)
            except TimeoutError:
                continue
    assert b" 408 " in received.splitlines()[0]


def test_a_client_that_leaves_within_its_body_leaves_nothing(gateway: ForkedGateway, cloud: Cloud) -> None:
    """Half a request is no request: nothing is sent, and its place is free again."""
    for _ in range(2 * IN_FLIGHT):
        with closing(connect(gateway)) as connection:
            connection.sendall(head(gateway, "content-type: application/json", "content-length: 100") + b'{"model"')
    assert gateway.client.post(CHAT, json=SAID).status_code == 200
    assert len(cloud.bodies()) == 1


@pytest.mark.parametrize(
    ("body", "where"), [(b'{"model": ', "line 1, column"), (b"", "line 1"), (b'{\n "a": 1,\n}', "line 2, column")]
)
def test_what_is_no_json_is_refused_with_its_place(gateway: ForkedGateway, body: bytes, where: str) -> None:
    """400 that says where, and never what."""
    answer = gateway.client.post(CHAT, content=body, headers={"content-type": "application/json"})
    error = openai_error(answer, 400, "invalid_json")
    assert where in error["message"]
    assert error["decision"] == answer.headers["x-bailiwick-decision"]


@pytest.mark.parametrize("media_type", ["text/plain", "multipart/form-data; boundary=x", "application/jsonx"])
def test_another_content_type_is_refused(gateway: ForkedGateway, media_type: str) -> None:
    """415 in OpenAI's shape."""
    answer = gateway.client.post(CHAT, content=chat_body("Hello"), headers={"content-type": media_type})
    openai_error(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": 5}, "model"),
        ({"model": ""}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": "Hello"}, "messages"),
        ({"messages": ["Hello"]}, "messages[0]"),
        ({"stream": "yes"}, "stream"),
        ({"n": 0}, "n"),
        ({"n": 1000}, "n"),
        ({"max_tokens": -5}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_completion_tokens": True}, "max_completion_tokens"),
        ({"stream_options": []}, "stream_options"),
        ({"user": 7}, "user"),
    ],
)
def test_a_wrong_field_is_named(gateway: ForkedGateway, cloud: Cloud, change: dict[str, Any], param: str) -> None:
    """400 with the field in `param`, as OpenAI's own errors have it."""
    error = openai_error(gateway.client.post(CHAT, json={**SAID, **change}), 400, "invalid_request")
    assert error["param"] == param
    assert param in error["message"]
    assert cloud.bodies() == []


@pytest.mark.parametrize(
    ("headers", "status", "param"),
    [
        ({"x-bailiwick-min-level": "top secret"}, 400, "x-bailiwick-min-level"),
        ({"x-bailiwick-max-cost": "cheap"}, 400, "x-bailiwick-max-cost"),
        ({"x-bailiwick-max-latency": "-1"}, 400, "x-bailiwick-max-latency"),
        ({"x-bailiwick-app": "another-app"}, 403, None),
    ],
)
def test_a_wrong_hint_is_an_error(
    gateway: ForkedGateway, cloud: Cloud, headers: dict[str, str], status: int, param: str | None
) -> None:
    """A hint that cannot be read is not ignored: the caller meant to be stricter."""
    answer = gateway.client.post(CHAT, json=SAID, headers=headers)
    error = openai_error(answer, status, "invalid_request" if status == 400 else "forbidden")
    assert error["param"] == param
    assert cloud.bodies() == []


def test_more_than_can_be_worked_on_is_refused_at_once(gateway: ForkedGateway, cloud: Cloud) -> None:
    """With all places taken the next gets 503 and when to come again; a place that is freed can be had."""
    cloud.script("slow", IN_FLIGHT)
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        headers = gateway.client.headers

        def ask() -> int:
            with httpx.Client(base_url=gateway.url, headers=headers, trust_env=False) as client:
                return client.post(CHAT, json=SAID).status_code

        running = [pool.submit(ask) for _ in range(IN_FLIGHT)]
        eventually(lambda: len(cloud.bodies()) == IN_FLIGHT)
        answer = gateway.client.post(CHAT, json=SAID)
        openai_error(answer, 503, "overloaded")
        assert answer.headers["retry-after"] == "1"
        assert gateway.client.get("/healthz").status_code == 200
        assert [task.result() for task in running] == [200] * IN_FLIGHT
    assert gateway.client.post(CHAT, json=SAID).status_code == 200


def test_a_client_that_takes_nothing_is_let_go(gateway: ForkedGateway, cloud: Cloud) -> None:
    """A reader that stops reading holds nothing for long: the stream is cancelled, here and at the cloud."""
    body = chat_body("word " * 300, stream=True, n=128)
    with closing(connect(gateway)) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(head(gateway, "content-type: application/json", f"content-length: {len(body)}") + body)
        received = connection.recv(2048)
        decision = received.split(b"x-bailiwick-decision: ")[1][:26].decode()
        eventually(lambda: len(records(gateway.state, decision)) == 2, WRITE_SECONDS + 5)
    intent, outcome = records(gateway.state, decision)
    assert outcome.outcome == "cancelled"
    assert outcome.cost == intent.reserved
    eventually(lambda: cloud.counters()["open_streams"] == 0)


def test_a_connection_serves_many_requests(gateway: ForkedGateway) -> None:
    """Answers, errors and streams on one connection, and none is mixed up with another."""
    with httpx.Client(base_url=gateway.url, headers=gateway.client.headers, trust_env=False) as client:
        for number in range(30):
            text = f"Number {number}"
            body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
            if number % 3 == 0:
                assert text in client.post(CHAT, json=body).text
            elif number % 3 == 1:
                assert client.post(CHAT, json={**body, "stream": True}).text.endswith("data: [DONE]\n\n")
            else:
                assert client.post(CHAT, json={**body, "n": -1}).status_code == 400
        assert len(client._transport._pool.connections) == 1  # type: ignore[attr-defined]
