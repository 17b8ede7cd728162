"""Model servers on other machines, behind a whole gateway: who gets a request, and what readiness and metrics tell."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import httpx
import pytest

from support.exposure import CARD
from support.here import GatewayHere, gateway_here
from support.live import Setup, cloud_target, server_target
from support.model_servers import FakeLlamaServer, FakeServer, FakeVllm, VllmFigures, running

pytestmark = pytest.mark.anyio


def setup(folder: Path, cloud: FakeServer, *servers: FakeServer, server: str = "vllm", **settings: str) -> Setup:
    """One target of these servers, which is dearer, and a cloud."""
    urls = [one.base_url for one in servers]
    price = settings.pop("price", "{input: 0.1 USD, output: 0.1 USD}")
    cluster = server_target("cluster", *urls, server=server, price=price, poll="100ms", **settings)
    targets = [cluster, cloud_target("cloud", cloud.base_url)]
    return Setup(folder, targets, {"auto": "{targets: [cluster, cloud], rank: listed}"})


async def ask(here: GatewayHere, text: str = "How are you?") -> httpx.Response:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    return await here.client.post("/v1/chat/completions", json=body)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 5) -> None:
    with anyio.fail_after(seconds):
        while not await condition():  # noqa: ASYNC110 (no event there)
            await anyio.sleep(0.02)


async def servers_of(here: GatewayHere) -> list[dict[str, object]]:
    found: list[dict[str, object]] = (await here.client.get("/readyz")).json()["servers"]["cluster"]
    return found


def is_up(here: GatewayHere, *expected: bool | None) -> Callable[[], Awaitable[bool]]:
    async def seen() -> bool:
        return [state["up"] for state in await servers_of(here)] == list(expected)

    return seen


async def test_figures_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readiness and metrics show what each server says, and nothing for what it does not say; the addresses are in the
    metrics only."""
    cloud, one, two = FakeServer(), FakeVllm(), FakeVllm()
    one.figures = VllmFigures(running=3, waiting=2, cache=0.5, first_token=(4.0, 10))
    with running(cloud, one, two):
        async with gateway_here(setup(tmp_path, cloud, one, two), monkeypatch) as here:
            await until(is_up(here, True, True))
            answer = await here.client.get("/readyz")
            first, second = answer.json()["servers"]["cluster"]
            assert first == {
                "up": True,
                "reason": "",
                "in_flight": 0,
                "running": 3,
                "waiting": 2,
                "cache_usage": 0.5,
                "first_token": 0.4,
            }
            assert "first_token" not in second
            assert "127.0.0.1" not in answer.text
            metrics = (await here.client.get("/metrics")).text
            name = one.root.removeprefix("http://")
            labels = f'{{server="{name}",target="cluster"}}'
            assert f"bailiwick_server_up{labels} 1.0" in metrics
            assert f"bailiwick_server_waiting{labels} 2.0" in metrics
            assert f"bailiwick_server_first_token_seconds{labels} 0.4" in metrics
            assert metrics.count("bailiwick_server_first_token_seconds{") == 1
            assert f"bailiwick_server_places{labels}" not in metrics


async def test_a_target_whose_servers_are_down_comes_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The next permitted target answers without a try, the gateway stays ready, the log says what happened, and when a
    server is back it is the first choice again."""
    caplog.set_level("INFO", "gateway")
    cloud, server = FakeServer("from the cloud"), FakeVllm()
    with running(cloud, server):
        async with gateway_here(setup(tmp_path, cloud, server), monkeypatch) as here:
            await until(is_up(here, True))
            assert (await ask(here)).headers["x-bailiwick-target"] == "cluster"
            server.set("/health", b"", 503)
            await until(is_up(here, False))
            answer = await ask(here)
            assert answer.headers["x-bailiwick-target"] == "cloud"
            assert server.calls == 1
            assert (await here.client.get("/readyz")).status_code == 200
            body = {"model": "auto", "messages": [{"role": "user", "content": "How are you?"}]}
            explained = await here.client.post("/bailiwick/v1/explain", json=body)
            assert [one.get("paused") for one in explained.json()["candidates"]] == [None, True]
            server.set("/health", b"")
            await until(is_up(here, True))
            assert (await ask(here)).headers["x-bailiwick-target"] == "cluster"
    assert [record.levelname for record in caplog.records if record.getMessage() == "model server"] == [
        *("INFO", "WARNING", "INFO")
    ]


async def test_a_full_target_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as its servers have as many waiting as may wait."""
    cloud, server = FakeServer(), FakeVllm()
    server.figures = VllmFigures(running=8, waiting=4)
    with running(cloud, server):
        async with gateway_here(setup(tmp_path, cloud, server, queue="4"), monkeypatch) as here:
            await until(is_up(here, True))
            assert (await ask(here)).headers["x-bailiwick-target"] == "cloud"
            server.figures = VllmFigures(running=8, waiting=3)

            async def has_room() -> bool:
                return (await servers_of(here))[0]["waiting"] == 3

            await until(has_room)
            assert (await ask(here)).headers["x-bailiwick-target"] == "cluster"


async def test_a_target_that_would_be_late_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The servers' own figures say how long a request would wait, before any was sent from here."""
    cloud, server = FakeServer(), FakeVllm()
    server.figures = VllmFigures(first_token=(90.0, 10))
    with running(cloud, server):
        async with gateway_here(setup(tmp_path, cloud, server), monkeypatch) as here:
            await until(is_up(here, True))
            answer = await here.client.post(
                "/v1/chat/completions",
                json={"model": "auto", "messages": [{"role": "user", "content": "How are you?"}]},
                headers={"x-bailiwick-max-latency": "2"},
            )
            assert answer.status_code == 200, answer.text
            assert answer.headers["x-bailiwick-target"] == "cloud"
            assert server.calls == 0


async def test_the_least_loaded_server_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the servers of one target, behind one model name; a restricted request as well."""
    cloud, busy, idle = FakeServer(), FakeLlamaServer(), FakeLlamaServer(says="idle")
    busy.load(running=4, waiting=9)
    with running(cloud, busy, idle):
        made = setup(tmp_path, cloud, busy, idle, server="llama_server")
        async with gateway_here(made, monkeypatch) as here:
            await until(is_up(here, True, True))
            answer = await ask(here, f"Is {CARD} a good card?")
            assert answer.json()["choices"][0]["message"]["content"] == "idle"
            assert (busy.calls, idle.calls, cloud.calls) == (0, 1, 0)
