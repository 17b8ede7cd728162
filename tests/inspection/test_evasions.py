"""Spellings that hide a value: each is found, whole, or it is named in docs/limits.md."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from urllib.parse import quote

import pytest

from gateway.inspection.engine import Engine
from gateway.inspection.readings import Readings

ENGINE = Engine()
LIMITS = Path(__file__).parents[2] / "docs" / "limits.md"

MAIL, CARD, SSN = "anna.kowalski@example.com", "4242424242424242", "536-90-4399"
GROUPED = "4242 4242 4242 4242"


def shifted(value: str, zero: int) -> str:
    """With digits of another script."""
    return "".join(chr(zero + int(c)) if c.isdigit() else c for c in value)


def wide(value: str) -> str:
    """In full-width forms."""
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in value)


def encoded(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


FOUND: dict[str, tuple[str, str]] = {
    "zero-width spaces in a card": ("\u200b".join(CARD), "CREDIT_CARD"),
    "zero-width joiner in an address": ("anna.kowalski\u200d@exam\u200dple.com", "EMAIL_ADDRESS"),
    "word joiner in a number": ("536\u2060-90-\u20604399", "US_SSN"),
    "byte order mark": ("4242\ufeff4242\ufeff4242\ufeff4242", "CREDIT_CARD"),
    "direction marks": ("\u202e" + MAIL + "\u202c", "EMAIL_ADDRESS"),
    "variation selectors": ("4\ufe0f".join(["", "242", "242", "242", "242"]), "CREDIT_CARD"),
    "soft hyphens": ("4242\u00ad4242\u00ad4242\u00ad4242", "CREDIT_CARD"),
    "soft hyphen in an address": ("anna.kowal\u00adski@exam\u00adple.com", "EMAIL_ADDRESS"),
    "Cyrillic letters in an address": ("\u0430nna.k\u043ewalski@ex\u0430mple.com", "EMAIL_ADDRESS"),
    "Greek letters in an address": ("anna.k\u03bfwalski@example.c\u03bfm", "EMAIL_ADDRESS"),
    "Cyrillic letters in a key": ("ghp_" + "\u04301\u0412\u0441" * 9, "API_KEY"),
    "full-width digits": (wide(CARD), "CREDIT_CARD"),
    "full-width address": (wide(MAIL), "EMAIL_ADDRESS"),
    "full-width at sign": (MAIL.replace("@", "\uff20"), "EMAIL_ADDRESS"),
    "small at sign": (MAIL.replace("@", "\ufe6b"), "EMAIL_ADDRESS"),
    "Arabic digits": (shifted(SSN, 0x660), "US_SSN"),
    "Devanagari digits": (shifted(CARD, 0x966), "CREDIT_CARD"),
    "Thai digits": (shifted(GROUPED, 0xE50), "CREDIT_CARD"),
    "mathematical digits": (shifted(CARD, 0x1D7CE), "CREDIT_CARD"),
    "circled digits": ("".join(chr(0x245F + int(c)) for c in CARD), "CREDIT_CARD"),
    "superscript digits": ("".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(c)] for c in CARD), "CREDIT_CARD"),
    "unusual hyphens": ("536\u201190\u20134399", "US_SSN"),
    "no-break spaces": (GROUPED.replace(" ", "\u00a0"), "CREDIT_CARD"),
    "thin spaces": (GROUPED.replace(" ", "\u2009"), "CREDIT_CARD"),
    "base64": (encoded(MAIL), "EMAIL_ADDRESS"),
    "base64 of a card": (encoded(CARD), "CREDIT_CARD"),
    "base64 without padding": (encoded(f"The SSN is {SSN}").rstrip("="), "US_SSN"),
    "base64 for URLs": (base64.urlsafe_b64encode(f"{MAIL}?>~ÿ>?".encode()).decode(), "EMAIL_ADDRESS"),
    "base64 of base64": (encoded(encoded(MAIL)), "EMAIL_ADDRESS"),
    "base64 in a URL": (quote(encoded("??>" + MAIL)), "EMAIL_ADDRESS"),
    "percent-encoded": (quote(MAIL), "EMAIL_ADDRESS"),
    "percent-encoded twice": (quote(quote(MAIL)), "EMAIL_ADDRESS"),
    "every character percent-encoded": ("".join(f"%{ord(c):02X}" for c in CARD), "CREDIT_CARD"),
    "HTML decimal": ("".join(f"&#{ord(c)};" for c in MAIL), "EMAIL_ADDRESS"),
    "HTML hexadecimal": (MAIL.replace("@", "&#x40;"), "EMAIL_ADDRESS"),
    "HTML names": (MAIL.replace("@", "&commat;").replace(".", "&period;"), "EMAIL_ADDRESS"),
    "HTML in HTML": (MAIL.replace("@", "&amp;#64;"), "EMAIL_ADDRESS"),
    "JSON escapes": ("".join(f"\\u{ord(c):04x}" for c in CARD), "CREDIT_CARD"),
    "JSON escapes, twice": (MAIL.replace("@", "\\\\u0040"), "EMAIL_ADDRESS"),
    "C escapes": (MAIL.replace("@", "\\x40"), "EMAIL_ADDRESS"),
    "a card over two lines": ("4242 4242\n4242 4242", "CREDIT_CARD"),
    "a card over two lines, one group on the first": ("4242\n4242 4242 4242", "CREDIT_CARD"),
    "a number broken after its hyphen": ("536-90-\n4399", "US_SSN"),
    "an address broken after the at sign": ("anna.kowalski@\nexample.com", "EMAIL_ADDRESS"),
    "an address broken before the at sign": ("anna.kowalski\n@example.com", "EMAIL_ADDRESS"),
    "bold groups": ("**4242** **4242** **4242** **4242**", "CREDIT_CARD"),
    "bold in the middle of a number": ("4242**4242**42424242", "CREDIT_CARD"),
    "code marks in a number": ("`4242` `4242` `4242` `4242`", "CREDIT_CARD"),
    "a bold domain": ("anna.kowalski@**example**.com", "EMAIL_ADDRESS"),
    "a value in emphasis": (f"*{CARD}* _{CARD}_ ~~{CARD}~~", "CREDIT_CARD"),
    "at and dot in words": ("kowalski at example dot com", "EMAIL_ADDRESS"),
    "at and dot in words and capitals": ("anna dot kowalski AT example DOT com", "EMAIL_ADDRESS"),
    "at in brackets": ("anna.kowalski [at] example.com", "EMAIL_ADDRESS"),
    "at and dot in brackets": ("anna.kowalski(at)example(dot)com", "EMAIL_ADDRESS"),
    "at and dot in angle brackets": ("anna.kowalski <at> example <dot> com", "EMAIL_ADDRESS"),
    "spaced-out digits": (" ".join(CARD), "CREDIT_CARD"),
    "spaced-out digits and hyphens": (" ".join(SSN), "US_SSN"),
}

NOT_FOUND: dict[str, tuple[str, str]] = {
    "hexadecimal": (MAIL.encode().hex(), "EMAIL_ADDRESS"),
    "base32": (base64.b32encode(MAIL.encode()).decode(), "EMAIL_ADDRESS"),
    "quoted-printable": (MAIL.replace("@", "=40"), "EMAIL_ADDRESS"),
    "base64 of compressed or encrypted bytes": (
        base64.b64encode(bytes(b ^ 0xA5 for b in MAIL.encode())).decode(),
        "EMAIL_ADDRESS",
    ),
    "base64 broken by spaces or lines": (" ".join(re.findall(".{1,10}", encoded(CARD))), "CREDIT_CARD"),
    "reversed text": ("4000056655665556"[::-1], "CREDIT_CARD"),
    "shifted letters (ROT13)": ("naan.xbjnyfxv ng rknzcyr qbg pbz", "EMAIL_ADDRESS"),
    "numbers in words": ("four two four two " * 4, "CREDIT_CARD"),
    "letters for digits": (CARD.replace("4", "A").replace("2", "Z"), "CREDIT_CARD"),
    "spaced-out letters": (" ".join(MAIL), "EMAIL_ADDRESS"),
    "tildes or other signs between digits": ("~".join(re.findall("....", CARD)), "CREDIT_CARD"),
    "a number over more than two lines": ("4242\n4242\n4242\n4242", "CREDIT_CARD"),
    "an address broken inside a word": ("anna.kowalski@exa\nmple.com", "EMAIL_ADDRESS"),
    "an address with words in another language": ("anna.kowalski chez example point com", "EMAIL_ADDRESS"),
    "upside-down letters": (
        "\u026fo\u0254\u02d9\u01ddld\u026f\u0250x\u01dd@\u0131\u029esl\u0250\u028do\u029e\u02d9\u0250uu\u0250",
        "EMAIL_ADDRESS",
    ),
}


def covered(text: str, entity: str) -> int:
    """How many characters of the text are in findings of the entity, in any reading."""
    readings = Readings([text])
    spans = readings.spans([ENGINE.scan(reading) for reading in readings.texts])[text]
    return len({i for s in spans if s.entity == entity and s.percent >= 50 for i in range(s.start, s.end)})


@pytest.mark.parametrize("name", FOUND)
def test_found(name: str) -> None:
    """A value in this spelling is found, also in the middle of a sentence, from its first character to its last."""
    spelling, entity = FOUND[name]
    letters = sum(map(str.isalnum, spelling))
    for text in (spelling, f"Please note: {spelling} (thanks)."):
        assert covered(text, entity) >= min(letters, len(spelling) - 2), text


@pytest.mark.parametrize("name", NOT_FOUND)
def test_not_found(name: str) -> None:
    """What the documentation says is not found is not: should it be some day, the documentation is to say so."""
    spelling, entity = NOT_FOUND[name]
    assert covered(f"Please note: {spelling} (thanks).", entity) == 0


def test_the_documentation_names_what_is_not_found() -> None:
    """The list in docs/limits.md is the list of this test."""
    section = LIMITS.read_text(encoding="utf-8").partition("\n## Evasions\n")[2].partition("\n## ")[0]
    assert re.findall(r"^- \*\*(.+?)\*\*", section, re.MULTILINE) == list(NOT_FOUND)


@pytest.mark.parametrize(
    "text",
    [
        "Let us meet at the dot com office, look at it, and that is that.",
        "data = {'a': 1, 'b': 2}  # see README (at the end) for details",
        "internationalization InternalServerErrorException getUserByIdentifier 4bf92f3577b34da6a3ce929d0e0e4736",
        "The matrix is\n0 1 0 1 1 0 1 0\n1 1 0 1 0 0 1 1\nand its power 2**10 is `12` times `34`.",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 and bundle-Zx81kQpLmN3vR7tY",
        "\u043a\u043d\u0438\u0433\u0430 \u03b1\u03b2\u03b3 words",
    ],
)
def test_ordinary_texts(text: str) -> None:
    """Looking behind disguises finds nothing where nothing is."""
    readings = Readings([text])
    spans = readings.spans([ENGINE.scan(reading) for reading in readings.texts])[text]
    assert [s for s in spans if s.percent >= 50] == []
