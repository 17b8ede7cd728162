"""The cache that the settings ask for: a Redis that is not there costs a count, never a finding."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.compose.inspection import open_inspection
from gateway.dialects.openai_chat import GRAMMAR
from gateway.domain.errors import ConfigurationError
from gateway.settings import Settings, load_settings
from gateway.telemetry.metrics import Metrics
from support.detectors import ListedDetector
from support.exposure import NAME
from support.live import Setup, cloud_target

pytestmark = pytest.mark.anyio


def settings_of(folder: Path, redis: str | None) -> Settings:
    setup = Setup(folder, [cloud_target("cloud", "http://127.0.0.1:9/v1")], {"auto": "{targets: [cloud]}"})
    config = setup.write()
    text = config.read_text() + "\ninspection: {cache_in_redis: true}\n"
    if redis is not None:
        text = text.replace("storage: {", "storage: {redis_env: THE_REDIS, ")
    config.write_text(text)
    return load_settings(config, environ={**setup.environ, "THE_REDIS": redis or ""})


async def test_a_redis_that_is_not_there_is_counted_and_texts_are_scanned(tmp_path: Path) -> None:
    """What would be in the cache is found by the detector, and the metrics say that calls failed."""
    detector: Any = ListedDetector()
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        settings = settings_of(tmp_path, "redis://127.0.0.1:1/0")
        inspecting = await open_inspection(settings, detector, b"k" * 32, metrics, stack)
        text = f"{NAME} wrote. " + "Nothing in this sentence is about anybody. " * 40
        tree: Any = {"model": "auto", "messages": [{"role": "user", "content": text}]}
        inspection = await inspecting.inspector.inspect(tree, GRAMMAR)
        assert [found.entity for found in inspection.found] == ["PERSON"]
    figures = metrics.render()[0].decode()
    errors = next(
        line for line in figures.splitlines() if line.startswith('bailiwick_cache_troubles_total{kind="error"}')
    )
    assert float(errors.split()[-1]) >= 1


async def test_a_cache_in_a_redis_that_nobody_named_is_an_error(tmp_path: Path) -> None:
    """The message names both settings."""
    async with AsyncExitStack() as stack:
        with pytest.raises(ConfigurationError, match=r"cache_in_redis.*redis_env"):
            await open_inspection(settings_of(tmp_path, None), ListedDetector(), b"k" * 32, Metrics(), stack)  # type: ignore[arg-type]
