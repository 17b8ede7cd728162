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


class NotGguf(Exception):
    """The file is not a readable GGUF file; `str()` says why."""


@dataclass(frozen=True, slots=True)
class GgufInfo:
    """What a model file says of itself. `context_tokens` is what the model was trained with, 0 when it does not say;
    `file_bytes` the size of the file."""

    version: int
    architecture: str
    name: str
    context_tokens: int
    has_chat_template: bool
    tensors: int
    split_files: int
    file_bytes: int


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
            except (struct.error, UnicodeDecodeError, IndexError, KeyError) as error:
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
            split_files=int(entries.get("split.count", 0) or 0),
            file_bytes=len(self._view),
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
        """A scalar or a string; an array (a vocabulary, say) is skipped."""
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY:
            return self._number(_SCALARS[kind])
        inner, count = self._number("I"), self._number("Q")
        if inner == _STRING:
            sizes = struct.Struct("<Q")
            for _ in range(count):
                self._at += sizes.size + sizes.unpack_from(self._view, self._at)[0]
        else:
            self._at += struct.calcsize("<" + _SCALARS[inner]) * count
        return None
