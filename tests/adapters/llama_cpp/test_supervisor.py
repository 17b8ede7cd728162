"""Tests of `adapters.llama_cpp.supervisor`: crashes, hangs, ends. The engines are real processes."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from adapters.llama_cpp import supervisor as module
from adapters.llama_cpp.provider import LlamaCppProvider
from adapters.llama_cpp.supervisor import EngineConfig, EngineState, EngineSupervisor
from gateway.domain.call import Chunk
from gateway.domain.errors import Code, ConfigurationError, ProviderError
from support.local_engine import LONG, call, config, until, whole
from support.tiny_gguf import write_tiny_gguf

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).resolve().parents[3]


@asynccontextmanager
async def running(settings: EngineConfig, changes: list[EngineState] | None = None) -> AsyncIterator[EngineSupervisor]:
    supervisor = EngineSupervisor(settings, None if changes is None else changes.append)
    await supervisor.start()
    try:
        yield supervisor
    finally:
        await supervisor.aclose()


async def test_start_and_end_leave_nothing_behind(tiny_model: Path) -> None:
    """Ready means serving; closed means no process, no socket, no folder; closing again is fine."""
    changes: list[EngineState] = []
    supervisor = EngineSupervisor(config(tiny_model), changes.append)
    await supervisor.start()
    pid, path = supervisor.pid, supervisor.socket
    assert pid is not None
    assert (await whole(LlamaCppProvider(supervisor), {"max_tokens": 1}))["model"] == "tiny"
    started = time.monotonic()
    await supervisor.aclose()
    await supervisor.aclose()
    assert time.monotonic() - started < 3
    assert not psutil.pid_exists(pid)
    assert not path.parent.exists()
    assert changes == [EngineState.STARTING, EngineState.READY, EngineState.STOPPED]


async def test_only_this_user_reaches_the_socket(tiny_model: Path) -> None:
    """The folder and the socket are closed to others, and the path fits any Unix."""
    async with running(config(tiny_model)) as supervisor:
        assert stat.S_IMODE(supervisor.socket.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(supervisor.socket.stat().st_mode) == 0o600
        assert len(os.fsencode(supervisor.socket)) < 104


async def test_a_long_temporary_folder_is_avoided(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A TMPDIR that would make the socket's path too long does not keep the engine from starting."""
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    monkeypatch.setattr(module.tempfile, "tempdir", str(deep))
    async with running(config(tiny_model)) as supervisor:
        assert supervisor.state is EngineState.READY


async def test_a_killed_engine_fails_its_stream_and_comes_back(tiny_model: Path) -> None:
    """The caller of the moment gets a retryable error; the next ones are served by a new process."""
    changes: list[EngineState] = []
    async with running(config(tiny_model), changes) as supervisor:
        provider, pid = LlamaCppProvider(supervisor), supervisor.pid
        assert pid is not None
        await whole(provider, {"max_tokens": 1})  # leaves an idle connection, which must not be used again
        events = provider.stream(call({"max_tokens": LONG, "stream": True}))
        assert isinstance(await anext(events), Chunk)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ProviderError, match="target_unavailable") as caught:
            async for _ in events:
                pass
        assert caught.value.retryable
        await until(lambda: supervisor.state is EngineState.BACKOFF)
        with pytest.raises(ProviderError) as refused:
            await whole(provider, {"max_tokens": 1})
        assert refused.value.retry_after is not None
        assert "SIGKILL" in refused.value.detail
        assert (caught.value.sent, refused.value.sent) == (True, False), "nobody worked on what found no engine"
        await until(lambda: supervisor.state is EngineState.READY)
        assert await whole(provider, {"max_tokens": 1})
        assert (supervisor.restarts, supervisor.pid == pid) == (1, False)
        assert changes[1:] == [EngineState.READY, EngineState.BACKOFF, EngineState.STARTING, EngineState.READY]


