"""Promise 3: a model server on another machine may speak nonsense, hang or vanish: nothing leaves for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import anyio
import httpx
import pytest

from support.exposure import CARD, exposed
from support.here import GatewayHere, gateway_here
from support.live import Setup, cloud_target, server_target
from support.model_servers import FakeServer, FakeVllm, running

pytestmark = pytest.mark.anyio

RESTRICTED = f"My card number is {CARD}, is it valid?"
PUBLIC = "How do I reset my password?"


def vanish(server: FakeVllm) -> None:
    server.close()


def hang(server: FakeVllm) -> None:
    server.slow["/v1/chat/completions"] = 20.0


def hang_altogether(server: FakeVllm) -> None:
    server.slow |= dict.fromkeys(("/health", "/metrics", "/v1/models", "/v1/chat/completions"), 20.0)


def talk_nonsense(server: FakeVllm) -> None:
    for path in ("/health", "/metrics", "/v1/models", "/v1/chat/completions"):
        server.set(path, f"<html>{CARD}</html>", kind="text/html")


def tell_everything(server: FakeVllm) -> None:
    server.set("/metrics", b"vllm:num_requests_running 1.0\n" * 400_000)
    server.set("/v1/chat/completions", {"error": {"message": CARD}}, 500)


def quote(server: FakeVllm) -> None:
    server.set("/health", CARD, 503)
    server.set("/metrics", f'vllm:num_requests_running{{model_name="{CARD}" 1\n')
    server.set("/v1/chat/completions", {"error": {"message": CARD}}, 503)


TROUBLES = [vanish, hang, hang_altogether, talk_nonsense, tell_everything, quote]


async def ask(here: GatewayHere, text: str, *, stream: bool) -> httpx.Response:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}], "stream": stream}
    return await here.client.post("/v1/chat/completions", json=body)


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_trouble_with_a_server_costs_an_error_and_no_leak(
    trouble: Callable[[FakeVllm], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A restricted request gets a clear error within its time, also in the moment after the server looked well; nothing
    of it is in the log or reaches the cloud, which goes on answering what may go there."""
    caplog.set_level("DEBUG")
    cloud, server = FakeServer(), FakeVllm()
    cluster = server_target(
        *("cluster", server.base_url),
        server="vllm",
        poll="100ms",
        timeouts="{connect: 1s, first_event: 1s, idle: 1s}",
    )
    made = Setup(tmp_path, [cluster, cloud_target("cloud", cloud.base_url)], {"auto": "{targets: [cluster, cloud]}"})
    with running(cloud, server):
        async with gateway_here(made, monkeypatch) as here:
            with anyio.fail_after(5):
                while not (await here.client.get("/readyz")).json()["servers"]["cluster"][0]["up"]:  # noqa: ASYNC110
                    await anyio.sleep(0.02)
            assert (await ask(here, RESTRICTED, stream=False)).headers["x-bailiwick-target"] == "cluster"
            trouble(server)
            codes = set()
            for stream in (False, True, False):
                began = time.monotonic()
                answer = await ask(here, RESTRICTED, stream=stream)
                assert time.monotonic() - began < 4
                assert answer.status_code in (502, 503, 504), answer.text
                codes.add(answer.json()["error"]["code"])
                assert CARD not in answer.text
                await anyio.sleep(0.3)
            assert codes <= {"target_unavailable", "target_timeout", "target_bad_answer"}
            assert cloud.received == []
            answer = await ask(here, PUBLIC, stream=False)
            assert (answer.status_code, answer.headers["x-bailiwick-target"]) == (200, "cloud")
            shown = (await here.client.get("/readyz")).text + (await here.client.get("/metrics")).text
    assert exposed([one.body.decode() for one in cloud.received]) == []
    assert CARD not in caplog.text
    assert CARD not in shown
