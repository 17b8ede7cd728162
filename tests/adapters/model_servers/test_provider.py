"""A target of several servers: the least loaded one answers, and one that cannot costs nothing but a moment."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

import anyio
import pytest

from adapters.model_servers.provider import KINDS, ModelServers, ModelServersConfig
from adapters.model_servers.server import Room
from adapters.openai_compatible import OpenAICompatibleConfig
from gateway.domain.call import Chunk, End, ProviderCall, Timeouts, Whole
from gateway.domain.errors import Code, ProviderError
from gateway.domain.standing import ServerState, Standing
from gateway.settings import servers as settings
from support.garbage import cyclic_garbage
from support.model_servers import LOADING, FakeLlamaServer, FakeOllama, FakeServer, FakeVllm, VllmFigures, running
from support.provider_calls import call, events, eventually, failure

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def over(
    *servers: FakeServer | str, kind: str = "vllm", places: int | None = None, queue: int = 32, **common: Any
) -> AsyncIterator[ModelServers]:
    """The provider over these servers, or base URLs, which it has looked at once."""
    urls = tuple(one if isinstance(one, str) else one.base_url for one in servers)
    shared = OpenAICompatibleConfig(urls[0], **common)
    provider = ModelServers(ModelServersConfig("m", kind, urls, shared, Room(places, queue), poll=0.05))
    with running(*(one for one in servers if isinstance(one, FakeServer))):
        try:
            await provider.look()
            yield provider
        finally:
            await provider.aclose()


@asynccontextmanager
async def watched(provider: ModelServers) -> AsyncIterator[list[ServerState]]:
    changes: list[ServerState] = []
    task = asyncio.create_task(provider.watch(changes.append))
    try:
        yield changes
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def ups(provider: ModelServers) -> Sequence[bool | None]:
    return [state.up for state in provider.states()]


def nowhere() -> str:
    """A base URL at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


def test_the_settings_know_every_kind() -> None:
    """What can be written in the settings is what there is."""
    assert set(settings.KINDS) == KINDS.keys()


@pytest.mark.parametrize("stream", [False, True])
async def test_it_answers_like_the_server(stream: bool) -> None:
    """Whole answers and streams come through as they are."""
    async with over(FakeVllm(says="hi")) as provider:
        found = await events(provider, call(stream=stream))
    if stream:
        assert isinstance(found[0], Chunk)
        assert found[-1] == End()
    else:
        (whole,) = found
        assert isinstance(whole, Whole)
        assert b"hi" in whole.body


async def test_a_server_that_closes_without_saying_so() -> None:
    """llama-server ends the connection after a stream: calls that follow at once take a new one."""
    server = FakeLlamaServer()
    async with over(server, kind="llama_server") as provider:
        for _ in range(20):
            assert await events(provider, call(stream=True))
        sent = [one.headers for one in server.received if one.method == "POST"]
        assert all(headers.get("connection") == "close" for headers in sent)
    plain = FakeLlamaServer()
    async with over(plain, kind="generic") as provider:
        await events(provider, call(stream=True))
        await asyncio.sleep(0.1)
        await events(provider, call(stream=True))
        first, second = (one.headers.get("connection") for one in plain.received if one.method == "POST")
        assert (first, second) != ("close", "close")
        assert second == "close"


async def test_the_least_loaded_gets_the_call() -> None:
    """By what the servers say of running and waiting requests; of equals each in its turn."""
    busy, idle = FakeVllm(), FakeVllm()
    busy.figures = VllmFigures(running=6, waiting=2)
    async with over(busy, idle) as provider:
        for _ in range(3):
            await events(provider, call())
        assert (busy.calls, idle.calls) == (0, 3)
        busy.figures = VllmFigures()
        await provider.look()
        for _ in range(4):
            await events(provider, call())
        assert (busy.calls, idle.calls) == (2, 5)


async def test_own_calls_count_between_two_looks() -> None:
    """Calls that begin before anybody has looked again are spread too; those that the figures hold count once."""
    one, two = FakeVllm(), FakeVllm()
    one.slow["/v1/chat/completions"] = two.slow["/v1/chat/completions"] = 0.4
    async with over(one, two) as provider:
        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(events, provider, call())
            await eventually(lambda: one.calls + two.calls == 6)
            one.figures = two.figures = VllmFigures(running=3)
            await provider.look()
            assert [server.load for server in provider.servers] == [3, 3]
        assert (one.calls, two.calls) == (3, 3)
        assert [server.load for server in provider.servers] == [0, 0]


async def test_a_larger_server_gets_more() -> None:
    """Load is for each place, where the servers tell how many they have."""
    small, large = FakeLlamaServer(places=2), FakeLlamaServer(places=8)
    small.load(running=1)
    large.load(running=3)
    async with over(small, large, kind="llama_server") as provider:
        await events(provider, call())
    assert (small.calls, large.calls) == (0, 1)


