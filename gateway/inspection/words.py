"""Words around a finding, for Presidio's context boost, without a language model.

Presidio takes the words from a spaCy pipeline's lemmas. A blank pipeline has none, so that the boost is silently
dead; a trained one is a download and milliseconds. A word in lower case is all that the boost compares.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from presidio_analyzer.nlp_engine import NlpArtifacts, NlpEngine
from spacy.lang.en.stop_words import STOP_WORDS

WORD = re.compile(r"\w+|[^\w\s]")


def is_keyword(word: str) -> bool:
    """Does this word (in lower case) count as context? Stop words and punctuation do not."""
    return word not in STOP_WORDS and (word[0].isalnum() or word[0] == "_")


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
