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
    ("text", "phone"),
    [
        ("Llámame al 612345678 por favor", "612345678"),
        ("móvil: 612345678", "612345678"),
        ("o meu telemóvel é o 912345678", "912345678"),
        ("il mio cellulare: 3471234567", "3471234567"),
        ("proszę dzwonić 601234567", "601234567"),
        ("numer telefonu 601234567", "601234567"),
    ],
)
def test_bare_digits_behind_a_word_for_calling(text: str, phone: str) -> None:
    """Where numbers have no leading zero, bare digits count behind a word that says what they are."""
    assert hits(PHONES, text) == [(phone, 0.6)]


@pytest.mark.parametrize(
    "text", ["pedido 612345678", "numer zamówienia 601234567", "invoice 912345678", "I tell 612345678"]
)
def test_bare_digits_behind_another_word(text: str) -> None:
    """A number of an order is no phone number, though it could be one."""
    assert hits(PHONES, text) == []


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


@pytest.mark.parametrize("joint", ["\t", ".", "/", "\u00a0", "\u202f", " - ", "\u2011", "_", "  "])
def test_cards_with_unusual_separators(joint: str) -> None:
    """A card grouped as cards are is found with any separator, also beside other numbers."""
    card = joint.join(["4242"] * 4)
    assert [value for value, _ in hits(CARDS, f"pay {card}, please")] == [card]
    amex = joint.join(["3782", "822463", "10005"])
    assert [value for value, _ in hits(CARDS, f"no 77 {amex} ok")] == [amex]


@pytest.mark.parametrize("card", ["4242 4242\n4242 4242", "500000000009", "122000000000003", "4111111111111111"])
def test_more_cards(card: str) -> None:
    """Over a line break; Maestro of twelve digits; UATP; before a comma and a date in a table."""
    assert [value for value, _ in hits(CARDS, f"x,{card},12/27,123")] == [card]


@pytest.mark.parametrize(
    "text",
    [
        "0 1 0 1 1 0 1 0 4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2",
        "4242.424242424242 4.242424242424242",
        "42/42/42/42/42/42/42/42",
    ],
)
def test_no_cards_among_numbers(text: str) -> None:
    """Tables of digits, sums and paths that happen to have a checksum are no cards."""
    assert hits(CARDS, text) == []


def test_a_number_called_an_id() -> None:
    """A bare number behind a key such as "order" stays below one half: one in thirty random ones looks like a card."""
    assert [score < 0.5 for _, score in hits(CARDS, '{"order_id": 4242424242424242, "card": 4242424242424242}')] == [
        True,
        False,
    ]


@pytest.mark.parametrize(
    "phone",
    [
        *(
            "+358 40 1234567",
            "+81 3-1234-5678",
            "+7 912 345-67-89",
            "+27 82 123 4567",
            "+971 50 123 4567",
            "+353 86 123 4567",
        ),
        *(
            "+44 (0)20 7946 0958",
            "+86 138 1234 5678",
            "070-123 45 67",
            "(011) 4123-4567",
            "01 23 45 67 89",
            "0131 496 0123",
        ),
    ],
)
def test_phones_of_all_regions(phone: str) -> None:
    """Numbers of any country's plan, national ones with a leading zero too."""
    assert [(value, score >= 0.5) for value, score in hits(PHONES, f"ring {phone} now")] == [(phone, True)]


@pytest.mark.parametrize(
    "text", ["07/26/04 07/27/04", "2019-2023", "4242 4242 4242 4242", "2024/01/15 12", "01 02 03 04 05 06 07 08 09 10"]
)
def test_more_that_are_no_phones(text: str) -> None:
    """Lists of dates, years, cards and counts."""
    assert [score for _, score in hits(PHONES, text) if score >= 0.5] == []


def test_mail_in_code() -> None:
    """What is before an address in code does not belong to it."""
    text = "author_email='anna@example.com', to=bob@example.com, <o'neil+x@mail.co.uk>"
    found = MailRecognizer().analyze(text, ["EMAIL_ADDRESS"])
    assert [text[r.start : r.end] for r in found] == ["anna@example.com", "bob@example.com", "o'neil+x@mail.co.uk"]
