"""Presidio's recognisers made quiet and fit."""

from __future__ import annotations

import logging

import pytest

from gateway.inspection.engine import Engine
from gateway.inspection.presidio import registry, silence


def test_presidio_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Not even the text of an IBAN that cannot be validated, at any level, after anybody has changed the level."""
    engine = Engine()
    silence()
    logging.getLogger("presidio-analyzer").setLevel(logging.DEBUG)
    with caplog.at_level(logging.DEBUG):
        engine.scan("IBAN DE89 \u00b2704 0044 0532 0130 00, XX00 0000 0000 \u0130000, DE893704004405320130\u00b2\u00b2")
        logging.getLogger("presidio-analyzer").error("candidate %s", "DE89")
    assert caplog.records == []
    silence()


def test_numbers_alone_are_no_identity() -> None:
    """A right NHS checksum or nine digits near the word "customer" are not enough; the right words are."""
    engine = Engine()
    found = {span.entity for span in engine.scan("our customer document 943 476 5919 and 123456789")}
    assert found.isdisjoint({"UK_NHS", "US_PASSPORT", "US_SSN", "US_BANK_NUMBER"})
    assert [s.entity for s in engine.scan("passport 123456789")] == ["US_PASSPORT"]


def test_harmful_recognisers_are_left_out() -> None:
    """Links, dates and arbitrary codes are not reported."""
    entities = {entity for recognizer in registry().recognizers for entity in recognizer.supported_entities}
    assert entities.isdisjoint({"URL", "DATE_TIME", "US_DRIVER_LICENSE", "MEDICAL_LICENSE", "UUID"})