async def test_a_server_that_is_down_gets_none() -> None:
    """Not while its health says so; afterwards it gets calls again."""
    loading, well = FakeLlamaServer(), FakeLlamaServer()
    loading.set("/health", LOADING, 503)
    async with over(loading, well, kind="llama_server") as provider:
        assert ups(provider) == [False, True]
        for _ in range(3):
            await events(provider, call())
        assert (loading.calls, well.calls) == (0, 3)
        loading.set("/health", {"status": "ok"})
        await provider.look()
        await events(provider, call())
        assert loading.calls == 1


async def test_no_server_is_left() -> None:
    """The error names each server and what is the matter with it; nothing was sent, and another target may be tried."""
    loading = FakeLlamaServer()
    loading.set("/health", LOADING, 503)
    async with over(loading, nowhere(), kind="llama_server") as provider:
        error = await failure(provider, call())
        assert provider.standing(10) == Standing(up=False)
        assert not await provider.ready()
    assert (error.code, error.retryable, error.sent) == (Code.TARGET_UNAVAILABLE, True, False)
    assert error.retry_after is not None
    assert "it is loading its model" in error.detail
    assert "no connection" in error.detail
    assert "127.0.0.1" not in error.public
    assert loading.calls == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_server_that_disappears_after_its_health(stream: bool) -> None:
    """The call goes to the next one, the caller notices nothing, and the one that is gone is asked no more."""
    gone, well = FakeVllm(), FakeVllm()
    async with over(gone, well) as provider:
        gone.close()
        well.figures = VllmFigures(running=1)
        await provider.servers[1].look("m")
        assert await events(provider, call(stream=stream))
        assert ups(provider) == [False, True]
        assert await events(provider, call(stream=stream))
    assert well.calls == 2


@pytest.mark.parametrize("answered", [True, False])
async def test_a_call_that_was_tried_elsewhere_is_freed_at_once(answered: bool) -> None:
    """Neither the error of the first server nor that of the last keeps the call and its body in memory until the
    collector comes."""
    gone, other = FakeVllm(), FakeVllm()
    async with over(gone, other) as provider:
        gone.close()
        if not answered:
            other.close()
        other.figures = VllmFigures(running=1)
        with cyclic_garbage() as found:
            try:
                assert await events(provider, call())
            except ProviderError:
                assert not answered
    assert [one for one in found if isinstance(one, ProviderCall)] == []


async def test_the_only_server_disappears() -> None:
    """A clear error at once, without a connection from then on; and it is back when it looks well again."""
    server = FakeVllm()
    async with over(server) as provider:
        url = server.root
        server.close()
        error = await failure(provider, call())
        assert (error.code, error.sent, "no connection" in error.detail) == (Code.TARGET_UNAVAILABLE, False, True)
        error = await failure(provider, call())
        assert "the last requests to it failed" in error.detail
        assert url.removeprefix("http://") in error.detail


@pytest.mark.parametrize(
    ("page", "elsewhere"),
    [
        ((503, "application/json", b'{"error":{"message":"server busy, please try again"}}'), True),
        ((500, "application/json", b"{}"), False),
        ((200, "text/html", b"<html>kangaroo</html>"), False),
        ((200, "application/json", b'{"error":{"message":"kangaroo"}}'), True),
    ],
    ids=["busy", "broken", "nonsense", "error"],
)
async def test_a_server_that_cannot_answer(page: Any, elsewhere: bool) -> None:
    """One that says it cannot is left for another one; one that may have worked costs an error, which says nothing of
    what came. Either gets no further call until it looks well again."""
    odd, well = FakeVllm(), FakeVllm()
    async with over(odd, well) as provider:
        odd.pages["/v1/chat/completions"] = page
        if elsewhere:
            assert await events(provider, call())
        else:
            await failure(provider, call())
        assert ups(provider) == [False, True]
        await events(provider, call())
    assert odd.calls == 1


async def test_a_callers_fault_is_not_tried_elsewhere() -> None:
    """A 400 is handed on as it is, and says nothing against the server."""
    server, other = FakeVllm(), FakeVllm()
    for one in (server, other):
        one.set("/v1/chat/completions", {"error": {"message": "too long", "code": 400}}, 400)
    async with over(server, other) as provider:
        error = await failure(provider, call())
        assert (error.code, error.status, error.retryable) == (Code.TARGET_REFUSED, 400, False)
        assert ups(provider) == [True, True]
    assert server.calls + other.calls == 1


