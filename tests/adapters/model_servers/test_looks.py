"""What one look at a server shows: the real forms of llama-server, vLLM and Ollama, and everything that is none."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from adapters.model_servers.ask import MAX_PAGE, Asker, NoAnswer
from adapters.model_servers.generic import Generic
from adapters.model_servers.llama_server import LlamaServer
from adapters.model_servers.ollama import Ollama, holds
from adapters.model_servers.sight import Figures, Look
from adapters.model_servers.vllm import Vllm
from gateway.telemetry.values import REDACTED, clean
from support.model_servers import (
    LOADING,
    FakeLlamaServer,
    FakeOllama,
    FakeServer,
    FakeVllm,
    VllmFigures,
    running,
)

pytestmark = pytest.mark.anyio


async def seen(server: FakeServer, look: Look, model: str = "m", headers: dict[str, str] | None = None) -> Any:
    """One look; the exception where there is no answer. What it says is fit for a log."""
    ask = Asker(server.base_url, headers or {})
    try:
        sight: Any = await look.look(ask, model)
    except NoAnswer as problem:
        sight = problem
    finally:
        await ask.aclose()
    if isinstance(sight, NoAnswer):
        assert clean(str(sight)) != REDACTED
        assert (sight.__cause__, sight.__context__) == (None, None)
        return sight
    assert clean(sight.reason) != REDACTED
    return sight


async def test_llama_server() -> None:
    """Health, places, running and waiting requests come from its four pages; the speed once it has read a prompt."""
    server = FakeLlamaServer(places=4)
    with running(server):
        look = LlamaServer()
        sight = await seen(server, look)
        assert (sight.up, sight.reason, sight.models) == (True, "", {"m"})
        assert sight.figures == Figures(running=0, waiting=0, places=4)
        server.load(running=4, waiting=3, prompt_speed=812.5)
        sight = await seen(server, look)
        assert sight.figures == Figures(running=4, waiting=3, places=4, prompt_speed=812.5)
        server.load(running=1, prompt_speed=0)  # nothing was read since: the speed is what it was
        assert (await seen(server, look)).figures.prompt_speed == 812.5
        assert server.paths() == {"/health", "/metrics", "/props", "/v1/models"}


async def test_llama_server_that_loads() -> None:
    """While it loads its model it is down, and says why."""
    server = FakeLlamaServer()
    with running(server):
        server.set("/health", LOADING, 503)
        sight = await seen(server, LlamaServer())
    assert (sight.up, sight.reason) == (False, "it is loading its model")


async def test_llama_server_without_metrics() -> None:
    """It is up, its slots tell how many requests run, how many wait is unknown, and the hint says what to do."""
    server = FakeLlamaServer()
    with running(server):
        server.without_metrics(busy=3, places=4)
        sight = await seen(server, LlamaServer())
        assert sight.up is True
        assert "--metrics" in sight.hint
        assert sight.figures == Figures(running=3, waiting=None, places=4)
        assert "kangaroo" not in repr(sight)
        server.set("/slots", {"error": {"code": 501}}, 501)
        assert (await seen(server, LlamaServer())).figures == Figures(places=4)


async def test_vllm() -> None:
    """Gauges as they are; means of what was counted between two looks, and over all of its life at the first."""
    server = FakeVllm()
    with running(server):
        look = Vllm()
        server.figures = VllmFigures(
            *(2, 5, 0.5), first_token=(8.0, 10), request=(40.0, 10), prefill_seconds=5.0, prompt_tokens=5000
        )
        sight = await seen(server, look)
        assert sight.up is True
        assert sight.figures == Figures(2, 5, None, 0.5, prompt_speed=1000.0, first_token=0.8, request=4.0)
        server.figures.first_token = (8.0 + 10 * 2.8, 20)
        sight = await seen(server, look)
        assert sight.figures.first_token == pytest.approx(0.8 + 0.3 * 2.0)
        assert sight.figures.request == 4.0, "no request ended since: what was known stays"
        server.figures = VllmFigures(first_token=(0.5, 1))  # started anew: its counters begin again
        sight = await seen(server, look)
        assert sight.figures.first_token == 0.5
        assert server.paths() == {"/health", "/metrics", "/v1/models"}


async def test_vllm_of_several_engines() -> None:
    """Requests of all engines are added up, the fullest cache counts, and the waiting ones by reason are no further
    ones."""
    server = FakeVllm()
    with running(server):
        server.figures = VllmFigures(3, 7, 0.25, engines=4)
        figures = (await seen(server, Vllm())).figures
    assert (figures.running, figures.waiting, figures.cache_usage) == (12, 28, 0.25)


async def test_vllm_that_cannot() -> None:
    """An engine that is dead and a model that is not served are down; figures that are switched off are a hint."""
    server = FakeVllm()
    with running(server):
        sight = await seen(server, Vllm(), "another")
        assert (sight.up, sight.reason, sight.models) == (False, "it does not serve the model", {"m"})
        server.set("/metrics", "# HELP python_info x\n# TYPE python_info gauge\npython_info 1.0\n")
        sight = await seen(server, Vllm())
        assert (sight.up, sight.figures) == (True, Figures())
        assert "--disable-log-stats" in sight.hint
        server.set("/health", b"", 503)
        sight = await seen(server, Vllm())
        assert (sight.up, sight.reason) == (False, "its engine is dead")


async def test_ollama() -> None:
    """It says that it is there, which models it has and which are in memory; load and speed stay unknown."""
    server = FakeOllama("llama3.2:latest", "qwen3:4b")
    with running(server):
        sight = await seen(server, Ollama(), "llama3.2")
        assert (sight.up, sight.reason, sight.figures) == (True, "", Figures())
        server.loads("qwen3:4b")
        sight = await seen(server, Ollama(), "llama3.2")
        assert sight.up is True
        assert "not in memory" in sight.reason
        sight = await seen(server, Ollama(), "mistral")
        assert (sight.up, sight.reason) == (False, "the model is not there: ollama pull fetches it")
        look = Ollama()
        assert (await seen(server, look, "mistral")).up is False
        server.holds("mistral:latest")
        assert (await seen(server, look, "mistral")).up is True, "pulled since: the next look finds it"
        assert server.paths() == {"/api/version", "/api/tags", "/api/ps"}


def test_names_of_ollama() -> None:
    """Without a tag the latest is meant; a port in a registry's name is no tag."""
    names = frozenset({"llama3.2:latest", "hub.internal:5000/team/m:latest", "hf.co/a/B-GGUF:Q4_K_M"})
    for name in ("llama3.2", "Llama3.2:latest", "hub.internal:5000/team/m", "hf.co/a/b-gguf:q4_k_m"):
        assert holds(names, name), name
    assert not holds(names, "llama3.2:1b")


