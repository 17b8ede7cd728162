"""A real engine on a real (tiny, random) model, shared by the tests of one module."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from adapters.llama_cpp import download
from adapters.llama_cpp.provider import LlamaCppProvider
from adapters.llama_cpp.supervisor import EngineSupervisor
from support.hub import Hub, serving
from support.local_engine import config
from support.tiny_gguf import write_tiny_gguf


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Of the module's scope, because the engine is."""
    return "asyncio"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose context is long enough for answers that take seconds."""
    return write_tiny_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf", context_tokens=16384)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one model, and no wish to wait between two tries."""
    monkeypatch.setattr(download, "_PAUSE_SECONDS", 0.0)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with serving(write_tiny_gguf(tmp_path / "original.gguf").read_bytes()) as hub:
        yield hub


@pytest.fixture(scope="module")
async def provider(tiny_model: Path) -> AsyncIterator[LlamaCppProvider]:
    """A provider over a running engine."""
    supervisor = EngineSupervisor(config(tiny_model))
    await supervisor.start()
    provider = LlamaCppProvider(supervisor)
    yield provider
    await provider.aclose()
