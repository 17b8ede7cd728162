"""Tests of `adapters.llama_cpp.needs`: what is wrong with an engine's files is told before a process is started."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from adapters.llama_cpp.lora import Lora
from adapters.llama_cpp.needs import needs
from gateway.domain.errors import ConfigurationError
from gateway.settings import LoraSettings
from support.tiny_gguf import write_tiny_gguf, write_tiny_lora


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_gguf(tmp_path / "m.gguf")


def test_adapters_count(model: Path, tmp_path: Path) -> None:
    """What an engine needs grows by the files of its adapters, and each keeps its scale."""
    paths = [write_tiny_lora(tmp_path / "a.gguf"), write_tiny_lora(tmp_path / "b.gguf", seed=2)]
    digest = hashlib.sha256(paths[0].read_bytes()).hexdigest().upper()
    alone = needs(model, 512, "f16", [], tmp_path)
    found = needs(model, 512, "f16", [LoraSettings(paths[0], digest), LoraSettings(paths[1], None, 0.5)], tmp_path)
    assert found.loras == (Lora(paths[0], 1.0), Lora(paths[1], 0.5))
    assert found.memory - alone.memory == sum(path.stat().st_size for path in paths)


def test_parked_prefixes_count(model: Path, tmp_path: Path) -> None:
    """What an engine needs grows by the memory for them."""
    without, some, default = (needs(model, 512, "f16", [], tmp_path, memory).memory for memory in (0, 5000, None))
    assert (some - without, default - without) == (5000, 512 * 512)


def test_all_parts_of_a_model_count(model: Path, tmp_path: Path) -> None:
    """A model that is split over several files needs memory for all of them, and for no others."""
    alone = needs(model, 512, "f16", [], tmp_path).memory
    first = model.rename(tmp_path / "m[1]-00001-of-00003.gguf")
    for name, size in (
        ("m[1]-00002-of-00003.gguf", 1000),
        ("m[1]-00003-of-00003.gguf", 200),
        ("m1-00002-of-00003.gguf", 7),
        ("m[1]-00002-of-00004.gguf", 7),
    ):
        (tmp_path / name).write_bytes(bytes(size))
    assert needs(first, 512, "f16", [], tmp_path).memory == alone + 1200


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architecture": "qwen2"}, "for models of the architecture 'qwen2', this model's is 'llama'"),
        ({"kind": "model"}, "is a model, not a LoRA adapter"),
        ({"adapter": "control"}, "is an adapter of the kind 'control', not a LoRA adapter"),
    ],
)
def test_another_kind_of_file_is_told(model: Path, tmp_path: Path, changes: dict[str, str], words: str) -> None:
    """An adapter for another architecture, or no adapter at all, is named with what it is."""
    path = write_tiny_lora(tmp_path / "x.gguf", **changes)
    with pytest.raises(ConfigurationError, match=f"x.gguf is .*{words[3:]}"):
        needs(model, 512, "f16", [LoraSettings(path)], tmp_path)


@pytest.mark.parametrize(
    ("content", "words"), [(None, "does not exist"), (b"<html>", "not a usable GGUF"), (b"", "not a usable GGUF")]
)
def test_a_wrong_file_is_told(model: Path, tmp_path: Path, content: bytes | None, words: str) -> None:
    """So is a file that is missing, or no GGUF; the model's own is told apart from an adapter's."""
    path = tmp_path / "x.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=f"the LoRA adapter .*x.gguf .*{words}"):
        needs(model, 512, "f16", [LoraSettings(path)], tmp_path)
    with pytest.raises(ConfigurationError, match=f"^/.*x.gguf .*{words}"):
        needs(path, 512, "f16", [], tmp_path)


def test_the_hash_of_an_adapter_is_checked(model: Path, tmp_path: Path) -> None:
    """An adapter that is not the one configured is refused with both hashes."""
    path = write_tiny_lora(tmp_path / "x.gguf")
    with pytest.raises(ConfigurationError, match=r"x.gguf is not the file that was configured: .* not a{64}"):
        needs(model, 512, "f16", [LoraSettings(path, "a" * 64)], tmp_path)


def test_heads_that_a_type_cannot_divide(model: Path, tmp_path: Path) -> None:
    """Keys and values of a model with odd heads cannot be quantised, which the error says with both numbers."""
    with pytest.raises(ConfigurationError, match=r"cannot have the kv_type q8_0: its heads have 16 numbers.*of 32"):
        needs(model, 512, "q8_0", [], tmp_path)
    assert needs(model, 512, "f32", [], tmp_path).memory > needs(model, 512, "f16", [], tmp_path).memory
