"""Finding spans in one text: what Presidio's analyzer finds over the same recognisers, in a fraction of the time.

Presidio's engine runs every pattern over the whole text, copies its results deeply and searches the words of the
text from the start for each of them. Here recognisers see only the excerpts in which they can match, words are
made only when there is a score to boost, and found by bisection. tests/inspection/test_engine.py holds both equal.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import NamedTuple

import regex  # type: ignore[import-untyped]
from presidio_analyzer import EntityRecognizer, PatternRecognizer
from presidio_analyzer.context_aware_enhancers import LemmaContextAwareEnhancer

from gateway.domain.finding import Span
from gateway.inspection.excerpts import FINDERS, Excerpts, Features
from gateway.inspection.presidio import FLOOR, registry
from gateway.inspection.recognizers.base import TextRecognizer
from gateway.inspection.words import WORD, is_keyword

_ENHANCER = LemmaContextAwareEnhancer()  # only for its figures


_WARM_UP = (
    "Anna Kowalski, anna@example.com, +1 212-555-5555, +44 20 7946 0958, 030 901820, 91 123 45 67, 4242 4242 4242 4242,"
    " IBAN DE89 3704 0044 0532 0130 00, 536-90-4399, 10.0.0.1, 12 High Street, password: x7-warm-up"
)


_SPACE = re.compile(r"\s")


class _Hit(NamedTuple):
    entity: str
    start: int
    end: int
    score: float
    source: _Source


class _Source:
    """One recogniser with what is asked of it for every text."""

    __slots__ = ("_entity", "_gate_and_finder", "_own", "_patterns", "context", "recognizer")

    def __init__(self, recognizer: EntityRecognizer) -> None:
        name = str(recognizer.name)  # type: ignore[has-type]
        if type(recognizer).enhance_using_context is not EntityRecognizer.enhance_using_context:
            raise TypeError(f"{name} has a context boost of its own, which the engine does not run")
        self.recognizer = recognizer
        self.context = tuple(word.lower() for word in recognizer.context or ())
        self._own = recognizer if isinstance(recognizer, TextRecognizer) else None
        self._entity = recognizer.supported_entities[0]
        self._gate_and_finder = FINDERS.get(name)
        self._patterns: list[tuple[regex.Pattern[str], float]] | None = None
        if isinstance(recognizer, PatternRecognizer) and type(recognizer).analyze is PatternRecognizer.analyze:
            flags = recognizer.global_regex_flags
            self._patterns = [(regex.compile(p.regex, flags), p.score) for p in recognizer.patterns]  # type: ignore[has-type]

    def hits(self, text: str, features: Features) -> list[_Hit]:
        if self._own is not None:
            if features.digits < self._own.MIN_DIGITS:
                return []
            return [_Hit(*hit, self) for hit in self._own.found(text)]
        if self._gate_and_finder is None:
            return self._analyzed(text)
        can_match, finder = self._gate_and_finder
        spans = finder(text) if can_match(features) else []
        if not spans:
            return []
        part = Excerpts(text, spans)
        return [
            hit._replace(start=part.back(hit.start), end=part.back(hit.end - 1) + 1)
            for hit in self._analyzed(part.text)
        ]

    def _analyzed(self, text: str) -> list[_Hit]:
        if self._patterns is None:
            results = self.recognizer.analyze(text, self.recognizer.supported_entities, None)  # type: ignore[arg-type]
            return [_Hit(r.entity_type, r.start, r.end, r.score, self) for r in results or ()]
        assert isinstance(self.recognizer, PatternRecognizer)
        # What PatternRecognizer.analyze does, without an explanation object for each match
        hits = []
        for pattern, score in self._patterns:
            for match in pattern.finditer(text):
                value = match.group()
                if not value:
                    continue
                valid = self.recognizer.validate_result(value)
                if valid is not None:
                    score_here = EntityRecognizer.MAX_SCORE if valid else EntityRecognizer.MIN_SCORE
                else:
                    score_here = score
                if score_here > 0 and not self.recognizer.invalidate_result(value):
                    hits.append(_Hit(self._entity, match.start(), match.end(), score_here, self))
        return _distinct(hits) if len(hits) > 1 else hits


class Engine:
    """All recognisers over one text. Synchronous and bound to the CPU: see `PresidioDetector` for use in a server.

    `floor` is the lowest score reported.
    """

    def __init__(self, recognizers: list[EntityRecognizer] | None = None, floor: float = FLOOR) -> None:
        chosen = registry().recognizers if recognizers is None else recognizers
        self._sources = [_Source(recognizer) for recognizer in chosen]
        self._floor = floor
        self.entities = frozenset(entity for r in chosen for entity in r.supported_entities)

    def warm(self) -> None:
        """Make what libraries make at first use (suffix list, numbering plans), so that no request waits for it."""
        self.scan(_WARM_UP)

    def scan(self, text: str) -> list[Span]:
        """The spans found, by place. Overlapping spans of different entities are all reported."""
        features = Features(text)
        hits = [hit for source in self._sources for hit in source.hits(text, features)]
        if not hits:
            return []
        hits = [hit for hit in _boosted(text, hits) if hit.score >= self._floor]
        return [Span(hit.start, hit.end, hit.entity, round(hit.score * 100)) for hit in _distinct(hits)]


def _boosted(text: str, hits: list[_Hit]) -> list[_Hit]:
    """Scores raised where one of a recogniser's context words is in one of the words before the finding."""
    last = max((hit.start for hit in hits if hit.source.context), default=-1)
    if last < 0:
        return hits
    space = _SPACE.search(text, last + 1)
    words = _Words(text, space.start() if space else len(text))
    return [
        hit._replace(score=_raised(hit.score))
        if hit.source.context and words.before(hit.start, hit.source.context)
        else hit
        for hit in hits
    ]


def _raised(score: float) -> float:
    raised = score + _ENHANCER.context_similarity_factor
    return min(max(raised, _ENHANCER.min_score_with_context_similarity), _ENHANCER.MAX_SCORE)


class _Words:
    """The words of a text up to an offset, which must not be inside a word."""

    def __init__(self, text: str, end: int) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._words: list[str] = []
        for match in WORD.finditer(text, 0, end):
            self._starts.append(match.start())
            self._ends.append(match.end())
            self._words.append(match.group().lower())
        self._context_of: dict[int, str] = {}

    def before(self, start: int, context: tuple[str, ...]) -> bool:
        """Is one of `context` inside the word at `start` or one of the keywords before it?"""
        index = bisect_right(self._ends, start)
        if index not in self._context_of:
            keywords: list[str] = []
            i = min(index, len(self._words) - 1)
            while i >= 0 and len(keywords) <= _ENHANCER.context_prefix_count:
                if is_keyword(self._words[i]):
                    keywords.append(self._words[i])
                i -= 1
            self._context_of[index] = "\n".join(keywords)
        found = self._context_of[index]
        return any(word in found for word in context)


def _distinct(hits: list[_Hit]) -> list[_Hit]:
    """Without those inside another of the same entity that is at least as sure; ordered by place.

    The same as Presidio's `remove_duplicates`.
    """
    kept: list[_Hit] = []
    active: list[_Hit] = []
    for hit in sorted(set(hits), key=lambda hit: (hit.entity, hit.start, hit.start - hit.end, -hit.score)):
        if hit.score == 0:
            continue
        active = [other for other in active if other.entity == hit.entity and other.end >= hit.start]
        if not any(hit.end <= other.end and hit.score <= other.score for other in active):
            kept.append(hit)
            active.append(hit)
    return sorted(kept, key=lambda hit: (hit.start, hit.end, hit.entity))
