"""What the engine is compared with: llama.cpp's own `llama-server`, and llama-cpp-python's `llama_cpp.server`.

Both are started as their documentation says, with as many threads and as large a cache as the engine, and asked over
HTTP for streams with the sampling that the engine uses when a caller says nothing.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.overhead.peers import CACHE, Unavailable
from benchmarks.overhead.processes import Child, free_port, run_logged, say

SLOTS = 16
_SAMPLING = {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05}
_BUILD = Path(__file__).with_name("llama_server.sh")
_SERVER_NEEDS = ["fastapi", "uvicorn", "sse-starlette", "starlette-context", "pydantic-settings", "PyYAML"]


class Rival:
    """A server that streams completions. `extra` are members of the body that only it understands."""

    def __init__(self, url: str, path: str, limit: str, extra: dict[str, object]) -> None:
        self._path, self._limit = path, limit
        self._extra = extra
        self._client = httpx.AsyncClient(base_url=url, timeout=600, limits=httpx.Limits(max_connections=None))

    async def ask(self, prompt: str, tokens: int) -> float:
        """Seconds to the first token; returns when the answer is complete."""
        body = {"prompt": prompt, self._limit: tokens, "stream": True, **_SAMPLING, **self._extra}
        started, first, last = time.perf_counter(), 0.0, ""
        async with self._client.stream("POST", self._path, json=body) as answer:
            answer.raise_for_status()
            async for line in answer.aiter_lines():
                if line.startswith("data: {"):
                    first, last = first or time.perf_counter() - started, line
        if _too_short(json.loads(last.removeprefix("data: ")), tokens):
            raise RuntimeError(f"{self._path} ended before {tokens} tokens: {last}")
        return first

    async def aclose(self) -> None:
        await self._client.aclose()


def _too_short(last: dict[str, Any], tokens: int) -> bool:
    """Was the answer shorter than wanted? Chunks do not tell: both hold back the bytes of a character's first part."""
    if "tokens_predicted" in last:
        return bool(last["tokens_predicted"] != tokens)
    return bool(last["choices"][0]["finish_reason"] != "length")


@contextmanager
def llama_server(program: Path, model: Path, threads: int, context: int, folder: Path) -> Iterator[Rival]:
    """llama.cpp's own server while the block runs. Raises `Unavailable`."""
    if not program.exists():
        raise Unavailable(f"llama-server is not there; build it once: {_BUILD} {program.parents[1]}")
    command = [
        str(program), "--model", str(model), "--threads", str(threads), "--threads-batch", str(threads),
        "--parallel", str(SLOTS), "--ctx-size", str(context), "--kv-unified", "--flash-attn", "auto",
        "--cache-ram", "0",  # its second cache of prompts would only cost it time: none comes twice
    ]  # fmt: skip
    extra: dict[str, object] = {"cache_prompt": False, "ignore_eos": True}
    with _serving("llama-server", command, folder, "/health") as url:
        yield Rival(url, "/completion", "n_predict", extra)


@contextmanager
def python_server(model: Path, threads: int, context: int, folder: Path) -> Iterator[Rival]:
    """llama-cpp-python's server while the block runs. With its default `interrupt_requests` it breaks off an answer
    when the next request comes, so that is off. Raises `Unavailable`."""
    command = [
        sys.executable, "-m", "llama_cpp.server", "--model", str(model), "--n_threads", str(threads),
        "--n_threads_batch", str(threads), "--n_ctx", str(context), "--interrupt_requests", "False",
    ]  # fmt: skip
    extra: dict[str, object] = {"logit_bias": {"2": -100}}
    with _serving("llama_cpp.server", command, folder, "/v1/models", {"PYTHONPATH": str(_packages())}) as url:
        yield Rival(url, "/v1/completions", "max_tokens", extra)


@contextmanager
def _serving(
    name: str, command: Sequence[str], folder: Path, ready: str, env: dict[str, str] | None = None
) -> Iterator[str]:
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    child = Child.start(name, [*command, "--host", "127.0.0.1", "--port", str(port)], folder, None, env)
    url = f"http://127.0.0.1:{port}"
    child.wait_until_answers(url + ready, 120)
    try:
        yield url
    finally:
        child.stop()


def _packages() -> Path:
    """What `llama_cpp.server` needs besides llama-cpp-python, in a folder of its own."""
    folder = CACHE / "llama_cpp_server"
    done = folder / ".installed"
    if not done.exists():
        say(f"installing {', '.join(_SERVER_NEEDS)} into {folder} (once)")
        CACHE.mkdir(parents=True, exist_ok=True)
        log = CACHE / "llama_cpp_server-install.log"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), *_SERVER_NEEDS]
        if not run_logged(command, CACHE, log):
            raise Unavailable(f"pip could not install what llama_cpp.server needs: see {log}")
        done.touch()
    return folder
