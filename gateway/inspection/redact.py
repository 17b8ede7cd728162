"""Pseudonyms for what must not leave: the same value has the same token on every turn, with nothing stored."""

from __future__ import annotations

import hmac
import re
from base64 import b32encode
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import TypeAlias

from gateway.domain.finding import Finding, Found, Span
from gateway.domain.grammar import ControlNode, Grammar
from gateway.domain.tree import Embedded, Json, JsonObject, KeyOf, Path
from gateway.inspection import embedded
from gateway.inspection.occurrences import Needle
from gateway.inspection.restore import RestoreMap
from gateway.inspection.rewrite import rewrite
from gateway.inspection.tally import tally

_TOKEN_LENGTH = 8
"""Characters of base32 in a token: 40 bits, so that two values of one request practically never share one."""

_ATTEMPTS = 8
_FEW = 40
"""Values up to which it is faster to look for each of them."""

_RUN = re.compile(r"[A-Za-z0-9]+")
_WORD = re.compile(r"\w+")
_TOKEN_LETTERS = re.compile(r"[A-Z2-7]*")
_PREFIXES = {
    "API_KEY": "KEY",
    "CREDIT_CARD": "CARD",
    "EMAIL_ADDRESS": "EMAIL",
    "IBAN_CODE": "IBAN",
    "IP_ADDRESS": "IP",
    "JWT": "KEY",
    "MAC_ADDRESS": "MAC",
    "PHONE_NUMBER": "PHONE",
    "PRIVATE_KEY": "KEY",
    "UK_NHS": "NHS",
    "UK_NINO": "NINO",
    "US_BANK_NUMBER": "ACCOUNT",
    "US_ITIN": "ITIN",
    "US_PASSPORT": "PASSPORT",
    "US_SSN": "SSN",
}


_Kind: TypeAlias = "tuple[int, str]"
"""Confidence and entity; the greatest of those that apply names the token."""


@dataclass(frozen=True, slots=True, repr=False)
class Redaction:
    """The tree with tokens in it, the way back, and what was hidden (counts only)."""

    tree: JsonObject
    mapping: RestoreMap
    hidden: tuple[Found, ...]


