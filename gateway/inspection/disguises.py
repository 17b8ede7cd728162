"""Spellings that hide a value from patterns and not from a reader: each function gives what to read in their place."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TypeAlias

from gateway.inspection.digits import count_digits

Change: TypeAlias = "tuple[int, int, str]"
"""Start, end, and what to read there."""

_SHORTEST, _LONGEST = 16, 512  # characters of base64 that is decoded; longer is unreadable (`walk.MIN_BLOB`)
_BASE64 = re.compile(rf"(?<![\w+/=-])[A-Za-z0-9+/_-]{{{_SHORTEST},{_LONGEST}}}={{0,2}}(?![\w+/=-])")
_PRINTABLE = 0.95  # the share from which decoded bytes are text; random bytes never get there

# Letters of other scripts that look like a Latin one, read as such only in words that hold Latin letters as well.
_CYRILLIC = (
    "\u0410\u0412\u0415\u0405\u0406\u0408\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0423\u0425\u0430\u0435"
    "\u043e\u0455\u0456\u0458\u0440\u0441\u0443\u0445\u0501\u04bb\u04cf\u051b\u051d"
)
_GREEK = (
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u03bf\u03b1\u03bd\u03b9\u03c1"
)
_LOOKALIKE = str.maketrans(
    _CYRILLIC + _GREEK,
    "ABESIJKMHOPCTYXaeosijpcyxdhlqwABEZHIKMNOPTYXoavip",
)
_FOREIGN_LETTER = re.compile("[\u0370-\u052f]")
_WORD = re.compile(r"[\w@.+-]+")
_LATIN = re.compile(r"[A-Za-z]")

_NAME = r"[\w+-]{1,64}"
_BRACKETED = r"\s{0,2}[\[({<]\s?%s\s?[\])}>]\s{0,2}"
_AT_BRACKETED, _DOT_BRACKETED = _BRACKETED % "at", _BRACKETED % "dot"
_DOT = rf"(?:{_DOT_BRACKETED}|\s{{1,2}}dot\s{{1,2}})"
_ADDRESS = re.compile(
    rf"(?<![\w.+-])({_NAME}(?:(?:{_DOT}|\.){_NAME}){{0,3}})"
    rf"(?:{_AT_BRACKETED}({_NAME}(?:(?:{_DOT}|\.){_NAME}){{1,4}})"
    rf"|\s{{1,2}}at\s{{1,2}}((?!(?:the|an?|this|that|every|any|each)\b){_NAME}(?:{_DOT}{_NAME}){{1,4}}))(?!\w)",
    re.IGNORECASE,
)
_DOTS = re.compile(_DOT, re.IGNORECASE)
# Where an address may be: an "at" in brackets, or one with a "dot" not far behind.
_AT = re.compile(r"[\[({<]\s?at\s?[\])}>]|\sat\s(?=.{1,80}dot)", re.IGNORECASE | re.DOTALL)
_ADDRESS_REACH = 320

# These begin with a digit, so that the search skips everything else; what is to be replaced is group 1.
_SPACED_DIGITS = re.compile(r"([0-9](?: [0-9-]){8,40})(?![\w-])(?! [\w-])")
_BEFORE_SPACED = re.compile(r"[\w-] ?\Z")
_BREAK = r"([ \t]*\r?\n[ \t]*)"
_BROKEN_DIGITS = (
    re.compile(rf"[0-9]-{_BREAK}(?=[0-9])"),
    re.compile(rf"[0-9]{{4}} [0-9]{{4}}{_BREAK}(?=[0-9]{{4}}(?![0-9]))"),
    re.compile(rf"[0-9]{{4}}(?<![0-9 ].{{4}}){_BREAK}(?=[0-9]{{4}} [0-9]{{4}} [0-9]{{4}}(?![0-9]))"),
)
_MARK = r"(?:\*\*|__|`|~~)"
_MARKED_DIGITS = re.compile(rf"[0-9]({_MARK}[ -]?{_MARK}?|[ -]{_MARK})(?=[0-9])")
_BROKEN_ADDRESS = re.compile(
    r"(?<=\w@)[ \t]*\r?\n[ \t]*(?=[\w-]+\.\w)|(?<=\w)[ \t]*\r?\n[ \t]*(?=@[\w-]+\.\w)"
    r"|(?<=@)(?:\*{1,3}|`|__)(?=\w)|(?<=\w)(?:\*{1,3}|`|__)(?=@\w|@[*`_])|(?<=\w)(?:\*\*|`)(?=\.\w)"
)
_FEWEST_DIGITS = 8


def encoded(text: str) -> list[Change]:
    """Words in base64 (RFC 4648, both alphabets) that stand for text."""
    if not _has_long_word(text):
        return []
    changes = []
    for match in _BASE64.finditer(text):
        decoded = _decoded(match.group())
        if decoded is not None:
            changes.append((*match.span(), decoded))
    return changes


def lookalikes(text: str) -> list[Change]:
    """Letters of other scripts in words that hold Latin letters as well."""
    if not _FOREIGN_LETTER.search(text):
        return []
    changes = []
    for match in _WORD.finditer(text):
        word = match.group()
        if not word.isascii() and _FOREIGN_LETTER.search(word) and _LATIN.search(word):
            changes += [
                (match.start() + i, match.start() + i + 1, plain)
                for i, (letter, plain) in enumerate(zip(word, word.translate(_LOOKALIKE), strict=True))
                if letter != plain
            ]
    return changes


def torn(text: str) -> list[Change]:
    """Addresses with words for their signs, digits one by one, and what is broken by a line's end or by marks."""
    changes: list[Change] = []
    lowered = text.lower()
    if "dot" in lowered or "at)" in lowered or "at]" in lowered or "at}" in lowered or "at>" in lowered:
        changes += _addresses(text)
    if "@" in text and ("\n" in text or "*" in text or "`" in text or "__" in text):
        changes += [(*match.span(), "") for match in _BROKEN_ADDRESS.finditer(text)]
    if count_digits(text) >= _FEWEST_DIGITS:
        changes += _torn_digits(text)
    return _apart(changes) if len(changes) > 1 else changes


