"""What the tests of the promises share: a cloud that shows what arrived, and a local model that needs no training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.live import Cloud, scripted_cloud
from support.tiny_gguf import write_tiny_gguf


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """A scripted cloud of the module's own."""
    with scripted_cloud() as running:
        yield running


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF file of random weights: it loads in no time and talks nonsense."""
    return write_tiny_gguf(tmp_path_factory.mktemp("model") / "tiny.gguf")
