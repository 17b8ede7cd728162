"""The wire formats that callers may speak, each at a path of its own; every one of them goes the same way."""

from __future__ import annotations

from typing import Final

from gateway.dialects import openai_chat, openai_embeddings
from gateway.dialects.fields import tree_of
from gateway.pipeline.shapes import Dialect

DIALECTS: Final[tuple[Dialect, ...]] = (openai_chat, openai_embeddings)


def dialect_of(body: bytes) -> Dialect:
    """The wire format of a request that came without its path. Raises `GatewayError` for what is no JSON object."""
    tree = tree_of(body)
    return openai_embeddings if "input" in tree and "messages" not in tree else openai_chat
