"""The tagger as a recogniser of Presidio's registry."""

from __future__ import annotations

import re
from functools import cache

from gateway.inspection.recognizers.base import EntityHit, TextRecognizer
from gateway.inspection.tagger.decoding import spans
from gateway.inspection.tagger.model import Model, load

_REPORTED = {"ADDRESS": "LOCATION"}
_LETTER = re.compile(r"[^\W\d_]")
_DAY = re.compile(
    r"[12][0-9]{3}[-/.](?:0?[1-9]|1[0-2])[-/.][0-3]?[0-9]"
    r"|[0-3]?[0-9][-/. ]{1,2}[0-3]?[0-9][-/. ]{1,2}(?:[0-9]{2}){1,2}"
)
_TIME_BEHIND = re.compile(r"(?:\s*(?:at|um|à|alle|a las|om|o)\s+|[ T,;_]+)[0-2]?[0-9][:.][0-5][0-9]")


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
        return [
            (_REPORTED.get(kind, kind), start, end, score)
            for kind, start, end, score in spans(self._model, text)
            if kind != "DATE_TIME" or _is_date(text, start, end)
        ]


def _is_date(text: str, start: int, end: int) -> bool:
    """Of dates without a letter only days, and none with a time behind it: those are timestamps, addresses of
    machines and versions, of which logs and code are full."""
    if _LETTER.search(text, start, end):
        return True
    return bool(_DAY.fullmatch(text, start, end)) and not _TIME_BEHIND.match(text, end)
