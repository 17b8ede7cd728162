"""Street addresses."""

from __future__ import annotations

import pytest

from gateway.inspection.recognizers.places import AddressRecognizer

RECOGNIZER = AddressRecognizer()


@pytest.mark.parametrize(
    "address",
    [
        *("12 High Street", "1600 Pennsylvania Avenue", "221B Baker Street", "350 Fifth Ave, Suite 400"),
        *("742 Evergreen Terrace, Springfield, OR 97403", "Hauptstraße 5", "Berliner Str. 12a, 10115 Berlin"),
        *("12 rue de la Paix", "Calle Mayor 15", "Via Roma 10", "Keizersgracht 123", "SW1A 1AA", "CA 94105"),
    ],
)
def test_addresses(address: str) -> None:
    """Street and number in the usual forms of several countries, UK postcodes and US ZIP codes."""
    text = f"Ship to {address}; thanks"
    assert address in [text[start:end] for start, end, _ in RECOGNIZER.hits(text)]


@pytest.mark.parametrize(
    "text",
    ["We have 12 open tickets.", "In 2024 Wall Street fell.", "Paris is nice.", "Use port 8080 on host A1 2B.", ""],
)
def test_no_addresses(text: str) -> None:
    """Numbers and places that are no address are left alone."""
    assert list(RECOGNIZER.hits(text)) == []