async def test_a_server_that_hangs_is_given_up_once() -> None:
    """After the time for the first event the caller is told; it does not wait for a second server as long again."""
    hung, well = FakeVllm(), FakeVllm()
    hung.slow["/v1/chat/completions"] = 1.0
    async with over(hung, well) as provider:
        error = await failure(provider, call(timeouts=Timeouts(first_event=0.1)))
        assert error.code is Code.TARGET_TIMEOUT
        assert ups(provider) == [False, True]
    assert well.calls == 0


async def test_failures_in_a_row_pause_a_server_whatever_its_health_says() -> None:
    """One failure is forgiven when it looks well; two are not at once, until an answer comes."""
    server = FakeVllm()
    good = server.pages.get("/v1/chat/completions")
    async with over(server) as provider:
        server.set("/v1/chat/completions", b"{}", 500)
        await failure(provider, call())
        await provider.look()
        assert ups(provider) == [True]
        await failure(provider, call())
        await provider.look()
        assert ups(provider) == [False]
        assert provider.standing(1) == Standing(up=False)
        before = server.calls
        await failure(provider, call())
        assert server.calls == before + 1, "where there is no other, it is tried all the same"
        await provider.look()
        clock = [asyncio.get_running_loop().time() + 100]
        provider.servers[0]._monotonic = lambda: clock[0]
        assert ups(provider) == [True]
        del server.pages["/v1/chat/completions"]
        assert good is None
        await events(provider, call())
        server.set("/v1/chat/completions", b"{}", 500)
        await failure(provider, call())
        await provider.look()
        assert ups(provider) == [True], "after an answer, the next failure is a first one again"


async def test_being_slow_once_is_excused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that misses one look stays up with its figures unknown; after two it is down."""
    monkeypatch.setattr("adapters.model_servers.ask.ANSWER_SECONDS", 0.1)
    server = FakeVllm()
    server.figures = VllmFigures(running=3)
    async with over(server) as provider:
        assert provider.states()[0].figures["running"] == 3
        server.slow["/health"] = 0.5
        await provider.look()
        (state,) = provider.states()
        assert (state.up, "running" in state.figures) == (True, False)
        assert "did not come within" in state.reason
        await provider.look()
        assert ups(provider) == [False]
        server.slow.clear()
        await provider.look()
        assert ups(provider) == [True]


async def test_a_full_server_is_not_chosen() -> None:
    """A server with as many waiting as may wait is passed by; where all are, the call is refused with a time to wait
    that comes from how long requests take."""
    full, free = FakeVllm(), FakeVllm()
    full.figures = VllmFigures(running=1, waiting=4)
    free.figures = VllmFigures(running=9, waiting=3)
    async with over(full, free, queue=4) as provider:
        await events(provider, call())
        assert (full.calls, free.calls) == (0, 1)
        assert not provider.standing(10).full
        free.figures = VllmFigures(running=2, waiting=4, request=(60.0, 10))
        full.figures = VllmFigures(running=1, waiting=4, request=(90.0, 10))
        await provider.look()
        assert provider.standing(10) == Standing(full=True)
        error = await failure(provider, call())
        assert (error.code, error.retryable, error.sent) == (Code.TARGET_BUSY, True, False)
        assert error.retry_after == 3.0
    assert full.calls == 0


async def test_own_calls_fill_a_server_that_does_not_tell() -> None:
    """Ollama says nothing of its load: our own calls count, against the places that the settings tell."""
    server = FakeOllama("m")
    server.slow["/v1/chat/completions"] = 0.3
    async with over(server, kind="ollama", places=1, queue=1) as provider:
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(events, provider, call())
            await eventually(lambda: server.calls == 2)
            error = await failure(provider, call())
            assert error.code is Code.TARGET_BUSY
        await events(provider, call())
    async with over(FakeOllama("m"), kind="ollama") as provider:
        assert provider.servers[0].waiting is None, "without places nobody knows who waits"
        assert not provider.servers[0].full


async def test_the_time_to_the_first_token_is_predicted() -> None:
    """Reading the prompt at the speed that the server tells, behind those that wait; then from the mean that it tells,
    then from what was measured here; and unknown where nothing is known."""
    server = FakeVllm()
    async with over(server) as provider:
        assert provider.standing(1000) == Standing(up=True)
        server.figures = VllmFigures(first_token=(5.0, 10))
        await provider.look()
        assert provider.standing(1000).first_token == 0.5
        server.figures = VllmFigures(prefill_seconds=2.0, prompt_tokens=1000, request=(40.0, 10))
        await provider.look()
        assert provider.standing(1000).first_token == pytest.approx(2.0)
        server.figures.running, server.figures.waiting = 4, 7
        await provider.look()
        assert provider.standing(1000).first_token == pytest.approx(2.0 + 8 * 4.0 / 4)
    plain = FakeOllama("m")
    plain.slow["/v1/chat/completions"] = 0.1
    async with over(plain, kind="ollama") as provider:
        assert provider.standing(1000).first_token is None
        await events(provider, call())
        assert provider.standing(1000).first_token is None, "a whole answer does not tell when its first token came"
        await events(provider, call(stream=True))
        measured = provider.standing(1000).first_token
        assert measured is not None
        assert measured >= 0.1


async def test_the_bound_learns_from_what_came() -> None:
    """It is the prediction times two at first, and comes down while calls keep it."""
    server = FakeVllm()
    server.figures = VllmFigures(first_token=(50.0, 10))
    async with over(server) as provider:
        assert provider.standing(10) == Standing(True, False, 5.0, pytest.approx(10.0))
        for _ in range(40):
            await events(provider, call(stream=True))
        standing = provider.standing(10)
        assert standing.first_token == 5.0
        assert standing.latest is not None
        assert standing.latest / standing.first_token == pytest.approx(2 * 0.99**40, rel=0.01)


async def test_places_that_are_taken_are_waited_for() -> None:
    """Where a server tells its places, a call behind them waits for its turn; how long is unknown until a request was
    measured."""
    server = FakeLlamaServer(places=2)
    server.load(running=2, waiting=1, prompt_speed=500)
    async with over(server, kind="llama_server") as provider:
        assert provider.standing(500).first_token is None
        server.load(prompt_speed=500)
        await provider.look()
        assert provider.standing(500).first_token == 1.0
        provider.servers[0]._request = 3.0
        server.load(running=2, waiting=1, prompt_speed=500)
        await provider.look()
        assert provider.standing(500).first_token == pytest.approx(1.0 + 2 * 3.0 / 2)


async def test_a_call_that_would_be_late_is_refused() -> None:
    """Only where the caller's limit is told, which it is when another target can take the call."""
    server = FakeVllm()
    server.figures = VllmFigures(first_token=(50.0, 10))
    async with over(server) as provider:
        error = await failure(provider, call(first_token=1.0))
        assert (error.code, error.retryable, error.sent) == (Code.TARGET_BUSY, True, False)
        assert "10.00 s" in error.detail
        assert server.calls == 0
        assert await events(provider, call(first_token=11.0))
        assert await events(provider, call())


