"""The policy in force: loaded at start or not at all, replaced by a better one or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from gateway.documents import Problem, contents
from gateway.domain.decision import PolicyId
from gateway.domain.errors import ConfigurationError
from gateway.policy.compile import CompiledPolicy, compile_policy
from gateway.policy.load import load


def _utc_now() -> datetime:
    return datetime.now(UTC)


class PolicyStore:
    """Holds the policy of one file.

    `detectable` is every entity that the detector can find; it only serves the warnings. In the folder `archive` each
    policy is kept as ``<hash>.yaml`` before it decides anything: a decision can only be recomputed with the policy
    that made it. Reading `current` is one attribute read, so a decision that has begun keeps its policy while a new
    one is swapped in.
    """

    def __init__(
        self,
        path: Path,
        *,
        detectable: frozenset[str] | None = None,
        archive: Path | None = None,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        """Raises `DocumentError` (a bad file) or `ConfigurationError` (no file, or it cannot be archived): without a
        policy nothing starts."""
        self._path = path
        self._detectable = detectable
        self._archive = archive
        self._now = now
        self._seen = b""
        self._current, self._warnings = self._load()
        self._loaded_at = now()
        self._last_error = ""

    @property
    def current(self) -> CompiledPolicy:
        return self._current

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What `current` was warned about when it was loaded."""
        return self._warnings

    @property
    def loaded_at(self) -> datetime:
        """When `current` was loaded (UTC)."""
        return self._loaded_at

    @property
    def last_error(self) -> str:
        """Why the latest `reload` failed; empty if it did not. `current` is then older than the file."""
        return self._last_error

    @property
    def seen(self) -> bytes:
        """What `look` gave when the file was last loaded, with success or without."""
        return self._seen

    def look(self) -> bytes:
        """A digest of what the file holds now, or of why it cannot be read. Blocks on reading."""
        try:
            return hashlib.sha256(contents(self._path)).digest()
        except ConfigurationError as problem:
            return str(problem).encode()

    def reload(self) -> PolicyId:
        """Read the file again and put it in force. If that raises (`ConfigurationError`), the last good policy
        goes on serving. Blocks on reading and compiling; call it off the event loop."""
        try:
            current, warnings = self._load()
        except ConfigurationError as problem:
            self._last_error = str(problem)
            raise
        self._current, self._warnings = current, warnings
        self._loaded_at = self._now()
        self._last_error = ""
        return current.id

    def _load(self) -> tuple[CompiledPolicy, tuple[Problem, ...]]:
        try:
            data = contents(self._path)
        except ConfigurationError as problem:
            self._seen = str(problem).encode()
            raise
        self._seen = hashlib.sha256(data).digest()
        policy, warnings = load(data, str(self._path), detectable=self._detectable, today=self._now().date())
        compiled = compile_policy(policy)
        if self._archive is not None:
            _keep(self._archive / f"{compiled.id.hash}.yaml", data)
        return compiled, warnings


def _keep(kept: Path, data: bytes) -> None:
    """These bytes and no others: the file may have changed again since they were read. Durable, as records are."""
    if kept.exists():
        return
    draft = kept.with_name(f"{kept.name}.{os.getpid()}.part")
    try:
        for folder in (kept.parent.parent, kept.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(kept)
    except OSError as problem:
        raise ConfigurationError(f"{kept}: cannot be written: {problem.strerror}") from problem
