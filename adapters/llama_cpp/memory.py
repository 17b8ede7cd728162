"""How much memory this process may use, and how much a model needs."""

from __future__ import annotations

import os
from pathlib import Path

from adapters.llama_cpp.control_groups import folders, words
from adapters.llama_cpp.gguf import GgufInfo

KV_BYTES = {
    "f16": (1, 2),
    "bf16": (1, 2),
    "f32": (1, 4),
    "q8_0": (32, 34),
    "q5_1": (32, 24),
    "q5_0": (32, 22),
    "q4_1": (32, 20),
    "q4_0": (32, 18),
    "iq4_nl": (32, 18),
}
"""What keys and values may be kept in: numbers in a block, and the bytes of it (ggml's ``block_q8_0`` and the like)."""

_WORK_BYTES = 128 << 20
_MEASURED_BYTES = 2  # what `GgufInfo.kv_bytes_per_token` counts for a number


def granted_bytes(root: Path = Path("/")) -> int:
    """The machine's memory, or the least of what the control groups of this process allow. `root` is for tests.

    Source: the kernel's cgroup-v2.rst (``memory.max``, in every group above too) and cgroup-v1/memory.rst.
    """
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for version, folder in folders("memory", root):
        said = words(folder / ("memory.max" if version == 2 else "memory.limit_in_bytes"))
        limits += [int(word) for word in said if word.isdigit()]  # "max" is no limit
    return min(limits)


def cache_bytes(info: GgufInfo, context_tokens: int, kv_type: str = "f16") -> int:
    """How large the KV cache is at most, with keys and values as `kv_type` (one of `KV_BYTES`). `context_tokens` 0
    takes the model's own."""
    numbers, size = KV_BYTES[kv_type]
    per_token = info.kv_bytes_per_token * size / (numbers * _MEASURED_BYTES)
    return round(per_token * (context_tokens or info.context_tokens))


def needed_bytes(
    info: GgufInfo, context_tokens: int, kv_type: str = "f16", lora_bytes: int = 0, prefix_memory: int | None = 0
) -> int:
    """What an engine with this model and context needs at most: weights, keys and values, LoRA adapters with files of
    `lora_bytes` together, `prefix_memory` bytes of parked prefixes (None for as many as the KV cache has), and room to
    work. An estimate, to be compared with `granted_bytes`."""
    cache = cache_bytes(info, context_tokens, kv_type)
    parked = cache if prefix_memory is None else prefix_memory
    return info.file_bytes + cache + parked + lora_bytes + _WORK_BYTES


def kv_misfit(info: GgufInfo, kv_type: str) -> str:
    """Why keys and values of this model cannot be kept as `kv_type`; empty where they can. llama.cpp divides each head
    into blocks."""
    numbers, _ = KV_BYTES[kv_type]
    odd = [size for size in info.head_sizes if size % numbers]
    return f"its heads have {odd[0]} numbers, which {kv_type} cannot divide into blocks of {numbers}" if odd else ""
