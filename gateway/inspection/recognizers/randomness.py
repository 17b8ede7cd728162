"""Is a string random, as keys are, or made of words, as names in programs are?"""

from __future__ import annotations

import math
import re

_MIN_ENTROPY = 3.0  # bits a character; English words and identifiers of this length lie below, random strings above
_DIGITS = re.compile(r"[0-9]")
_LETTERS = re.compile(r"[A-Za-z]")
_CHANGE = re.compile(r"[a-z](?=[A-Z0-9])|[A-Z](?=[a-z0-9])|[0-9](?=[A-Za-z])")
_SEQUENCES = re.compile(r"0123456|1234567|abcdef[^0-9]|ABCDEFGH|(.)\1{5}|x{4}|X{4}")


def looks_random(value: str) -> bool:
    """Random by entropy and by how often letters, capitals and digits take turns; one with digits and letters only.

    A name such as ``get_user_token_v2`` changes between them seldom, a sequence such as ``1234567`` is nobody's key.
    """
    digits, letters = len(_DIGITS.findall(value)), len(_LETTERS.findall(value))
    if digits == 0 or letters == 0:
        return False
    changes = len(_CHANGE.findall(value)) / len(value)
    if changes < (0.12 if digits > 2 else 0.28):
        return False
    if _SEQUENCES.search(value) and digits < 6:
        return False
    return entropy(value) >= _MIN_ENTROPY


def entropy(value: str) -> float:
    """Bits a character (Shannon)."""
    size = len(value)
    counts = map(value.count, set(value))
    return math.log2(size) - sum([count * math.log2(count) for count in counts]) / size if size else 0.0
