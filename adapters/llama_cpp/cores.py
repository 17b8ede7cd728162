"""How many threads suit the cores that this process is really granted."""

from __future__ import annotations

import math
import os
from pathlib import Path

from adapters.llama_cpp.control_groups import folders, words


def granted_cores(root: Path = Path("/")) -> float:
    """The cores that this process may be scheduled on, or fewer where a control group bounds its share of time, as a
    container's CPU limit does: 1.5 for ``--cpus 1.5``. `root` is for tests.

    Source: cgroup-v2.rst (``cpu.max``) and sched-bwc.rst (``cpu.cfs_quota_us``).
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shares = [_share(version, folder) for version, folder in folders("cpu", root)]
    return min([float(affinity), *(share for share in shares if share is not None)])


def default_threads(root: Path = Path("/")) -> int:
    """The granted cores, less one for the gateway; on larger machines the half, which is the real cores. A part of a
    core is none: threads above the granted time are stopped in the middle of a step, and the others wait for them."""
    cores = math.floor(granted_cores(root))
    return max(1, cores - 1 if cores <= 4 else cores // 2)


def _share(version: int, folder: Path) -> float | None:
    """Cores' worth of time that a group grants; None for no limit."""
    if version == 2:
        said = words(folder / "cpu.max")
    else:
        said = words(folder / "cpu.cfs_quota_us") + words(folder / "cpu.cfs_period_us")
    if len(said) != 2 or not all(word.isdigit() for word in said) or not int(said[1]):
        return None  # "max" or -1: no limit
    return int(said[0]) / int(said[1])
