"""What data sets call the things that the detector finds."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

DROPPED: Final = ""
"""What a name is mapped to that stands for no personal data: its labels do not count."""

BUILT_IN: Final[Mapping[str, str]] = MappingProxyType(
    {
        # Presidio-research, as its own map for the analyzer has it
        "FIRST_NAME": "PERSON",
        "LAST_NAME": "PERSON",
        "PATIENT": "PERSON",
        "STAFF": "PERSON",
        "HCW": "PERSON",
        "GPE": "LOCATION",
        "FACILITY": "LOCATION",
        "CITY": "LOCATION",
        "ADDRESS": "LOCATION",
        "STREET_ADDRESS": "LOCATION",
        "VENDOR": "ORGANIZATION",
        "HOSP": "ORGANIZATION",
        "PATORG": "ORGANIZATION",
        "HOSPITAL": "ORGANIZATION",
        "NORP": "NRP",
        "NATIONALITY": "NRP",
        "PREFIX": "TITLE",
        "ZIP": "ZIP_CODE",
        "IBAN": "IBAN_CODE",
        "DATE": "DATE_TIME",
        "TIME": "DATE_TIME",
        "BIRTHDAY": "DATE_TIME",
        "DATE_OF_BIRTH": "DATE_TIME",
        "DOB": "DATE_TIME",
        "PHONE": "PHONE_NUMBER",
        "DOMAIN_NAME": "URL",
        "DOMAIN": "URL",
        "EMAIL": "EMAIL_ADDRESS",
        "SSN": "US_SSN",
        # CoNLL, OntoNotes, WikiGold
        "PER": "PERSON",
        "LOC": "LOCATION",
        "FAC": "LOCATION",
        "ORG": "ORGANIZATION",
        "MISC": DROPPED,
        # WNUT 2017 and other data of the kind
        "NAME": "PERSON",
        "GEO-LOC": "LOCATION",
        "COUNTRY": "LOCATION",
        "PLACE": "LOCATION",
        "ORGANISATION": "ORGANIZATION",
        "COMPANY": "ORGANIZATION",
        "CORPORATION": "ORGANIZATION",
        "GROUP": "ORGANIZATION",
        "PRODUCT": DROPPED,
        "CREATIVE-WORK": DROPPED,
    }
)


class Names:
    """One name for each thing, whoever names it: the same map is applied to labels and to findings, without regard to
    upper and lower case. A name that is not in it stays as it is, in upper case. `more` goes before what is built in.
    """

    def __init__(self, more: Mapping[str, str] | None = None) -> None:
        self._map = {**BUILT_IN, **{name.upper(): to.upper() for name, to in (more or {}).items()}}

    def of(self, entity: str) -> str:
        """The common name, or `DROPPED`."""
        name = entity.upper()
        return self._map.get(name, name)
