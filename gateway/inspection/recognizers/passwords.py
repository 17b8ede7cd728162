"""Passwords and other secrets that are known by the word or the place before them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway.inspection.recognizers.base import Hit, TextRecognizer, lowered
from gateway.inspection.recognizers.randomness import looks_random

_URL_LOGIN = re.compile(r"://[^\s:/@\"'<>]{0,100}:([^\s/@\"'<>]{3,200})@")
_CREDENTIALS = re.compile(r"\s+([A-Za-z0-9\-._~+/]{16,4000}=*)")
_ASSIGNED = re.compile(
    r"[\"'`\]]{0,2}\s{0,3}(?P<by>:=|=>|[:=>]|\b(?:is|ist|est|es|è|é|was|lautet|to|jest)\b:?)\s{0,3}"
    r"(?:(?P<quote>[\"'`])(?P<quoted>[^\"'`\n]{3,64})(?P=quote)|(?P<bare>[^\s\"'`,;<>]{4,64}))",
    re.IGNORECASE,
)
_NETRC = re.compile(r"\s+([^\s\"'`]{4,64})")
_AWS_SECRET = re.compile(r"[\s\S]{0,60}?(?<![A-Za-z0-9/+])([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])")
_COMMAND = re.compile(
    r"\bcurl\b[^\n]{0,200}?\s(?:-u|--user)[ =]?[\"']?[\w.@-]{1,64}:([^\s\"']{3,100})"
    r"|\bsshpass\s+-p\s*[\"']?([^\s\"']{3,64})"
)
_DOCKER_AUTH = re.compile(r"\"auth\"\s{0,3}:\s{0,3}\"([A-Za-z0-9+/]{12,400}={0,2})\"")
_PLACEHOLDER = re.compile(
    r"[<{\[$%*#(&].*|[*xX.•_-]+|\.{3}.*|\W+"
    r"|(?:your|my|the|change|example|test|dummy|placeholder|redacted|hidden|insert|enter|os\.|env\.|self\.|request\."
    r"|process\.|config\.|settings\.|getenv|args\.|options\.|this\.|params\.|data\.|f[\"']).*"
    r"|(?:pass|pw|pwd|secret|string|str|null|none|nil|true|false|undefined|required|optional|incorrect|invalid|wrong"
    r"|correct|expired|reset|forgotten|weak|strong|empty|bytes|text|user|username|root|admin|postgres|input|hidden"
    r"|(?:new|old|current|confirm|user|db|database)?_?(?:password|passwd)[0-9]?)[.!?)\]}:;]*",
    re.IGNORECASE,
)
# The word, and whether it may be the end of a longer one ("dbpassword").
_WORDS = (
    *(("password", True), ("passwd", True), ("passphrase", True), ("passcode", True), ("passwort", True)),
    *(("kennwort", True), ("mot de passe", False), ("contraseña", False), ("wachtwoord", False), ("hasło", False)),
    *(("parola d'ordine", False), ("palavra-passe", False), ("senha", False), ("pwd", False), ("clave", False)),
    *(("pin code", False), ("pin", False)),
)


class SecretRecognizer(TextRecognizer):
    """Passwords: in connection URLs, after the word itself, on command lines, in authorization headers; AWS secret
    keys by the words before them."""

    ENTITY = "SECRET"

    def hits(self, text: str) -> Iterator[Hit]:
        lower = lowered(text)
        if "://" in text:
            for match in _URL_LOGIN.finditer(text):
                if not _PLACEHOLDER.fullmatch(match.group(1)):
                    yield match.start(1), match.end(1), 0.9
        for word in ("bearer", "basic", "ssws"):  # Okta calls its own scheme so
            for at in _places(lower, word):
                credentials = _CREDENTIALS.match(text, at)
                if credentials and looks_random(credentials.group(1)):
                    yield credentials.start(1), credentials.end(1), 0.8
        for word, ending in _WORDS:
            if word in lower:
                yield from _passwords(text, lower, word, ending)
        for word in ("aws", "secret", "amazon"):
            for at in _places(lower, word):
                key = _AWS_SECRET.match(text, at)
                if key and looks_random(key.group(1)) and not _hexadecimal(key.group(1)):
                    yield key.start(1), key.end(1), 0.8
        if "curl" in text or "sshpass" in text:
            yield from _shown(_COMMAND, text, 0.85)
        if '"auth"' in text:
            yield from _shown(_DOCKER_AUTH, text, 0.85)


def _shown(pattern: re.Pattern[str], text: str, score: float) -> Iterator[Hit]:
    for match in pattern.finditer(text):
        group = match.lastindex or 0
        if not _PLACEHOLDER.fullmatch(match.group(group)):
            yield match.start(group), match.end(group), score


def _places(lower: str, word: str) -> Iterator[int]:
    """The ends of a word in a text."""
    at = lower.find(word)
    while at >= 0:
        at += len(word)
        yield at
        at = lower.find(word, at)


def _hexadecimal(value: str) -> bool:
    return all(character in "0123456789abcdef" for character in value)


def _passwords(text: str, lower: str, word: str, ending: bool) -> Iterator[Hit]:
    for at in _places(lower, word):
        start = at - len(word)
        if not ending and start and lower[start - 1].isalnum():
            continue
        match = _ASSIGNED.match(text, at)
        if match is None:
            if "machine" in lower and "login" in lower:  # a .netrc file has only spaces
                match = _NETRC.match(text, at)
                if match and not _PLACEHOLDER.fullmatch(match.group(1)) and not match.group(1).isalpha():
                    yield match.start(1), match.end(1), 0.7
            continue
        quoted = match["quoted"]
        value = quoted or match["bare"]
        begin = match.start("quoted" if quoted else "bare")
        if not quoted:
            value = value.rstrip(".!?)")
        if len(value) < 4 or _PLACEHOLDER.fullmatch(value):
            continue
        short = word == "clave" or word.startswith("pin")
        if short and (len(value) > 16 or not any(map(str.isdigit, value))):
            continue
        if quoted:
            # A sentence in quotes is a message about passwords.
            if value.count(" ") > 1 and not any(map(str.isdigit, value)):
                continue
        # Unquoted plain words are prose or code ("password is wrong", "password: str"), not passwords.
        elif value.isalpha() or "(" in value or "[" in value or _NAME.fullmatch(value):
            continue
        yield begin, begin + len(value), 0.7


_NAME = re.compile(r"[A-Za-z_][A-Za-z_]*(?:[._-][A-Za-z_]\w*)*|[A-Za-z_]+_\w*|/?(?:[\w.-]+/)+[\w.-]*")
