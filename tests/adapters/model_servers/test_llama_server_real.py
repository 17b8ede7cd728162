"""A real llama-server, where there is one: what it says is read as it is meant, under load and when it is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from ruamel.yaml import YAML

from adapters.model_servers.provider import ModelServers, ModelServersConfig
from adapters.openai_compatible import OpenAICompatibleConfig
from gateway.domain.errors import Code
from support.live import DEMO_MODEL, REPOSITORY, Setup, live_gateway, server_target
from support.provider_calls import call, events, eventually, failure

PROGRAM = os.environ.get("BAILIWICK_LLAMA_SERVER", "")
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(
        not PROGRAM,
        reason="NOT TESTED AGAINST A REAL llama-server: set BAILIWICK_LLAMA_SERVER to the path of one",
    ),
]
_USUAL = ("--alias", "m", "--parallel", "2", "--ctx-size", "1024", "--threads", "1")
LONG = "Tell me everything about orders, refunds, passwords and invoices, in as many words as you can find."


class RealServer:
    """A process of llama-server with the demo model, on a port that stays the same over a restart."""

    def __init__(self, folder: Path, *options: str, command: Sequence[str] = ()) -> None:
        self.options = options
        self.command = command or ("--model", str(DEMO_MODEL), *_USUAL)
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self.port}/v1"
        self.start()

    def start(self) -> None:
        command = [PROGRAM, *self.command, "--host", "127.0.0.1", "--port", str(self.port), *self.options]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        with httpx.Client(trust_env=False) as client:
            while time.monotonic() < deadline and self.process.poll() is None:
                try:
                    if client.get(f"http://127.0.0.1:{self.port}/health").status_code == 200:
                        return
                except httpx.TransportError:
                    pass  # it does not listen yet
                time.sleep(0.05)
        raise RuntimeError("llama-server does not start:\n" + (self.folder / "server.log").read_text()[-4000:])

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealServer]:
    real = RealServer(tmp_path, "--metrics")
    try:
        real.wait()
        yield real
    finally:
        real.kill()


@asynccontextmanager
async def over(*urls: str) -> AsyncIterator[ModelServers]:
    config = ModelServersConfig("m", "llama_server", urls, OpenAICompatibleConfig(urls[0]), poll=0.1)
    provider = ModelServers(config)
    try:
        await provider.look()
        yield provider
    finally:
        await provider.aclose()


async def test_its_figures(server: RealServer) -> None:
    """Places at once, running and waiting requests while there are some, the speed once a prompt was read, and a
    prediction from them."""
    async with over(server.base_url) as provider:
        (state,) = provider.states()
        assert (state.up, state.reason) == (True, "")
        assert state.figures == {"running": 0, "waiting": 0, "places": 2, "in_flight": 0}
        assert provider.servers[0].sight.models == {"m"}
        assert await events(provider, call(stream=True, text=LONG))
        await provider.look()
        (state,) = provider.states()
        assert state.figures["prompt_speed"] > 0
        alone = provider.standing(100).first_token
        assert alone is not None
        assert alone > 0
        calls = [asyncio.create_task(events(provider, call(stream=True, text=f"{n} {LONG}"))) for n in range(12)]
        most: dict[str, float] = {}
        while not all(one.done() for one in calls):
            await provider.look()
            for name, value in provider.states()[0].figures.items():
                most[name] = max(most.get(name, 0), value)
        await asyncio.gather(*calls)
        assert most["running"] == 2
        assert most["waiting"] >= 1
        await provider.look()
        assert provider.servers[0].load == 0


@pytest.mark.parametrize("kind", ["llama_server", "generic"])
async def test_streams_one_after_the_other(server: RealServer, kind: str) -> None:
    """llama-server closes a connection after each stream and says that it does not: no call breaks on it, from the
    first on where its kind is known, and from the second on where it is not."""
    config = ModelServersConfig("m", kind, (server.base_url,), OpenAICompatibleConfig(server.base_url))
    provider = ModelServers(config)
    if kind == "generic":
        await events(provider, call(stream=True, text="hello"))
        await asyncio.sleep(0.5)
    for number in range(30):
        assert await events(provider, call(stream=number % 3 > 0, text="hello"))
    await provider.aclose()


async def test_the_command_of_the_compose_file(tmp_path: Path) -> None:
    """It understands the options of deploy/compose.servers.yaml, and has the context for each place that the settings
    beside it say."""
    deploy = YAML(typ="safe").load(REPOSITORY / "deploy" / "compose.servers.yaml")
    words = [str(DEMO_MODEL) if word.endswith(".gguf") else word for word in deploy["services"]["model-1"]["command"]]
    real = RealServer(tmp_path, command=words)
    try:
        real.wait()
        async with over(real.base_url) as provider:
            (state,) = provider.states()
            assert (state.up, state.reason, state.figures["places"]) == (True, "", 4)
            assert provider.servers[0].sight.models == {"demo-helpdesk"}
        async with httpx.AsyncClient(trust_env=False) as client:
            props = (await client.get(f"{real.base_url.removesuffix('/v1')}/props")).json()
        assert props["default_generation_settings"]["n_ctx"] == 1024
    finally:
        real.kill()


async def test_without_metrics(tmp_path: Path) -> None:
    """Its slots tell what they can, and the hint says how to get the rest; with neither, its health is left."""
    real = RealServer(tmp_path)
    try:
        real.wait()
        async with over(real.base_url) as provider:
            sight = provider.servers[0].sight
            assert (sight.up, sight.figures.running, sight.figures.waiting, sight.figures.places) == (True, 0, None, 2)
            assert "--metrics" in sight.hint
        real.kill()
        real.options = ("--no-slots",)
        real.start()
        real.wait()
        async with over(real.base_url) as provider:
            sight = provider.servers[0].sight
            assert (sight.up, sight.figures.running, sight.figures.places) == (True, None, 2)
    finally:
        real.kill()


async def test_a_key(tmp_path: Path) -> None:
    """Looks carry the key of the requests; with a wrong one the server is up, its figures are unknown, and requests
    are refused."""
    real = RealServer(tmp_path, "--metrics", "--api-key", "right")
    try:
        real.wait()
        config = OpenAICompatibleConfig(real.base_url, api_key="right")
        for key, running in (("right", 0), ("wrong", None)):
            common = OpenAICompatibleConfig(config.base_url, api_key=key)
            provider = ModelServers(ModelServersConfig("m", "llama_server", (real.base_url,), common))
            await provider.look()
            sight = provider.servers[0].sight
            assert (sight.up, sight.figures.running) == (True, running), key
            if running is None:
                assert (await failure(provider, call())).code is Code.TARGET_UNAVAILABLE
            await provider.aclose()
    finally:
        real.kill()


async def test_one_of_two_is_killed_under_load(server: RealServer, tmp_path: Path) -> None:
    """Calls that had not begun to answer are answered by the other one, later ones do not try the dead one, and it
    takes part again when it is back."""
    (tmp_path / "other").mkdir()
    other = RealServer(tmp_path / "other", "--metrics")
    try:
        other.wait()
        async with over(server.base_url, other.base_url) as provider:
            async with aclosing(provider.stream(call(stream=True, text=LONG))) as begun:
                await anext(begun)
                watch = asyncio.create_task(provider.watch())
                other.kill()
                for _ in range(4):
                    assert await events(provider, call(stream=True, text=LONG))
                assert [state.up for state in provider.states()][1] is False
                other.start()
                await eventually(lambda: provider.states()[1].up is True, 60)
                assert await events(provider, call(stream=True, text=LONG))
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
    finally:
        other.kill()


def test_a_gateway_over_two_of_them(server: RealServer, tmp_path: Path) -> None:
    """A restricted request is answered by a model server; one that is killed and one that is stopped cost nothing but
    the time to notice; without any the answer is a clear error; doctor says what is the matter."""
    (tmp_path / "other").mkdir()
    other = RealServer(tmp_path / "other", "--metrics")
    try:
        other.wait()
        urls = (server.base_url, other.base_url)
        timeouts = "{connect: 1s, first_event: 5s, idle: 5s}"
        target = server_target("cluster", *urls, server="llama_server", poll="200ms", timeouts=timeouts)
        setup = Setup(tmp_path / "gateway", [target], {"auto": "{targets: [cluster]}"})
        with live_gateway(setup) as gateway:
            card = "My card number is 4242 4242 4242 4242, where is my order?"
            for _ in range(4):
                answer = gateway.chat(card)
                assert (answer.status_code, answer.headers["x-bailiwick-target"]) == (200, "cluster"), answer.text
            server.kill()
            for _ in range(4):
                assert gateway.chat(card).status_code == 200
            told = gateway.cli("doctor", check=False)
            assert told.count("llama_server of cluster: up, 0 running, 0 waiting, 2 places") == 1, told
            assert told.count("llama_server of cluster: /health: no connection could be made") == 1, told
            other.process.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            answer = gateway.chat(card)
            assert answer.status_code in (503, 504), answer.text
            assert time.monotonic() - began < 8
            other.process.send_signal(signal.SIGCONT)
            deadline = time.monotonic() + 20
            while gateway.chat(card).status_code != 200:
                assert time.monotonic() < deadline
                time.sleep(0.2)
            other.kill()
            answer = gateway.chat(card)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "target_unavailable")
            assert float(answer.headers["retry-after"]) >= 1
    finally:
        other.kill()
