"""From the scores of tokens to spans."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from gateway.inspection.tagger.features import TOKEN
from gateway.inspection.tagger.model import Model

EntitySpan = tuple[str, int, int, float]
"""Kind, start, end, score."""

_NOT_LAST = frozenset([*",;:(\"'[{<|/\\-=*#&@", "\u2013", ""])
_NOT_FIRST = frozenset([*",;:.)\"']}>|/\\-=*&@!?", "\u2013", ""])


_CODE_SIGNS = (
    *("_", "()", "();", ");", ";\n", "{\n", "](", "->", "=>", "==", "::", "`"),
    *("/*", "*/", "//", "\n * ", "</", "self.", "#include", ":\n  ", "\n    "),
)
_CODE_WINDOW = 250
"""Characters on either side of a span in which signs of source code are counted."""

_CODE_PENALTY = 4.0
"""Taken from the log-odds of a span in source code, where nearly every capital is not a name."""


def spans(model: Model, text: str) -> list[EntitySpan]:
    """The entities of a text, by place; none overlap.

    What a token is depends on `Network.reach` tokens on either side, and on nothing further away.
    """
    pieces = TOKEN.findall(text)
    groups = _groups(model, pieces)
    if not groups:
        return []
    ends = list(accumulate(map(len, pieces)))
    code = _in_code(text, 0, len(text))
    found = []
    for first, count, kind, log_odds in groups:
        span = _trimmed(pieces, first, first + count - 1)
        if span is not None:
            start, last = span
            begin = ends[start] - len(pieces[start].lstrip())
            if code and _in_code(text, begin, ends[last]):
                log_odds -= _CODE_PENALTY
            found.append((kind, begin, ends[last], _score(model, log_odds)))
    return found


def _groups(model: Model, pieces: list[str]) -> list[tuple[int, int, str, float]]:
    """Tokens that make one entity: first token, how many, kind, mean log-odds of being inside an entity."""
    scores = model.network.scores(pieces)
    odds = model.threshold / (1 - model.threshold)
    against, inside = scores[:, 0], scores[:, 1:]
    # Cheap and certain first: with n labels, the odds of being inside are at most n times those of the best label.
    likely = (inside.max(axis=1) - against > math.log(odds / inside.shape[1])).nonzero()[0]
    if not len(likely):
        return []
    chances = np.exp(inside[likely] - against[likely, None]).reshape(len(likely), -1, 2)
    parts, kinds = chances.sum(axis=1), chances.sum(axis=2)
    best = kinds.argmax(axis=1).tolist()
    address = model.kinds.index("ADDRESS")
    starts: list[int] = []  # of groups, in `places`
    places: list[int] = []
    kept: list[int] = []
    before = -2
    for number, (place, (begins, goes_on)) in enumerate(zip(likely.tolist(), parts.tolist(), strict=True)):
        if begins + goes_on < odds or (best[number] != address and "\n" in pieces[place]):
            continue  # nothing but an address goes on in the next line
        if begins > goes_on or place != before + 1:
            starts.append(len(places))
        before = place
        places.append(place)
        kept.append(number)
    if not places:
        return []
    counts = [end - start for start, end in zip(starts, [*starts[1:], len(places)], strict=True)]
    whole = np.add.reduceat(kinds[kept], starts, axis=0).argmax(axis=1).tolist()
    log_odds = np.add.reduceat(np.log(parts[kept].sum(axis=1)), starts).tolist()
    return [
        (places[start], count, model.kinds[kind], total / count)
        for start, count, kind, total in zip(starts, counts, whole, log_odds, strict=True)
    ]


def _in_code(text: str, start: int, end: int) -> bool:
    """Does the text around look like source code? JSON, tables and forms do not."""
    near = text[max(0, start - _CODE_WINDOW) : end + _CODE_WINDOW]
    count = 0
    for sign in _CODE_SIGNS:
        count += near.count(sign)
        if count > 1:
            return True
    return False


def _score(model: Model, log_odds: float) -> float:
    value = min(30.0, max(-30.0, model.slope * log_odds + model.intercept))
    return round(min(0.999, max(0.001, 1 / (1 + math.exp(-value)))), 3)


def _trimmed(pieces: Sequence[str], first: int, last: int) -> tuple[int, int] | None:
    """Without the punctuation at either end; None if nothing else is left."""
    while first <= last and pieces[first].strip()[:1] in _NOT_FIRST:
        first += 1
    while first <= last and pieces[last].strip()[:1] in _NOT_LAST:
        last -= 1
    return (first, last) if first <= last else None
