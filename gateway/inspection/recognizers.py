"""The base of our own recognisers, and those for payment cards, phone numbers and e-mail addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

import phonenumbers
import tldextract
from presidio_analyzer import AnalysisExplanation, LocalRecognizer, RecognizerResult
from presidio_analyzer.nlp_engine import NlpArtifacts
from presidio_analyzer.predefined_recognizers import EmailRecognizer

Hit = tuple[int, int, float]
"""Start, end, score."""


class TextRecognizer(LocalRecognizer):
    """A Presidio recogniser that is one function of the text: subclasses set `ENTITY`, `CONTEXT` and `hits`.

    `MIN_DIGITS` is how many ASCII digits a text must have for anything to be found in it.
    """

    ENTITY = ""
    CONTEXT: tuple[str, ...] = ()
    MIN_DIGITS = 0

    def __init__(self) -> None:
        super().__init__(supported_entities=[self.ENTITY], context=list(self.CONTEXT))

    def load(self) -> None:
        """Nothing to load later: everything is ready when the object is made."""

    def hits(self, text: str) -> Iterator[Hit]:
        """Where the entity is; spans may overlap."""
        raise TypeError("a TextRecognizer subclass must define hits()")

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None
    ) -> list[RecognizerResult]:
        """Presidio's interface to `hits`."""
        return [
            RecognizerResult(
                self.ENTITY,
                start,
                end,
                score,
                AnalysisExplanation(type(self).__name__, score),
                {
                    RecognizerResult.RECOGNIZER_NAME_KEY: type(self).__name__,
                    RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: self.id,
                },
            )
            for start, end, score in self.hits(text)
        ]


class CardRecognizer(TextRecognizer):
    """Payment cards of 13 to 19 digits, grouped in any way, by issuer range and Luhn checksum (ISO/IEC 7812-1).

    Presidio's own knows neither Diners, UnionPay nor 17 to 19 digits. Lengths that other numbers often have score
    lower: 13 digits (article numbers, times in milliseconds) and 17 to 19 (ids).
    """

    ENTITY = "CREDIT_CARD"
    CONTEXT = ("credit", "card", "visa", "mastercard", "amex", "discover", "jcb", "diners", "maestro", "kreditkarte")
    MIN_DIGITS = 13

    _RUN = re.compile(r"(?<![\w.])[0-9](?:[ \-]?[0-9]){12,}+(?!\w)")
    _SCORE: ClassVar[dict[int, float]] = {13: 0.4, 14: 0.9, 15: 1.0, 16: 1.0, 17: 0.4, 18: 0.5, 19: 0.6}
    _ISSUERS: ClassVar[tuple[tuple[re.Pattern[str], frozenset[int]], ...]] = tuple(
        (re.compile(prefix), frozenset(lengths))
        for prefix, lengths in (
            (r"4", (13, 16, 19)),  # Visa
            (r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720", (16,)),  # Mastercard
            (r"3[47]", (15,)),  # American Express
            (r"30[0-5]|309|3[689]", (14, 16, 19)),  # Diners Club
            (r"6011|64[4-9]|65|62|35(?:2[89]|[3-8])", (16, 17, 18, 19)),  # Discover, UnionPay, JCB
            (r"220[0-4]", (16, 17, 18, 19)),  # Mir
            (r"50|5[6-8]|6[37]", (13, 14, 15, 16, 17, 18, 19)),  # Maestro
        )
    )

    def hits(self, text: str) -> Iterator[Hit]:
        for run in self._RUN.finditer(text):
            yield from self._within(run.group(), run.start())

    def _within(self, run: str, offset: int) -> Iterator[Hit]:
        """Cards that start and end where a group of digits does: other numbers may stand before and behind."""
        groups = [(m.start(), m.end()) for m in re.finditer(r"[0-9]+", run)]
        if len(groups) > 40:
            groups = groups[:40]
        last = -1
        for first, (start, _) in enumerate(groups):
            if start < last:
                continue
            digits = ""
            best: tuple[float, int] | None = None
            for group_start, group_end in groups[first:]:
                digits += run[group_start:group_end]
                if len(digits) > 19:
                    break
                if len(digits) >= 13 and self._is_issued(digits) and _luhn(digits):
                    best = max(best or (0.0, 0), (self._SCORE[len(digits)], group_end))
            if best is not None:
                yield offset + start, offset + best[1], best[0]
                last = best[1]

    def _is_issued(self, digits: str) -> bool:
        return any(len(digits) in lengths and prefix.match(digits) for prefix, lengths in self._ISSUERS)


def _luhn(digits: str) -> bool:
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit)
        if position % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0 and digits.strip("0") != ""


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


class MailRecognizer(EmailRecognizer):
    """Presidio's, without the network, and with addresses of domains that are not in the public suffix list.

    Presidio asks a global object that downloads the list at the first address; this one reads the copy that the
    tldextract package carries. An internal domain (``.local``, ``.corp``) keeps the pattern's score instead of none.
    """

    _suffixes = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    _PLAUSIBLE = re.compile(r"[^\W\d_]{2,24}|xn--[\w-]{2,59}")

    def __init__(self) -> None:
        super().__init__(name="MailRecognizer")

    def validate_result(self, pattern_text: str) -> bool | None:
        """True for a public domain, None (undecided) for another plausible one."""
        domain = pattern_text.rpartition("@")[2]
        if self._suffixes(domain).fqdn:
            return True
        return None if self._PLAUSIBLE.fullmatch(domain.rpartition(".")[2]) else False
