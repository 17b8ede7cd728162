"""What an engine is made of, checked before its process is started. Blocking; run it in a thread or a command."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from adapters.llama_cpp.files import verify
from adapters.llama_cpp.gguf import GgufInfo, NotGguf, read_gguf
from adapters.llama_cpp.lora import Lora
from adapters.llama_cpp.memory import kv_misfit, needed_bytes
from gateway.domain.errors import ConfigurationError

_PART = re.compile(r"(.+)-[0-9]{5}-of-([0-9]{5})\.gguf")


class LoraSource(Protocol):
    """What the settings say of an adapter; `sha256` is what its file must have."""

    @property
    def path(self) -> Path: ...
    @property
    def sha256(self) -> str | None: ...
    @property
    def scale(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Needs:
    """What is in a model's file, its adapters, and the memory that the engine needs at most, in bytes."""

    info: GgufInfo
    loras: tuple[Lora, ...]
    memory: int


def needs(
    path: Path,
    context_tokens: int,
    kv_type: str,
    sources: Sequence[LoraSource],
    cache: Path,
    prefix_memory: int | None = 0,
) -> Needs:
    """What an engine with the model in `path` needs, with so many bytes for parked prefixes (None for as many as its KV
    cache has). Its adapters are there, have the hash that they must have, and are
    made for models of its architecture. Whether they are made for this very model, llama.cpp tells by their shapes when
    the engine starts.

    Raises `ConfigurationError`.
    """
    info = _read(path, str(path))
    if misfit := kv_misfit(info, kv_type):
        raise ConfigurationError(f"{path} cannot have the kv_type {kv_type}: {misfit}")
    found = [_adapter(source, info, cache) for source in sources]
    loras = tuple(Lora(source.path, source.scale) for source in sources)
    size = sum(adapter.file_bytes for adapter in found) + _other_parts(path)
    return Needs(info, loras, needed_bytes(info, context_tokens, kv_type, size, prefix_memory))


def _adapter(source: LoraSource, model: GgufInfo, cache: Path) -> GgufInfo:
    path = source.path
    info = _read(path, f"the LoRA adapter {path}")
    if source.sha256 is not None:
        verify(path, source.sha256.lower(), cache)
    if info.adapter != "lora":
        what = f"an adapter of the kind {info.adapter!r}" if info.adapter else "a model"
        raise ConfigurationError(f"{path} is {what}, not a LoRA adapter")
    if info.architecture != model.architecture:
        raise ConfigurationError(
            f"the LoRA adapter {path} is for models of the architecture {info.architecture!r}, this model's is "
            f"{model.architecture!r}"
        )
    return info


def _other_parts(path: Path) -> int:
    """The size of the other files of a model that is split over several, named as llama.cpp's gguf-split does."""
    split = _PART.fullmatch(path.name)
    if split is None:
        return 0
    others = path.parent.glob(f"{glob.escape(split[1])}-?????-of-{split[2]}.gguf")
    return sum(other.stat().st_size for other in others if other != path)


def _read(path: Path, what: str) -> GgufInfo:
    try:
        return read_gguf(path)
    except FileNotFoundError as error:
        raise ConfigurationError(f"{what} does not exist") from error
    except OSError as error:
        raise ConfigurationError(f"{what} cannot be read: {error.strerror}") from error
    except NotGguf as error:
        raise ConfigurationError(f"{what} is not a usable GGUF file: {error}") from error
