"""Tests of `adapters.llama_cpp.cores`: the kernel's files are real text in a folder of the test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from adapters.llama_cpp import cores
from adapters.llama_cpp.cores import default_threads, granted_cores


def _machine(root: Path, monkeypatch: pytest.MonkeyPatch, groups: str, files: dict[str, str], count: int) -> None:
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: set(range(count)), raising=False)
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, content in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


@pytest.mark.parametrize(
    ("groups", "files", "count", "granted", "threads"),
    [
        ("0::/\n", {}, 64, 64, 32),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 4, 4, 3),
        ("0::/a/b\n", {"a/cpu.max": "400000 100000\n", "a/b/cpu.max": "max 100000\n"}, 64, 4, 3),
        ("0::/a/b\n", {"a/cpu.max": "800000 100000\n", "a/b/cpu.max": "250000 100000\n"}, 64, 2.5, 1),
        ("0::/on/the/host\n", {"cpu.max": "1600000 100000\n"}, 64, 16, 8),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 8, 0.5, 1),
        ("0::/\n", {"cpu.max": "6400000 100000\n"}, 2, 2, 1),
        ("3:cpu,cpuacct:/x\n", {"cpu/x/cpu.cfs_quota_us": "300000\n", "cpu/x/cpu.cfs_period_us": "100000\n"}, 64, 3, 2),
        ("3:cpu:/x\n", {"cpu/x/cpu.cfs_quota_us": "-1\n", "cpu/x/cpu.cfs_period_us": "100000\n"}, 8, 8, 4),
        ("3:memory:/x\n", {}, 8, 8, 4),
    ],
    ids=["none", "no limit", "above", "own", "container", "half", "affinity", "version 1", "no limit 1", "not cpu"],
)
def test_threads_suit_the_cores_granted(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    groups: str,
    files: dict[str, str],
    count: int,
    granted: float,
    threads: int,
) -> None:
    """A container with a CPU limit gets threads for its limit, not for the cores of the host."""
    _machine(tmp_path, monkeypatch, groups, files, count)
    assert granted_cores(tmp_path) == granted
    assert default_threads(tmp_path) == threads


def test_here_some_cores_are_granted() -> None:
    """On the real machine, the figure is one that can be."""
    assert 0 < granted_cores() <= (os.cpu_count() or 1)
    assert 1 <= default_threads() <= (os.cpu_count() or 1)
