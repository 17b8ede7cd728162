"""Texts by the thousand, made from parts: letters, chats, forms, tables, code and logs, with and without data."""

from __future__ import annotations

import random
from collections.abc import Iterator

_NAMES = ("Anna Kowalski", "Jürgen Groß", "María José García", "O'Brien", "Li Wei", "Paweł Zając", "JOHN SMITH", "bob")
_SENTENCES = (
    "Please send it before Friday.", "Bitte überweisen Sie den Betrag auf das Konto", "Mon numéro de sécurité est le",
    "Llámame al", "Il mio codice fiscale non è questo:", "Mijn rekeningnummer is", "Meu número de telefone é",
    "Mój numer telefonu to", "私の番号は", "Мой номер", "رقم هاتفي", "the customer said that the order is late",
    "I can't find it, e.g. in the archive (see p. 12).", "Call me at", "my ssn is not", "IBAN:", "passport no.",
    "Dear Sir or Madam,", "Kind regards,\nAnna", "> quoted: the phone number of the patient is", "born on",
)  # fmt: skip
_CODE = (
    "for i in range(10_000): total += rows[i] * 0x1F", 'const url = "https://user:pa55@host.example/a?b=c%40d.org";',
    "SELECT * FROM t WHERE id=123456789 AND at > '2024-01-15 10:30:00';", "git commit -m 'fix 4bf92f3'; ls -la ~/x@y",
    "2026-03-01T10:15:30.123Z INFO [worker-7] 10.1.2.3 - GET /v1/x?id=9434765919 200 132ms", "std::vector<a::b> v{1};",
    '{"ssn": "536-90-4399", "n": 4242424242424242, "mail": "a.b+c@mail.example.org"}', "API_KEY=sk-abc123def456ghi78",
    "password = os.environ['PW']  # not: hunter2!", "0 1 2 3 4 5 6 7 8 9 10 11 12", "| 12 | 345 | 6,789.00 | 50% |",
)  # fmt: skip
_JOINTS = (
    " ",
    " ",
    " ",
    "\n",
    "\n\n",
    ", ",
    ": ",
    "; ",
    " - ",
    "\t",
    "",
    "\u00a0",
    "\r\n",
    " (",
    ") ",
    '"',
    "'s ",
    "/",
)


def corpus(rng: random.Random, size: int) -> Iterator[str]:
    """`size` texts, mostly short, a few of some thousand characters."""
    for number in range(size):
        parts = rng.choice((2, 3, 4, 6, 9, 14)) if number % 100 else 200
        yield "".join(_part(rng) + rng.choice(_JOINTS) for _ in range(parts))


def _part(rng: random.Random) -> str:
    kind = rng.randrange(6)
    if kind == 0:
        return rng.choice(_NAMES)
    if kind in (1, 2):
        return rng.choice(_SENTENCES)
    if kind == 3:
        return rng.choice(_CODE)
    return _value(rng)


def _value(rng: random.Random) -> str:
    def digits(count: int) -> str:
        return "".join(rng.choices("0123456789", k=count))

    separator = rng.choice(("", " ", "-", ".", "\u00a0"))
    return rng.choice(
        (
            separator.join((digits(3), digits(2), digits(4))),
            separator.join((digits(4), digits(4), digits(4), digits(4))),
            separator.join((digits(3), digits(3), digits(4))),
            f"+{digits(2)} {digits(3)} {digits(7)}",
            f"(0{digits(2)}) {digits(6)}",
            digits(rng.randint(1, 20)),
            rng.choice("ABCDEFGHIJ") + digits(8),
            f"9{digits(2)}-{rng.choice('789')}{digits(1)}-{digits(4)}",
            rng.choice(("DE", "GB", "FR")) + digits(2) + separator + separator.join(digits(4) for _ in range(5)),
            "DE89 3704 0044 0532 0130 00",
            "4242 4242 4242 4242",
            f"{rng.choice('abc')}{digits(2)}.x@{rng.choice(('example.com', 'corp.local', 'a.b', 'ex-ample.co.uk'))}",
            ".".join(str(rng.randint(0, 300)) for _ in range(rng.choice((3, 4, 5)))),
            ":".join(rng.randbytes(rng.choice((1, 2))).hex() for _ in range(rng.choice((2, 6, 8)))),
            f"{rng.choice('ABCEGH')}{rng.choice('ABCEGH')} {digits(2)} {digits(2)} {digits(2)} {rng.choice('ABCD')}",
            f"{rng.randint(1, 300)} {rng.choice(('High Street', 'rue de Rivoli', 'Oak Ave.'))}",
            rng.choice(("1", "3", "bc1q"))
            + "".join(rng.choices("acdefghjkmnpqrstuvwxyz023456789", k=rng.randint(24, 40))),
            f"{digits(2)}/{digits(2)}/{digits(4)}",
            f"{rng.randint(1, 99)} years old",
            "".join(chr(rng.choice((0x660, 0x966, 0xFF10)) + int(digit)) for digit in digits(9)),
        )
    )
