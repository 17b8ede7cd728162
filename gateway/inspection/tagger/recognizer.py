"""The tagger as a recogniser of Presidio's registry."""

from __future__ import annotations

from functools import cache

from gateway.inspection.recognizers.base import EntityHit, TextRecognizer
from gateway.inspection.tagger.decoding import spans
from gateway.inspection.tagger.model import Model, load

_REPORTED = {"ADDRESS": "LOCATION"}


@cache
def _model() -> Model:
    return load()


class TaggerRecognizer(TextRecognizer):
    """Names of persons, places, street addresses, organisations and groups, titles, ages and dates, by a model that
    the package carries. The model is loaded once for each process.

    Raises ConfigurationError when made, if the model is missing or damaged.
    """

    ENTITIES = ("PERSON", "LOCATION", "ORGANIZATION", "NRP", "AGE", "DATE_TIME", "TITLE")

    def __init__(self) -> None:
        super().__init__()
        self._model = _model()

    def found(self, text: str) -> list[EntityHit]:
        """What is where; the score is the chance that it is right, and at 0.5 or more it is meant to be counted."""
        return [(_REPORTED.get(kind, kind), start, end, score) for kind, start, end, score in spans(self._model, text)]
