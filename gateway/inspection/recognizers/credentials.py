"""Keys, tokens and passwords: what opens a door for whoever holds it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

from gateway.inspection.recognizers.base import Hit, TextRecognizer


class _Rule:
    """A pattern and the literals of which one is in every match. Group 1, where there is one, is the secret."""

    __slots__ = ("anchors", "pattern", "score")

    def __init__(self, anchors: str, pattern: str, score: float) -> None:
        self.anchors = tuple(anchors.split())
        self.pattern = re.compile(pattern)
        self.score = score

    def hits(self, text: str) -> Iterator[tuple[int, int, float]]:
        group = 1 if self.pattern.groups else 0
        for match in self.pattern.finditer(text):
            yield match.start(group), match.end(group), self.score


_EDGE = r"(?<![A-Za-z0-9])"

_ISSUED = (
    _Rule("sk-", _EDGE + r"sk-(?:ant-|proj-|svcacct-|admin-|or-)?[\w-]{20,250}", 0.9),
    _Rule("sk_ rk_", _EDGE + r"(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,200}", 0.95),
    _Rule("AKIA ASIA ABIA ACCA", _EDGE + r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?![A-Z0-9])", 0.95),
    _Rule("ghp_ gho_ ghu_ ghs_ ghr_", _EDGE + r"gh[pousr]_[A-Za-z0-9]{36,250}", 0.95),
    _Rule("github_pat_", _EDGE + r"github_pat_\w{40,250}", 0.95),
    _Rule("glpat- gldt- glrt-", _EDGE + r"gl(?:pat|dt|rt)-[\w.-]{20,250}", 0.95),
    _Rule("xox", _EDGE + r"xox[abeoprs]-[\w-]{10,250}", 0.95),
    _Rule("hooks.slack.com", r"hooks\.slack\.com/services/T\w{6,}/B\w{6,}/\w{16,}", 0.9),
    _Rule("AIza", _EDGE + r"AIza[\w-]{35}(?![\w-])", 0.95),
    _Rule("GOCSPX-", _EDGE + r"GOCSPX-[\w-]{28}", 0.95),
    _Rule("npm_", _EDGE + r"npm_[A-Za-z0-9]{36}(?!\w)", 0.95),
    _Rule("pypi-", _EDGE + r"pypi-AgE[\w-]{50,500}", 0.95),
    _Rule("hf_", _EDGE + r"hf_[A-Za-z0-9]{30,60}(?!\w)", 0.95),
    _Rule("SG.", _EDGE + r"SG\.[\w-]{16,32}\.[\w-]{32,64}", 0.95),
    _Rule("SK AC", _EDGE + r"(?:SK|AC)[0-9a-f]{32}(?![0-9a-f])", 0.8),
    _Rule("_v1_", _EDGE + r"do[opr]_v1_[a-f0-9]{64}", 0.95),
    _Rule("gsk_", _EDGE + r"gsk_[A-Za-z0-9]{40,100}", 0.95),
    _Rule("dapi", _EDGE + r"dapi[a-f0-9]{32}(?![a-f0-9])", 0.9),
    _Rule("shpat_ shpca_ shppa_ shpss_", _EDGE + r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}", 0.95),
    _Rule("whsec_", _EDGE + r"whsec_[A-Za-z0-9+/=]{20,100}", 0.9),
    _Rule("AccountKey= SharedAccessKey=", r"(?:AccountKey|SharedAccessKey)=([A-Za-z0-9+/]{43,86}={1,2})", 0.95),
    _Rule(":AA", r"(?<![\w:])[0-9]{8,10}:AA[\w-]{32,34}(?![\w-])", 0.9),
)
_NAMED = re.compile(
    r"(?:api[_ -]?key|secret[_ -]?(?:access[_ -]?)?key|client[_ -]?secret|access[_ -]?(?:key|token)"
    r"|auth[_ -]?(?:key|token)|app[_ -]?secret|private[_ -]?token|refresh[_ -]?token|signing[_ -]?(?:key|secret)"
    r"|secret|token|apikey)"
    r"[\"']?\s{0,3}(?:=>|:=|[:=]|\bis\b)\s{0,3}[\"']?([A-Za-z0-9_\-./+=]{16,200})",
    re.IGNORECASE,
)
_SHORTEST = 15  # characters of the shortest key that any of these patterns finds
_MIN_ENTROPY = 3.0  # bits a character; English words and identifiers of this length lie below, random strings above


class ApiKeyRecognizer(TextRecognizer):
    """Keys by the prefixes that their issuers gave them, and long random strings that are called a key or token."""

    ENTITY = "API_KEY"

    def hits(self, text: str) -> Iterator[Hit]:
        if max(map(len, text.split()), default=0) < _SHORTEST:
            return
        for rule in _ISSUED:
            for anchor in rule.anchors:
                if anchor in text:
                    yield from rule.hits(text)
                    break
        lowered = text.lower()
        if "key" in lowered or "token" in lowered or "secret" in lowered:
            for match in _NAMED.finditer(text):
                if _looks_random(match.group(1)):
                    yield match.start(1), match.end(1), 0.7


def _looks_random(value: str) -> bool:
    if not any(map(str.isdigit, value)) or not any(map(str.isalpha, value)):
        return False
    size = len(value)
    return -sum(n / size * math.log2(n / size) for n in Counter(value).values()) >= _MIN_ENTROPY


class PrivateKeyRecognizer(TextRecognizer):
    """Private keys in PEM armour (RFC 7468) and PGP blocks; without its end line, the key data that is there."""

    ENTITY = "PRIVATE_KEY"
    _BLOCK = re.compile(
        r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:[A-Za-z0-9+/=\s:,.()\\-]{0,20000}?-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
        r"|[A-Za-z0-9+/=\s\\]{0,20000})"
    )

    def hits(self, text: str) -> Iterator[Hit]:
        if "PRIVATE KEY" in text:
            for match in self._BLOCK.finditer(text):
                yield match.start(), match.end(), 1.0


class JwtRecognizer(TextRecognizer):
    """JSON Web Tokens in compact form (RFC 7519)."""

    ENTITY = "JWT"
    _TOKEN = re.compile(r"(?<![\w-])eyJ[\w-]{8,2000}\.[\w-]{4,8000}\.[\w-]{8,1500}")

    def hits(self, text: str) -> Iterator[Hit]:
        if "eyJ" in text:
            for match in self._TOKEN.finditer(text):
                yield match.start(), match.end(), 0.9


_URL_LOGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s:/@\"'<>]{0,100}:([^\s/@\"'<>]{3,200})@")
_BEARER = re.compile(r"\b(?:bearer|basic)\s+([A-Za-z0-9\-._~+/]{16,4000}=*)", re.IGNORECASE)
_PASSWORD = re.compile(
    r"(?:pass(?:word|wd|phrase|code)|\bpwd|passwort|kennwort|mot de passe|contraseña|\bpin(?: code)?)"
    r"[\"']?\s{0,3}(:=|=>|[:=]|\b(?:is|ist|est|es|was)\b:?)\s{0,3}(?:([\"'`])([^\"'`\n]{3,64})\2|([^\s\"'`,;]{4,64}))",
    re.IGNORECASE,
)
_AWS_SECRET = re.compile(r"(?i:aws|secret|amazon).{0,60}?(?<![A-Za-z0-9/+])([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])")
_PLACEHOLDER = re.compile(
    r"[<{\[$%*#].*|[*xX.•]+"
    r"|(?:your|my|the|change|example|test|dummy|placeholder|redacted|hidden|os\.|env\.|self\.|request\.).*"
    r"|(?:password|passwd|pass|secret|string|str|null|none|true|false|undefined|required|optional|incorrect|invalid|wrong"
    r"|correct|expired|reset|forgotten|weak|strong|empty|bytes|text|user|username|root|admin|postgres)[.!?)]*",
    re.IGNORECASE,
)


class SecretRecognizer(TextRecognizer):
    """Passwords: in connection URLs, after the word itself, in authorization headers; AWS secret keys by context."""

    ENTITY = "SECRET"

    def hits(self, text: str) -> Iterator[Hit]:
        if "://" in text:
            for match in _URL_LOGIN.finditer(text):
                if not _PLACEHOLDER.fullmatch(match.group(1)):
                    yield match.start(1), match.end(1), 0.9
        lowered = text.lower()
        if "bearer" in lowered or "basic" in lowered:
            for match in _BEARER.finditer(text):
                if _looks_random(match.group(1)):
                    yield match.start(1), match.end(1), 0.8
        if any(word in lowered for word in _PASSWORD_WORDS):
            yield from self._passwords(text)
        if "aws" in lowered or "secret" in lowered or "amazon" in lowered:
            for match in _AWS_SECRET.finditer(text):
                if _looks_random(match.group(1)):
                    yield match.start(1), match.end(1), 0.8

    def _passwords(self, text: str) -> Iterator[Hit]:
        for match in _PASSWORD.finditer(text):
            group = 3 if match.group(2) else 4
            value = match.group(group)
            end = match.end(group)
            if group == 4:
                end -= len(value) - len(value.rstrip(".!?)"))
                value = value.rstrip(".!?)")
            if len(value) < 4 or _PLACEHOLDER.fullmatch(value):
                continue
            # Unquoted plain words are prose or code ("password is wrong", "password: str"), not passwords.
            if group == 4 and (value.isalpha() or "(" in value or (value.isidentifier() and "_" in value)):
                continue
            yield match.start(group), end, 0.7


_PASSWORD_WORDS = ("passw", "passphrase", "passcode", "pwd", "kennwort", "mot de passe", "contraseña", "pin")
