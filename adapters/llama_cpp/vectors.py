"""Vectors of numbers as they are sent. No I/O."""

from __future__ import annotations

import base64

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


def normalised(vectors: Vectors) -> Vectors:
    """Each row with the Euclidean length 1, as llama.cpp's server and OpenAI give it; a row of zeros stays one."""
    wide = vectors.astype(np.float64)
    length = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    return (wide / np.where(length > 0, length, 1.0)).astype(np.float32)


def shortened(vectors: Vectors, dimensions: int) -> Vectors:
    """The first numbers of each row, of length 1 again. For models that were trained for it (Matryoshka)."""
    return vectors if dimensions == vectors.shape[1] else normalised(vectors[:, :dimensions])


def packed(vector: Vectors) -> str:
    """32-bit floats, the lowest byte first, in base64: what OpenAI's SDK asks for."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()
