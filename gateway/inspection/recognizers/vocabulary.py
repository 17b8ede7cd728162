"""Terms from lists: medical ones (see medical.py), and lists of one's own.

A list is a text file in UTF-8 with one term a line, of one to six words; ``#`` begins a comment. A term with a tilde
before it is an ordinary word too ("stroke") and counts only where the words around say what it is about.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from gateway.inspection.recognizers.base import EntityHit, TextRecognizer, lowered

_WORD = re.compile(r"[^\W_]+")
_LONGEST_TERM = 6
_SPACES = str.maketrans({chr(code): " " for code in range(128) if not chr(code).isalnum()})
_SIGNS = tuple(".,:;-_/()'\"=@?!")
_REACH = 60  # characters before and behind an ordinary word in which a cue makes it a term

SURE = 0.75
UNSURE = 0.35
SUPPORTED = 0.6


class _Term(NamedTuple):
    words: tuple[str, ...]
    sure: bool

    def pattern(self) -> re.Pattern[str]:
        """Its words with spaces, hyphens or a line break between, in lower case; a plural of the last is one too."""
        between = "(?:[ -]|\\s{1,4}|['\u2019])"
        return re.compile(rf"(?<!\w){between.join(map(re.escape, self.words))}s?(?!\w)")


def words_of(lower: str) -> Sequence[str]:
    """The words of a text in lower case, without punctuation."""
    if lower.isascii():
        return lower.translate(_SPACES).split()
    for sign in _SIGNS:  # the usual ones at once; only words that hold another one are taken apart
        lower = lower.replace(sign, " ")
    words = lower.split()
    if all(map(str.isalnum, words)):
        return words
    return [part for word in words for part in ((word,) if word.isalnum() else _WORD.findall(word))]


class Vocabulary:
    """Terms by the longest of their words: the rarest, as a rule, so that most texts have none of them."""

    __slots__ = ("_keys", "_patterns", "_terms")

    def __init__(self, lines: Iterable[str]) -> None:
        self._terms: dict[str, set[_Term]] = {}
        self._patterns: dict[_Term, re.Pattern[str]] = {}
        for line in lines:
            text = line.partition("#")[0].strip().lower()
            words = tuple(_WORD.findall(text))
            if words and len(words) <= _LONGEST_TERM:
                term = _Term(words, not text.startswith("~"))
                key = max(words, key=len)
                self._terms.setdefault(key, set()).add(term)
                if key == words[-1]:
                    self._terms.setdefault(key + "s", set()).add(term)
        self._keys = frozenset(self._terms)

    def __len__(self) -> int:
        return len({term for terms in self._terms.values() for term in terms})

    def matches(self, lower: str, words: Iterable[str]) -> Iterator[tuple[int, int, bool]]:
        """Start, end and whether the term is sure, of each term in a text in lower case, which has these words."""
        if self._keys.isdisjoint(words):
            return
        terms = {term for key in self._keys.intersection(words) for term in self._terms[key]}
        for term in sorted(terms):
            pattern = self._patterns.get(term)
            if pattern is None:
                pattern = self._patterns[term] = term.pattern()
            for match in pattern.finditer(lower):
                yield match.start(), match.end(), term.sure


class VocabularyRecognizer(TextRecognizer):
    """The terms of a list of one's own. A term with a tilde scores below one half."""

    def __init__(self, entity: str, lines: Iterable[str], name: str) -> None:
        self.ENTITY = entity
        super().__init__()
        self.name = name  # type: ignore[has-type]
        self._vocabulary = Vocabulary(lines)

    def found(self, text: str) -> Iterator[EntityHit]:
        lower = lowered(text)
        for start, end, sure in self._vocabulary.matches(lower, words_of(lower)):
            yield self.ENTITY, start, end, SURE if sure else UNSURE


def score(cues: re.Pattern[str], lower: str, start: int, end: int) -> float:
    """The score of an ordinary word: the words around it decide."""
    nearby = lower[max(0, start - _REACH) : start], lower[end : end + _REACH]
    return SUPPORTED if any(map(cues.search, nearby)) else UNSURE
