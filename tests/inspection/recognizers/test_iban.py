"""International bank account numbers."""

from __future__ import annotations

import logging

import pytest

from gateway.inspection.recognizers.iban import IbanRecognizer, is_checked

RECOGNIZER = IbanRecognizer()


def found(text: str) -> list[str]:
    return [text[start:end] for start, end, _ in RECOGNIZER.hits(text)]


@pytest.mark.parametrize(
    "number",
    [
        *(
            "DE89370400440532013000",
            "DE89 3704 0044 0532 0130 00",
            "DE89-3704-0044-0532-0130-00",
            "de89 3704 0044 0532 0130 00",
        ),
        *(
            "DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000",
            "DE89\t3704\t0044\t0532\t0130\t00",
            "DE893 704004 40532 013000",
        ),
        *(
            "DE89 3704 0044\n0532 0130 00",
            "GB82 WEST 1234 5698 7654 32",
            "NO9386011117947",
            "MT84MALT011000012345MTLCAST001S",
        ),
    ],
)
def test_found(number: str) -> None:
    """Grouped in any way, in capitals or not, over two lines; other words behind do not belong to it."""
    assert found(f"pay to {number} 2 days") == [number]
    assert found(f"iban:{number}.") == [number]


@pytest.mark.parametrize(
    "text",
    [
        "DE89370400440532013001",
        "XX89370400440532013000",
        "DE8937040044053201300",
        "xDE89370400440532013000",
        "DE89370400440532013000A",
    ],
)
def test_not_found(text: str) -> None:
    """A wrong checksum, an unknown country, another length or a letter at either end."""
    assert found(text) == []


def test_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Candidates that fail are not written anywhere."""
    with caplog.at_level(logging.DEBUG):
        found("DE89 \u00b2704 0044 0532 0130 00, DE89370400440532\u0130013")
    assert caplog.records == []


def test_checksum() -> None:
    """Every single wrong digit is noticed."""
    good = "DE89370400440532013000"
    assert is_checked(good)
    assert not any(is_checked(good[:i] + str((int(good[i]) + 1) % 10) + good[i + 1 :]) for i in range(2, len(good)))
