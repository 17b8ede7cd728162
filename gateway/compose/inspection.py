"""Inspection, put together: recognisers, the cache of what they found, and the memory of conversations."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from gateway.domain.errors import ConfigurationError
from gateway.identity.secrets import derive
from gateway.inspection.answers import AnswerMasker
from gateway.inspection.cache import CachedDetector
from gateway.inspection.cache_redis import RedisSpans
from gateway.inspection.detector import PresidioDetector
from gateway.inspection.history import HistoryInspector
from gateway.inspection.inspector import Inspector
from gateway.inspection.version import detector_version
from gateway.settings import Settings
from gateway.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Inspecting:
    """What looks into requests, and into answers where the policy asks for it."""

    inspector: Inspector
    masker: AnswerMasker


def new_detector(settings: Settings) -> PresidioDetector:
    """The configured recognisers; not started."""
    inspection = settings.inspection
    return PresidioDetector(processes=inspection.processes, registry=inspection.registry.to_json())


async def open_inspection(
    settings: Settings, detector: PresidioDetector, secret: bytes, metrics: Metrics, stack: AsyncExitStack
) -> Inspecting:
    """Start the detector, with the cache in front of it that the settings ask for."""
    inspection = settings.inspection
    stack.push_async_callback(detector.aclose)
    await detector.start()
    masker = AnswerMasker(detector, detector.scan_now, inspection.timeout)
    if not inspection.cache_bytes:
        return Inspecting(Inspector(detector, inspection.timeout), masker)
    key = derive(secret, "span-cache")
    second = _second_level(settings, key)
    if second is not None:
        troubles = second.figures
        metrics.watch_cache(
            lambda: {"error": troubles.errors, "refused": troubles.refused, "dropped": troubles.dropped}
        )
    cached = CachedDetector(
        detector,
        key=key,
        version=detector_version(inspection.registry),
        limit=inspection.cache_bytes * 2 // 3,
        second=second,
    )
    stack.push_async_callback(cached.aclose)  # before the detector is closed
    inspector = HistoryInspector(cached, inspection.timeout, key=key, limit=inspection.cache_bytes // 3)
    figures = cached.figures
    metrics.watch_inspection(
        lambda: {
            "memory": figures.hits + figures.joined,
            "redis": figures.remote_hits,
            "scanned": figures.misses,
            "history": inspector.taken_over,
        }
    )
    return Inspecting(inspector, masker)


def _second_level(settings: Settings, key: bytes) -> RedisSpans | None:
    if not settings.inspection.cache_in_redis:
        return None
    url = settings.storage.redis_url
    if url is None:
        raise ConfigurationError("inspection: cache_in_redis needs a Redis: storage: redis_env is missing")
    try:
        return RedisSpans.open(url, key=key)
    except ValueError:
        raise ConfigurationError(
            "inspection: the Redis for the cache is not a URL such as redis://host:6379/0"
        ) from None
