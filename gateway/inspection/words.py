"""Words around a finding, for Presidio's context boost, without a language model.

Presidio takes the words from a spaCy pipeline's lemmas. A blank pipeline has none, so that the boost is silently
dead; a trained one is a download and milliseconds. A word in lower case is all that the boost compares.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

from presidio_analyzer.nlp_engine import NlpArtifacts, NlpEngine
from spacy.lang.en.stop_words import STOP_WORDS as STOP_WORDS

WORD = re.compile(r"\w+|[^\w\s]")
KEYWORD = re.compile(r"\w+")
"""The words that may count as context, if they are no stop words."""


def is_keyword(word: str) -> bool:
    """Does this word (in lower case) count as context? Stop words and punctuation do not."""
    return word not in STOP_WORDS and (word[0].isalnum() or word[0] == "_")


_SAYS_NOTHING = frozenset(
    {
        *("number", "numbers", "nr", "code", "codes", "id", "ids", "card", "tax", "national", "new", "value", "data"),
        *("type", "numero", "número", "numéro", "nummer", "numer"),
    }
)
_ENDINGS = ("ies", "y", "es", "s", "e", "a", "o", "en", "n")
_SHORTEST_STEM = 5


def stems(words: Iterable[str]) -> list[str]:
    """Context words as Presidio can compare them: one word each, in lower case, without its inflection.

    Presidio asks whether a context word is inside one of the words before a finding. A phrase of several words is
    inside none, so its telling words stand for it; without its ending a word is inside its plural and its other cases
    too; and many people leave out accents.
    """
    found: dict[str, None] = {}
    for phrase in words:
        parts = [part for part in re.findall(r"[^\W_]+(?:-[^\W_]+)*", phrase.lower()) if is_keyword(part)]
        telling = [part for part in parts if part not in _SAYS_NOTHING] if len(parts) > 1 else parts
        for word in telling:
            stem = _stem(word)
            found[stem] = None
            plain = "".join(c for c in unicodedata.normalize("NFD", stem) if not unicodedata.combining(c))
            # Only where that is what people write: a Thai or Korean word without its marks is another word.
            if plain != stem and plain.isascii():
                found[plain] = None
    return list(found)


def _stem(word: str) -> str:
    """A word without an ending of English, German, French, Spanish, Italian, Dutch, Portuguese or Polish."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM and not word.endswith("ss"):
            return word[: -len(ending)]
    return word


class WordArtifacts(NlpArtifacts):
    """What Presidio's own analyzer wants to know of a text; keywords are decided word by word."""

    @staticmethod
    def set_keywords(nlp_engine: NlpEngine, lemmas: list[str], language: str) -> list[str]:
        return [word for word in lemmas if is_keyword(word)]


class WordEngine(NlpEngine):
    """Presidio's interface to `WORD`: no entities, no model, any language that separates words."""

    def load(self) -> None:
        """Nothing to load."""

    def is_loaded(self) -> bool:
        return True

    def process_text(self, text: str, language: str) -> NlpArtifacts:
        matches = list(WORD.finditer(text))
        words = [match.group() for match in matches]
        return WordArtifacts(
            entities=[],
            tokens=words,  # type: ignore[arg-type]  # only its length and iteration are used
            tokens_indices=[match.start() for match in matches],
            lemmas=[word.lower() for word in words],
            nlp_engine=self,
            language=language,
        )

    def process_batch(
        self, texts: Any, language: str, batch_size: int = 1, n_process: int = 1, **kwargs: Any
    ) -> Iterator[tuple[str, NlpArtifacts]]:
        for text in texts:
            yield text, self.process_text(text, language)

    def is_stopword(self, word: str, language: str) -> bool:
        return word.lower() in STOP_WORDS

    def is_punct(self, word: str, language: str) -> bool:
        return not is_keyword(word) and word.lower() not in STOP_WORDS

    def get_supported_entities(self) -> list[str]:
        return []

    def get_supported_languages(self) -> list[str]:
        return ["en"]
