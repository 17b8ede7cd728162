"""Tests of `adapters.llama_cpp.pool`: several real engines and less memory than all of them need.

The bytes that each engine is said to need are small numbers: they are what the pool counts, not what a process has.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from adapters.llama_cpp.pool import EnginePool
from adapters.llama_cpp.pooled import PooledEngine
from adapters.llama_cpp.provider import LlamaCppProvider
from adapters.llama_cpp.supervisor import EngineState
from gateway.domain.call import Chunk, Timeouts
from gateway.domain.errors import Code, ConfigurationError, ProviderError
from support.local_engine import LONG, call, config, until, whole
from support.tiny_gguf import write_tiny_gguf

pytestmark = pytest.mark.anyio
ONE = {"max_tokens": 1}


@asynccontextmanager
async def pooled(
    model: Path, needs: dict[str, int], memory: int | None, changes: dict[str, Any] | None = None, **more: Any
) -> AsyncIterator[tuple[EnginePool, dict[str, LlamaCppProvider], dict[str, PooledEngine]]]:
    """A pool that is started, with an engine for each name, whose answers carry that name."""
    pool = EnginePool(memory, **more)
    engines = {
        name: pool.add(config(model, name=name, parallel=2, **(changes or {})), need) for name, need in needs.items()
    }
    await pool.start()
    try:
        providers = {name: LlamaCppProvider(engine.supervisor, engine) for name, engine in engines.items()}
        await until(lambda: not any(engine.settling for engine in engines.values()), 30)
        yield pool, providers, engines
    finally:
        await pool.aclose()


def loaded(engines: dict[str, PooledEngine]) -> set[str]:
    return {name for name, engine in engines.items() if engine.loaded}


async def refused(provider: LlamaCppProvider, **more: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await whole(provider, ONE, **more)
    return caught.value


async def test_the_least_recently_used_makes_room(tiny_model: Path) -> None:
    """At the start as many are loaded as there is room for. Then one is loaded when it is asked, and the one that was
    used the longest time ago leaves for it; each answers as itself, and what was counted is true."""
    async with pooled(tiny_model, {"a": 40, "b": 40, "c": 40}, 100) as (_, providers, engines):
        assert loaded(engines) == {"a", "b"}
        assert [engine.problem for engine in engines.values()] == ["", "", ""]
        first = {name: engine.supervisor.pid for name, engine in engines.items()}
        for name in "ab":
            assert (await whole(providers[name], ONE))["model"] == name
        assert (await whole(providers["c"], ONE))["model"] == "c"
        assert loaded(engines) == {"b", "c"}
        assert not psutil.pid_exists(first["a"] or 0)
        assert (await whole(providers["a"], ONE))["model"] == "a"
        assert loaded(engines) == {"a", "c"}
        assert {name: (one.loads, one.unloads) for name, one in engines.items()} == {
            "a": (2, 1),
            "b": (1, 1),
            "c": (1, 0),
        }
        figures = await providers["b"].stats()
        assert (figures["state"], figures["loads"], figures["wait_seconds"] > 0) == ("unloaded", 1, True)
        assert await providers["b"].ready()


async def test_without_a_budget_all_stay(tiny_model: Path) -> None:
    """Nothing is unloaded where no budget is set, whatever the engines need."""
    async with pooled(tiny_model, {"a": 10**12, "b": 10**12}, None) as (_, providers, engines):
        for name in "abab":
            await whole(providers[name], ONE)
        assert {name: (one.loads, one.unloads) for name, one in engines.items()} == {"a": (1, 0), "b": (1, 0)}


async def test_a_busy_engine_is_not_unloaded(tiny_model: Path) -> None:
    """A request for another model waits until the answer that is being made is complete, and is then served."""
    async with pooled(tiny_model, {"a": 60, "b": 60}, 100) as (_, providers, engines):
        async with aclosing(providers["a"].stream(call({"max_tokens": 2000, "stream": True}))) as events:
            assert isinstance(await anext(events), Chunk)
            waiting = asyncio.create_task(whole(providers["b"], ONE))
            count = 0
            async for _ in events:
                count += 1
                assert engines["b"].loads == 0
        assert count > 2000
        assert (await waiting)["model"] == "b"
        assert loaded(engines) == {"b"}


async def test_two_models_at_once_with_room_for_one(tiny_model: Path) -> None:
    """Requests for both come at the same moment, many times: all are answered, each by its model."""
    async with pooled(tiny_model, {"a": 60, "b": 60}, 100) as (_, providers, engines):
        for _ in range(3):
            answers = await asyncio.gather(*(whole(providers[name], ONE) for name in "abba"))
            assert [answer["model"] for answer in answers] == ["a", "b", "b", "a"]
        assert len(loaded(engines)) == 1
        assert all(engine.running == 0 for engine in engines.values())


async def test_a_request_that_comes_during_an_unload(tiny_model: Path) -> None:
    """It waits for the end of the unload and of a load, and is answered; so is the one that the room was made for."""
    async with pooled(tiny_model, {"a": 60, "b": 60}, 100) as (_, providers, engines):
        other = asyncio.create_task(whole(providers["b"], ONE))
        await asyncio.sleep(0)  # it runs until it waits, which is all that is decided at once
        assert engines["a"].state is EngineState.UNLOADED
        assert engines["a"].unloads == 0  # it is just leaving
        answers = await asyncio.gather(whole(providers["a"], ONE), other)
        assert [answer["model"] for answer in answers] == ["a", "b"]
        assert (engines["a"].loads, engines["a"].unloads, engines["b"].loads) == (2, 1, 1)


async def test_the_end_during_a_load(tiny_model: Path) -> None:
    """Who waits for the load hears at once that there will be no answer, and no process stays behind."""
    async with pooled(tiny_model, {"a": 60, "b": 60}, 100) as (pool, providers, engines):
        waiting = asyncio.create_task(refused(providers["b"]))
        await until(lambda: engines["b"].supervisor.pid is not None, 30)
        pid = engines["b"].supervisor.pid
        await pool.aclose()
        assert (await waiting).code is Code.TARGET_UNAVAILABLE
        assert not psutil.pid_exists(pid or 0)
        assert (await refused(providers["a"])).code is Code.TARGET_UNAVAILABLE


async def test_the_end_during_an_unload(tiny_model: Path) -> None:
    """The load that the room is made for is not begun any more."""
    async with pooled(tiny_model, {"a": 60, "b": 60}, 100) as (pool, providers, engines):
        pid = engines["a"].supervisor.pid
        waiting = asyncio.create_task(refused(providers["b"]))
        await asyncio.sleep(0)  # it runs until it waits, which is all that is decided at once
        assert engines["a"].state is EngineState.UNLOADED
        await pool.aclose()
        assert (await waiting).code is Code.TARGET_UNAVAILABLE
        assert engines["b"].supervisor.pid is None
        assert not psutil.pid_exists(pid or 0)


async def test_an_engine_that_crashes_while_it_loads(tiny_model: Path) -> None:
    """Who waits gets a clear error with a hint when to try again; the engine is started again and then answers."""
    async with pooled(tiny_model, {"a": 60, "b": 60}, 100) as (_, providers, engines):
        waiting = asyncio.create_task(refused(providers["b"]))
        await until(lambda: engines["b"].supervisor.pid is not None, 30)
        os.kill(engines["b"].supervisor.pid or 0, signal.SIGKILL)
        error = await waiting
        assert (error.code, error.retryable, error.retry_after is not None) == (Code.TARGET_UNAVAILABLE, True, True)
        assert "SIGKILL" in error.detail
        assert engines["b"].problem
        await until(lambda: engines["b"].loaded, 30)
        assert (await whole(providers["b"], ONE))["model"] == "b"
        assert (engines["b"].restarts, engines["b"].loads, engines["b"].running) == (1, 1, 0)


async def test_an_engine_that_crashes_does_not_push_others_out_again_and_again(tiny_model: Path) -> None:
    """One that made room after a crash is not loaded anew before its time; its requests are refused with the reason."""
    async with pooled(tiny_model, {"a": 60, "b": 60}, 100, changes={"backoff_first": 15.0}) as (_, providers, engines):
        waiting = asyncio.create_task(refused(providers["b"]))
        await until(lambda: engines["b"].supervisor.pid is not None, 30)
        os.kill(engines["b"].supervisor.pid or 0, signal.SIGKILL)
        await waiting
        assert await whole(providers["a"], ONE)
        assert "SIGKILL" in (await refused(providers["b"])).detail
        assert (loaded(engines), engines["b"].problem) == ({"a"}, "the engine could not be loaded")
        assert 0 < engines["b"].not_before - time.monotonic() <= 30
        engines["b"].not_before = 0.0  # the time has come
        assert await whole(providers["b"], ONE)
        assert engines["b"].problem == ""


async def test_an_engine_that_fails_for_good_gives_its_memory_back(tmp_path: Path, tiny_model: Path) -> None:
    """One whose file was replaced by a broken one fails, is told as a problem, and does not keep others out."""
    path = write_tiny_gguf(tmp_path / "m.gguf")
    pool = EnginePool(100)
    engines = {"a": pool.add(config(tiny_model, name="a"), 60), "b": pool.add(config(path, name="b"), 60)}
    providers = {name: LlamaCppProvider(engine.supervisor, engine) for name, engine in engines.items()}
    path.write_bytes(b"GGUF and then nothing")
    await pool.start()
    try:
        assert "cannot load it" in (await refused(providers["b"])).detail
        assert engines["b"].problem == "the engine is failed"
        assert (await whole(providers["a"], ONE))["model"] == "a"
    finally:
        await pool.aclose()


async def test_a_model_file_that_is_gone_may_come_back(tmp_path: Path, tiny_model: Path) -> None:
    """A load that finds no file is refused and told as a problem; the next request after the file is back is served."""
    path = write_tiny_gguf(tmp_path / "m.gguf")
    pool = EnginePool(100)
    engines = {"a": pool.add(config(tiny_model, name="a"), 60), "b": pool.add(config(path, name="b"), 60)}
    providers = {name: LlamaCppProvider(engine.supervisor, engine) for name, engine in engines.items()}
    await pool.start()
    try:
        path.rename(tmp_path / "away")
        assert (await refused(providers["b"])).code is Code.TARGET_UNAVAILABLE
        assert engines["b"].problem == "the engine could not be loaded"
        (tmp_path / "away").rename(path)
        assert (await whole(providers["b"], ONE))["model"] == "b"
        assert engines["b"].problem == ""
    finally:
        await pool.aclose()


@pytest.mark.parametrize("error", [ConfigurationError("it has another hash"), PermissionError("it cannot be read")])
async def test_files_are_looked_at_before_each_load(tiny_model: Path, error: Exception) -> None:
    """A model whose check fails is not loaded; when the check is well again, it is."""
    wrong = [error]

    def check() -> None:
        if wrong:
            raise wrong[0]

    pool = EnginePool(100)
    engine = pool.add(config(tiny_model), 60, check)
    await pool.start()
    try:
        provider = LlamaCppProvider(engine.supervisor, engine)
        assert (await refused(provider)).detail == str(error)
        assert (engine.problem, engine.supervisor.pid) == ("the engine could not be loaded", None)
        wrong.clear()
        assert await whole(provider, ONE)
    finally:
        await pool.aclose()


async def test_a_request_that_would_be_late_is_refused_at_once(tiny_model: Path) -> None:
    """By the measured time of a load it could not be in time, so that it can go elsewhere; nothing is unloaded for it.
    With time enough, it is served, and so is one that may take any time."""
    async with pooled(tiny_model, {"a": 60, "b": 60}, 100) as (_, providers, engines):
        took = engines["a"].load_seconds
        assert took > 0
        started = time.monotonic()
        error = await refused(providers["b"], first_token=took * 0.9)  # b was never loaded: a's time counts
        assert time.monotonic() - started < took * 0.9
        assert (error.code, error.detail, error.sent) == (Code.TARGET_BUSY, "too_late", False)
        assert error.retry_after == pytest.approx(took)
        assert loaded(engines) == {"a"}
        assert await whole(providers["b"], ONE, first_token=60.0)
        assert loaded(engines) == {"b"}
        assert engines["b"].load_seconds > 0
        async with aclosing(providers["b"].stream(call({"max_tokens": LONG, "stream": True}))) as events:
            await anext(events)
            # However long it may take, nobody knows when the memory is free.
            assert (await refused(providers["a"], first_token=60.0)).retry_after == 60.0


async def test_a_load_that_was_never_measured_is_waited_for(tiny_model: Path) -> None:
    """Nobody is refused for a guess: a request waits as long as its first token may take, and goes elsewhere then."""
    pool = EnginePool(100)
    engine = pool.add(config(tiny_model), 60)
    await pool.start()
    try:
        provider, started = LlamaCppProvider(engine.supervisor, engine), time.monotonic()
        assert (await refused(provider, first_token=0.05)).detail == "too_late"
        assert 0.05 <= time.monotonic() - started < 5
        assert await whole(provider, ONE)
    finally:
        await pool.aclose()


async def test_what_went_elsewhere_is_loaded_where_there_is_room(tiny_model: Path) -> None:
    """A refused request is a sign of use: the model is loaded for the next one, if nobody has to leave for it who was
    used within the patience."""
    async with pooled(tiny_model, {"a": 60, "b": 60}, 100) as (_, providers, engines):
        await whole(providers["a"], ONE)
        await refused(providers["b"], first_token=0.001)
        assert engines["a"].loaded
        engines["a"].used_at -= 60  # as if a minute had passed
        await refused(providers["b"], first_token=0.001)
        await until(lambda: engines["b"].loaded, 30)
        assert loaded(engines) == {"b"}
        assert await whole(providers["b"], ONE, first_token=10.0)


async def test_a_model_in_steady_use_makes_room_after_a_while(tiny_model: Path) -> None:
    """Where one model always has something to do, a request for another waits for the patience, then the first takes no
    more requests until it was loaded; those wait, and are served afterwards."""
    async with pooled(tiny_model, {"a": 60, "b": 60}, 100, patience=1.0) as (_, providers, engines):
        served, done = 0, anyio.Event()

        async def steady() -> None:
            nonlocal served
            while not done.is_set():
                await whole(providers["a"], {"max_tokens": 50})
                served += 1

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(steady)
            await until(lambda: served > 3, 30)
            started = time.monotonic()
            assert (await whole(providers["b"], ONE))["model"] == "b"
            assert time.monotonic() - started >= 1.0
            before = served
            await until(lambda: served > before + 3, 30)
            done.set()
        assert (engines["a"].loads, engines["b"].loads) == (2, 1)


async def test_who_leaves_while_it_waits_is_forgotten(tiny_model: Path) -> None:
    """A client that goes away while others have the memory leaves nothing behind: nothing is loaded for it."""
    async with pooled(tiny_model, {"a": 60, "b": 60}, 100) as (_, providers, engines):
        async with aclosing(providers["a"].stream(call({"max_tokens": LONG, "stream": True}))) as events:
            await anext(events)
            waiting = asyncio.create_task(whole(providers["b"], ONE))
            await anyio.sleep(0.1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        assert await whole(providers["a"], ONE)
        await anyio.sleep(0.1)
        assert (engines["b"].loads, engines["b"].running, loaded(engines)) == (0, 0, {"a"})


async def test_who_was_to_make_room_need_not_when_nobody_waits_any_more(tiny_model: Path) -> None:
    """A busy model takes no new requests while another is waited for; when that one's client leaves, it does again."""
    async with pooled(tiny_model, {"a": 60, "b": 60}, 100, patience=0.1) as (_, providers, engines):
        async with aclosing(providers["a"].stream(call({"max_tokens": LONG, "stream": True}))) as events:
            await anext(events)
            gone = asyncio.create_task(whole(providers["b"], ONE))
            await until(lambda: not engines["a"].takes, 30)
            held = asyncio.create_task(whole(providers["a"], ONE))
            await anyio.sleep(0.1)
            assert not held.done()
            gone.cancel()
            assert (await held)["model"] == "a"
        assert (engines["a"].loads, engines["b"].loads) == (1, 0)


async def test_a_wait_has_an_end(tiny_model: Path) -> None:
    """A request that waits longer than its target's timeout is ended with a clear error."""
    async with pooled(tiny_model, {"a": 60, "b": 60}, 100) as (_, providers, engines):
        async with aclosing(providers["a"].stream(call({"max_tokens": LONG, "stream": True}))) as events:
            await anext(events)
            with pytest.raises(ProviderError, match="target_timeout") as caught:
                [_ async for _ in providers["b"].stream(call(ONE, Timeouts(5, 0.3, 20)))]
            assert "not loaded in time" in caught.value.public
        assert engines["b"].running == 0


def test_what_never_fits_is_refused(tiny_model: Path) -> None:
    """A model that needs more than the whole budget is an error with both numbers, before anything is started."""
    with pytest.raises(ConfigurationError, match=r"needs about 2,048 MiB.*local_models\.memory grants 1,024 MiB"):
        EnginePool(1 << 30).add(config(tiny_model), 2 << 30)
