"""The texts to scan for a set of texts: each once, and its other readings; and the findings mapped back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.domain.finding import Span
from gateway.inspection.views import View, views


class Readings:
    """`texts` is what to scan. Each distinct text is in it once."""

    __slots__ = ("_views_of", "texts")

    def __init__(self, texts: Iterable[str]) -> None:
        self._views_of = {text: views(text) for text in dict.fromkeys(texts)}
        self.texts = [*self._views_of, *(view.text for found in self._views_of.values() for view in found)]

    def spans(self, scanned: Sequence[Sequence[Span]]) -> dict[str, list[Span]]:
        """By text, the findings of the text and of its other readings, at their places in the text.

        `scanned` has one list for each of `texts`.
        """
        if len(scanned) == len(self._views_of):  # no text has another reading
            return dict(zip(self._views_of, map(list, scanned), strict=True))
        rest = iter(scanned[len(self._views_of) :])
        return {
            text: _united(own, [(view, next(rest)) for view in found])
            for (text, found), own in zip(self._views_of.items(), scanned, strict=False)
        }


def _united(own: Sequence[Span], others: list[tuple[View, Sequence[Span]]]) -> list[Span]:
    if not others:
        return list(own)
    best = {(span.start, span.end, span.entity): span.percent for span in own}
    for view, spans in others:
        for span in spans:
            key = (*view.back(span.start, span.end), span.entity)
            best[key] = max(span.percent, best.get(key, 0))
    return [Span(start, end, entity, percent) for (start, end, entity), percent in sorted(best.items())]
