"""IP addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv6Address

from gateway.inspection.recognizers.base import Hit, TextRecognizer

_BYTE = r"(?:25[0-5]|2[0-4][0-9]|[01]?[0-9]{1,2})"
# They begin with a character of the address, looking back from there, so that the search skips everything else.
_V4 = re.compile(
    rf"[0-9](?<![\w.][0-9])[0-9]{{0,2}}(?:\.{_BYTE}){{3}}(?:/(?:3[0-2]|[12]?[0-9])(?![0-9]))?(?!\w|\.[0-9])"
)
_V6 = re.compile(
    r"(?:(?<![\w:.])[0-9A-Fa-f]{1,4}:|(?<![\w:]):(?=:))(?:[0-9A-Fa-f]{0,4}:){1,7}"
    rf"(?:{_BYTE}(?:\.{_BYTE}){{3}}|[0-9A-Fa-f]{{0,4}})(?P<rest>(?:%\w{{1,16}})?(?:/[0-9]{{1,3}})?)(?![\w:])"
)
_VERSION = re.compile(
    r"(?:[A-Za-z]/|\bv|\bver(?:sion|\.)?:? ?|[=~<>!]=|\brelease ?|\boid:? ?|\bpatch ?|\bbuild:? ?)\Z", re.IGNORECASE
)
_SLICE = re.compile(r"[\w)\]]\[\Z")  # x[1::2] in code
_DIGIT = re.compile(r"[0-9]")


class IpRecognizer(TextRecognizer):
    """IP addresses of versions 4 and 6, with a prefix length or a zone.

    Presidio's own takes parts of object identifiers (``1.3.6.1.5.5.7``) and version numbers for addresses, and needs a
    third of a millisecond for 1,000 characters. Here a number that is called a version scores below one half.
    """

    ENTITY = "IP_ADDRESS"
    CONTEXT = ("ipv4", "ipv6", "address")
    MIN_DIGITS = 1

    def hits(self, text: str) -> Iterator[Hit]:
        version_6: list[tuple[int, int]] = []
        if "::" in text or text.count(":") >= 6:
            for match in _V6.finditer(text):
                address = match.group()[: len(match.group()) - len(match["rest"])]
                if "::" not in address and address.count(":") < 6:
                    continue
                if not _DIGIT.search(address) or _SLICE.search(text, max(0, match.start() - 2), match.start()):
                    continue
                if _is_v6(address):
                    version_6.append(match.span())
                    yield *match.span(), 0.6
        if text.count(".") >= 3:
            for match in _V4.finditer(text):
                start = match.start()
                if int(text[start : text.index(".", start)]) > 255 or any(a < start < b for a, b in version_6):
                    continue
                yield start, match.end(), 0.3 if _VERSION.search(text, max(0, start - 9), start) else 0.6


def _is_v6(address: str) -> bool:
    try:
        IPv6Address(address)
    except AddressValueError:
        return False
    return True
