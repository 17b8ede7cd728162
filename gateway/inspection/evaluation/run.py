"""Evaluating: each labelled text is scanned, and labels and findings are compared in several ways."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.domain.finding import Span
from gateway.inspection.evaluation.names import DROPPED, Names
from gateway.inspection.evaluation.report import Pairs, Report
from gateway.inspection.evaluation.samples import Label, Sample
from gateway.inspection.evaluation.spans import PII, Scored, entity_of_tokens, tokenise

THRESHOLD: Final = 0.4
"""Findings below it do not count, by default: presidio-evaluator's own default, and the middle of what policies ask
for (0.30 for secrets, 0.40 for official numbers, 0.50 for names and contact data)."""


@dataclass(frozen=True, slots=True)
class Options:
    """`threshold` is the least confidence and `iou` the least overlap, both 0 to 1. With `entities` (common names, see
    `Names`) labels and findings of all others are left out."""

    threshold: float = THRESHOLD
    iou: float = 0.9
    entities: frozenset[str] | None = None
    names: Names = field(default_factory=Names)

    def keep(self, entity: str) -> str:
        """The common name, or `DROPPED` for what does not count."""
        name = self.names.of(entity)
        return name if self.entities is None or name in self.entities else DROPPED


def evaluate(
    samples: Iterable[Sample],
    scan: Callable[[str], Sequence[Span]],
    options: Options,
    progress: Callable[[], None] = lambda: None,
) -> Report:
    """Compare what `scan` finds in each text with its labels. `progress` is called after each sample."""
    report = Report(options.iou, options.threshold)
    for sample in samples:
        found = [
            Scored(span.start, span.end, name, span.percent / 100)
            for span in scan(sample.text)
            if span.percent >= round(options.threshold * 100) and (name := options.keep(span.entity))
        ]
        labels = [
            Label(label.start, label.end, name) for label in sample.labels if (name := options.keep(label.entity))
        ]
        report.samples += 1
        _count_runs(report, sample.text, labels, found)
        _count_characters(report, sample.text, labels, found)
        _count_pairs(report, sample.text, labels, found)
        progress()
    return report


def _count_runs(report: Report, text: str, labels: Sequence[Label], found: Sequence[Scored]) -> None:
    if not labels and not found:
        return
    tokens = tokenise(text)
    labelled = entity_of_tokens(tokens, [Scored(label.start, label.end, label.entity, 0.5) for label in labels])
    predicted = entity_of_tokens(tokens, found)
    report.types.add(tokens, labelled, predicted)
    report.pii.add(tokens, [PII if entity else "" for entity in labelled], [PII if e else "" for e in predicted])


def _count_characters(report: Report, text: str, labels: Sequence[Label], found: Sequence[Scored]) -> None:
    ink = bytes(not character.isspace() for character in text)
    labelled, flagged = bytearray(len(text)), bytearray(len(text))
    for label in labels:
        labelled[label.start : label.end] = ink[label.start : label.end]
    for span in found:
        flagged[span.start : span.end] = ink[span.start : span.end]
    counts = report.characters
    counts.all += sum(ink)
    counts.labelled += sum(labelled)
    counts.flagged += sum(flagged)
    counts.covered += sum(map(int.__and__, labelled, flagged))
    for label in labels:
        report.units += 1
        report.hidden += flagged[label.start : label.end] == ink[label.start : label.end]


def _count_pairs(report: Report, text: str, labels: Sequence[Label], found: Sequence[Scored]) -> None:
    """Exactly the same stretch, and at least a character in common; by entity, and for all as `PII`. A stretch that is
    exactly the same counts only with the same entity."""
    marked = {(*_trimmed(text, label.start, label.end), label.entity) for label in labels}
    guessed = {(*_trimmed(text, span.start, span.end), span.entity) for span in found}
    same = marked & guessed
    touched = {(one, other) for one in marked for other in guessed if one[0] < other[1] and other[0] < one[1]}
    entities = {entity for *_, entity in marked | guessed}
    for entity in (PII, *entities):
        mine = {item for item in marked if entity in (PII, item[2])}
        theirs = {item for item in guessed if entity in (PII, item[2])}
        touching = [(one, other) for one, other in touched if one in mine and other in theirs]
        exact = report.exact.setdefault(entity, Pairs())
        exact.right += len(same & theirs)
        exact.found += len(same & mine)
        overlap = report.overlap.setdefault(entity, Pairs())
        overlap.right += len({other for _, other in touching})
        overlap.found += len({one for one, _ in touching})
        for pairs in (exact, overlap):
            pairs.predicted += len(theirs)
            pairs.labelled += len(mine)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    value = text[start:end]
    start += len(value) - len(value.lstrip())
    return start, start + len(value.strip())
