"""Finding spans in one text: what Presidio's analyzer finds over the same recognisers, in a fraction of the time.

Presidio's engine runs every pattern over the whole text, copies its results deeply and searches the words of the
text from the start for each of them. Here recognisers see only the excerpts in which they can match, words are
made only when there is a score to boost, and found by bisection. tests/inspection/test_engine.py holds both equal.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import regex  # type: ignore[import-untyped]
from presidio_analyzer import EntityRecognizer, PatternRecognizer
from presidio_analyzer.context_aware_enhancers import LemmaContextAwareEnhancer

from gateway.domain.finding import Span
from gateway.domain.tree import Json
from gateway.inspection.excerpts import Features
from gateway.inspection.needs import Needs, needs
from gateway.inspection.presidio import FLOOR, registry
from gateway.inspection.recognizers.base import TextRecognizer
from gateway.inspection.recognizers.mail import MailRecognizer
from gateway.inspection.words import KEYWORD, STOP_WORDS

_ENHANCER = LemmaContextAwareEnhancer()  # only for its figures


_WARM_UP = (
    "Anna Kowalski, anna@example.com, +1 212-555-5555, +44 20 7946 0958, 030 901820, 91 123 45 67, 4242 4242 4242 4242,"
    " IBAN DE89 3704 0044 0532 0130 00, 536-90-4399, 10.0.0.1, 12 High Street, password: x7-warm-up"
)


_WORD_HERE = re.compile(r"\s*\w*")  # from within a word, or from the space before it, to its end
_BEFORE = 120  # characters before a finding in which its context nearly always is


class _Hit(NamedTuple):
    entity: str
    start: int
    end: int
    score: float
    source: _Source


class _Pattern(NamedTuple):
    search: regex.Pattern[str]
    score: float
    needs: Needs


class _Source:
    """One recogniser with what is asked of it for every text."""

    __slots__ = ("_entity", "_mail", "context", "digits", "own", "patterns", "recognizer")

    def __init__(self, recognizer: EntityRecognizer) -> None:
        name = str(recognizer.name)  # type: ignore[has-type]
        if type(recognizer).enhance_using_context is not EntityRecognizer.enhance_using_context:
            raise TypeError(f"{name} has a context boost of its own, which the engine does not run")
        self.recognizer = recognizer
        self.context = tuple(word.lower() for word in recognizer.context or ())
        self.own = recognizer if isinstance(recognizer, TextRecognizer) else None
        self._entity = recognizer.supported_entities[0]
        self._mail = isinstance(recognizer, MailRecognizer)
        self.patterns: list[_Pattern] | None = None
        self.digits = 0
        """Decimal digits without which nothing is found."""
        if self.own is not None:
            self.digits = self.own.MIN_DIGITS
        elif isinstance(recognizer, PatternRecognizer) and type(recognizer).analyze is PatternRecognizer.analyze:
            flags = int(recognizer.global_regex_flags or 0)
            self.patterns = [
                _Pattern(regex.compile(p.regex, flags), p.score, needs(p.regex, flags))
                for p in recognizer.patterns  # type: ignore[has-type]
            ]
            self.digits = min((pattern.needs.digits for pattern in self.patterns), default=0)

    def with_digits(self, digits: int) -> tuple[_Source, list[_Pattern]]:
        """This, with the patterns that can match where there are so many digits."""
        return self, [pattern for pattern in self.patterns or () if pattern.needs.digits <= digits]

    def analyzed(self, text: str) -> list[_Hit]:
        """What a recogniser finds that is neither ours nor made of patterns alone."""
        results = self.recognizer.analyze(text, self.recognizer.supported_entities, None)  # type: ignore[arg-type]
        return [_Hit(r.entity_type, r.start, r.end, r.score, self) for r in results or ()]

    def matched(self, patterns: list[_Pattern], features: Features) -> list[_Hit]:
        """What these patterns of the recogniser find."""
        hits: list[_Hit] = []
        for pattern in patterns:
            if not features.lack(pattern.needs):
                self._match(pattern, features, hits)
        return _without_inner(hits) if len(hits) > 1 else hits

    def _match(self, pattern: _Pattern, features: Features, hits: list[_Hit]) -> None:
        """What PatternRecognizer.analyze does, without an explanation object for each match."""
        recognizer = self.recognizer
        assert isinstance(recognizer, PatternRecognizer)
        part = features.around("@") if self._mail else features.excerpts(pattern.needs)
        for match in pattern.search.finditer(features.text if part is None else part.text):
            value = match.group()
            if not value:
                continue
            valid = recognizer.validate_result(value)
            score = pattern.score
            if valid is not None:
                score = EntityRecognizer.MAX_SCORE if valid else EntityRecognizer.MIN_SCORE
            if score > 0 and not recognizer.invalidate_result(value):
                start = match.start() if part is None else part.back(match.start())
                hits.append(_Hit(self._entity, start, start + len(value), score, self))


class Engine:
    """All recognisers over one text. Synchronous and bound to the CPU: see `PresidioDetector` for use in a server.

    `floor` is the lowest score reported.
    """

    def __init__(self, recognizers: list[EntityRecognizer] | None = None, floor: float = FLOOR) -> None:
        chosen = list(registry().recognizers) if recognizers is None else recognizers
        sources = [_Source(recognizer) for recognizer in chosen]
        needed = {source.digits for source in sources}
        needed.update(pattern.needs.digits for source in sources for pattern in source.patterns or ())
        most = max(needed, default=0)
        self._by_digits = [
            [source.with_digits(digits) for source in sources if source.digits <= digits] for digits in range(most + 1)
        ]
        self._floor = floor
        self.entities = frozenset(entity for r in chosen for entity in r.supported_entities)

    def warm(self) -> None:
        """Make what libraries make at first use (suffix list, numbering plans), so that no request waits for it."""
        self.scan(_WARM_UP)

    def scan(self, text: str) -> list[Span]:
        """The spans found, by place. Overlapping spans of different entities are all reported."""
        features = Features(text)
        by_digits = self._by_digits
        hits: list[_Hit] = []
        for source, patterns in by_digits[min(features.digits, len(by_digits) - 1)]:
            if source.own is not None:
                for entity, start, end, score in source.own.found(text):
                    hits.append(_Hit(entity, start, end, score, source))
            elif source.patterns is None:
                hits += source.analyzed(text)
            elif patterns:
                hits += source.matched(patterns, features)
        if not hits:
            return []
        hits = [hit for hit in _boosted(text, hits) if hit.score >= self._floor]
        return [Span(hit.start, hit.end, hit.entity, round(hit.score * 100)) for hit in _distinct(hits)]


def load(settings: Json = None) -> Engine:
    """A warm engine over the recognisers that `settings` ask for, by default the usual ones. Takes seconds."""
    engine = Engine(list(registry(settings).recognizers))
    engine.warm()
    return engine


def _boosted(text: str, hits: list[_Hit]) -> list[_Hit]:
    """Scores raised where one of a recogniser's context words is in one of the words before the finding."""
    contexts: dict[int, str] = {}
    boosted = []
    for hit in hits:
        words = hit.source.context
        if words and hit.score < EntityRecognizer.MAX_SCORE:
            context = contexts.get(hit.start)
            if context is None:
                context = contexts[hit.start] = _context(text, hit.start)
            if any(map(context.__contains__, words)):
                hit = hit._replace(score=_raised(hit.score))
        boosted.append(hit)
    return boosted


