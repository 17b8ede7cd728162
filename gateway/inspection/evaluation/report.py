"""The figures of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from gateway.inspection.evaluation.spans import PII, Count, SpanCounts

JsonFigures: TypeAlias = "dict[str, float | int | None]"


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


@dataclass(slots=True)
class Pairs:
    """Right ones among the findings, and found ones among the labels; each label and finding counts once."""

    right: int = 0
    predicted: int = 0
    found: int = 0
    labelled: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """Precision, recall and their means, 0 to 1; None where there is nothing to divide by."""

    precision: float | None
    recall: float | None
    predicted: int
    labelled: int

    @classmethod
    def of_count(cls, count: Count) -> Figures:
        return cls(
            _share(count.right, count.predicted), _share(count.right, count.labelled), count.predicted, count.labelled
        )

    @classmethod
    def of_pairs(cls, pairs: Pairs) -> Figures:
        return cls(
            _share(pairs.right, pairs.predicted), _share(pairs.found, pairs.labelled), pairs.predicted, pairs.labelled
        )

    def f(self, beta: float) -> float | None:
        """The weighted harmonic mean; recall counts `beta` times as much as precision."""
        if self.precision is None or self.recall is None:
            return None
        below = beta**2 * self.precision + self.recall
        return (1 + beta**2) * self.precision * self.recall / below if below else 0.0

    def as_json(self) -> JsonFigures:
        return {
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f(1),
            "f2": self.f(2),
            "predicted": self.predicted,
            "labelled": self.labelled,
        }


@dataclass(slots=True)
class Characters:
    """Characters that are no white space: all, those in labels, those in findings, those in both."""

    all: int = 0
    labelled: int = 0
    flagged: int = 0
    covered: int = 0

    @property
    def wrong(self) -> int:
        return self.flagged - self.covered

    def as_json(self) -> JsonFigures:
        """`recall`: the share of personal data that is covered; `wrong_of_flagged` and `wrong_of_other`: the share of
        what was flagged, and of all text without personal data, that was flagged for nothing."""
        return {
            "labelled": self.labelled,
            "covered": self.covered,
            "flagged": self.flagged,
            "wrong": self.wrong,
            "recall": _share(self.covered, self.labelled),
            "wrong_of_flagged": _share(self.wrong, self.flagged),
            "wrong_of_other": _share(self.wrong, self.all - self.labelled),
        }


@dataclass(slots=True)
class Report:
    """What was counted so far. `hidden` is of how many labels every character is covered, of `units` labels."""

    iou: float
    threshold: float
    samples: int = 0
    units: int = 0
    hidden: int = 0
    characters: Characters = field(default_factory=Characters)
    pii: SpanCounts = field(init=False)
    types: SpanCounts = field(init=False)
    exact: dict[str, Pairs] = field(default_factory=dict)
    overlap: dict[str, Pairs] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pii = SpanCounts(self.iou)
        self.types = SpanCounts(self.iou)

    def pii_figures(self) -> Figures:
        """Over all types: is it found, whatever it was taken for?"""
        return Figures.of_count(self.pii.of(PII))

    def type_figures(self) -> dict[str, Figures]:
        """By entity, those with the most labels first."""
        counts = sorted(self.types.by_entity.items(), key=lambda item: (-item[1].labelled, item[0]))
        return {entity: Figures.of_count(count) for entity, count in counts}

    def pairs(self, of: Mapping[str, Pairs], entity: str = PII) -> Figures:
        return Figures.of_pairs(of.get(entity, Pairs()))

    def as_json(self) -> dict[str, object]:
        return {
            "samples": self.samples,
            "threshold": self.threshold,
            "iou": self.iou,
            "pii": self.pii_figures().as_json(),
            "types": {
                entity: {
                    **figures.as_json(),
                    "exact": self.pairs(self.exact, entity).as_json(),
                    "overlap": self.pairs(self.overlap, entity).as_json(),
                }
                for entity, figures in self.type_figures().items()
            },
            "exact": self.pairs(self.exact).as_json(),
            "overlap": self.pairs(self.overlap).as_json(),
            "characters": self.characters.as_json(),
            "units": {"labelled": self.units, "hidden": self.hidden, "share": _share(self.hidden, self.units)},
        }
