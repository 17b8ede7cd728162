"""What the end-to-end tests share: OpenAI's SDK with one gateway behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from openai import OpenAI

from support.sdk import Sdk, open_sdk
from support.tiny_gguf import write_tiny_gguf


@pytest.fixture(scope="session")
def session_sdk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sdk]:
    """The local model has random weights: it loads in no time and talks nonsense."""
    model = write_tiny_gguf(tmp_path_factory.mktemp("model") / "tiny.gguf")
    with open_sdk(tmp_path_factory.mktemp("sdk"), model) as opened:
        yield opened


@pytest.fixture
def sdk(session_sdk: Sdk) -> Sdk:
    """With nothing sent yet."""
    session_sdk.cloud.forget()
    session_sdk.sent.clear()
    return session_sdk


@pytest.fixture
def client(sdk: Sdk) -> Iterator[OpenAI]:
    with sdk.client() as opened:
        yield opened
