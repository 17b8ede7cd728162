"""KV types and LoRA adapters in real engines, over the demo model of the repository."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters.llama_cpp.lora import Lora
from adapters.llama_cpp.memory import KV_BYTES
from adapters.llama_cpp.provider import LlamaCppProvider
from adapters.llama_cpp.supervisor import EngineSupervisor
from gateway.domain.errors import ConfigurationError
from gateway.settings.llama_cpp import KV_TYPES, PLAIN_KV_TYPES
from support.live import DEMO_MODEL
from support.local_engine import config, whole
from support.tiny_gguf import write_tiny_gguf, write_tiny_lora

pytestmark = pytest.mark.anyio
ASKED = {
    "messages": [{"role": "user", "content": "How do I reset my password?"}],
    "max_tokens": 24,
    "logprobs": True,
}


async def _answer(*loras: Lora, **changes: Any) -> dict[str, Any]:
    """The demo model's greedy answer, with the probabilities of its tokens."""
    settings = config(DEMO_MODEL, context_tokens=512, parallel=2, loras=loras, **{"flash_attention": "off", **changes})
    supervisor = EngineSupervisor(settings)
    await supervisor.start()
    provider = LlamaCppProvider(supervisor)
    try:
        choice: dict[str, Any] = (await whole(provider, ASKED))["choices"][0]
        return choice
    finally:
        await provider.aclose()


async def test_an_adapter_changes_answers_by_its_scale(tmp_path: Path) -> None:
    """With scale 0 the answer is the model's own, to the last bit of each probability; with 1 it is another one, and
    two halves of the same adapter are the whole of it."""
    path = write_tiny_lora(tmp_path / "lora.gguf", width=160, layers=4)
    base = await _answer()
    assert await _answer(Lora(path, 0.0)) == base
    changed = await _answer(Lora(path, 1.0))
    assert changed["logprobs"] != base["logprobs"]
    assert changed["message"]["content"] != base["message"]["content"]
    again = write_tiny_lora(tmp_path / "again.gguf", width=160, layers=4)
    halves = await _answer(Lora(path, 0.5), Lora(again, 0.5))
    assert halves["message"] == changed["message"]


async def test_an_adapter_of_another_model_is_explained(tmp_path: Path) -> None:
    """One for a model of the same architecture and another size is found by llama.cpp; the error names the adapter."""
    path = write_tiny_lora(tmp_path / "lora.gguf", width=64)
    with pytest.raises(ConfigurationError, match=r"cannot load it: the LoRA adapter .*lora\.gguf: .*shape"):
        await _answer(Lora(path))


@pytest.mark.parametrize("kind", KV_TYPES)
async def test_every_type_of_keys_and_values_answers(kind: str) -> None:
    """Each kv_type that the settings allow is one that llama.cpp takes, with flash attention where it needs it, and
    the answer still makes sense."""
    choice = await _answer(kv_type=kind, flash_attention="off" if kind in PLAIN_KV_TYPES else "auto")
    assert "password" in choice["message"]["content"]


def test_all_types_are_known_everywhere() -> None:
    """What the settings allow is what the estimate of memory knows."""
    assert set(KV_TYPES) == set(KV_BYTES)


async def test_heads_that_cannot_be_divided_are_explained(tmp_path: Path) -> None:
    """Where nobody has checked before, llama.cpp says why a model cannot have the type."""
    supervisor = EngineSupervisor(config(write_tiny_gguf(tmp_path / "m.gguf"), kv_type="q8_0"))
    with pytest.raises(ConfigurationError, match=r"llama.cpp cannot load it: .*q8_0.*(divide|block)"):
        await supervisor.start()
