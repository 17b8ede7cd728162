"""Tests of `adapters.llama_cpp.shared`: gateways that share an engine. What one process of each does is done here by
objects beside each other; tests/e2e has real processes."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from adapters.llama_cpp.provider import LlamaCppProvider
from adapters.llama_cpp.shared import SharedEngine, check_runtime_folder
from adapters.llama_cpp.supervisor import EngineConfig, EngineState
from gateway.domain.call import Chunk
from gateway.domain.errors import Code, ConfigurationError, ProviderError
from support.local_engine import LONG, call, config, until, whole
from support.tiny_gguf import write_tiny_gguf

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).resolve().parents[3]
ONE = {"max_tokens": 1}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A runtime folder with a short path."""
    made = Path(tempfile.mkdtemp(prefix="bwrun-", dir="/tmp"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@asynccontextmanager
async def gateways(folder: Path, *configs: EngineConfig) -> AsyncIterator[list[tuple[SharedEngine, LlamaCppProvider]]]:
    """An engine, and a provider on it, for each; the first is the owner."""
    async with AsyncExitStack() as stack:
        made = []
        for each in configs:
            engine = SharedEngine(each, folder)
            stack.push_async_callback(engine.aclose)
            await engine.start()
            made.append((engine, LlamaCppProvider(engine)))
        yield made


def processes() -> list[int]:
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if "adapters.llama_cpp" in child.cmdline():
                found.append(child.pid)
        except psutil.Error:
            continue  # it has just ended
    return found


def left(folder: Path, pattern: str) -> list[Path]:
    return list(folder.glob(pattern))


async def test_two_gateways_have_one_engine(tiny_model: Path, folder: Path) -> None:
    """There is one process, both are answered by it, and its figures are those of both."""
    async with gateways(folder, config(tiny_model), config(tiny_model)) as ((first, one), (second, two)):
        assert len(processes()) == 1
        assert (first.owned, second.owned) == (True, False)
        for provider in (one, two, two):
            assert await whole(provider, ONE)
        figures = [await provider.stats() for provider in (one, two)]
        assert [(each["served"], each["owned"], each["state"]) for each in figures] == [
            (3, True, "ready"),
            (3, False, "ready"),
        ]
    assert not processes()
    assert not left(folder, "bw-*")


async def test_tenants_get_their_shares_over_all_gateways(tiny_model: Path, folder: Path) -> None:
    """A tenant who fills the queue through one gateway does not keep out another who comes through the next."""
    small = config(tiny_model, parallel=1)
    async with gateways(folder, small, small) as ((_, one), (_, two)):
        done: list[str] = []

        async def ask(provider: LlamaCppProvider, tenant: str) -> None:
            await whole(provider, {"max_tokens": 300}, tenant=tenant)
            done.append(tenant)

        many = [asyncio.create_task(ask(one, "loud")) for _ in range(6)]
        await until(lambda: len(done) == 1, 30)
        await ask(two, "quiet")
        await asyncio.gather(*many)
        assert done.index("quiet") <= 3


async def test_the_next_takes_over_from_an_owner_that_ends(tiny_model: Path, folder: Path) -> None:
    """Its engine ends with it. The others load the model anew, exactly one of them, and answer again."""
    same = config(tiny_model)
    async with gateways(folder, same, same, same) as ((first, _), (second, two), (third, three)):
        stream = two.stream(call({"max_tokens": LONG, "stream": True}))
        assert isinstance(await anext(stream), Chunk)
        await first.aclose()
        with pytest.raises(ProviderError) as caught:
            async for _ in stream:
                pass
        assert (caught.value.code, caught.value.retryable) == (Code.TARGET_UNAVAILABLE, True)
        await until(lambda: second.owned or third.owned, 30)
        await until(lambda: all(engine.state is EngineState.READY for engine in (second, third)), 30)
        assert (second.owned, third.owned) in ((True, False), (False, True))
        for provider in (two, three):
            assert await whole(provider, ONE)
        assert len(processes()) == 1


async def test_an_engine_that_dies_is_restarted_for_all(tiny_model: Path, folder: Path) -> None:
    """Its owner restarts it, and the others find the new one."""
    same = config(tiny_model, backoff_first=1.0)
    async with gateways(folder, same, same) as ((first, _), (second, two)):
        os.kill(first.pid or 0, signal.SIGKILL)
        await until(lambda: second.state is EngineState.BACKOFF, 30)
        with pytest.raises(ProviderError, match="SIGKILL"):
            await whole(two, ONE)
        await until(lambda: second.state is EngineState.READY, 30)
        assert await whole(two, ONE)
        assert (first.restarts, second.restarts) == (1, 0)


async def test_a_model_that_cannot_be_loaded_is_told_to_all(tmp_path: Path, folder: Path) -> None:
    """Those that do not own the engine say the owner's reason."""
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(write_tiny_gguf(tmp_path / "good.gguf").read_bytes()[:200_000])
    first, second = (SharedEngine(config(broken), folder) for _ in range(2))
    await first.start(wait=False)
    await first.settled()
    try:
        assert first.state is EngineState.FAILED
        with pytest.raises(ConfigurationError, match=r"does not start: llama\.cpp cannot load it"):
            await second.start()
    finally:
        await first.aclose()


async def test_other_settings_or_files_are_other_engines(tmp_path: Path, folder: Path) -> None:
    """A gateway whose file was replaced, or whose settings differ, is not answered by the engine of the others."""
    path = write_tiny_gguf(tmp_path / "m.gguf")
    async with gateways(folder, config(path), config(path, parallel=3)) as ((first, _), (second, _)):
        write_tiny_gguf(tmp_path / "new.gguf", context_tokens=300).replace(path)
        third = SharedEngine(config(path), folder)
        await third.start()
        try:
            assert first.owned
            assert second.owned
            assert third.owned
            stats = [(await engine.stats())["context_tokens"] for engine in (first, second, third)]
            assert stats == [512, 512, 512]  # llama.cpp rounds 300 up
            assert len({engine.socket for engine in (first, second, third)}) == 3
        finally:
            await third.aclose()


async def test_what_a_killed_owner_leaves_is_removed(tiny_model: Path, folder: Path) -> None:
    """An owner and its engine that are killed at the same moment leave a socket; the next owner removes it."""
    script = (
        "import asyncio, sys\nfrom pathlib import Path\n"
        "from adapters.llama_cpp.shared import SharedEngine\n"
        "from support.local_engine import config\n"
        "async def main():\n"
        "    engine = SharedEngine(config(Path(sys.argv[1])), Path(sys.argv[2]))\n"
        "    await engine.start()\n"
        "    print(engine.pid, engine.socket, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    owner = subprocess.Popen(  # noqa: ASYNC220 - the test has nothing else to do meanwhile
        [sys.executable, "-c", script, str(tiny_model), str(folder)], stdout=subprocess.PIPE, text=True, env=environ
    )
    assert owner.stdout is not None
    pid, path = owner.stdout.readline().split()
    os.kill(int(pid), signal.SIGSTOP)  # so that it cannot remove its socket
    owner.kill()
    os.kill(int(pid), signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    assert left(folder, "bw-*/engine.sock") == [Path(path)]
    async with gateways(folder, config(tiny_model)) as ((engine, provider),):
        assert engine.owned
        assert await whole(provider, ONE)
        assert left(folder, "bw-*/engine.sock") == [engine.socket]


async def test_a_note_that_names_another_place_is_not_followed(tiny_model: Path, folder: Path) -> None:
    """Prompts go to sockets in the runtime folder only, whatever its files say."""
    async with gateways(folder, config(tiny_model), config(tiny_model)) as (_, (second, two)):
        (note,) = left(folder, "*.json")
        for wrong in ("/tmp/x/engine.sock", "../x/engine.sock", "bw-x/../../engine.sock"):
            note.write_text(f'{{"state": "ready", "socket": "{wrong}", "failure": ""}}')
            await until(lambda: second.state is EngineState.STARTING, 30)
            with pytest.raises(ProviderError, match="target_unavailable"):
                async with aclosing(two.stream(call(ONE))) as events:
                    await anext(events)
            note.write_text("{}")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.mkdir(mode=0o755), "nobody else may enter it"),
        (lambda path: path.write_text(""), "is no folder"),
        (lambda path: None, ""),
    ],
)
def test_a_folder_that_others_can_enter_is_refused(folder: Path, make: Any, words: str) -> None:
    """Whoever can write there could put a socket there, and read the prompts. One that is not there yet is made."""
    path = folder / "run"
    make(path)
    if words:
        with pytest.raises(ConfigurationError, match=words):
            check_runtime_folder(path)
    else:
        check_runtime_folder(path)
    with pytest.raises(ConfigurationError, match="too long a path"):
        check_runtime_folder(path / ("d" * 100))
