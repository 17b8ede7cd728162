"""Labels and findings compared as presidio-evaluator's `SpanEvaluator` does (version 0.3.2, its default options).

Both are laid over the tokens of the text, each token with at most one entity; neighbouring tokens of one entity are a
run; runs of one entity with nothing but skip words, punctuation and white space between them are merged; a run is
measured from its first to its last token that is no skip word. A label is found when the findings that touch it, taken
together, share enough of it: intersection over union in characters, `iou`. The counts follow its rules to the letter,
odd ones included (see the comments), so that figures can be compared with published ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import groupby
from string import punctuation, whitespace
from typing import Final, NamedTuple

PII: Final = "PII"
"""The one entity of the count over all types."""

_MORE_SKIP_WORDS: Final = (
    ">> >>> >>>> >>>>> >>>>>> 's street st. st de rue via and a the or do as of day address country state city zip po"
    " apt unit corner p.o. box suite mr. mrs. miss year years y/o month months old morning noon afternoon night evening"
    " this first last week weeks weekend days age ago inc inc. ltd"
)


class Token(NamedTuple):
    text: str
    start: int


class Scored(NamedTuple):
    """A stretch of the text; labels all have the same score."""

    start: int
    end: int
    entity: str
    score: float


@dataclass(frozen=True, slots=True)
class Run:
    """`first` and `last` bound the tokens (`last` is exclusive), `start` and `end` the characters of all of them,
    `core_start` and `core_end` those from the first to the last that is no skip word."""

    entity: str
    first: int
    last: int
    start: int
    end: int
    core_start: int
    core_end: int


@dataclass(slots=True)
class Count:
    """`right` of `predicted` findings are labels, and of `labelled` labels were found."""

    right: int = 0
    predicted: int = 0
    labelled: int = 0


@dataclass(slots=True)
class SpanCounts:
    """Counts by entity; findings that touch two labels count twice among the predicted, as there."""

    iou: float = 0.9
    by_entity: dict[str, Count] = field(default_factory=dict)

    def of(self, entity: str) -> Count:
        return self.by_entity.setdefault(entity, Count())

    def add(self, tokens: Sequence[Token], labels: Sequence[str], findings: Sequence[str]) -> None:
        """Count one text: its tokens, and for each the entity that is labelled and that is found ("" for none)."""
        labelled, predicted = runs(tokens, labels), runs(tokens, findings)
        touched: set[tuple[str, int, int]] = set()
        for label in labelled:
            self.of(label.entity).labelled += 1
            near = [(found, share) for found in predicted if (share := overlap(label, found)) > 0]
            touched.update((found.entity, found.start, found.end) for found, _ in near)
            if len(near) == 1:
                found, share = near[0]
                self._compare(label, found.entity, share)
            elif near:
                by_entity: dict[str, list[Run]] = {}
                for found, _ in near:
                    by_entity.setdefault(found.entity, []).append(found)
                for entity, several in by_entity.items():
                    self._compare(label, entity, _together(label, several))
        for found in predicted:
            if (found.entity, found.start, found.end) not in touched:
                self.of(found.entity).predicted += 1

    def _compare(self, label: Run, entity: str, share: float) -> None:
        """Several findings of one entity at one label count as one."""
        self.of(entity).predicted += 1
        if share >= self.iou and entity == label.entity:
            self.of(entity).right += 1


def overlap(one: Run, other: Run) -> float:
    """Intersection over union of two runs; the union includes what is between them."""
    shared = min(one.core_end, other.core_end) - max(one.core_start, other.core_start)
    if shared <= 0:
        return 0.0
    return shared / (max(one.core_end, other.core_end) - min(one.core_start, other.core_start))


def _together(label: Run, found: Iterable[Run]) -> float:
    """The overlap of a label with several findings. The first finding has a character more at its end, the others
    one at their start and none at their end: so it is there, and it bridges the space between two words."""
    wanted = set(range(label.core_start, label.core_end + 1))
    have: set[int] = set()
    for number, run in enumerate(found):
        have.update(range(run.core_start - (number > 0), run.core_end + (number == 0)))
    return len(wanted & have) / len(wanted | have)


def runs(tokens: Sequence[Token], entities: Sequence[str]) -> list[Run]:
    """The merged runs of the tokens' entities; a run of skip words only is none."""
    merged: list[Run] = []
    for entity, group in groupby(range(len(tokens)), key=entities.__getitem__):
        positions = list(group)
        run = _run(tokens, entity, positions) if entity else None
        if run is None:
            continue
        last = merged[-1] if merged else None
        if last is not None and last.entity == entity and _only_skipped(tokens[last.last : run.first]):
            merged[-1] = replace(
                last,
                last=run.last,
                end=run.end,
                core_start=min(last.core_start, run.core_start),
                core_end=max(last.core_end, run.core_end),
            )
        else:
            merged.append(run)
    return merged


