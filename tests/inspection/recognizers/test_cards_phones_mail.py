"""Cards, phone numbers and mail addresses."""

from __future__ import annotations

import socket

import pytest

from gateway.inspection.recognizers.base import TextRecognizer
from gateway.inspection.recognizers.cards import CardRecognizer
from gateway.inspection.recognizers.mail import MailRecognizer
from gateway.inspection.recognizers.phones import PhoneRecognizer

CARDS = CardRecognizer()
PHONES = PhoneRecognizer()


def hits(recognizer: TextRecognizer, text: str) -> list[tuple[str, float]]:
    return [(text[start:end], score) for start, end, score in recognizer.hits(text)]


@pytest.mark.parametrize(
    "card",
    [
        *("4242 4242 4242 4242", "4242-4242-4242-4242", "4242424242424242", "378282246310005", "3782 822463 10005"),
        *("30569309025904", "6011111111111117", "3566002020360505", "5555555555554444", "2223003122003222"),
        *("4222222222222", "6212345678901232", "6304000000000000", "4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2"),
        "6200000000000000000",
    ],
)
def test_cards(card: str) -> None:
    """Cards of each large issuer, of 13 to 19 digits, grouped in any way."""
    assert [value for value, _ in hits(CARDS, f"pay {card}, please")] == [card]


def test_card_beside_other_numbers() -> None:
    """A number before or behind does not hide a card."""
    assert [value for value, _ in hits(CARDS, "order 12345 4242 4242 4242 4242 123")] == ["4242 4242 4242 4242"]


@pytest.mark.parametrize(
    "text", ["4242 4242 4242 4243", "0000000000000000", "1234567890123", "x4242424242424242", "9999 9999 9999 9995"]
)
def test_no_cards(text: str) -> None:
    """A wrong checksum or an unknown issuer is no card."""
    assert hits(CARDS, text) == []


@pytest.mark.parametrize(
    ("phone", "least"),
    [
        *(("+1 212-555-5555", 0.7), ("+44 20 7946 0958", 0.7), ("+49 (0)30 901820", 0.5), ("0049 30 901820", 0.7)),
        *(("(212) 555-5555", 0.6), ("212-555-5555", 0.6), ("212.555.5555", 0.6), ("030 901820", 0.6)),
        *(
            ("06 12 34 56 78", 0.6),
            ("020 7946 0958", 0.6),
            ("123-456-7890", 0.0),
            ("2125555555", 0.4),
            ("612 34 56 78", 0.4),
        ),
    ],
)
def test_phones(phone: str, least: float) -> None:
    """International and national numbers are found, surer the more they look like one."""
    found = hits(PHONES, f"ring {phone} now")
    assert least == 0.0 or [(value, score >= least) for value, score in found] == [(phone, True)]


@pytest.mark.parametrize(
    ("text", "phone"),
    [
        ("tel:+442079460958", "+442079460958"),
        ("?phone=+44 20 7946 0958&x", "+44 20 7946 0958"),
        ("Kowalski,+44 20 7946 0958,London", "+44 20 7946 0958"),
        ("Kowalski,020 7946 0958,London", "020 7946 0958"),
        ("Tel.:020 7946 0958", "020 7946 0958"),
        ("(tel. 020 7946 0958)", "020 7946 0958"),
        ("((020) 7946 0958)", "(020) 7946 0958"),
        ("/+442079460958", "+442079460958"),
    ],
)
def test_phones_in_their_surroundings(text: str, phone: str) -> None:
    """Links, CSV files and labels without a space behind them hide no number."""
    assert [value for value, _ in hits(PHONES, text)] == [phone]


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-15 10:30",
        "15.01.2024",
        "10.20.30.40",
        "536-90-4399",
        "3.14159265",
        "12345678",
        "1,234,567.89",
        "#12345678",
    ],
)
def test_no_phones(text: str) -> None:
    """Dates, addresses of machines, sums and plain numbers are no phone numbers."""
    assert hits(PHONES, text) == []


def test_mail_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the first address makes a connection or asks for a name."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    found = MailRecognizer().analyze("anna@example.co.uk, bob@host.corp, x@1.2.3", ["EMAIL_ADDRESS"])
    assert [(r.start, r.end, r.score) for r in found] == [(0, 18, 1.0), (20, 33, 0.5)]


def test_hits_must_be_defined() -> None:
    """A recogniser without `hits` says so."""
    with pytest.raises(TypeError, match="must define"):
        list(TextRecognizer.hits(CARDS, ""))
