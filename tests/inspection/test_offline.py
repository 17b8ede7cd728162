"""Scanning for the command line."""

from __future__ import annotations

from gateway.domain.finding import Found
from gateway.inspection.catalogue import ENTITIES
from gateway.inspection.offline import scan_found


def test_scan_found() -> None:
    """Counts what an inspection would, other spellings included."""
    assert scan_found(["My SSN is 536-90-4399", "card 4242\u200b424242424242", "hello"]) == (
        Found("CREDIT_CARD", 100, 1),
        Found("US_SSN", 85, 1),
    )
    assert {"US_SSN", "PERSON"} <= ENTITIES
