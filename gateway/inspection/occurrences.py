"""One rule for where a value occurs in a text, used to hide values and to prove that they are hidden.

A value of six or more characters, or with a digit, a punctuation mark or a script without spaces in it, occurs
wherever its characters do. A shorter purely alphabetic value ("Anna", "Li") occurs only as a word of its own.
Either may be spelt plainly, escaped for JSON once or twice, or percent-encoded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from urllib.parse import quote, quote_plus

from gateway.domain.tree import Json
from gateway.inspection import embedded

_SHORT = 6
_FEW = 8
_PLAIN_CORE = re.compile(r"[A-Za-z0-9]+")
_RUNS = re.compile(rb"[A-Za-z0-9]+")
_HEX_PAIR = re.compile(r"%[0-9A-F]{2}")
_ESCAPE_BEFORE = re.compile(r"\\(?:[bfnrt]|u([0-9A-Fa-f]{4}))\Z|%[0-9A-Fa-f]{2}\Z")
_URI_RESERVED = ":/?#[]@!$&'()*+,;="

PROTOCOL_WORDS = frozenset(
    {
        *("user", "assistant", "system", "developer", "tool", "function", "model", "text", "content", "name", "type"),
        *("role", "auto", "none", "any", "required", "object", "string", "number", "integer", "boolean", "array"),
        *("json", "true", "false", "null", "stop", "length", "default", "low", "medium", "high"),
    }
)
"""Words that wire formats are made of. Hidden where they were found, but not searched for elsewhere: replacing them
would break the request, and on their own they say nothing about anybody."""


class Needle:
    """A value to look for. Not kept beyond the request that it came with; its repr does not show it.

    `runs` are its runs of ASCII letters and digits, each of which every spelling of the value contains; `core` is the
    longest of them, empty if there is none.
    """

    __slots__ = ("_bounded", "_encoded", "_escaped", "core", "runs", "searchable", "value")

    def __init__(self, value: str, *, as_word: bool = False) -> None:
        """With `as_word` a value of any length occurs only as a word of its own, where its script has words."""
        self.value = value
        self.searchable = bool(value.strip()) and value.casefold() not in PROTOCOL_WORDS
        self.runs: frozenset[str] = frozenset(_PLAIN_CORE.findall(value))
        self.core = max(self.runs, key=len, default="")
        self._bounded = (as_word or (len(value) < _SHORT and value.isalpha())) and all(c < "\u2e80" for c in value)
        self._escaped: tuple[str, ...] | None = None
        self._encoded: tuple[str, ...] | None = None

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where it occurs, as offsets; spans of different spellings may overlap."""
        if not self.searchable or self.core not in text:
            return
        for form in self._forms(text):
            start = text.find(form)
            while start >= 0:
                end = start + len(form)
                if not self._bounded or (_starts_word(text, start) and _ends_word(text, end)):
                    yield start, end
                start = text.find(form, start + 1)

    def _forms(self, text: str) -> tuple[str, ...]:
        """The spellings that may be in this text; those with escapes only where there are such escapes."""
        forms: tuple[str, ...] = (self.value,)
        if self.core == self.value:
            return forms
        if "\\" in text:
            if self._escaped is None:
                self._escaped = _escaped(self.value)
            forms += self._escaped
        if "%" in text or "+" in text:
            if self._encoded is None:
                self._encoded = _encoded(self.value)
            forms += self._encoded
        return forms

    def __repr__(self) -> str:
        return "Needle(...)"


def occurrences(value: str, text: str) -> list[tuple[int, int]]:
    """Where `value` occurs in `text`, first to last."""
    return sorted(Needle(value).spans(text))


def leaks(values: Sequence[str], body: bytes) -> bool:
    """Does any of the values occur in these bytes of a request about to leave?

    A fast look for each value's runs decides nearly always. On a hit, every string, number and member name of the
    body is checked by the rule above, JSON inside strings included; a body that is not JSON is checked as it is.
    """
    needles = [needle for needle in map(Needle, values) if needle.searchable]
    if b"\\u" not in body:  # with such escapes in it, a run could be written without its own letters
        # Each run of the body once: what is in one of them is in the body, and the text to search is far shorter.
        runs = b"\n".join(set(_RUNS.findall(body))) if len(needles) > _FEW else body
        needles = [needle for needle in needles if all(run.encode() in runs for run in needle.runs)]
    if not needles:
        return False
    try:
        texts = texts_of(json.loads(body))
    except (ValueError, RecursionError):
        texts = iter([body.decode("utf-8", errors="replace")])
    return any(True for text in texts for needle in needles for _ in needle.spans(text))


def texts_of(tree: Json) -> Iterator[str]:
    """Every string, number and member name at any depth; for JSON in a string, its leaves instead of the string."""
    stack: list[tuple[Json, int]] = [(tree, 0)]
    while stack:
        value, nesting = stack.pop()
        if isinstance(value, str):
            inner = embedded.parse(value) if nesting < embedded.MAX_NESTING else None
            if inner is None:
                yield value
            else:
                stack.append((inner, nesting + 1))
        elif isinstance(value, dict):
            yield from value
            stack.extend((item, nesting) for item in value.values())
        elif isinstance(value, list):
            stack.extend((item, nesting) for item in value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield embedded.number_text(value)


def _escaped(value: str) -> tuple[str, ...]:
    escaped, raw = json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]
    twice = json.dumps(escaped)[1:-1], json.dumps(raw, ensure_ascii=False)[1:-1]
    return tuple({escaped, raw, *twice} - {value})


def _encoded(value: str) -> tuple[str, ...]:
    forms = {quote(value, safe=safe, errors="surrogatepass") for safe in ("", "/", _URI_RESERVED)}
    forms.add(quote_plus(value, errors="surrogatepass"))
    forms |= {_HEX_PAIR.sub(lambda pair: pair.group().lower(), form) for form in forms}
    return tuple(forms - {value})


def _starts_word(text: str, start: int) -> bool:
    if start == 0 or not _is_word(text[start - 1]):
        return True
    escape = _ESCAPE_BEFORE.search(text, max(0, start - 6), start)
    if escape is None:
        return False
    return escape.group(1) is None or not _is_word(chr(int(escape.group(1), 16)))


def _ends_word(text: str, end: int) -> bool:
    return end == len(text) or not _is_word(text[end])


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
