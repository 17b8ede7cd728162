"""A light reader of GGUF metadata: enough to say what a file is, without loading it.

Source: the GGUF specification (ggml-org/ggml docs/gguf.md), versions 2 and 3.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAGIC = b"GGUF"
_MAX_ENTRIES = 100_000
_MAX_STRING = 16 * 1024 * 1024
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_KEPT_ITEMS = 4096  # one number per layer is kept, a vocabulary is not
_HALF_BYTES = 2
# fmt: off
_QUANTISATIONS = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S",
    12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K",
    19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL",
    26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16",
    36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4_MOE",
}  # enum llama_ftype in llama.h
# fmt: on


class NotGguf(Exception):
    """The file is not a readable GGUF file; `str()` says why."""


@dataclass(frozen=True, slots=True)
class GgufInfo:
    """What a model file says of itself. `context_tokens` is what the model was trained with, 0 when it does not say;
    `file_bytes` the size of the file. `quantisation` is empty when the file does not say. `kv_bytes_per_token` is what
    the attention keeps of a token in 16-bit numbers, 0 when it cannot be told; models that look back on a window only,
    or have recurrent layers, need less."""

    version: int
    architecture: str
    name: str
    context_tokens: int
    has_chat_template: bool
    tensors: int
    split_files: int
    file_bytes: int
    quantisation: str = ""
    kv_bytes_per_token: int = 0
    head_sizes: tuple[int, ...] = ()
    adapter: str = ""


def is_gguf(path: Path) -> bool:
    """Does the file begin with the magic? Raises `OSError`."""
    with path.open("rb") as file:
        return file.read(4) == MAGIC


def read_gguf(path: Path) -> GgufInfo:
    """The metadata of `path`. Raises `OSError` and `NotGguf`."""
    with path.open("rb") as file:
        if file.read(4) != MAGIC:
            raise NotGguf("it does not begin with the letters GGUF")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            try:
                return _Reader(view).info()
            except (struct.error, ValueError, OverflowError, IndexError, KeyError) as error:
                raise NotGguf("its header is cut or damaged") from error


class _Reader:
    def __init__(self, view: mmap.mmap) -> None:
        self._view = view
        self._at = len(MAGIC)

    def info(self) -> GgufInfo:
        version = self._number("I")
        if version not in (2, 3):
            raise NotGguf(f"its GGUF version is {version}; versions 2 and 3 are known")
        tensors, count = self._number("Q"), self._number("Q")
        if count > _MAX_ENTRIES:
            raise NotGguf("its header is damaged")
        entries: dict[str, Any] = {}
        for _ in range(count):
            key = self._string()
            entries[key] = self._value(self._number("I"))
        architecture = str(entries.get("general.architecture", ""))
        context = entries.get(f"{architecture}.context_length", 0)
        return GgufInfo(
            version=version,
            architecture=architecture,
            name=str(entries.get("general.name", "")),
            context_tokens=context if isinstance(context, int) else 0,
            has_chat_template="tokenizer.chat_template" in entries,
            tensors=tensors,
            split_files=_whole(entries.get("split.count")),
            file_bytes=len(self._view),
            quantisation=_QUANTISATIONS.get(_whole(entries.get("general.file_type", -1)), ""),
            kv_bytes_per_token=_kv_bytes(entries, architecture),
            head_sizes=_head_sizes(entries, architecture),
            adapter=str(entries.get("adapter.type", "unknown")) if entries.get("general.type") == "adapter" else "",
        )

    def _number(self, code: str) -> int:
        layout = struct.Struct("<" + code)
        (value,) = layout.unpack_from(self._view, self._at)
        self._at += layout.size
        return int(value)

    def _string(self) -> str:
        size = self._number("Q")
        if size > _MAX_STRING or self._at + size > len(self._view):
            raise NotGguf("its header is cut or damaged")
        text = self._view[self._at : self._at + size].decode("utf-8", "replace")
        self._at += size
        return text

    def _value(self, kind: int) -> Any:
        """A scalar, a string, or a short array of numbers; another array (a vocabulary, say) is skipped."""
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY:
            return self._number(_SCALARS[kind])
        inner, count = self._number("I"), self._number("Q")
        if inner == _STRING:
            sizes = struct.Struct("<Q")
            for _ in range(count):
                self._at += sizes.size + sizes.unpack_from(self._view, self._at)[0]
        elif count <= _KEPT_ITEMS:
            return [self._number(_SCALARS[inner]) for _ in range(count)]
        else:
            self._at += struct.calcsize("<" + _SCALARS[inner]) * count
        return None


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _kv_bytes(entries: dict[str, Any], architecture: str) -> int:
    """Keys and values of all layers for one token, from the names of the GGUF specification."""
    layers, heads = _whole(entries.get(f"{architecture}.block_count")), _heads(entries, architecture)
    shared = entries.get(f"{architecture}.attention.head_count_kv", heads)
    per_layer = shared if isinstance(shared, list) else [_whole(shared)] * min(layers, _KEPT_ITEMS)
    return sum(per_layer) * sum(_head_sizes(entries, architecture)) * _HALF_BYTES


def _head_sizes(entries: dict[str, Any], architecture: str) -> tuple[int, ...]:
    heads = _heads(entries, architecture)
    most = max(heads, default=0) if isinstance(heads, list) else _whole(heads)
    usual = _whole(entries.get(f"{architecture}.embedding_length")) // most if most else 0
    said = [_whole(entries.get(f"{architecture}.attention.{name}_length")) for name in ("key", "value")]
    return tuple(size or usual for size in said) if any((*said, usual)) else ()


def _heads(entries: dict[str, Any], architecture: str) -> Any:
    return entries.get(f"{architecture}.attention.head_count")
