"""Putting policy files where a gateway reads them, so that it sees all of the new ones or all of the old ones.

The folder that the gateway reads is a link to a release; a release is a folder that is written once. Publishing makes
a new release and points the link to it, which is one step for the file system.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from gateway.domain.errors import ConfigurationError
from gateway.domain.files import sync_folder


def publish(files: Mapping[str, bytes], to: Path, hash: str, at: datetime) -> Path:
    """Make `to` a link to a new release with these files, named by time and hash; the earlier releases stay, so that
    the link can be pointed back. Raises `ConfigurationError`, and then nothing has changed for the gateway."""
    link = Path(os.path.abspath(to))
    if link.exists() and not link.is_symlink() and not _is_empty_folder(link):
        raise ConfigurationError(
            f"{to}: is not a folder that was published to: publishing makes it a link, so that all files change at "
            "once. Move it away, or name a folder that is not there yet"
        )
    release = link.parent / f".{link.name}.releases" / f"{at.astimezone(UTC):%Y%m%dT%H%M%S%fZ}-{hash[:12]}"
    try:
        for name, data in files.items():
            _write(release / name, data)
        sync_folder(release)
        draft = link.with_name(f".{link.name}.{os.getpid()}.link")
        draft.unlink(missing_ok=True)
        draft.symlink_to(release.relative_to(link.parent), target_is_directory=True)
        if not link.is_symlink() and link.is_dir():
            link.rmdir()
        draft.replace(link)
        sync_folder(link.parent)
    except OSError as problem:
        raise ConfigurationError(f"{to}: cannot be published to: {problem.strerror}") from problem
    return release


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
