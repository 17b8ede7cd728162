"""A LoRA adapter, as the engine's process is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Lora:
    """What the adapter in a file adds to the weights is multiplied by `scale`."""

    path: Path
    scale: float = 1.0
