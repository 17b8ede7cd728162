"""Word lists and made-up values for the synthetic corpus.

No value can belong to a person: e-mail addresses use the domains that RFC 2606 reserves, telephone numbers
come from ranges set aside for fiction, and card numbers, bank accounts and social security numbers are
published examples or carry check digits or groups that are never issued. The one exception, 536-90-4399, is
the example of the gateway's own documentation.
"""

from __future__ import annotations

import random


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_NAMES = _words(
    "Aisha Alan Alice Amara Amir Ana Andre Anna Anton Asha Aylin Beatriz Ben Bruno Camille Carla Carlos "
    "Chen Chloe Clara Daniel David Diego Dmitri Elena Ella Emil Emma Erik Esra Eva Farid Fatima Felix "
    "Fiona Frank Gabriel Grace Greta Hana Hannah Hassan Helen Henry Hugo Ines Ingrid Irene Iris Ivan Jack "
    "Jakob James Jane Jin John Jonas Jorge Julia Kamil Karin Kate Kenji Lars Laura Layla Lena Leo Liam "
    "Lina Lisa Luca Lucia Magda Marco Maria Marie Mark Marta Mary Mateo Maya Mei Michael Mila Mira "
    "Mohamed Monika Nadia Nina Noah Nora Oleg Olga Oliver Omar Oscar Paul Pavel Peter Petra Pierre Priya "
    "Rafael Rania Ravi Rita Robert Rosa Samir Sara Simon Sofia Stefan Susan Tariq Tina Tom Uma Vera "
    "Victor Wei Yara Yuki Zoe"
)
LAST_NAMES = _words(
    "Adams Ahmed Almeida Andersen Baker Bauer Becker Bell Berg Bianchi Brown Carter Castro Chen Clark "
    "Costa Cruz Dahl Davis Diaz Dubois Duval Evans Farouk Fernandez Fischer Fontaine Garcia Gonzalez Gray "
    "Green Gupta Haddad Hall Hansen Hill Hoffmann Horvat Hughes Ivanova Jansen Johnson Jones Kaya Keller "
    "Khan Kim Klein Kovac Kowalski Kumar Lambert Larsen Lee Lindgren Lopez Martin Mendez Meyer Miller "
    "Mitchell Moreau Morgan Murphy Nakamura Nguyen Nielsen Novak Okafor Olsen Ortega Park Patel Perez "
    "Petrov Popescu Reyes Ricci Roberts Romano Rossi Russo Sato Schmidt Silva Singh Smith Sokolov Tanaka "
    "Taylor Thomas Torres Tran Varga Vogel Wagner Walker Weber White Wilson Wong Wright Yilmaz Young "
    "Zhang Zimmer"
)
# fmt: off
DEVICES = (
    "laptop", "phone", "tablet", "printer", "router", "monitor", "keyboard", "headset", "camera", "mouse",
    "scanner",
    "computer", "screen", "docking station",
)
APPS = (
    "email", "calendar", "browser", "chat app", "payroll portal", "file server", "video call tool",
    "expense tool",
    "customer portal", "online shop", "bank app", "VPN",
)
ITEMS = (
    "desk lamp", "office chair", "coffee maker", "backpack", "water bottle", "notebook", "phone case",
    "charger",
    "mouse pad", "bookshelf", "jacket", "pair of shoes", "kettle", "rug", "blanket", "toaster",
    "bicycle helmet",
    "suitcase", "table", "mirror", "radio", "wall clock",
)
COLOURS = ("red", "green", "blue", "yellow", "white", "purple")
CITIES = (
    "Berlin", "Lyon", "Madrid", "Oslo", "Boston", "Dublin", "Prague", "Turin", "Vienna", "Porto", "Chicago",
    "London",
    "Paris", "Rome", "Warsaw", "Athens", "Helsinki", "Denver", "Toronto", "Zurich",
)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
STREETS = ("Oak Street", "Mill Road", "High Street", "Station Road", "Park Avenue", "Garden Lane",
           "River Road")
MAIL_DOMAINS = ("example.com", "example.org", "example.net", "mail.example", "acme.example",
                "company.example")
TEST_CARDS = (
    "4242424242424242", "4111111111111111", "5555555555554444", "378282246310005", "6011111111111117",
    "4012888888881881", "5105105105105100", "4000056655665556",
)
EXAMPLE_IBANS = ("DE89370400440532013000", "GB82WEST12345698765432", "FR1420041010050500013M02606")
# fmt: on
_SYLLABLES = _words(
    "ba ca da fa ga ha ka la ma na pa ra sa ta va be de ke le me ne re se te bi di li mi ni ri si ti bo "
    "do ko lo mo no ro so to bu du lu mu nu ru su tu"
)


def digits(rng: random.Random, count: int) -> str:
    """A string of `count` random digits."""
    return "".join(rng.choice("0123456789") for _ in range(count))


def _luhn_remainder(number: str) -> int:
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10


def card(rng: random.Random) -> str:
    """A card number that no bank issued: a published test number, or one with a wrong check digit."""
    if rng.random() < 0.4:
        number = rng.choice(TEST_CARDS)
    else:
        number = rng.choice("456") + digits(rng, 15)
        if _luhn_remainder(number) == 0:
            number = number[:-1] + str((int(number[-1]) + 1) % 10)
    separator = rng.choice((" ", " ", " ", "-", ""))
    return separator.join(number[start : start + 4] for start in range(0, len(number), 4))


