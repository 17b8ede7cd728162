"""Circuit breaker: a target that keeps failing is left alone for a while."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class _State:
    failures: int = 0
    open_until: float = 0.0


class Breaker:
    """Opens after `threshold` failures in a row, for `pause` seconds; then one request in `pause` seconds may try."""

    def __init__(self, monotonic: Callable[[], float], threshold: int = 5, pause: float = 10.0) -> None:
        self._monotonic = monotonic
        self._threshold = threshold
        self._pause = pause
        self._states: dict[str, _State] = {}

    def waiting(self, target: str) -> float:
        """Seconds until the target may be tried again; 0 when it may be tried now."""
        state = self._states.get(target)
        return max(0.0, state.open_until - self._monotonic()) if state else 0.0

    def succeeded(self, target: str) -> None:
        self._states.pop(target, None)

    def failed(self, target: str) -> None:
        state = self._states.setdefault(target, _State())
        state.failures += 1
        if state.failures >= self._threshold:
            state.open_until = self._monotonic() + self._pause
