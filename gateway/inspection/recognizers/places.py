"""Street addresses by their shape. A city or a country alone is not reported: it says little about a person."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway.inspection.recognizers.base import Hit, TextRecognizer

_UP = "A-ZÀ-ÖØ-ÞŁŚŻŹĆŃ"
_WORD = rf"[{_UP}][\w'\u2019.-]*"

_ENGLISH = re.compile(
    r"(?<![\w.,/-])[0-9]{1,5}[A-Za-z]?(?:[-\u2013][0-9]{1,5})?,?[ ]+"
    rf"(?:{_WORD}[ ]+|[0-9]{{1,3}}(?:st|nd|rd|th)[ ]+){{1,4}}"
    r"(?:Street|St|Road|Rd|Avenue|Ave|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square|Sq|Way|Terrace|Ter"
    r"|Highway|Hwy|Parkway|Pkwy|Crescent|Close|Gardens|Grove|Row|Hill)\b(?:\.(?=[ ]*[,A-Z]))?"
    r"(?:,?[ ]+(?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|\#)\.?[ ]*\w{1,6})?"
    rf"(?:,[ ]*{_WORD}(?:[ ]{_WORD}){{0,2}})?(?:,?[ ]+[A-Z]{{2}}[ ]+[0-9]{{5}}(?:-[0-9]{{4}})?)?"
)
_GERMAN = re.compile(
    rf"(?<!\w)(?:[{_UP}][\w-]*(?:straße|strasse|str\.|gasse|weg|platz|allee|ring|damm|ufer|chaussee)"
    rf"|(?:{_WORD}[ ]){{1,2}}(?:Straße|Strasse|Str\.|Platz|Weg|Allee|Ring))[ ]+[0-9]{{1,4}}(?:[ ]?[a-z])?(?!\w)"
    rf"(?:,?[ ]+(?:D-|A-|CH-)?[0-9]{{4,5}}[ ]+{_WORD})?"
)
_ROMANCE = re.compile(
    r"(?<![\w.,/-])[0-9]{1,4}(?:[ ](?:bis|ter))?,?[ ](?:rue|avenue|boulevard|place|allée|chemin|impasse|quai|cours)"
    rf"(?:[ ](?:de|du|des|la|le|les|l'|d'))*[ ](?:d'|l')?{_WORD}(?:[ -]{_WORD})*(?:,?[ ]+[0-9]{{5}}[ ]+{_WORD})?"
    r"|(?<!\w)(?:Calle|Avenida|Avda\.?|Plaza|Paseo|Via|Viale|Piazza|Corso|Rua|Praça|ulica|ul\.|aleja|al\.)"
    rf"(?:[ ](?:de|del|della|dei|la|los|das|do|da))*(?:[ ]{_WORD}){{1,4}},?[ ]+"
    r"(?:n\.?º?[ ]?)?[0-9]{1,4}[a-zA-Z]?(?!\w)"
)
_DUTCH = re.compile(
    rf"(?<!\w)[{_UP}][\w-]*(?:straat|laan|weg|plein|gracht|kade|singel|dijk)[ ]+[0-9]{{1,4}}(?:[ -]?[a-zA-Z])?(?!\w)"
)
# Without a look behind, so that the search starts at capitals only; `hits` looks behind.
_POSTCODE_UK = re.compile(r"[A-Z]{1,2}[0-9][A-Z0-9]?[ ][0-9][ABD-HJLNP-UW-Z]{2}(?!\w)")
_ZIP_US = re.compile(
    r"(?:A[LKZR]|C[AOT]|D[EC]|FL|GA|HI|I[DLNA]|K[SY]|LA|M[EDAINSOT]|N[EVHJMYCD]|O[HKR]|PA|RI|S[CD]|T[NX]"
    r"|UT|V[TA]|W[AVIY])[ ]+[0-9]{5}(?:-[0-9]{4})?(?!\w)"
)


class AddressRecognizer(TextRecognizer):
    """Street and number, in English, German, Dutch, French, Spanish, Italian, Portuguese and Polish forms, UK
    postcodes and US states with a ZIP code."""

    ENTITY = "LOCATION"
    CONTEXT = ("address", "street", "live", "lives", "ship", "deliver", "adresse", "wohn", "dirección", "indirizzo")

    MIN_DIGITS = 1

    def hits(self, text: str) -> Iterator[Hit]:
        lowered = text.lower()
        for words, pattern in _STREETS:
            if any(word in lowered for word in words):
                for match in pattern.finditer(text):
                    if not _YEAR.search(text[max(0, match.start() - 8) : match.start() + 5]):
                        yield match.start(), match.end(), 0.7
        if _DIGITS.search(text):
            for pattern in (_POSTCODE_UK, _ZIP_US):
                for match in pattern.finditer(text):
                    before = text[match.start() - 1 : match.start()]
                    if not (before.isalnum() or before in ("_", "-")):
                        yield match.start(), match.end(), 0.5


_DIGITS = re.compile(r"[0-9][0-9A-Z]?[0-9 ][0-9]")  # in every postcode
_YEAR = re.compile(r"\b(?:in|since|by|until|of|from)[ ](?:19|20)[0-9]{2}\b", re.IGNORECASE)  # not a house
_STREETS = tuple(
    (tuple(words.split("|")), pattern)
    for words, pattern in (
        ("street| st|road| rd|ave|boulevard|blvd|lane| ln|drive| dr|court| ct|place| pl|square| sq| way", _ENGLISH),
        ("terrace| ter|highway|hwy|park|pkwy|crescent|close|garden|grove| row|hill", _ENGLISH),
        ("straße|strasse|str.|gasse|weg|platz|allee|ring|damm|ufer|chaussee", _GERMAN),
        ("rue|avenue|boulevard|place|allée|chemin|impasse|quai|cours|calle|avenida|avda|plaza|paseo", _ROMANCE),
        ("via |viale|piazza|corso|rua|praça|ulica|ul.|aleja|al.", _ROMANCE),
        ("straat|laan|weg|plein|gracht|kade|singel|dijk", _DUTCH),
    )
)
