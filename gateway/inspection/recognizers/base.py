"""The base of our own recognisers: Presidio's interface, and the plain function of the text behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from presidio_analyzer import AnalysisExplanation, LocalRecognizer, RecognizerResult
from presidio_analyzer.nlp_engine import NlpArtifacts

Hit = tuple[int, int, float]
"""Start, end, score."""

EntityHit = tuple[str, int, int, float]
"""Entity, start, end, score."""


def lowered(text: str) -> str:
    """The text in lower case, every character at its place: a few capitals would become two characters."""
    lower = text.lower()
    if len(lower) == len(text):
        return lower
    return "".join(low if len(low := letter.lower()) == 1 else letter for letter in text)


class TextRecognizer(LocalRecognizer):
    """A Presidio recogniser that is one function of the text: subclasses set `ENTITY`, `CONTEXT` and `hits`; those for
    several entities set `ENTITIES` and `found` instead.

    `MIN_DIGITS` is how many ASCII digits a text must have for anything to be found in it.
    """

    ENTITY = ""
    ENTITIES: tuple[str, ...] = ()
    CONTEXT: tuple[str, ...] = ()
    MIN_DIGITS = 0

    def __init__(self) -> None:
        super().__init__(supported_entities=list(self.ENTITIES or (self.ENTITY,)), context=list(self.CONTEXT))

    def load(self) -> None:
        """Nothing to load later: everything is ready when the object is made."""

    def hits(self, text: str) -> Iterator[Hit]:
        """Where the entity is; spans may overlap."""
        raise TypeError("a TextRecognizer subclass must define hits() or found()")

    def found(self, text: str) -> Iterable[EntityHit]:
        """What is where; spans may overlap."""
        entity = self.ENTITY
        return [(entity, start, end, score) for start, end, score in self.hits(text)]

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None
    ) -> list[RecognizerResult]:
        """Presidio's interface to `found`."""
        return [
            RecognizerResult(
                entity,
                start,
                end,
                score,
                AnalysisExplanation(type(self).__name__, score),
                {
                    RecognizerResult.RECOGNIZER_NAME_KEY: type(self).__name__,
                    RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: self.id,
                },
            )
            for entity, start, end, score in self.found(text)
            if entity in entities
        ]
