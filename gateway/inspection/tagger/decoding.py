"""From the scores of tokens to spans."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from gateway.inspection.tagger.features import TOKEN
from gateway.inspection.tagger.model import Model

EntitySpan = tuple[str, int, int, float]
"""Kind, start, end, score."""

_NOT_LAST = frozenset([*",;:(\"'[{<|/\\-=*#&@", "\u2013", ""])
_NOT_FIRST = frozenset([*",;:.)\"']}>|/\\-=*&@!?", "\u2013", ""])


WORD = re.compile(r"[^\W_]+")

_SHORT = 4_000
"""Characters up to which a text may well have ordinary words only."""

_FEW = 160
"""Characters whose words are looked at first."""

_PARTS = 2
"""Columns of `Model.sums` before those of the kinds: being inside an entity, and being its first word."""

_MOST_LOG_ODDS = 60.0
"""The exponential of more does not fit single precision."""

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

    What a token is depends on `Network.reach` tokens on either side, and on nothing further away. A span of nothing but
    ordinary words (`Model.ordinary`) is none; so a short text of ordinary words needs no network.
    """
    if len(text) <= _SHORT and _only_ordinary(model, text):
        return []
    pieces = TOKEN.findall(text)
    groups = _groups(model, pieces)
    if not groups:
        return []
    ends = list(accumulate(map(len, pieces)))
    signs = _code_signs(text)
    found = []
    for first, count, kind, log_odds in groups:
        span = _trimmed(pieces, first, first + count - 1)
        if span is not None:
            start, last = span
            begin = ends[start] - len(pieces[start].lstrip())
            if model.ordinary.issuperset(WORD.findall(text, begin, ends[last])):
                continue
            if signs and _in_code(signs, begin, ends[last]):
                log_odds -= _CODE_PENALTY
            found.append((kind, begin, ends[last], _score(model, log_odds)))
    return found


def _only_ordinary(model: Model, text: str) -> bool:
    """A few words tell for most texts that have others; only where they do not, all are looked at."""
    few = min(len(text), _FEW)
    return (few == len(text) or model.ordinary.issuperset(WORD.findall(text, 0, few)[:-1])) and (
        model.ordinary.issuperset(WORD.findall(text))
    )


def _groups(model: Model, pieces: list[str]) -> list[tuple[int, int, str, float]]:
    """Tokens that make one entity: first token, how many, kind, mean log-odds of being inside an entity."""
    scores = model.network.scores(pieces)
    odds = model.threshold / (1 - model.threshold)
    scores -= scores[:, :1]  # against those of being outside
    np.exp(np.minimum(scores, _MOST_LOG_ODDS, out=scores), out=scores)
    sums = scores @ model.sums
    likely = (sums[:, 0] >= odds).nonzero()[0]
    if not len(likely):
        return []
    sums = sums[likely]
    best = sums[:, _PARTS:].argmax(axis=1).tolist()
    address = model.kinds.index("ADDRESS")
    starts: list[int] = []  # of groups, in `places`
    places: list[int] = []
    kept: list[int] = []
    logs: list[float] = []
    before = -2
    for number, (place, (inside, begins)) in enumerate(zip(likely.tolist(), sums[:, :_PARTS].tolist(), strict=True)):
        if best[number] != address and "\n" in pieces[place]:
            continue  # nothing but an address goes on in the next line
        if begins > inside - begins or place != before + 1:
            starts.append(len(places))
            logs.append(0.0)
        before = place
        places.append(place)
        kept.append(number)
        logs[-1] += math.log(inside)
    if not places:
        return []
    counts = [end - start for start, end in zip(starts, [*starts[1:], len(places)], strict=True)]
    whole = np.add.reduceat(sums[kept, _PARTS:], starts, axis=0).argmax(axis=1).tolist()
    return [
        (places[start], count, model.kinds[kind], total / count)
        for start, count, kind, total in zip(starts, counts, whole, logs, strict=True)
    ]


def _code_signs(text: str) -> list[int]:
    """Where the text has signs of source code; JSON, tables and forms have none."""
    places = []
    for sign in _CODE_SIGNS:
        place = text.find(sign)
        while place >= 0:
            places.append(place)
            place = text.find(sign, place + len(sign))
    places.sort()
    return places


def _in_code(signs: list[int], start: int, end: int) -> bool:
    """Does the text around look like source code?"""
    return bisect_left(signs, end + _CODE_WINDOW) - bisect_left(signs, start - _CODE_WINDOW) > 1


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
