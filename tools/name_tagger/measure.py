"""Measures of a tagger over labelled text: exact spans by type, personal data of any type as a whole, characters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tools.name_tagger.synthesis import Document, Span

Find = Callable[[str], list[Span]]
_NAMES = ("PERSON", "LOCATION", "ORGANIZATION")


@dataclass(frozen=True, slots=True)
class Rate:
    """Right, found and true spans."""

    right: int
    found: int
    true: int

    @property
    def precision(self) -> float:
        return self.right / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        return self.right / self.true if self.true else 0.0

    def f(self, beta: float = 1.0) -> float:
        p, r, b = self.precision, self.recall, beta * beta
        return (1 + b) * p * r / (b * p + r) if p + r else 0.0

    def __str__(self) -> str:
        return f"P {self.precision:.3f} R {self.recall:.3f} F1 {self.f():.3f} F2 {self.f(2):.3f} ({self.true})"


def exact(documents: Iterable[Document], find: Find, kinds: tuple[str, ...] = _NAMES) -> Rate:
    """Spans of these kinds, right if start, end and kind are."""
    right = found = true = 0
    for text, spans in documents:
        wanted = {span for span in spans if span[2] in kinds}
        got = {span for span in find(text) if span[2] in kinds}
        right += len(wanted & got)
        found += len(got)
        true += len(wanted)
    return Rate(right, found, true)


def whole(documents: Iterable[Document], find: Find, least: float = 0.9) -> Rate:
    """Spans of any kind, neighbours with only white space between them joined; right from this overlap (IoU) on."""
    right = found = true = 0
    for text, spans in documents:
        wanted, got = _joined(text, spans), _joined(text, find(text))
        right += sum(any(overlap(a, b) >= least for b in got) for a in wanted)
        found += len(got)
        true += len(wanted)
    return Rate(right, found, true)


def characters(documents: Iterable[Document], find: Find) -> tuple[float, float]:
    """Share of the characters of entities that are covered; share of the covered that are in no entity."""
    hit = total = wrong = flagged = 0
    for text, spans in documents:
        wanted = {i for a, b, _ in spans for i in range(a, b) if not text[i].isspace()}
        got = {i for a, b, _ in find(text) for i in range(a, b) if not text[i].isspace()}
        hit += len(wanted & got)
        total += len(wanted)
        wrong += len(got - wanted)
        flagged += len(got)
    return hit / max(1, total), wrong / max(1, flagged)


def _joined(text: str, spans: list[Span]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end, _ in sorted(spans):
        if joined and not text[joined[-1][1] : start].strip():
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def overlap(a: tuple[int, int], b: tuple[int, int]) -> float:
    """Shared part of two spans (intersection over union)."""
    shared = min(a[1], b[1]) - max(a[0], b[0])
    return max(0, shared) / (max(a[1], b[1]) - min(a[0], b[0]))
