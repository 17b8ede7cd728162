"""Postal codes behind a word that names them, or before a town in the form of their country."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway.inspection.recognizers.base import Hit, TextRecognizer

_CALLED = re.compile(
    r"\b(?:zip(?:[ _-]?code)?|post(?:al)?[ _-]?code|post ?code|pin ?code|eircode|plz|postleitzahl|code postal"
    r"|(?-i:C\.?P\.?(?=[ :])|CAP(?=[ :])|CEP(?=[ :])|C\.A\.P\.)"
    r"|c[óo]digo postal|codice (?:di avviamento )?postale|kod pocztowy|postnummer|postnr)"
    r"[\"']?(?: (?:is|ist|est|es|è|é|jest|of|number|no))?\s{0,2}[:=.#-]?\s{0,2}[\"'(]?"
    r"(?P<code>[A-Z]{1,2}[0-9][A-Z0-9]? ?[0-9][A-Z]{2}|[A-Z][0-9][A-Z][ -]?[0-9][A-Z][0-9]|[0-9]{5}-[0-9]{3,4}"
    r"|[0-9]{2}-[0-9]{3}"
    r"|[0-9]{4}-[0-9]{3}|[0-9]{4} ?[A-Z]{2}|[0-9]{3} ?[0-9]{2,3}|[A-Z]{1,2}-?[0-9]{4,5}|[0-9]{4,6}"
    r"|[A-Z][0-9]{2} ?[A-Z0-9]{4})(?![\w-])",
    re.IGNORECASE,
)
_CUES = ("zip", "code", "plz", "postleit", "cp", "c.p", "cap", "c.a.p", "código", "codigo", "cep", "kod p", "postn")
_TOWN = r"(?=,? (?:[A-ZÀ-ÖØ-ÞŁŚŻŹĆŃ][\w'\u2019.-]+|'s-[A-Z]))"
# Forms that nothing else has, each before a town; the search begins at the digit.
_BEFORE_TOWN = re.compile(
    r"[0-9](?<![\w.,/:$€£+-][0-9])(?:[0-9]{3} (?!AD|BC|CE|AM|PM|GB|MB|KB|TB|US|UK|EU|OR|AND)[A-Z]{2}"
    + _TOWN
    + r"|[0-9]-[0-9]{3}"
    + _TOWN
    + r"|[0-9]{3}-[0-9]{3}"
    + _TOWN
    + r"|[0-9]{4}-[0-9]{3}(?![\w-]))"
)
_CANADA = re.compile(r"[ABCEGHJ-NPRSTVXY][0-9][ABCEGHJ-NPRSTV-Z] [0-9][ABCEGHJ-NPRSTV-Z][0-9](?![\w-])")


class PostcodeRecognizer(TextRecognizer):
    """Postal codes of many countries. Five bare digits are one only behind a word such as "ZIP" or "PLZ"."""

    ENTITY = "LOCATION"
    MIN_DIGITS = 2

    def hits(self, text: str) -> Iterator[Hit]:
        lower = text.lower()
        if any(cue in lower for cue in _CUES):
            for match in _CALLED.finditer(text):
                code = match["code"]
                if sum(map(str.isdigit, code)) >= 2:
                    yield match.start("code"), match.end("code"), 0.65
        for match in _BEFORE_TOWN.finditer(text):
            yield match.start(), match.end(), 0.5
        for match in _CANADA.finditer(text):
            if not text[match.start() - 1 : match.start()].isalnum():
                yield match.start(), match.end(), 0.55