class Pseudonymiser:
    """Replaces findings by tokens. `key` is secret and must stay the same for tokens to stay the same."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if len(key) < 16:
            raise ValueError("the pseudonymisation key must have at least 16 bytes")
        self._key = key

    def redact(
        self, tree: JsonObject, findings: Sequence[Finding], tenant: str, grammar: Grammar | None = None
    ) -> Redaction:
        """A copy of `tree` in which none of the found values occurs any more, found or not at that place.

        Overlapping spans are hidden as one. With `grammar`, control fields and known member names are left alone.
        Raises ValueError for a finding whose place is not in the tree: it could not be hidden.
        """
        if not findings:
            return Redaction(tree, RestoreMap({}), ())
        collected = _Collecting(findings)
        rewrite(tree, collected)
        if collected.met != len(collected.spans_at):
            raise ValueError("a finding is at a place that is not in the tree")
        for attempt in range(_ATTEMPTS):
            edit = _Replacing(collected, _Tokens(self._key, tenant, collected, attempt), grammar)
            changed = rewrite(tree, edit)
            mapping = edit.tokens.mapping(tuple(collected.best))
            # A token next to what was around it may spell a value, or be misread: then other tokens are taken.
            # The egress guard would stop what is still not right after the last attempt.
            if edit.sound(mapping):
                break
        assert isinstance(changed, dict)
        return Redaction(changed, mapping, tally(collected.items))


class _Collecting:
    """Reads the tree: the value of each finding, and all text, so that no token is chosen that is in it already."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.spans_at: dict[Path, list[Span]] = {}
        for finding in findings:
            self.spans_at.setdefault(finding.path, []).append(finding.span)
        self.met = 0
        self.items: list[tuple[str, str, int]] = []
        self.best: dict[str, _Kind] = {}
        self._texts: list[str] = []
        self._cores_of: dict[str, tuple[str, ...]] = {}

    @cached_property
    def needles(self) -> list[Needle]:
        """What to look for everywhere. Use it when the tree has been read."""
        return [Needle(value) for value in self.best]

    @cached_property
    def corpus(self) -> str:
        """All words, each once, in which a token would be one."""
        return "\n".join({word for text in self._texts for word in _WORD.findall(text.lower())})

    def occurring(self, text: str) -> list[tuple[int, int, _Kind]]:
        """Where hidden values occur in a text, whether found there or not."""
        needles = self.needles
        if len(needles) > _FEW:
            needles = self._possible(text)
        return [
            (start, end, self.best[needle.value])
            for needle in needles
            if needle.core in text
            for start, end in needle.spans(text)
        ]

    def occurs_in_token(self, token: str) -> bool:
        """Does a hidden value occur in a token?"""
        return any(True for needle in self._token_like for _ in needle.spans(token))

    @cached_property
    def _token_like(self) -> list[Needle]:
        return [needle for needle in self.needles if _TOKEN_LETTERS.fullmatch(needle.core)]

    def _possible(self, text: str) -> list[Needle]:
        """The needles of which a run is in the text, in time that does not depend on how many needles there are."""
        found = {core for run in set(_RUN.findall(text)) for core in self._cores_in(run)}
        by_core = self._by_core[0]
        return [*by_core.get("", ()), *(needle for core in found for needle in by_core[core])]

    def _cores_in(self, run: str) -> tuple[str, ...]:
        """The cores inside a run of letters and digits. Remembered: a conversation says the same words again."""
        known = self._cores_of.get(run)
        if known is None:
            by_core, sizes = self._by_core
            parts = {run[start : start + size] for size in sizes for start in range(len(run) - size + 1)}
            known = self._cores_of[run] = tuple(parts & by_core.keys())
        return known

    @cached_property
    def _by_core(self) -> tuple[dict[str, list[Needle]], tuple[int, ...]]:
        """Needles by the run of theirs that the fewest others have: addresses of one company share their domain."""
        shared = Counter(run for needle in self.needles for run in needle.runs)
        by_core: dict[str, list[Needle]] = {}
        for needle in self.needles:
            core = min(needle.runs, key=lambda run: (shared[run], -len(run)), default="")
            by_core.setdefault(core, []).append(needle)
        return by_core, tuple({len(core) for core in by_core if core})

    def text(self, path: Path, text: str) -> str:
        self._texts.append(text)
        spans = self.spans_at.get(path, ())
        self.met += bool(spans)
        for span in spans:
            start, end = _trimmed(text, span.start, span.end)
            if start < end:
                value = text[start:end]
                self.items.append((span.entity, value, span.percent))
                self.best[value] = max(self.best.get(value, (0, "")), (span.percent, span.entity))
        return text

    def number(self, path: Path, number: int | float) -> Json:
        self.text(path, embedded.number_text(number))
        return number

    def name(self, path: Path, name: str) -> str:
        return self.text((*path, KeyOf(name)), name)

    def embedded(self, text: str, changed: Json) -> str:
        return text


