"""Tests of `adapters.llama_cpp.memory`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from adapters.llama_cpp.gguf import read_gguf
from adapters.llama_cpp.memory import cache_bytes, granted_bytes, needed_bytes
from support.tiny_gguf import write_tiny_gguf

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
MIB = 1 << 20


@pytest.mark.parametrize(
    ("group", "files", "granted"),
    [
        ("0::/a/b\n", {"a/memory.max": 64 * MIB, "a/b/memory.max": "max"}, 64 * MIB),
        ("0::/a/b\n", {"a/memory.max": 64 * MIB, "a/b/memory.max": 32 * MIB}, 32 * MIB),
        ("0::/on/the/host\n", {"memory.max": 16 * MIB}, 16 * MIB),
        ("5:cpu:/x\n4:memory:/x\n", {"memory/x/memory.limit_in_bytes": 8 * MIB}, 8 * MIB),
        ("0::/a\n", {"a/memory.max": 2**63 - 4096}, MACHINE),
        (None, {}, MACHINE),
    ],
    ids=["above", "own", "container", "version 1", "no limit", "no groups"],
)
def test_the_least_limit_counts(tmp_path: Path, group: str | None, files: dict[str, object], granted: int) -> None:
    """The limit of the process's control group or of one above it, never more than the machine has."""
    if group is not None:
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text(group)
    for name, limit in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{limit}\n")
    assert granted_bytes(tmp_path) == granted


def test_here_something_is_granted() -> None:
    """On the real machine, the figure is one that can be."""
    assert 0 < granted_bytes() <= MACHINE


def test_a_model_needs_its_weights_and_its_context(tmp_path: Path) -> None:
    """Each token costs keys and values of each layer: 2 layers of 64 numbers, twice, with 2 bytes each."""
    info = read_gguf(write_tiny_gguf(tmp_path / "m.gguf"))
    assert info.kv_bytes_per_token == 2 * 64 * 2 * 2
    assert needed_bytes(info, 2000) - needed_bytes(info, 1000) == 1000 * 512
    assert needed_bytes(info, 0) == needed_bytes(info, 512) > info.file_bytes


def test_parked_prefixes_count(tmp_path: Path) -> None:
    """With what is said of them, or else with as much as the cache has, in its form of keys and values."""
    info = read_gguf(write_tiny_gguf(tmp_path / "m.gguf"))
    assert needed_bytes(info, 512, prefix_memory=1000) - needed_bytes(info, 512) == 1000
    for kind in ("f16", "q8_0"):
        needed = [needed_bytes(info, 2048, kind, prefix_memory=memory) for memory in (0, None)]
        assert needed[1] - needed[0] == cache_bytes(info, 2048, kind) > 0


def test_the_form_of_keys_and_values_counts(tmp_path: Path) -> None:
    """In 8 bits (34 bytes for 32 numbers) they cost a little more than half, in 32 bits the double."""
    info = read_gguf(write_tiny_gguf(tmp_path / "m.gguf"))
    per_token = {
        kind: (needed_bytes(info, 32_000, kind) - needed_bytes(info, 16_000, kind)) / 16_000
        for kind in ("f16", "bf16", "f32", "q8_0", "q4_0")
    }
    assert per_token == {"f16": 512, "bf16": 512, "f32": 1024, "q8_0": 272, "q4_0": 144}
    assert needed_bytes(info, 512, "f16", 1000) - needed_bytes(info, 512) == 1000
