"""Payment cards."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from gateway.inspection.recognizers.base import Hit, TextRecognizer


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