class _Tokens:
    """The tokens of one attempt, made as they are needed; the result depends on the values only, not on chance."""

    def __init__(self, key: bytes, tenant: str, collected: _Collecting, attempt: int) -> None:
        self._key = key
        self._tenant = tenant
        self._attempt = attempt
        self._collected = collected
        self._token_of: dict[str, str] = {}
        self._made: set[str] = set()  # the tokens in lower case, their lengths, and all of them as one text
        self._sizes: set[int] = set()
        self._together = ""

    def token(self, entity: str, value: str) -> str:
        if value not in self._token_of:
            self._token_of[value] = self._make(entity, value)
        return self._token_of[value]

    def mapping(self, hidden: tuple[str, ...]) -> RestoreMap:
        return RestoreMap({token: value for value, token in self._token_of.items()}, hidden)

    def _make(self, entity: str, value: str) -> str:
        prefix = _PREFIXES.get(entity) or "".join(filter(str.isalnum, entity)) or "DATA"
        message = "\0".join((self._tenant, entity, value)).encode("utf-8", "surrogatepass")
        digest = hmac.digest(self._key, message, sha256)
        for number in range(self._attempt, 10_000):
            if number:  # another token for the same value, longer each time and named neutrally
                digest = hmac.digest(self._key, digest + number.to_bytes(4, "big"), sha256)
                prefix = "QXZJ"[number % 4]
            code = b32encode(digest).decode()[: _TOKEN_LENGTH + min(number, 24)]
            token = f"{prefix}_{code}" if number < 16 else prefix + "".join(filter(str.isalpha, code))
            if self._is_free(token):
                return token
        raise ValueError("no token is free of the values to hide")

    def _is_free(self, token: str) -> bool:
        lowered = token.lower()
        if lowered in self._collected.corpus or lowered in self._together:
            return False
        inside = (lowered[start : start + size] for size in self._sizes for start in range(len(lowered) - size + 1))
        if not self._made.isdisjoint(inside) or self._collected.occurs_in_token(token):
            return False
        self._made.add(lowered)
        self._sizes.add(len(lowered))
        self._together += f"\n{lowered}"
        return True


class _Replacing:
    """Writes the tree anew: at each place the spans found there and every other occurrence of a hidden value."""

    def __init__(self, collected: _Collecting, tokens: _Tokens, grammar: Grammar | None) -> None:
        self.tokens = tokens
        self._collected = collected
        self._grammar = grammar
        self._changes: list[tuple[str, str]] = []

    def sound(self, mapping: RestoreMap) -> bool:
        """Does no changed text hold a hidden value, and does each come back exactly?"""
        return all(
            mapping.restore_text(new) == old and not self._collected.occurring(new) for old, new in self._changes
        )

    def text(self, path: Path, text: str) -> str:
        stretches = self._stretches(path, text)
        if not stretches or (self._grammar is not None and _is_control(self._grammar, path, text)):
            return text
        pieces: list[str] = []
        last = 0
        for start, end, (_, entity) in _united(text, stretches):
            pieces += (text[last:start], self.tokens.token(entity, text[start:end]))
            last = end
        pieces.append(text[last:])
        new = "".join(pieces)
        self._changes.append((text, new))
        return new

    def number(self, path: Path, number: int | float) -> Json:
        text = embedded.number_text(number)
        stretches = self._stretches(path, text)
        if not stretches:
            return number
        new = self.tokens.token(max(kind for *_, kind in stretches)[1], text)
        self._changes.append((text, new))
        return new

    def _stretches(self, path: Path, text: str) -> list[tuple[int, int, _Kind]]:
        spans = self._collected.spans_at.get(path, ())
        found = [(span.start, span.end, (span.percent, span.entity)) for span in spans]
        return found + self._collected.occurring(text)

    def name(self, path: Path, name: str) -> str:
        if self._grammar is not None and name in self._grammar.names:
            return name
        return self.text((*path, KeyOf(name)), name)

    def embedded(self, text: str, changed: Json) -> str:
        return embedded.serialise(changed)


def _is_control(grammar: Grammar, path: Path, text: str) -> bool:
    node: ControlNode | None = grammar.root
    for step in path:
        if node is None or isinstance(step, (Embedded, KeyOf)):
            return False
        node = node.item if isinstance(step, int) else node.members.get(step)
    return node is not None and node.permits(text)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The stretch within the text and without white space at its ends."""
    value = text[start:end]
    start += len(value) - len(value.lstrip())
    return start, start + len(value.strip())


def _united(text: str, stretches: list[tuple[int, int, _Kind]]) -> list[tuple[int, int, _Kind]]:
    """Stretches in order, overlapping ones joined."""
    united: list[tuple[int, int, _Kind]] = []
    for start, end, kind in sorted((*_trimmed(text, start, end), kind) for start, end, kind in stretches):
        if start >= end:
            continue
        if united and start < united[-1][1]:
            first, last, other = united[-1]
            united[-1] = (first, max(end, last), max(kind, other))
        else:
            united.append((start, end, kind))
    return united