def _run(tokens: Sequence[Token], entity: str, positions: Sequence[int]) -> Run | None:
    skipped = skip_words()
    core = [(tokens[i].start, token) for i in positions if (token := tokens[i].text.lower()) not in skipped]
    if not core:
        return None
    first, last = tokens[positions[0]], tokens[positions[-1]]
    return Run(
        entity,
        positions[0],
        positions[-1] + 1,
        first.start,
        last.start + len(last.text),
        min(start for start, _ in core),
        max(start + len(token) for start, token in core),
    )


def _only_skipped(tokens: Iterable[Token]) -> bool:
    skipped = skip_words()
    return all(token.text.lower().strip() in skipped for token in tokens)


@cache
def skip_words() -> frozenset[str]:
    """Words that make no difference at the ends of a name or an address: those of presidio-evaluator and spaCy's."""
    from spacy.lang.en.stop_words import STOP_WORDS

    blanks = ("", *("\n" * n for n in range(1, 5)), *("\t" * n for n in range(1, 5)))
    return frozenset([*punctuation, *whitespace, *blanks, *_MORE_SKIP_WORDS.split(), *STOP_WORDS])


def tokenise(text: str) -> list[Token]:
    """The tokens of spaCy's English pipelines, white space other than single spaces included."""
    return [Token(token.text, token.idx) for token in _tokenizer()(text)]  # type: ignore[operator]


@cache
def _tokenizer() -> object:
    from spacy.lang.en import English

    return English().tokenizer


def entity_of_tokens(tokens: Sequence[Token], stretches: Iterable[Scored]) -> list[str]:
    """For each token the entity of the first stretch in which it starts or that is inside it, or "" for none."""
    laid = _without_overlaps(stretches)
    entities: list[str] = []
    passed = 0
    for text, start in tokens:
        end = start + len(text)
        while passed < len(laid) and laid[passed].end < start:
            passed += 1
        entity = ""
        for position in range(passed, len(laid)):
            stretch = laid[position]
            if stretch.start > end:
                break
            starts_in = stretch.start <= start < stretch.end
            # Not "within": a stretch that lost all to another one ends before it starts, and counts like this there.
            if starts_in or (start <= stretch.start and start <= stretch.end <= end):
                entity = stretch.entity
                break
        entities.append(entity)
    return entities


def _without_overlaps(stretches: Iterable[Scored]) -> list[Scored]:
    """Where stretches overlap or touch, the surer one keeps its place and the other is cut, a character too much
    sometimes, as there."""
    laid = sorted(stretches, key=lambda stretch: stretch.start)
    position = 0
    while position < len(laid) - 1:
        for other in range(position + 1, len(laid)):
            one, two = laid[position], laid[other]
            if not one.start <= two.start <= one.end:
                continue
            if one.score > two.score:
                if one.start <= two.end <= one.end:
                    laid[other] = two._replace(score=0)
                else:
                    laid[other] = two._replace(start=one.end + 1)
            else:
                if two.end < one.end:
                    laid.append(one._replace(start=two.end + 1))
                laid[position] = one._replace(end=two.start - 1)
        position += 1
    return sorted(laid, key=lambda stretch: stretch.start)