async def test_any_other_server() -> None:
    """Its list of models is all there is: without it nothing is known, and nothing is held against it."""
    server = FakeServer()
    with running(server):
        assert (await seen(server, Generic())).up is None
        server.set("/v1/models", {"object": "list", "data": [{"id": "m"}, {"id": "n"}]})
        sight = await seen(server, Generic())
        assert (sight.up, sight.models) == (True, {"m", "n"})
        for status, up in ((401, None), (403, None), (405, None), (501, None), (500, False), (503, False)):
            server.set("/v1/models", {"error": {}}, status)
            assert (await seen(server, Generic())).up is up, status
        server.set("/v1/models", "<html>hello</html>")
        assert (await seen(server, Generic())).up is None


NONSENSE = [b"", b"\x00\xff\xfe", b"<html>It works!</html>", b"[]", b'{"status": 1}', b'"ok"', b"{" * 5000, b"null"]


@pytest.mark.parametrize("body", NONSENSE)
@pytest.mark.parametrize(("look", "path"), [(LlamaServer, "/health"), (Ollama, "/api/version")])
async def test_nonsense_for_health(look: type[Look], path: str, body: bytes) -> None:
    """A page that is none of the server's says nothing of health, whatever its status is."""
    server = FakeServer()
    with running(server):
        server.set(path, body)
        assert isinstance(await seen(server, look()), NoAnswer)