def social_security_number(rng: random.Random) -> str:
    """A number like a US social security number; area 9xx, group 00 and serial 0000 are never issued."""
    roll = rng.random()
    if roll < 0.15:
        return "536-90-4399"  # the example of the product's own documentation
    if roll < 0.4:
        return f"9{digits(rng, 2)}-{digits(rng, 2)}-{digits(rng, 4)}"
    if roll < 0.7:
        return f"{digits(rng, 3)}-00-{digits(rng, 4)}"
    return f"{digits(rng, 3)}-{digits(rng, 2)}-0000"


def iban(rng: random.Random) -> str:
    """A bank account number: a published example, or one with check digits that the standard never yields."""
    if rng.random() < 0.4:
        number = rng.choice(EXAMPLE_IBANS)
    else:
        length = rng.choice((14, 16, 18, 20))
        country = rng.choice(("DE", "FR", "ES", "IT", "NL", "PL", "AT", "BE", "PT", "GB"))
        number = country + rng.choice(("00", "01", "99")) + digits(rng, length)
    separator = rng.choice((" ", " ", ""))
    return separator.join(number[start : start + 4] for start in range(0, len(number), 4))


def phone(rng: random.Random) -> str:
    """A telephone number from a range that regulators keep for films and books."""
    return rng.choice(
        (
            f"+1 {rng.randint(201, 989)} 555 01{digits(rng, 2)}",
            f"({rng.randint(201, 989)}) 555-01{digits(rng, 2)}",
            f"{rng.randint(201, 989)}-555-01{digits(rng, 2)}",
            f"020 7946 0{digits(rng, 3)}",
            f"+44 20 7946 0{digits(rng, 3)}",
            f"+49 30 23125 {digits(rng, 3)}",
        )
    )


def first_name(rng: random.Random) -> str:
    """A first name; now and then an invented one, so that the model learns to copy and not to recall."""
    if rng.random() < 0.2:
        return "".join(rng.choice(_SYLLABLES) for _ in range(rng.choice((2, 2, 3)))).capitalize()
    return rng.choice(FIRST_NAMES)


def last_name(rng: random.Random) -> str:
    """A last name; now and then an invented one, for the reason given at `first_name`."""
    if rng.random() < 0.2:
        return "".join(rng.choice(_SYLLABLES) for _ in range(rng.choice((2, 3, 3)))).capitalize()
    return rng.choice(LAST_NAMES)


def email(rng: random.Random, first: str, last: str) -> str:
    """An e-mail address in a reserved domain."""
    local = rng.choice((f"{first}.{last}", f"{first}", f"{first[0]}{last}", f"{first}{digits(rng, 2)}"))
    return f"{local.lower()}@{rng.choice(MAIL_DOMAINS)}"


def secret(rng: random.Random) -> str:
    """An access key that opens nothing: a vendor's published example, or random text marked as a test."""
    alphabet = "abcdefghijkmnpqrstuvwxyz23456789"
    tail = "".join(rng.choice(alphabet) for _ in range(rng.choice((8, 12, 16))))
    return rng.choice(("AKIAIOSFODNN7EXAMPLE", f"sk-test-{tail}", f"ghp_example{tail}", f"test_{tail}"))


_TOKEN_KINDS = {
    "name": "PERSON",
    "email": "EMAIL_ADDRESS",
    "phone": "PHONE_NUMBER",
    "card": "CREDIT_CARD",
    "ssn": "US_SSN",
    "iban": "IBAN_CODE",
    "address": "LOCATION",
    "secret": "API_KEY",
}


def _pseudonyms(rng: random.Random) -> dict[str, str]:
    """Replacement tokens as a gateway puts them in the place of personal data."""
    opening, closing = rng.choice((("<", ">"), ("[", "]"), ("{{", "}}"), ("", "")))
    length = rng.choice((1, 4, 6, 8))
    return {
        slot: f"{opening}{kind}_{''.join(rng.choice('0123456789abcdef') for _ in range(length))}{closing}"
        for slot, kind in _TOKEN_KINDS.items()
    }


def draw(rng: random.Random) -> dict[str, str]:
    """One value for each slot that a template may name; the slots of one draw belong together."""
    values = _plain_values(rng)
    if rng.random() < 0.08:
        values.update(_pseudonyms(rng))
        values["first"] = values["name"]  # a token has no first name; an answer must give it back whole
    return values


def _plain_values(rng: random.Random) -> dict[str, str]:
    first, last = first_name(rng), last_name(rng)
    hour = rng.randint(8, 17)
    return {
        "first": first,
        "name": f"{first} {last}",
        "email": email(rng, first, last),
        "phone": phone(rng),
        "card": card(rng),
        "ssn": social_security_number(rng),
        "iban": iban(rng),
        "secret": secret(rng),
        "address": f"{rng.randint(1, 99)} {rng.choice(STREETS)}, {rng.choice(CITIES)}",
        "order": digits(rng, rng.choice((4, 4, 4, 5, 6))),
        "item": rng.choice(ITEMS),
        "device": rng.choice(DEVICES),
        "app": rng.choice(APPS),
        "colour": rng.choice(COLOURS),
        "city": rng.choice(CITIES),
        "day": rng.choice(DAYS),
        "hour": str(hour),
        "next_hour": str(hour + 1),
        "amount": str(rng.randint(5, 480)),
    }
