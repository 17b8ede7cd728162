"""Keys, tokens and private keys: what opens a door for whoever holds it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from gateway.inspection.recognizers.base import Hit, TextRecognizer, lowered
from gateway.inspection.recognizers.issuers import ISSUED, Issued
from gateway.inspection.recognizers.randomness import looks_random

_SHORTEST = 15  # characters of the shortest key that any of these patterns finds
_LONGEST_BEFORE = 40  # characters of the longest part that precedes a fixed part


class _Rule(NamedTuple):
    fixed: str
    before: re.Pattern[str] | None
    rest: re.Pattern[str]
    score: float

    def hits(self, text: str) -> Iterator[Hit]:
        """Group 1 of the rest, where there is one, is the key."""
        at = text.find(self.fixed)
        while at >= 0:
            end = at + len(self.fixed)
            start: int | None = at
            if self.before is not None:
                before = self.before.search(text, max(0, at - _LONGEST_BEFORE), at)
                start = before.start() if before else None
            if start is not None and not (start and text[start - 1].isalnum()):
                rest = self.rest.match(text, end)
                if rest:
                    yield (
                        (rest.start(1), rest.end(1), self.score) if rest.re.groups else (start, rest.end(), self.score)
                    )
            at = text.find(self.fixed, end)


def _rules(row: Issued) -> Iterator[_Rule]:
    before = re.compile(rf"(?:{row.before})\Z") if row.before else None
    for fixed in row.fixed.split("|"):
        yield _Rule(fixed, before, re.compile(row.rest), row.score)


_RULES = [rule for row in ISSUED for rule in _rules(row)]
# Most fixed parts have one of three characters that ordinary sentences rarely have: one look decides on many rules.
_GROUPS = tuple(
    (mark, tuple(rule for rule in _RULES if rule.fixed.rfind(mark) >= 0 and not set(rule.fixed) & set(earlier)))
    for mark, earlier in (("_", ""), ("-", "_"), (".", "_-"))
)
_OTHERS = tuple(rule for rule in _RULES if not set(rule.fixed) & set("_-."))

_QUALIFIERS = (
    *("api", "secret", "access", "auth", "app", "application", "account", "signing", "encryption", "master", "private"),
    *("shared", "storage", "service", "client", "consumer", "license", "webhook", "deploy", "admin", "rest"),
    *("x-functions", "subscription", "project", "integration", "ingest", "write", "read", "live", "prod", "production"),
    *("user", "session", "bot", "id", "refresh", "bearer", "oauth", "aws", "azure", "gcp", "s3"),
)
_SEPARATORS = (" ", "_", ".", "-")
_ASSIGNED = re.compile(
    r"s?(?:[_-]?(?:id|value|base64|v[0-9]))?[\"'`\]]{0,2}\s{0,3}(?:=>|:=|={1,3}|:|,|>|\bis\b:?|\bist\b|\best\b|\bes\b)"
    r"\s{0,3}(?P<quote>[\"'`]?)(?P<value>[A-Za-z0-9_\-./+=~]{16,200})(?P<after>[\"'`(\[]?)",
    re.IGNORECASE,
)
_CALLED = ("token", "secret", "key", "credential")
_PATH = re.compile(r"(?:[A-Za-z_]\w*[./-])+[A-Za-z_]\w*|/?(?:[\w.-]+/)+[\w.-]*\.[a-z]{1,5}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DIGEST = re.compile(r"(?:sha(?:1|224|256|384|512)|md5)[-:=][A-Za-z0-9+/=]+|(?:[0-9a-f]{32}|[0-9a-f]{40})")


class ApiKeyRecognizer(TextRecognizer):
    """Keys by the fixed parts that their issuers gave them, and random strings that are called a key or token."""

    ENTITY = "API_KEY"

    def hits(self, text: str) -> Iterator[Hit]:
        long = "\n".join([word for word in text.split() if len(word) >= _SHORTEST])
        if long:
            for mark, rules in _GROUPS:
                if mark in long:
                    for rule in rules:
                        if rule.fixed in long:
                            yield from rule.hits(text)
            for rule in _OTHERS:
                if rule.fixed in long:
                    yield from rule.hits(text)
        lower = lowered(text)
        for word in _CALLED:
            at = lower.find(word)
            while at >= 0:
                at += len(word)
                yield from _called(text, lower, word, at)
                at = lower.find(word, at)


def _qualified(lower: str, end: int) -> bool:
    """Does a word that says what it opens, such as "api", stand before the word that begins at `end`?"""
    for _ in range(2):
        if lower.endswith(_SEPARATORS, 0, end):
            end -= 1
    return lower.endswith(_QUALIFIERS, 0, end)


def _called(text: str, lower: str, word: str, at: int) -> Iterator[Hit]:
    """The random value behind a word such as "token" that ends at an offset."""
    match = _ASSIGNED.match(text, at)
    if match is None:
        return
    value = match["value"]
    qualified = _qualified(lower, at - len(word))
    if word == "key" and not qualified:
        return
    if match["after"] in ("(", "[") or not looks_random(value):
        return
    if not match["quote"] and _PATH.fullmatch(value):
        return
    # A digest or an id is a key only where the word before leaves no doubt: "token" alone is also a cache tag.
    if not qualified and word != "secret" and (_UUID.fullmatch(value) or _DIGEST.fullmatch(value)):
        return
    yield match.start("value"), match.end("value"), 0.7


class PrivateKeyRecognizer(TextRecognizer):
    """Private keys in PEM armour (RFC 7468), PGP blocks and PuTTY files; without an end line, what there is."""

    ENTITY = "PRIVATE_KEY"
    _BLOCK = re.compile(
        r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:[A-Za-z0-9+/=\s:,.()\\-]{0,20000}?-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
        r"|[A-Za-z0-9+/=\s\\]{0,20000})"
    )
    _PUTTY = re.compile(
        r"PuTTY-User-Key-File-[23]:[^\n]{1,100}\n[\s\S]{0,8000}?Private-Lines:[^\n]{1,20}[A-Za-z0-9+/=\s]+"
    )
    _JWK = re.compile(r"\"(?:d|k)\"\s{0,3}:\s{0,3}\"([\w-]{22,1400})\"")

    def hits(self, text: str) -> Iterator[Hit]:
        if "PRIVATE KEY" in text:
            for match in self._BLOCK.finditer(text):
                yield match.start(), match.end(), 1.0
        if "PuTTY-User-Key" in text:
            for match in self._PUTTY.finditer(text):
                yield match.start(), match.end(), 1.0
        if '"kty"' in text:  # a JSON Web Key (RFC 7517): its private part
            for match in self._JWK.finditer(text):
                yield match.start(1), match.end(1), 0.9


class JwtRecognizer(TextRecognizer):
    """JSON Web Tokens in compact form (RFC 7519), encrypted ones too (RFC 7516)."""

    ENTITY = "JWT"
    _TOKEN = re.compile(r"(?<![\w-])eyJ[\w-]{8,2000}\.[\w-]{4,8000}\.[\w-]{8,1500}(?:\.[\w-]{4,8000}\.[\w-]{8,100})?")
    _ENCRYPTED = re.compile(r"(?<![\w-])eyJ[\w-]{8,2000}\.[\w-]{0,2000}\.[\w-]{8,100}\.[\w-]{1,8000}\.[\w-]{8,100}")

    def hits(self, text: str) -> Iterator[Hit]:
        if "eyJ" in text:
            for match in self._TOKEN.finditer(text):
                yield match.start(), match.end(), 0.9
            if ".." in text:  # encrypted with a key agreed before: the second part is empty
                for match in self._ENCRYPTED.finditer(text):
                    yield match.start(), match.end(), 0.9
