"""What the control groups of this process say. Source: the kernel's cgroup-v2.rst and cgroup-v1/."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def folders(controller: str, root: Path = Path("/")) -> Iterator[tuple[int, Path]]:
    """The folders that may limit this process for a controller (``memory``, ``cpu``), each with the version (1 or 2) of
    its interface: its own group's and all above it. In a container the group's path may be that of the host, of which
    only the mount's own root is to be seen. Nothing where there are no control groups. `root` is for tests."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:
            version, mount = 2, root / "sys/fs/cgroup"
        elif controller in controllers.split(","):
            version, mount = 1, root / "sys/fs/cgroup" / controller
        else:
            continue
        inner = mount / group.lstrip("/")
        for folder in (inner, *inner.parents):
            if folder == mount or mount in folder.parents:
                yield version, folder


def words(path: Path) -> list[str]:
    """The words in a file; none where it is not there."""
    try:
        return path.read_text().split()
    except OSError:
        return []
