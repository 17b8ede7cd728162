"""The few tokens that can be next, picked out of a row of logits before llama.cpp's samplers see them.

They take a record for each token of the vocabulary, and sort: for 150,000 tokens that is more than half a millisecond
for each token of each answer, one after the other. Where only the best few can be chosen, NumPy finds those in a tenth
of the time, and the samplers do the rest with these, with the same result.
"""

from __future__ import annotations

import ctypes
from typing import Any

import llama_cpp as native
import numpy as np
from numpy.typing import NDArray

from adapters.llama_cpp import cheap

_COLUMNS = 512  # the best of each are looked at first
_ROOM = 2 * _COLUMNS
MOST = _COLUMNS // 4
"""The longest list that is worth picking."""

WORTH = 8 * _COLUMNS
"""A vocabulary that has fewer tokens is sampled as quickly without."""

_RECORD = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])  # llama_token_data


class Shortlist:
    """For a chain of samplers that looks at no more than the best `count` tokens (1 to `MOST`) of `vocabulary` (at
    least `WORTH`), after `bias` was added to the logits of some."""

    def __init__(self, vocabulary: int, count: int, bias: tuple[tuple[int, float], ...]) -> None:
        self._vocabulary, self._count = vocabulary, count
        self._biased = np.array([token for token, _ in bias], np.intp)
        self._bias = np.array([value for _, value in bias], np.float32)
        self._records = np.zeros(_ROOM, _RECORD)
        self._pointer = ctypes.cast(self._records.ctypes.data, native.llama_token_data_p)

    def choose(self, chain: Any, context: Any, row: int) -> int | None:
        """The token that `chain` chooses of a row of logits. None where the list would be long: many tokens are
        equally likely, or a logit is not a number."""
        logits = np.ctypeslib.as_array(cheap.logits(context, row), (self._vocabulary,))
        if len(self._biased):
            logits = logits.copy()
            np.add.at(logits, self._biased, self._bias)
        tokens = best(logits, self._count)
        size = len(tokens)
        if not 0 < size <= _ROOM:
            return None
        self._records["id"][:size] = tokens
        self._records["logit"][:size] = logits[tokens]
        candidates = native.llama_token_data_array(self._pointer, size, -1, False)
        cheap.llama_sampler_apply(chain, ctypes.byref(candidates))
        return int(candidates.data[candidates.selected].id)


def best(logits: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """The best `count` places, and perhaps some more that are next best: in ascending order, not by value. Nothing
    where a logit is not a number."""
    rows = len(logits) // _COLUMNS
    table = logits[: rows * _COLUMNS].reshape(rows, _COLUMNS)
    highest = table.max(axis=0)
    # So many columns have a logit that is not below this bound; hence the best `count` are not, either.
    bound = np.partition(highest, _COLUMNS - count)[_COLUMNS - count]
    return np.flatnonzero(logits >= bound)
