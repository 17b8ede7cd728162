"""The network, computed with numpy: word vectors that are kept, then convolutions over the words of a text.

The first convolution is linear in the word vectors, so what a word adds to its neighbours is computed once for each
word and kept: for a known word that layer costs a few additions.
"""

from __future__ import annotations

import math
import mmap
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.inspection.tagger.features import LONGEST, rows
from gateway.inspection.tagger.lexicon import Lexicon

Floats = NDArray[np.float32]

BLOCK = 2048
"""Words computed at once: the arrays of a block stay in the processor's cache."""

KEPT_WORDS = 8192
"""Words whose contributions are kept; with more, all are forgotten and made anew."""

_AT_ONCE: int = getattr(mmap, "MAP_POPULATE", 0)  # Linux


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution: `weights` (words · input width, output width), `distance` between the words it looks at."""

    weights: Floats
    bias: Floats
    distance: int


@dataclass(frozen=True, slots=True)
class Weights:
    """Everything that was trained. `first` is (window, embedding width, hidden width); a row of the embedding is in
    eight bits, times its step."""

    embedding: NDArray[np.int8]
    embedding_steps: Floats
    embedding_bias: Floats
    first: Floats
    first_bias: Floats
    layers: tuple[Layer, ...]
    output: Floats
    output_bias: Floats


class _Kept:
    """Contributions of the words seen so far; one table for each place of the window. Row 0 stands for no word."""

    __slots__ = ("numbers", "tables")

    def __init__(self, window: int, hidden: int) -> None:
        self.numbers: dict[str, int] = {}
        shape = (window, 1 + KEPT_WORDS, hidden)
        # Memory of its own, full of zeros: what malloc gives back to the system depends on what lies above it, and the
        # process would keep a second such table for hours. All at once, where that can be: a process that has its full
        # size from the start does not look as if it leaked for a day.
        size = math.prod(shape) * np.dtype(np.float32).itemsize
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _AT_ONCE)
        self.tables: Floats = np.frombuffer(memory, np.float32).reshape(shape)


class Network:
    """Probabilities of the labels for the tokens of a text. May be used by several threads at once."""

    def __init__(self, weights: Weights, lexicon: Lexicon) -> None:
        self.weights = weights
        self.lexicon = lexicon
        self._window, self._width, self._hidden = weights.first.shape
        self._kept = _Kept(self._window, self._hidden)
        self._lock = threading.Lock()
        self.reach = self._window // 2 + sum(layer.distance for layer in weights.layers)

    def scores(self, pieces: Sequence[str]) -> Floats:
        """One row of label scores (natural logarithms, not normalised) for each token."""
        if len(pieces) <= BLOCK + self.reach:
            return self._block(pieces)
        parts = []
        for start in range(0, len(pieces), BLOCK):
            first = max(0, start - self.reach)
            part = self._block(pieces[first : start + BLOCK + self.reach])
            parts.append(part[start - first : start - first + BLOCK])
        return np.concatenate(parts)

    def _block(self, pieces: Sequence[str]) -> Floats:
        kept, numbers = self._numbers(pieces)
        weights, count, middle = self.weights, len(pieces), self._window // 2
        padded = np.zeros(count + 2 * middle, np.intp)  # row 0 is nothing
        padded[middle : middle + count] = numbers
        state = kept.tables[0].take(padded[:count], axis=0)
        for place in range(1, self._window):  # the word at i + place - middle adds to the word at i
            state += kept.tables[place].take(padded[place : place + count], axis=0)
        state += weights.first_bias
        np.maximum(state, 0, out=state)
        for layer in weights.layers:
            state = self._convolved(state, layer)
        scores: Floats = state @ weights.output
        scores += weights.output_bias
        return scores

    def _convolved(self, state: Floats, layer: Layer) -> Floats:
        width, far = state.shape[1], layer.distance
        change: Floats = state @ layer.weights[width : 2 * width]
        change += layer.bias
        if len(state) > far:
            change[far:] += state[:-far] @ layer.weights[:width]
            change[:-far] += state[far:] @ layer.weights[2 * width :]
        np.maximum(change, 0, out=change)
        change += state
        return change

    def _numbers(self, pieces: Sequence[str]) -> tuple[_Kept, NDArray[np.intp]]:
        kept = self._kept
        numbers = list(map(kept.numbers.get, pieces))
        if None in numbers:
            short = [piece[:LONGEST] for piece in pieces]
            with self._lock:
                kept = self._with(short)
            numbers = [kept.numbers[piece] for piece in short]
        return kept, np.array(numbers, np.intp)

    def _with(self, pieces: list[str]) -> _Kept:
        """Contributions of all these words, computed where they were not kept."""
        kept = self._kept
        new = [piece for piece in dict.fromkeys(pieces) if piece not in kept.numbers]
        if len(kept.numbers) + len(new) > KEPT_WORDS:
            kept = self._kept = _Kept(self._window, self._hidden)
            new = list(dict.fromkeys(pieces))
        if not new:
            return kept
        weights, first = self.weights, 1 + len(kept.numbers)
        described = np.array([rows(piece, self.lexicon.word(piece.strip())) for piece in new], np.intp)
        vectors = (weights.embedding[described] * weights.embedding_steps[described]).sum(axis=1)
        vectors += weights.embedding_bias
        np.maximum(vectors, 0, out=vectors)
        for place in range(self._window):
            kept.tables[place, first : first + len(new)] = vectors @ weights.first[place]
        kept.numbers.update(zip(new, range(first, first + len(new)), strict=True))
        return kept
