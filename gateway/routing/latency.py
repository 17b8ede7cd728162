"""Measured time to first token per target, as an exponentially weighted mean."""

from __future__ import annotations

_WEIGHT = 0.2  # of the newest measurement: follows a change within about ten requests, ignores one outlier


class LatencyBook:
    """Seconds to the first token, by target id; falls back to what the target declares."""

    def __init__(self) -> None:
        self._mean: dict[str, float] = {}

    def observe(self, target: str, seconds: float) -> None:
        before = self._mean.get(target)
        self._mean[target] = seconds if before is None else before + _WEIGHT * (seconds - before)

    def expected(self, target: str, declared: float | None) -> float | None:
        """The measured mean, else `declared`, else None (unknown)."""
        return self._mean.get(target, declared)
