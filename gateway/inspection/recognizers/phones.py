"""Phone numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway.inspection.recognizers.base import Hit, TextRecognizer
from gateway.inspection.recognizers.numbering import (
    valid_international,
    valid_north_american,
    valid_with_trunk,
    valid_without_trunk,
)

_NOT_DIGIT = re.compile(r"[^0-9]+")


class PhoneRecognizer(TextRecognizer):
    """Phone numbers of all regions, checked against the numbering plans of the phonenumbers library (Google's
    libphonenumber metadata).

    Presidio's own searches the whole text once per region, in milliseconds. Here a cheap pattern finds candidates,
    and each is looked up in the plans that its shape allows. Without a plus, separators and a word such as "phone"
    decide how sure it is: bare digits score below one half.
    """

    ENTITY = "PHONE_NUMBER"
    CONTEXT = (
        *(
            "phone",
            "telephone",
            "cell",
            "mobile",
            "tel",
            "fax",
            "handy",
            "anruf",
            "whatsapp",
            "sms",
            "telefon",
            "contact",
        ),
        *(
            "téléphone",
            "portable",
            "teléfono",
            "móvil",
            "celular",
            "cellulare",
            "gsm",
            "komórka",
            "telemóvel",
            "rufnummer",
        ),
        *("number", "dial", "chiama", "llama", "zadzwoń"),
    )
    MIN_DIGITS = 7

    # It begins with a digit, looking back from there, so that the search skips everything else. With a plus a number
    # may follow anything but a word (tel:+44…, a CSV file); without, neither a sign of a sum, a path or an id, nor a
    # digit and a separator.
    _CANDIDATE = re.compile(
        r"[0-9](?:(?<=\+[0-9])(?<!\w\+[0-9])|(?<![\w./#$€£+-][0-9])(?<![0-9][,:=][0-9]))"
        r"(?:[ .\-/()\u00a0\u2010-\u2013\u202f]{0,3}[0-9]){6,16}+(?![\w%€£$])"
    )
    _NOT_PHONE = re.compile(
        r"(?:19|20)[0-9]{2}[-/.][01]?[0-9][-/.]|[0-3]?[0-9][-/.][0-3]?[0-9][-/.](?:19|20)[0-9]{2}"
        r"|[0-9]{1,3}(?:\.[0-9]{1,3}){3}$|[0-9]{3}-[0-9]{2}-[0-9]{4}$|[0-9]+[.][0-9]+$"
        r"|(?:19|20)[0-9]{2} ?[-\u2013/] ?(?:19|20)[0-9]{2}$|[0-9]{4}[ -][0-9]{4}[ -][0-9]{4}[ -][0-9]{1,4}$"
        r"|(?=.*/)(?:[0-9]{1,2}[/ ]){2,}[0-9]{1,4}$"
    )
    _NORTH_AMERICA = re.compile(r"(?:1[ .-]{0,3})?\(?[0-9]{3}\)?[ .\-/]{0,3}[0-9]{3}[ .-]{0,3}[0-9]{4}")
    _GROUPS = re.compile(r"[0-9]+")
    # "number" alone is not enough: orders and accounts have numbers too.
    _CALLED = re.compile(
        r"(?<!\w)(?:phone|tel(?!l)|m[oó]v[ie]l|mobile|celular|cell(?:phone|ulare)?\b|handy\b|gsm\b|kom[oó]rk|whats"
        r"|sms\b|ll[aá]m|chiam|(?:za)?dzwo|appel(?:le|ez)|call (?:me|us|him|her|them)|dial|rufnummer|anruf)"
        r"[^0-9\n]{0,40}\Z",
        re.IGNORECASE,
    )

    def hits(self, text: str) -> Iterator[Hit]:
        for match in self._CANDIDATE.finditer(text):
            start, end = match.span()
            if text[start - 1 : start] == "+":
                start -= 1
            if text[start - 1 : start] == "(" and ")" in match.group():
                start -= 1
            score = self._score(text[start:end])
            if score < 0.5 and text[start:end].isdigit() and self._said(text, start, end):
                score = 0.6
            if score:
                yield start, end, score

    def _said(self, text: str, start: int, end: int) -> bool:
        """Bare digits of a plan without a trunk prefix (Spain, Poland, Italy …), behind a word for calling."""
        return (
            9 <= end - start <= 11
            and self._CALLED.search(text, max(0, start - 60), start) is not None
            and valid_without_trunk(text[start:end])
        )

    def _score(self, candidate: str) -> float:
        digits = _NOT_DIGIT.sub("", candidate)
        if len(digits) > 15 or self._NOT_PHONE.match(candidate):
            return 0.0
        if "+" in candidate:
            return 0.75 if valid_international(digits) else 0.5
        bare = candidate.isdigit()
        if digits.startswith("00") and len(digits) >= 10:
            return 0.7 if valid_international(digits[2:]) else 0.0
        if self._NORTH_AMERICA.fullmatch(candidate) and digits[-10] in "23456789":
            return (0.4 if bare else 0.65) if valid_north_american(digits[-10:]) else 0.0 if bare else 0.4
        if digits[0] == "0":
            if not valid_with_trunk(digits):
                return 0.0
            return 0.4 if bare or not self._in_groups(candidate) else 0.6
        if bare:
            return 0.35 if len(digits) == 10 and digits[0] in "6789" and valid_without_trunk(digits) else 0.0
        if len(digits) < 8 or not self._in_groups(candidate):
            return 0.0
        return 0.4 if valid_without_trunk(digits) else 0.0

    def _in_groups(self, candidate: str) -> bool:
        """Is it written as numbers to dial are: no single digits, no more than six groups?"""
        sizes = [len(group) for group in self._GROUPS.findall(candidate)]
        return len(sizes) <= 6 and min(sizes[1:], default=2) >= 2
