"""Which telephone numbers exist, for all regions at once, from the phonenumbers library's metadata.

The library answers for one region at a time, some ten microseconds each. The patterns of all regions that share a
country calling code are put together here: one match tells whether a number is valid in any of them.
"""

from __future__ import annotations

import re
from functools import cache

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, SUPPORTED_REGIONS, PhoneMetadata

_KINDS = ("fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number", "voip", "uan")
# Premium and shared-cost numbers are nobody's own, and their short forms look like anything.
_PERSONAL = ("fixed_line", "mobile", "toll_free", "voip", "personal_number")


def valid_international(digits: str) -> bool:
    """Is this country calling code and national number (without plus) valid?"""
    for size in (1, 2, 3):
        code = int(digits[:size] or 0)
        if code in COUNTRY_CODE_TO_REGION_CODE:
            rest = digits[size:]
            return _numbers_of(code).fullmatch(rest) is not None or _without_trunk(code, rest)
    return False


def _without_trunk(code: int, rest: str) -> bool:
    """Many write the trunk zero behind the country calling code: +44 (0)20 …."""
    return rest.startswith("0") and _numbers_of(code).fullmatch(rest[1:]) is not None


def valid_with_trunk(digits: str) -> bool:
    """Is this number, written with its trunk prefix 0, valid in any region that has one?"""
    return len(digits) > 7 and _with_trunk().fullmatch(digits, 1) is not None


def valid_without_trunk(digits: str) -> bool:
    """Is this number valid in any region that has no trunk prefix, or where it is often left out?"""
    return _no_trunk().fullmatch(digits) is not None


def valid_north_american(digits: str) -> bool:
    """Is this a valid number of the North American plan, without its 1?"""
    return _numbers_of(1).fullmatch(digits) is not None


@cache
def _numbers_of(code: int) -> re.Pattern[str]:
    return _union(frozenset(COUNTRY_CODE_TO_REGION_CODE[code]), _KINDS)


@cache
def _with_trunk() -> re.Pattern[str]:
    return _union(_regions_with("0"), _PERSONAL)


@cache
def _no_trunk() -> re.Pattern[str]:
    return _union(_regions_with(None) | {"BR", "IN", "MX", "CO"}, _PERSONAL)


def _regions_with(prefix: str | None) -> frozenset[str]:
    return frozenset(
        region
        for region in SUPPORTED_REGIONS
        if (metadata := PhoneMetadata.metadata_for_region(region)) is not None and metadata.national_prefix == prefix
    )


def _union(regions: frozenset[str], kinds: tuple[str, ...]) -> re.Pattern[str]:
    patterns: dict[str, None] = {}
    for region in sorted(regions):
        metadata = PhoneMetadata.metadata_for_region(region)
        for kind in kinds if metadata is not None else ():
            description = getattr(metadata, kind)
            if description is not None and description.national_number_pattern:
                lengths = [n for n in description.possible_length if n > 0]
                if lengths:
                    bound = f"(?=[0-9]{{{min(lengths)},{max(lengths)}}}$)"
                    patterns[f"{bound}(?:{description.national_number_pattern})"] = None
    return re.compile("|".join(patterns) or "(?!)")