def _raised(score: float) -> float:
    raised = score + _ENHANCER.context_similarity_factor
    return min(max(raised, _ENHANCER.min_score_with_context_similarity), _ENHANCER.MAX_SCORE)


def _context(text: str, start: int) -> str:
    """The keywords, a line each, that Presidio looks at for a finding at `start`: the word there and those before it,
    and where the word there is no keyword, the next one."""
    reached = _WORD_HERE.match(text, start)
    end = reached.end() if reached else start
    begin, width = start, _BEFORE
    while True:
        begin = max(0, begin - width)
        words = KEYWORD.findall(text, begin, end)
        if begin:
            del words[:1]  # it may be the end of a word
        keywords = [lower for word in words if (lower := word.lower()) not in STOP_WORDS]
        if begin == 0 or len(keywords) > _ENHANCER.context_prefix_count:
            break
        width *= 4
    here = end > start and not text[end - 1].isspace() and words[-1].lower() not in STOP_WORDS
    del keywords[: -_ENHANCER.context_prefix_count - 1]
    if not here:
        for match in KEYWORD.finditer(text, end):
            if (lower := match.group().lower()) not in STOP_WORDS:
                keywords.append(lower)
                break
    return "\n".join(keywords)


def _distinct(hits: list[_Hit]) -> list[_Hit]:
    """Without those inside another of the same entity that is at least as sure; ordered by place.

    The same as Presidio's `remove_duplicates`.
    """
    by_entity: dict[str, list[_Hit]] = {}
    for hit in hits:
        if hit.score:
            by_entity.setdefault(hit.entity, []).append(hit)
    kept: list[_Hit] = []
    for alike in by_entity.values():
        kept += _without_inner(alike) if len(alike) > 1 else alike
    kept.sort(key=_place)
    return kept


def _without_inner(alike: list[_Hit]) -> list[_Hit]:
    """Of hits of one entity, those that are in no other that is at least as sure; by place."""
    alike.sort(key=_widest_first)
    kept: list[_Hit] = []
    active: list[_Hit] = []
    for hit in alike:
        start, end, score = hit.start, hit.end, hit.score
        active = [other for other in active if other.end >= start]
        for other in active:
            if end <= other.end and score <= other.score:
                break
        else:
            active.append(hit)
            kept.append(hit)
    return kept


def _widest_first(hit: _Hit) -> tuple[int, int, float]:
    return hit.start, -hit.end, -hit.score


def _place(hit: _Hit) -> tuple[int, int, str]:
    return hit.start, hit.end, hit.entity
