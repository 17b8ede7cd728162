"""One started detector for all tests that leave it whole."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.inspection.detector import PresidioDetector


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Session-wide, so that the detector can live as long."""
    return "asyncio"


@pytest.fixture(scope="session")
async def detector(anyio_backend: str) -> AsyncIterator[PresidioDetector]:
    """Started, with one process."""
    started = PresidioDetector(processes=1)
    await started.start()
    yield started
    await started.aclose()
