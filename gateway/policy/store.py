"""The policy in force: loaded at start or not at all, replaced by a better one or not at all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from gateway.documents import Problem
from gateway.domain.decision import PolicyId
from gateway.domain.errors import ConfigurationError
from gateway.policy.compile import CompiledPolicy, compile_policy
from gateway.policy.load import load


def _utc_now() -> datetime:
    return datetime.now(UTC)


class PolicyStore:
    """Holds the policy of one file.

    `detectable` is every entity that the detector can find; it only serves the warnings. Reading `current` is one
    attribute read, so a decision that has begun keeps its policy while a new one is swapped in.
    """

    def __init__(
        self,
        path: Path,
        *,
        detectable: frozenset[str] | None = None,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        """Raises `DocumentError` (a bad file) or `ConfigurationError` (no file): without a policy nothing starts."""
        self._path = path
        self._detectable = detectable
        self._now = now
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
        policy, warnings = load(self._path, detectable=self._detectable, today=self._now().date())
        return compile_policy(policy), warnings
