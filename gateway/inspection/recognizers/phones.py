"""Phone numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator

import phonenumbers

from gateway.inspection.recognizers.base import Hit, TextRecognizer


class PhoneRecognizer(TextRecognizer):
    """Phone numbers, checked with the phonenumbers library (Google's libphonenumber metadata).

    Presidio's own searches the whole text once per region, in milliseconds. Here a cheap pattern finds candidates,
    and each is parsed for the regions that its shape allows. Bare digits without a plus score below one half.
    """

    ENTITY = "PHONE_NUMBER"
    CONTEXT = (
        *("phone", "number", "telephone", "cell", "mobile", "call", "tel", "fax", "telefon", "handy", "anruf"),
        *("téléphone", "teléfono", "telefono", "telefoon"),
    )
    MIN_DIGITS = 7

    # It begins with a digit, looking back from there, so that the search skips everything else. With a plus a number
    # may follow anything but a word (tel:+44…, a CSV file); without, neither a sign of a sum, a path or an id, nor a
    # digit and a separator.
    _CANDIDATE = re.compile(
        r"[0-9](?:(?<=\+[0-9])(?<!\w\+[0-9])|(?<![\w./#$€£+-][0-9])(?<![0-9][,:=][0-9]))"
        r"(?:[ .\-/()\u00a0]{0,2}[0-9]){6,16}+(?![\w%€£$])"
    )
    _NOT_PHONE = re.compile(
        r"(?:19|20)[0-9]{2}[-/.][01]?[0-9][-/.]|[0-3]?[0-9][-/.][0-3]?[0-9][-/.](?:19|20)[0-9]{2}"
        r"|[0-9]{1,3}(?:\.[0-9]{1,3}){3}$|[0-9]{3}-[0-9]{2}-[0-9]{4}$|[0-9]+[.][0-9]+$"
    )
    _NORTH_AMERICA = re.compile(r"(?:1[ .-]?)?\(?[0-9]{3}\)?[ .\-/]{0,2}[0-9]{3}[ .-]?[0-9]{4}")
    _TRUNK_REGIONS = ("GB", "DE", "FR", "IN", "NL", "AU", "AT", "CH", "BE", "IE", "IL", "IT", "SE")
    _OPEN_REGIONS = ("ES", "PL", "PT", "BR", "DK", "NO", "IT")

    def hits(self, text: str) -> Iterator[Hit]:
        for match in self._CANDIDATE.finditer(text):
            start, end = match.span()
            if text[start - 1 : start] == "+":
                start -= 1
            if text[start - 1 : start] == "(" and ")" in match.group():
                start -= 1
            score = self._score(text[start:end])
            if score:
                yield start, end, score

    def _score(self, candidate: str) -> float:
        digits = "".join(filter(str.isdigit, candidate))
        if len(digits) > 15 or self._NOT_PHONE.match(candidate):
            return 0.0
        if "+" in candidate:
            return 0.75 if _valid(candidate, None) else 0.5
        bare = candidate.isdigit()
        if digits.startswith("00") and len(digits) >= 10:
            return 0.7 if _valid("+" + digits[2:], None) else 0.0
        if self._NORTH_AMERICA.fullmatch(candidate) and digits[-10] in "23456789":
            return (0.4 if bare else 0.65) if _valid(candidate, "US") else 0.0 if bare else 0.4
        if digits[0] == "0":
            valid = any(_valid(candidate, region) for region in self._TRUNK_REGIONS)
            return (0.4 if bare else 0.6) if valid else 0.0
        if len(digits) < 9 or bare:
            return 0.0
        return 0.4 if any(_valid(candidate, region) for region in self._OPEN_REGIONS) else 0.0


def _valid(candidate: str, region: str | None) -> bool:
    try:
        number = phonenumbers.parse(candidate, region)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_valid_number(number)
