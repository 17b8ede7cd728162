"""Driving licences and postal codes: what only the words before can tell."""

from __future__ import annotations

import pytest

from gateway.inspection.recognizers.base import TextRecognizer
from gateway.inspection.recognizers.licences import DrivingLicenceRecognizer
from gateway.inspection.recognizers.postcodes import PostcodeRecognizer


def found(recognizer: TextRecognizer, text: str) -> list[str]:
    return [text[start:end] for start, end, score in recognizer.hits(text) if score >= 0.5]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("driver's license D1234567", "D1234567"),
        ("Driver license number: A123-456-78-901-0", "A123-456-78-901-0"),
        ("DL# S530-4101-2345", "S530-4101-2345"),
        ("my driving licence is MORGA657054SM9IJ", "MORGA657054SM9IJ"),
        ("Führerschein B072RRE2I55", "B072RRE2I55"),
        ("Permis de conduire n° 123456789012", "123456789012"),
        ("patente di guida: U1H00A000B", "U1H00A000B"),
        ("prawo jazdy nr 12345/67", "12345"),
    ],
)
def test_licences(text: str, number: str) -> None:
    """The code behind words for a licence, whatever its form."""
    assert found(DrivingLicenceRecognizer(), text) == [number]


@pytest.mark.parametrize(
    "text", ["license 2.0 MIT", "drivers license is suspended", "D1234567", "License: GPL3, BSD2", "driving 1234567 km"]
)
def test_no_licences(text: str) -> None:
    """Without those words, or without a number behind them, nothing."""
    assert found(DrivingLicenceRecognizer(), text) == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        *(
            ("zip code 90210", "90210"),
            ("ZIP: 10001-1234", "10001-1234"),
            ("PLZ 10115", "10115"),
            ("postcode SW1A 1AA", "SW1A 1AA"),
        ),
        *(
            ("code postal 75001", "75001"),
            ("CAP 00184", "00184"),
            ("kod pocztowy: 00-950", "00-950"),
            ("CEP: 01310-100", "01310-100"),
        ),
        *(
            ("1012 AB Amsterdam", "1012 AB"),
            ("00-950 Warszawa", "00-950"),
            ("1000-001 Lisboa", "1000-001"),
            ("K1A 0B1", "K1A 0B1"),
        ),
        ("C.P. 28013", "28013"),
    ],
)
def test_postcodes(text: str, code: str) -> None:
    """Behind a word that names it, or before a town in a form that nothing else has."""
    assert code in found(PostcodeRecognizer(), text)


@pytest.mark.parametrize(
    "text",
    ["exit code 12345", "zip file 2024", "2024 US Elections", "error code: 50012", "cp1252", "5000 MB Memory", "90210"],
)
def test_no_postcodes(text: str) -> None:
    """Other numbers behind such words, and five digits alone."""
    assert found(PostcodeRecognizer(), text) == []
