"""A table of words: cluster, how often and with which capital a word is written, and in which lists it is.

Kept as sorted 32-bit hashes with a few bytes each, so that a quarter of a million words are 3 MB and need no
parsing. Two words with one hash are taken for each other; about one unknown word in fifteen thousand is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.inspection.tagger.features import key

FIRST_NAME, LAST_NAME, CITY, REGION, STREET, ORGANISATION, GROUP, FAMOUS = (1 << bit for bit in range(8))
"""The lists that a word may be in."""


@dataclass(frozen=True, slots=True)
class Word:
    """What is known of a word; zeros where nothing is."""

    vocabulary: int
    lower_cluster: int
    title_cluster: int
    use: int
    lists: int


UNKNOWN = Word(0, 0, 0, 0, 0)


class Lexicon:
    """Words by the hash of their lower case. `fields` has a row for each hash, in the order of `Word`."""

    def __init__(self, hashes: NDArray[np.uint32], fields: tuple[NDArray[Any], ...]) -> None:
        self._hashes = hashes
        self._fields = fields

    def word(self, text: str) -> Word:
        """What is known of a word, in whatever case it is written."""
        wanted = key(text)
        at = int(np.searchsorted(self._hashes, np.uint32(wanted)))
        if at == len(self._hashes) or int(self._hashes[at]) != wanted:
            return UNKNOWN
        return Word(*(int(field[at]) for field in self._fields))
