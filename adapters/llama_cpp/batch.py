"""The batch of one step, as llama.cpp wants it: arrays that are allocated once and filled through NumPy."""

from __future__ import annotations

import ctypes
from typing import Any

import llama_cpp as native
import numpy as np

from adapters.llama_cpp.decoding import Part


class Batch:
    """Room for `size` tokens."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._tokens = np.zeros(size, np.int32)
        self._positions = np.zeros(size, np.int32)
        self._places = np.zeros(size, np.int32)
        self._counts = np.ones(size, np.int32)
        self._sampled = np.zeros(size, np.int8)
        first = self._places.ctypes.data
        self._pointers = np.arange(first, first + 4 * size, 4, dtype=np.uintp)
        batch = native.llama_batch()
        batch.token = _pointer(self._tokens, batch, "token")
        batch.pos = _pointer(self._positions, batch, "pos")
        batch.n_seq_id = _pointer(self._counts, batch, "n_seq_id")
        batch.seq_id = _pointer(self._pointers, batch, "seq_id")
        batch.logits = _pointer(self._sampled, batch, "logits")
        self._batch = batch

    def fill(self, parts: list[Part]) -> tuple[Any, list[int]]:
        """The batch, and for each part the row of its last token. Together they may have `size` tokens."""
        tokens: list[int] = []
        positions: list[int] = []
        places: list[int] = []
        rows: list[int] = []
        for part in parts:
            count = len(part.tokens)
            tokens += part.tokens
            positions += range(part.start, part.start + count)
            places += [part.place] * count
            rows.append(len(tokens) - 1)
        size = len(tokens)
        self._tokens[:size] = tokens
        self._positions[:size] = positions
        self._places[:size] = places
        self._sampled[:size] = 0
        self._sampled[[row for row, part in zip(rows, parts, strict=True) if part.sampled]] = 1
        self._batch.n_tokens = size
        return self._batch, rows


def _pointer(array: Any, batch: Any, name: str) -> Any:
    kind = {field[0]: field[1] for field in batch._fields_}[name]
    return ctypes.cast(array.ctypes.data, kind)