def _torn_digits(text: str) -> list[Change]:
    changes = [
        (*match.span(1), match.group(1).replace(" ", ""))
        for match in _SPACED_DIGITS.finditer(text)
        if not _BEFORE_SPACED.search(text[max(0, match.start() - 2) : match.start()])
    ]
    if "\n" in text:
        for pattern in _BROKEN_DIGITS:
            changes += [(*m.span(1), "" if text[m.start(1) - 1] == "-" else " ") for m in pattern.finditer(text)]
    if "*" in text or "`" in text or "__" in text or "~~" in text:
        changes += [(*m.span(1), m.group(1).strip("*_`~")) for m in _MARKED_DIGITS.finditer(text)]
    return changes


def _has_long_word(text: str) -> bool:
    """Are there as many characters as the shortest base64 has without a space? From space to space, in few steps."""
    place, last = 0, len(text) - _SHORTEST
    while place <= last:
        place = text.rfind(" ", place, place + _SHORTEST) + 1
        if not place:
            return True
    return False


def _addresses(text: str) -> list[Change]:
    regions: list[tuple[int, int]] = []
    for at in _AT.finditer(text):
        start, end = max(0, at.start() - _ADDRESS_REACH), at.end() + _ADDRESS_REACH
        if regions and start <= regions[-1][1]:
            start = regions.pop()[0]
        regions.append((start, end))
    changes: list[Change] = []
    for start, end in regions:
        for match in _ADDRESS.finditer(text, start, end):
            local, domain = match.group(1), match.group(2) or match.group(3)
            changes.append((*match.span(), f"{_DOTS.sub('.', local)}@{_DOTS.sub('.', domain)}"))
    return changes


def _apart(changes: list[Change]) -> list[Change]:
    """In order, without those that begin inside another."""
    found: list[Change] = []
    for change in sorted(changes):
        if not found or change[0] >= found[-1][1]:
            found.append(change)
    return found


def _decoded(word: str) -> str | None:
    """The text that a word in base64 stands for, None if it stands for none."""
    bare = word.rstrip("=").replace("-", "+").replace("_", "/")
    if len(bare) % 4 == 1:
        return None
    try:
        text = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    readable = sum(1 for character in text if character.isprintable() or character in "\t\r\n")
    return text if readable >= _PRINTABLE * len(text) else None