async def test_no_way_to_die_ends_the_watch(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a signal without a name, not a socket folder that was removed, not a watch that fails by itself."""
    async with running(config(tiny_model)) as supervisor:
        provider = LlamaCppProvider(supervisor)

        async def comes_back(number: int) -> None:
            await until(lambda: supervisor.state is EngineState.BACKOFF)
            await until(lambda: supervisor.state is EngineState.READY)
            assert supervisor.restarts == number
            assert await whole(provider, {"max_tokens": 1})

        assert supervisor.pid is not None
        os.kill(supervisor.pid, 40)
        await comes_back(1)
        folder = supervisor.socket.parent
        shutil.rmtree(folder)
        os.kill(supervisor.pid, signal.SIGKILL)
        await comes_back(2)
        assert supervisor.socket.parent != folder

        async def nonsense(*_: object) -> dict[str, object]:
            return {}

        with monkeypatch.context() as patch:
            patch.setattr(module, "ask_stats", nonsense)
            await until(lambda: supervisor.state is EngineState.BACKOFF)
            assert supervisor.failure == "unexpected KeyError"
        await comes_back(3)


async def test_the_image_of_a_crash_is_not_kept(tiny_model: Path) -> None:
    """The engine's memory holds prompts, so that it writes no core file."""
    async with running(config(tiny_model)) as supervisor:
        assert supervisor.pid is not None
        assert resource.prlimit(supervisor.pid, resource.RLIMIT_CORE) == (0, 0)


def environ_of(pid: int) -> list[bytes]:
    """The environment variables that a process was started with."""
    return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


async def test_no_debugger_looks_at_a_crash(tiny_model: Path) -> None:
    """Where there is one, llama.cpp would start it for each abort, and keep the dead engine for seconds."""
    async with running(config(tiny_model)) as supervisor:
        assert supervisor.pid is not None
        assert b"GGML_NO_BACKTRACE=1" in environ_of(supervisor.pid)


def test_an_engine_without_its_threads_ends() -> None:
    """It would answer pings, and no request. What was raised is not told: it may quote a prompt."""
    script = (
        "import threading, time\nfrom adapters.llama_cpp.__main__ import _end_with_threads\n_end_with_threads()\n"
        "def work():\n    raise ValueError('a secret')\n"
        "threading.Thread(target=work).start()\ntime.sleep(20)"
    )
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (70, "", "")


async def test_restarts_wait_longer_each_time(tiny_model: Path) -> None:
    """An engine that keeps dying is tried less and less often."""
    async with running(config(tiny_model, backoff_first=0.1, backoff_most=0.3)) as supervisor:
        waits = []
        for _ in range(3):
            assert supervisor.pid is not None
            os.kill(supervisor.pid, signal.SIGKILL)
            await until(lambda: supervisor.state is EngineState.BACKOFF)
            started = time.monotonic()
            await until(lambda: supervisor.state is EngineState.STARTING)
            waits.append(time.monotonic() - started)
            await until(lambda: supervisor.state is EngineState.READY)
    assert waits[0] < waits[1] < waits[2] < 0.6


async def test_an_engine_that_does_not_answer_is_replaced(tiny_model: Path) -> None:
    """A frozen process is found by its silence and killed."""
    async with running(config(tiny_model, ping_interval=0.2, backoff_first=1.0)) as supervisor:
        pid = supervisor.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await until(lambda: supervisor.state is EngineState.BACKOFF)
        assert "pings unanswered" in supervisor.failure
        assert not psutil.pid_exists(pid)
        await until(lambda: supervisor.state is EngineState.READY)


async def test_a_request_without_progress_counts_as_a_hang(tiny_model: Path) -> None:
    """Decoding that stands still is ended, although the process answers pings."""
    async with running(config(tiny_model, ping_interval=0.2, stall_seconds=0.0, backoff_first=1.0)) as supervisor:
        pid = supervisor.pid
        assert pid is not None
        with pytest.raises(ProviderError, match="target_unavailable"):
            await whole(LlamaCppProvider(supervisor), {"max_tokens": LONG})
        await until(lambda: supervisor.state is EngineState.BACKOFF)
        assert "no progress" in supervisor.failure
        assert not psutil.pid_exists(pid)


async def test_no_engine_outlives_a_killed_gateway(tiny_model: Path) -> None:
    """When the gateway is killed without a chance to clean up, the engine ends within seconds, its socket with it."""
    script = (
        "import asyncio, sys\nfrom pathlib import Path\n"
        "from adapters.llama_cpp.supervisor import EngineConfig, EngineSupervisor\n"
        "async def main():\n"
        "    supervisor = EngineSupervisor(EngineConfig('tiny', Path(sys.argv[1]), threads=1))\n"
        "    await supervisor.start()\n"
        "    print(supervisor.pid, supervisor.socket, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    gateway = subprocess.Popen(  # noqa: ASYNC220 - the test has nothing else to do meanwhile
        [sys.executable, "-c", script, str(tiny_model)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert gateway.stdout is not None
    pid, path = gateway.stdout.readline().split()
    assert psutil.pid_exists(int(pid))
    gateway.kill()
    gateway.wait()
    gateway.stdout.close()
    await until(lambda: not _alive(int(pid)), 3)
    await until(lambda: not Path(path).parent.exists(), 1)


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # an orphan may wait for whoever is process 1
    except psutil.NoSuchProcess:
        return False


async def test_a_model_that_cannot_be_loaded_is_explained(tmp_path: Path) -> None:
    """The error names the model and what llama.cpp said; nothing is tried again for ever."""
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(write_tiny_gguf(tmp_path / "good.gguf").read_bytes()[:200_000])
    supervisor = EngineSupervisor(config(broken))
    with pytest.raises(ConfigurationError, match=r"broken.gguf.*does not start: llama.cpp cannot load it: .*\w{5}"):
        await supervisor.start()
    assert supervisor.state is EngineState.STOPPED


@pytest.mark.parametrize(("content", "words"), [(None, "does not exist"), (b"<html>", "not a GGUF model file")])
async def test_a_wrong_file_is_found_before_a_process_is_started(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    """A typing error in the settings is told at once."""
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    supervisor = EngineSupervisor(config(path))
    with pytest.raises(ConfigurationError, match=words):
        await supervisor.start(wait=False)
    assert supervisor.pid is None


async def test_a_missing_library_is_told_apart(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When llama-cpp-python is not there or does not load, that is what the error says."""
    (tmp_path / "llama_cpp.py").write_text("raise ImportError('libllama.so: no such file')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"llama-cpp-python library does not load: libllama.so"):
        await EngineSupervisor(config(tiny_model)).start()


async def test_after_the_first_start_a_hopeless_engine_is_not_tried_again(tmp_path: Path) -> None:
    """A model that is replaced by a broken file ends in FAILED, with the reason, not in endless restarts."""
    path = write_tiny_gguf(tmp_path / "m.gguf")
    async with running(config(path)) as supervisor:
        path.with_suffix(".new").write_bytes(b"GGUF and then nothing")
        path.with_suffix(".new").replace(path)
        assert supervisor.pid is not None
        os.kill(supervisor.pid, signal.SIGKILL)
        await until(lambda: supervisor.state is EngineState.FAILED)
        assert "cannot load it" in supervisor.failure
        assert (await LlamaCppProvider(supervisor).stats())["state"] == "failed"


def test_the_native_library_stays_out_of_the_gateway() -> None:
    """Importing all that the gateway needs loads neither llama.cpp nor numpy."""
    script = (
        "import sys, adapters.llama_cpp.provider, adapters.llama_cpp.files, adapters.llama_cpp.gguf\n"
        "assert not {'llama_cpp', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


async def test_the_gateway_need_not_wait_for_a_large_model(tiny_model: Path) -> None:
    """Without waiting, the start returns at once, and calls are refused with a hint until the model is ready."""
    supervisor = EngineSupervisor(config(tiny_model))
    started = time.monotonic()
    await supervisor.start(wait=False)
    try:
        assert time.monotonic() - started < 0.2
        provider = LlamaCppProvider(supervisor)
        assert not await provider.ready()
        with pytest.raises(ProviderError) as caught:
            await whole(provider, {"max_tokens": 1})
        assert (caught.value.code, caught.value.retryable) == (Code.TARGET_UNAVAILABLE, True)
        assert "loading" in caught.value.public
        await until(lambda: supervisor.state is EngineState.READY)
        assert await provider.ready()
    finally:
        await supervisor.aclose()


async def test_a_start_that_takes_too_long_is_ended(tiny_model: Path) -> None:
    """`start_timeout` bounds the load; the process does not stay behind."""
    supervisor = EngineSupervisor(config(tiny_model, start_timeout=0.05))
    with pytest.raises(ConfigurationError, match="start_timeout"):
        await supervisor.start()
    assert supervisor.pid is None


async def test_a_start_may_be_broken_off(tiny_model: Path) -> None:
    """Closing while the model loads ends the process."""
    supervisor = EngineSupervisor(config(tiny_model))
    await supervisor.start(wait=False)
    await until(lambda: supervisor.pid is not None)
    pid = supervisor.pid
    await supervisor.aclose()
    assert pid is not None
    assert not psutil.pid_exists(pid)
