"""Which recognisers run, and Presidio's own made quiet, offline and fit for the purpose.

Left out of Presidio's English set, because they harm more than they help here: URL (a link is no personal datum
by itself and links are everywhere), DATE_TIME (dates of meetings are no birthdays), US_DRIVER_LICENSE (matches
nearly every code of letters and digits), MEDICAL_LICENSE (one in ten codes of two letters and seven digits has a
right checksum), UUID (request ids) and the spaCy names recogniser (there is no model).
"""

from __future__ import annotations

import logging

from presidio_analyzer import AnalyzerEngine, Pattern, RecognizerRegistry
from presidio_analyzer.predefined_recognizers import (
    CryptoRecognizer,
    IbanRecognizer,
    IpRecognizer,
    MacAddressRecognizer,
    NhsRecognizer,
    UkNinoRecognizer,
    UsBankRecognizer,
    UsItinRecognizer,
    UsPassportRecognizer,
    UsSsnRecognizer,
)

from gateway.inspection.recognizers.cards import CardRecognizer
from gateway.inspection.recognizers.credentials import (
    ApiKeyRecognizer,
    JwtRecognizer,
    PrivateKeyRecognizer,
    SecretRecognizer,
)
from gateway.inspection.recognizers.mail import MailRecognizer
from gateway.inspection.recognizers.names import PersonRecognizer
from gateway.inspection.recognizers.phones import PhoneRecognizer
from gateway.inspection.recognizers.places import AddressRecognizer
from gateway.inspection.words import WordEngine

FLOOR = 0.30
"""Findings below this score are dropped: at Presidio's 0.05 every nine-digit number is a passport."""


class NhsNumberRecognizer(NhsRecognizer):
    """Presidio's, but a right checksum alone is no proof: every eleventh phone number has one."""

    def __init__(self) -> None:
        super().__init__(
            patterns=[Pattern("NHS number", r"\b([0-9]{3})[- ]?([0-9]{3})[- ]?([0-9]{4})\b", 0.2)],
            context=["nhs", "national health", "health service", "patient"],
            name="NhsNumberRecognizer",
        )

    def validate_result(self, pattern_text: str) -> bool | None:  # type: ignore[override]  # as its own base does
        return None if super().validate_result(pattern_text) else False


class _NoContent(logging.Filter):
    """Presidio writes the text of a candidate that it cannot validate. No record of its logger passes."""

    def filter(self, record: logging.LogRecord) -> bool:
        return False


def silence() -> None:
    """Keep Presidio's loggers from writing anything, at any level, to any handler."""
    for name in ("presidio-analyzer", "presidio_analyzer", "decision_process"):
        logger = logging.getLogger(name)
        if not any(isinstance(item, _NoContent) for item in logger.filters):
            logger.addFilter(_NoContent())
        logger.setLevel(logging.CRITICAL)


def registry() -> RecognizerRegistry:
    """All recognisers, ours and Presidio's, in a registry that Presidio's own analyzer could use as well."""
    silence()
    return RecognizerRegistry(
        recognizers=[
            UsSsnRecognizer(),
            UsItinRecognizer(),
            # Presidio's context words ("us", "document") are inside "customer" and in every help-desk text.
            UsPassportRecognizer(context=["passport", "travel document"]),
            UsBankRecognizer(),
            NhsNumberRecognizer(),
            UkNinoRecognizer(),
            IbanRecognizer(),
            CryptoRecognizer(),
            IpRecognizer(),
            MacAddressRecognizer(),
            MailRecognizer(),
            CardRecognizer(),
            PhoneRecognizer(),
            ApiKeyRecognizer(),
            PrivateKeyRecognizer(),
            JwtRecognizer(),
            SecretRecognizer(),
            PersonRecognizer(),
            AddressRecognizer(),
        ],
        supported_languages=["en"],
    )


def analyzer(recognizers: RecognizerRegistry) -> AnalyzerEngine:
    """Presidio's own engine over the same recognisers: the reference that our faster one must equal."""
    return AnalyzerEngine(
        registry=recognizers,
        nlp_engine=WordEngine(),
        supported_languages=["en"],
        default_score_threshold=FLOOR,
    )
