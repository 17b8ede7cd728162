"""How much memory this process may use, and how much a model needs."""

from __future__ import annotations

import os
from pathlib import Path

from adapters.llama_cpp.gguf import GgufInfo

_WORK_BYTES = 128 << 20
_V2, _V1 = "memory.max", "memory.limit_in_bytes"


def granted_bytes(root: Path = Path("/")) -> int:
    """The machine's memory, or the least of what the control groups of this process allow. `root` is for tests.

    Source: the kernel's cgroup-v2.rst (``memory.max``, in every group above too) and cgroup-v1/memory.rst.
    """
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []  # no Linux, or no control groups
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:
            limits += _limits(root / "sys/fs/cgroup", group, _V2)
        elif "memory" in controllers.split(","):
            limits += _limits(root / "sys/fs/cgroup/memory", group, _V1)
    return min(limits)


def needed_bytes(info: GgufInfo, context_tokens: int) -> int:
    """What an engine with this model and context needs at most: weights, keys and values in 16-bit numbers, and room
    to work. `context_tokens` 0 takes the model's own. An estimate, to be compared with `granted_bytes`."""
    return info.file_bytes + info.kv_bytes_per_token * (context_tokens or info.context_tokens) + _WORK_BYTES


def _limits(mount: Path, group: str, name: str) -> list[int]:
    """The limits of a group and of those above it. In a container the group's path may be that of the host, of which
    only the mount's own root is to be seen."""
    inner = mount / group.lstrip("/")
    found: list[int] = []
    for folder in (inner, *inner.parents):
        if folder == mount or mount in folder.parents:
            try:
                text = (folder / name).read_text().strip()
            except OSError:
                continue
            if text.isdigit():  # "max" is no limit
                found.append(int(text))
    return found
