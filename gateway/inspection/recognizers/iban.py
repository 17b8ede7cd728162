"""International bank account numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from gateway.inspection.recognizers.base import Hit, TextRecognizer

_GAP = r"[ \t\u00a0\u2009\u202f./\u2010-\u2013-]{0,3}(?:\r?\n[ \t]{0,8})?"
_PLAIN = re.compile(r"[^A-Za-z0-9]+")

# What follows country and check digits, as in SWIFT's registry (ISO 13616): n digits, a capitals, c both.
_REGISTERED = """
    AD8n12c AE19n AL8n16c AT16n AZ4a20c BA16n BE12n BG4a6n8c BH4a14c BI23n BR23n1a1c BY4c4n16c CH5n12c CR18n CY8n16c
    CZ20n DE18n DJ23n DK14n DO4c20n EE16n EG25n ES20n FI14n FK2a12n FO14n FR10n11c2n GB4a14n GE2a16n GI4a15c GL14n
    GR7n16c GT24c HR17n HU24n IE4a14n IL19n IQ4a15n IS22n IT1a10n12c JO4a4n18c KW4a22c KZ3n13c LB4n20c LC4a24c LI5n12c
    LT16n LU3n13c LV4a13c LY21n MC10n11c2n MD20c ME18n MK3n10c2n MN16n MR23n MT4a5n18c MU4a19n3a NI4a20n NL4a10n NO11n
    OM3n16c PK4a16c PL24n PS4a21c PT21n QA4a21c RO4a16c RS18n RU14n15c SA2n18c SC4a20n3a SD14n SE20n SI15n SK20n
    SM1a10n12c SO19n ST21n SV4a20n TL19n TN20n TR6n16c UA6n19c VA18n VG4a16n XK16n YE4a4n18c
"""
_PART = re.compile(r"([0-9]+)([nac])")
_CLASSES = {"n": "[0-9]", "a": "[A-Z]", "c": "[A-Z0-9]"}


def _structures() -> Iterator[tuple[str, tuple[re.Pattern[str], re.Pattern[str]]]]:
    """By country: the form of its numbers, and what follows the check digits in a text, grouped in any way."""
    for entry in _REGISTERED.split():
        parts = _PART.findall(entry[2:])
        form = "[A-Z]{2}[0-9]{2}" + "".join(f"{_CLASSES[kind]}{{{size}}}" for size, kind in parts)
        size = sum(int(size) for size, _ in parts)
        yield entry[:2], (re.compile(form), re.compile(rf"(?:{_GAP}[A-Za-z0-9]){{{size}}}(?![A-Za-z0-9])"))


class IbanRecognizer(TextRecognizer):
    """IBANs by the structure that each country registered and the checksum (ISO 13616), grouped in any way, capitals
    or not.

    Presidio's own writes a candidate that it cannot validate into its log, and needs a third of a millisecond for
    1,000 characters.
    """

    ENTITY = "IBAN_CODE"
    CONTEXT = ("iban", "bank", "account", "konto", "compte", "cuenta", "conto", "rekening", "conta", "rachun")
    MIN_DIGITS = 5

    # It begins with the two check digits, looking back at the country, so that the search skips everything else.
    _START = re.compile(r"[0-9](?<=[A-Za-z]{2}[0-9])(?<![A-Za-z0-9][A-Za-z]{2}[0-9])[0-9]")
    _STRUCTURES: ClassVar[dict[str, tuple[re.Pattern[str], re.Pattern[str]]]] = dict(_structures())

    def hits(self, text: str) -> Iterator[Hit]:
        done = 0
        for match in self._START.finditer(text):
            start = match.start() - 2
            country = text[start : start + 2].upper()
            known = self._STRUCTURES.get(country)
            if known is None or start < done:
                continue
            structure, rest = known
            whole = rest.match(text, match.end())
            if whole is None:
                continue
            number = _PLAIN.sub("", text[start : whole.end()]).upper()
            if structure.fullmatch(number) and is_checked(number):
                done = whole.end()
                yield start, done, 1.0


def is_checked(number: str) -> bool:
    """Is the checksum right (ISO 7064, modulo 97)? `number` is capitals and digits."""
    moved = number[4:] + number[:4]
    return int("".join(str(int(character, 36)) for character in moved)) % 97 == 1
