"""What a target that makes embeddings has in its settings, and one that chats has not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.documents import Node

POOLINGS: Final = ("model", "mean", "cls", "last")
"""How one embedding comes of those of all tokens: as the model's file says, their mean, the first, the last."""


def makes_embeddings(node: Node, found: Mapping[str, Node]) -> bool:
    """Whether the target in `node`, with the settings `found`, makes embeddings."""
    embeddings = "embeddings" in found and found["embeddings"].boolean()
    if not embeddings and "max_output_tokens" not in found:
        node.fail("missing key 'max_output_tokens'")
    if embeddings and "max_output_tokens" in found:
        found["max_output_tokens"].fail("an embedding has no output tokens")
    for key in ("pooling", "least_dimensions"):
        if key in found and not embeddings:
            found[key].fail(f"'{key}' is a setting of targets with 'embeddings: true'")
    for key in ("kv_type", "lora", "share_prefixes", "prefix_memory"):
        if key in found and embeddings:
            found[key].fail(f"'{key}' is for models that chat: an embedding is made without it")
    return embeddings
