"""Payment cards."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from gateway.inspection.recognizers.base import Hit, TextRecognizer

_SPACES = " \t\u00a0\u2007\u2009\u202f"
_DASHES = "\u2010\u2011\u2012\u2013\u2212-"
_BREAK = "\r\n"
_SEPARATORS = f"{_SPACES}{_BREAK}./_{_DASHES}"


_ID_KEY = re.compile(
    r"(?<![A-Za-z])(?:id|order|trace|span|request|seq|sequence|offset|timestamp|ts|hash|bytes|size|job|build|event)"
    r"(?:[_-]?(?:id|no|nr|number))?[\"']?[:=][ ]?[\"']?\Z",
    re.IGNORECASE,
)
_ISSUERS = (
    (r"4", (13, 16, 19)),  # Visa
    (r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720", (16,)),  # Mastercard
    (r"3[47]", (15,)),  # American Express
    (r"30[0-5]|309|3[689]", (14, 16, 19)),  # Diners Club
    (r"6011|64[4-9]|65|62|35(?:2[89]|[3-8])", (16, 17, 18, 19)),  # Discover, UnionPay, JCB
    (r"220[0-4]", (16, 17, 18, 19)),  # Mir
    (r"60|508|353|356", (16,)),  # RuPay
    (r"506[01]|507[89]", (16, 18, 19)),  # Verve
    (r"50|5[6-8]|6[037]", (12, 13, 14, 15, 16, 17, 18, 19)),  # Maestro
    (r"1", (15,)),  # UATP
)

_UATP_SCORE = 0.4  # few have one, and many numbers of 15 digits begin so


def _by_length() -> dict[int, re.Pattern[str]]:
    return {
        length: re.compile("|".join(f"(?:{prefix})" for prefix, lengths in _ISSUERS if length in lengths))
        for length in range(12, 20)
    }


class CardRecognizer(TextRecognizer):
    """Payment cards of 12 to 19 digits, by issuer range and Luhn checksum (ISO/IEC 7812-1).

    Presidio's own knows neither Diners, UnionPay, Mastercard's series 2, nor 12 and 17 to 19 digits. Groups may be
    apart by spaces of any kind, dashes, tabs, dots, slashes and line breaks. Beside other numbers, and with unusual
    separators, a card must be grouped as cards are. Lengths that other numbers often have score lower: 12 and 13 digits
    (article numbers, times in milliseconds) and 17 to 19 (ids).
    """

    ENTITY = "CREDIT_CARD"
    CONTEXT = (
        *("credit", "card", "visa", "mastercard", "amex", "discover", "jcb", "diners", "maestro"),
        *("unionpay", "karte", "carte", "tarjeta", "carta", "kaart", "cartão", "cartao", "kart"),
    )
    MIN_DIGITS = 12

    # It begins with the digit and looks back from there, so that the search skips everything else.
    _RUN = re.compile(rf"[1-6](?<![\w.][1-6])(?:[{_SEPARATORS}]{{0,3}}[0-9]){{11,}}+(?!\w)")
    _GROUP = re.compile(rf"([0-9]+)([{_SEPARATORS}]*)")
    _USUAL: ClassVar[frozenset[tuple[int, ...]]] = frozenset(
        {(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (4, 4, 4, 4, 2), (4, 4, 4, 4, 1), (4, 4, 4), (6, 13)}
        | {(4, 4, 4, 1), (4, 4, 4, 2), (4, 4, 4, 3), (4, 5, 6), (8, 8), (4, 4, 5), (6, 10), (4, 8, 4), (4, 12)}
        | {(size,) for size in range(12, 20)}
    )
    _COUNTS = (5, 4, 3, 2, 1)  # groups; the longest card first
    _SCORE: ClassVar[dict[int, float]] = {12: 0.35, 13: 0.4, 14: 0.9, 15: 1.0, 16: 1.0, 17: 0.4, 18: 0.5, 19: 0.6}
    _ISSUED = _by_length()

    def hits(self, text: str) -> Iterator[Hit]:
        for run in self._RUN.finditer(text):
            factor = 1.0
            if run.group().isdigit() and _ID_KEY.search(text, max(0, run.start() - 24), run.start()):
                factor = 0.45  # of every hundred 16-digit ids, three have the form and the checksum of a card
            for start, stop, score in self._within(run.group(), run.start()):
                yield start, stop, score * factor

    def _within(self, run: str, offset: int) -> Iterator[Hit]:
        """Cards that start and end where a group of digits does: other numbers may stand before and behind."""
        groups = [(m.start(), m.end(1), m.group(2)) for m in self._GROUP.finditer(run)]
        sizes = tuple([end - start for start, end, _ in groups])
        digits = "".join([run[start:end] for start, end, _ in groups])
        if len(digits) <= 19 and _is_plain(groups) and self._is_card(digits):
            yield offset, offset + len(run), self._score(digits)
            return
        last = at = 0  # groups that are used, and digits before the group
        for first, size in enumerate(sizes):
            if first >= last:
                for count in self._COUNTS:
                    if first + count > len(sizes) or sizes[first : first + count] not in self._USUAL:
                        continue
                    number = digits[at : at + sum(sizes[first : first + count])]
                    if self._is_card(number) and _is_even(groups[first : first + count]):
                        last = first + count
                        yield offset + groups[first][0], offset + groups[last - 1][1], self._score(number)
                        break
            at += size

    def _is_card(self, number: str) -> bool:
        issued = self._ISSUED.get(len(number))
        return issued is not None and issued.match(number) is not None and luhn(number)

    def _score(self, number: str) -> float:
        return self._SCORE[len(number)] if number[0] != "1" else _UATP_SCORE


def _is_plain(groups: list[tuple[int, int, str]]) -> bool:
    """Is the same space or hyphen between all groups? Then a number that stands alone may be grouped in any way."""
    between = {separator for _, _, separator in groups[:-1]}
    return len(between) <= 1 and between <= {" ", "-"}


def _is_even(groups: list[tuple[int, int, str]]) -> bool:
    """Is the same kind of separator between these groups, with one line break at most?"""
    between = [separator for _, _, separator in groups[:-1]]
    kinds = {separator.strip(_SPACES + _BREAK) for separator in between}
    if kinds == {"."} and len(groups) == 2:
        return False  # a sum with decimals
    return len(kinds) <= 1 and sum(any(c in _BREAK for c in separator) for separator in between) <= 1


_DOUBLED = str.maketrans("0123456789", "0246813579")


def luhn(digits: str) -> bool:
    """Is the last digit the checksum of the others (ISO/IEC 7812-1, annex B)? All zeros are not a number."""
    total = sum(map(int, digits[-1::-2])) + sum(map(int, digits[-2::-2].translate(_DOUBLED)))
    return total % 10 == 0 and digits.strip("0") != ""