async def test_the_watch_sees_what_changes() -> None:
    """It tells of the first state and of every change, and looks again at once when a call fails."""
    server = FakeVllm()
    async with over(server) as provider, watched(provider) as changes:
        await eventually(lambda: len(changes) == 1)
        assert (changes[0].up, changes[0].reason) == (True, "")
        server.set("/health", b"", 503)
        await eventually(lambda: len(changes) == 2)
        assert (changes[1].up, changes[1].reason) == (False, "its engine is dead")
        server.set("/health", b"")
        await eventually(lambda: len(changes) == 3)
        assert changes[2].up is True


async def test_a_hung_server_does_not_hold_up_looks_at_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each server is looked at by itself."""
    hung, well = FakeVllm(), FakeVllm()
    hung.slow["/health"] = 30.0
    urls = (hung.base_url, well.base_url)
    provider = ModelServers(ModelServersConfig("m", "vllm", urls, OpenAICompatibleConfig(urls[0]), poll=0.05))
    with running(hung, well):
        async with watched(provider):
            await eventually(lambda: sum(one.path == "/health" for one in well.received) >= 3)
            assert ups(provider) == [None, True]
        await provider.aclose()


async def test_a_caller_who_leaves_is_no_failure() -> None:
    """The call is over for the load as well, and the server is not blamed."""
    server = FakeVllm()
    async with over(server) as provider:
        async with aclosing(provider.stream(call(stream=True))) as stream:
            await anext(stream)
            assert provider.servers[0].load == 1
        assert provider.servers[0].load == 0
        assert ups(provider) == [True]


async def test_credentials_and_headers_go_to_looks_too() -> None:
    """What a request carries to be let in, a look carries as well."""
    server = FakeVllm()
    async with over(server, api_key="sk-test-key", headers={"X-Team": "a"}) as provider:
        await events(provider, call())
        assert {one.headers["authorization"] for one in server.received} == {"Bearer sk-test-key"}
        assert {one.headers["x-team"] for one in server.received} == {"a"}
        assert "sk-test-key" not in repr(provider.states())


async def test_names_tell_servers_apart() -> None:
    """Host and port, and the path where several stand behind one address."""
    stack = AsyncExitStack()
    urls = ("https://llm.internal/a/v1", "https://llm.internal/b/v1", "http://[::1]:8000/v1")
    provider = ModelServers(ModelServersConfig("m", "vllm", urls, OpenAICompatibleConfig(urls[0])))
    stack.push_async_callback(provider.aclose)
    async with stack:
        names = [state.server for state in provider.states()]
    assert names == ["llm.internal:443/a", "llm.internal:443/b", "::1:8000"]