@pytest.mark.parametrize(
    "page",
    [
        b'vllm:num_requests_running{engine="0 3.0\n',
        b"vllm:num_requests_running three\n",
        b"vllm:num_requests_running{} \xff\n",
        b"vllm:num_requests_running NaN\nvllm:num_requests_waiting +Inf\n",
        b"vllm:num_requests_running -5\n",
        b"vllm:num_requests_running 1e300\n",
        b'vllm:num_requests_running{x="' + b"y" * 10_000 + b'"} 1\n',
        b"".join(b'vllm:num_requests_running{engine="%d"} 1.0\n' % n for n in range(2000)),
        b"x" * (MAX_PAGE + 1),
    ],
    ids=["label", "word", "bytes", "not-finite", "negative", "too-much", "long-line", "many", "huge"],
)
async def test_nonsense_for_figures(page: bytes) -> None:
    """A page of metrics that makes no sense, or is too long, leaves the figures unknown and the server up; nothing of
    it is quoted, and it does not take long."""
    server = FakeVllm()
    with running(server):
        server.set("/metrics", page)
        began = time.monotonic()
        sight = await seen(server, Vllm())
        assert time.monotonic() - began < 1.5
    assert sight.up is True
    assert sight.reason
    assert (sight.figures.running, sight.figures.waiting) == (None, None)


async def test_a_server_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that does not come is given up, and said to be slow."""
    monkeypatch.setattr("adapters.model_servers.ask.ANSWER_SECONDS", 0.1)
    server = FakeVllm()
    with running(server):
        server.slow["/health"] = 1.0
        began = time.monotonic()
        problem = await seen(server, Vllm())
        assert time.monotonic() - began < 0.8
    assert isinstance(problem, NoAnswer)
    assert problem.slow


async def test_a_server_that_is_not_there() -> None:
    """No connection is no answer, and not merely slow."""
    server = FakeVllm()
    server.close()
    problem = await seen(server, Vllm())
    assert isinstance(problem, NoAnswer)
    assert not problem.slow
    assert "no connection" in str(problem)


async def test_a_redirect_is_not_followed() -> None:
    """Whoever answers for the server cannot send us elsewhere."""
    elsewhere = FakeVllm()
    server = FakeServer()
    with running(server, elsewhere):
        asked = httpx.Response(302, headers={"location": f"{elsewhere.root}/health"})
        ask = Asker(server.base_url, {}, transport=httpx.MockTransport(lambda _: asked))
        sight = await Vllm().look(ask, "m")
        await ask.aclose()
        assert sight.up is False
        assert elsewhere.received == []


async def test_compressed_pages_are_not_opened() -> None:
    """A small page that becomes a huge one is never unpacked."""
    server = FakeVllm()
    bomb = httpx.Response(200, headers={"content-encoding": "gzip"}, content=b"")
    with running(server):
        ask = Asker(server.base_url, {}, transport=httpx.MockTransport(lambda _: bomb))
        with pytest.raises(NoAnswer, match="compressed"):
            await Vllm().look(ask, "m")
        await ask.aclose()


async def test_what_is_sent_has_no_content() -> None:
    """Looks are GETs without a body; of headers they have those that requests have, credentials among them."""
    server = FakeVllm()
    with running(server):
        await seen(server, Vllm(), headers={"authorization": "Bearer k", "content-type": "application/json"})
        for received in server.received:
            assert (received.method, received.body) == ("GET", b"")
            assert received.headers["authorization"] == "Bearer k"
            assert received.headers["accept-encoding"] == "identity"
            assert received.headers.keys() <= {"host", "user-agent", "authorization", "accept", "accept-encoding"}
