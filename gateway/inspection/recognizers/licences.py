"""Driving licences: only where the words before say what the number is."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway.inspection.recognizers.base import Hit, TextRecognizer

_CALLED = re.compile(
    r"\b(?:driver'?s?'?|driver\u2019s|driving|drivers)[ _-]?licen[sc]e(?:[ _-]?(?:number|num|no|nr|id))?|\bdl(?:n\b"
    r"|[ ]?#| (?:no|number|num)\b)"
    r"|\blicen[sc]e (?:number|no\b|#)|\bpermis de conduire|\bführerschein(?:nummer|[ -]nr)?|\bfahrerlaubnis(?:nummer)?"
    r"|\b(?:permiso|carn[eé]t) de conducir|\bpatente di guida|\brijbewijs(?:nummer)?|\bcarta de condução|\bprawo jazdy",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"(?:[ ]?[#:.=]|[ ](?:is|was|ist|est|es|è|number|no|nr|num|numer|numéro|número|numero)\b\.?|[ ]n[°º]"
    r"|[ ]\([A-Z]{2}\)|[\"',]){0,3}[ ]{0,2}[\"']?"
    r"(?P<number>[A-Z]{0,5}[- ]?[0-9][A-Z0-9]{0,15}(?:-[A-Z0-9]{1,8}|[ ][0-9][A-Z0-9]{1,7}){0,4})(?![A-Za-z0-9])"
)
_CUES = ("licen", "dl", "permis", "führersch", "fahrerl", "conducir", "patente", "rijbew", "condu", "prawo jazdy")


class DrivingLicenceRecognizer(TextRecognizer):
    """Driving licences of any country, behind words that name them.

    Presidio's own for the US takes nearly every code of letters and digits for a licence and asks for the words only
    afterwards. A state's numbers have no common form and no checksum: without the words there is nothing to go by.
    """

    ENTITY = "US_DRIVER_LICENSE"
    MIN_DIGITS = 4

    def hits(self, text: str) -> Iterator[Hit]:
        lower = text.lower()
        if not any(cue in lower for cue in _CUES):
            return
        for called in _CALLED.finditer(text):
            match = _NUMBER.match(text, called.end())
            if match is None:
                continue
            value = match["number"]
            digits = sum(map(str.isdigit, value))
            if digits >= 4 and 5 <= len(value) <= 24:
                yield match.start("number"), match.end("number"), 0.75
