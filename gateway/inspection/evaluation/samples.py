"""Labelled text from files: Presidio-research's JSON, JSON lines with spans, and CoNLL."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.domain.errors import ConfigurationError

_TEXT: Final = ("full_text", "text")
_SPANS: Final = ("spans", "entities", "label", "labels")
_START: Final = ("start_position", "start", "start_offset")
_END: Final = ("end_position", "end", "end_offset")
_LABEL: Final = ("entity_type", "label", "entity", "type")
_SPACE: Final = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True, slots=True, order=True)
class Label:
    """A stretch of a text, in characters, that somebody marked as an `entity`."""

    start: int
    end: int
    entity: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled text; `line` is where it starts in its file."""

    text: str
    labels: tuple[Label, ...]
    line: int


class _Unreadable(ValueError):
    """Says what is wrong with one sample, without its content."""


def read_samples(path: Path) -> list[Sample]:
    """All samples of a file whose kind its content tells. Raises `ConfigurationError` with file and line."""
    try:
        content = path.read_text("utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is not UTF-8") from error
    first = content.lstrip()[:1]
    if not first:
        raise ConfigurationError(f"{path}: is empty")
    # A token of a CoNLL file may be a bracket too, but then something else follows on its line.
    if first == "[" and re.match(r"\s*\[\s*[{\]]", content):
        read: Callable[[str], Iterator[Sample]] = _presidio
    elif first == "{" and re.match(r'\s*\{\s*"', content):
        read = _json_lines
    else:
        read = _conll
    try:
        samples = list(read(content))
    except _Unreadable as error:
        raise ConfigurationError(f"{path}:{error}") from None
    if not samples:
        raise ConfigurationError(f"{path}: has no samples")
    return samples


def _presidio(content: str) -> Iterator[Sample]:
    """A list of objects, each read by itself so that its line is known."""
    decoder = json.JSONDecoder()
    position = content.index("[") + 1
    line, counted = 1, 0
    while True:
        position = _after_space(content, position)
        line, counted = line + content.count("\n", counted, position), position
        if content[position : position + 1] == "]":
            return
        try:
            item, position = decoder.raw_decode(content, position)
        except ValueError as error:
            raise _Unreadable(_syntax(error)) from None
        yield _sample(item, line)
        position = _after_space(content, position)
        if content[position : position + 1] == ",":
            position += 1
        elif content[position : position + 1] != "]":
            raise _Unreadable(f"{line + content.count(chr(10), counted, position)}: a comma or ']' is missing")


def _json_lines(content: str) -> Iterator[Sample]:
    for number, line in enumerate(content.split("\n"), 1):
        if line.strip():
            try:
                item = json.loads(line)
            except ValueError as error:
                raise _Unreadable(_syntax(error, number)) from None
            yield _sample(item, number)


def _after_space(content: str, position: int) -> int:
    match = _SPACE.match(content, position)
    return match.end() if match else position


def _syntax(error: ValueError, line: int | None = None) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{line or error.lineno}: is not JSON: {error.msg} at column {error.colno}"
    return f"{line or 1}: is not JSON"


def _sample(item: object, line: int) -> Sample:
    if not isinstance(item, dict):
        raise _Unreadable(f"{line}: a sample must be an object")
    text = _member(item, _TEXT)
    if not isinstance(text, str):
        raise _Unreadable(f"{line}: a sample needs a text under {_or(_TEXT)}")
    spans = _member(item, _SPANS)
    if not isinstance(spans, list):
        raise _Unreadable(f"{line}: a sample needs a list of spans under {_or(_SPANS)}")
    labels = [_label(span, f"{line}: span {number}", len(text)) for number, span in enumerate(spans, 1)]
    return Sample(text, tuple(sorted(labels)), line)


def _label(span: object, place: str, length: int) -> Label:
    if isinstance(span, dict):
        start, end, entity = _member(span, _START), _member(span, _END), _member(span, _LABEL)
    elif isinstance(span, list) and len(span) == 3:
        start, end, entity = span
    else:
        raise _Unreadable(f"{place}: must be [start, end, label] or an object with these")
    if not isinstance(entity, str) or not entity:
        raise _Unreadable(f"{place}: has no label under {_or(_LABEL)}")
    if type(start) is not int or type(end) is not int:
        raise _Unreadable(f"{place}: start and end must be whole numbers")
    if not 0 <= start < end <= length:
        raise _Unreadable(f"{place}: {start} to {end} is not in the text, which has {length} characters")
    return Label(start, end, entity)


def _member(item: Mapping[str, object], names: tuple[str, ...]) -> object:
    return next((item[name] for name in names if name in item), None)


def _or(names: tuple[str, ...]) -> str:
    return " or ".join(f'"{name}"' for name in names)


_BRACKETS: Final = {
    "-LRB-": "(",
    "-RRB-": ")",
    "-LSB-": "[",
    "-RSB-": "]",
    "-LCB-": "{",
    "-RCB-": "}",
    "``": '"',
    "''": '"',
}
_CLITICS: Final = ("s", "re", "ve", "ll", "m", "d")
_NOTHING_BEFORE: Final = frozenset(
    [*".,;:!?)]}%\u2026\u2019\u201d", "...", "n't", "n\u2019t", *(mark + end for mark in "'\u2019" for end in _CLITICS)]
)
_NOTHING_AFTER: Final = frozenset("([{$\u00a3\u20ac\u201c\u2018")
_TAG: Final = re.compile(r"([BILEUS])-(.+)")


def _conll(content: str) -> Iterator[Sample]:
    """A token per line, its tag last (BIO, IOB1, BILOU, BIOES or the bare entity), an empty line after a sentence."""
    rows: list[tuple[str, str]] = []
    first = 1
    for number, line in enumerate(content.split("\n"), 1):
        line = line.rstrip("\r")
        if not line.strip() or line.startswith("-DOCSTART-"):
            if rows:
                yield _sentence(rows, first)
            rows = []
            continue
        columns = line.split("\t") if "\t" in line else line.split()
        if line.startswith("#") and columns[-1] != "O" and not _TAG.fullmatch(columns[-1]):
            continue  # a comment
        if len(columns) < 2:
            raise _Unreadable(f"{number}: a line needs a token and a tag, with a space or a tab between them")
        if not rows:
            first = number
        rows.append((columns[0].strip() or "_", columns[-1].strip()))
    if rows:
        yield _sentence(rows, first)


def _sentence(rows: list[tuple[str, str]], line: int) -> Sample:
    """The tokens written as one would write them, with the labels at their places."""
    pieces: list[str] = []
    labels: list[Label] = []
    length = 0
    glued = True  # does the next token follow without a space?
    in_quotes = False
    before = "O"
    for raw, tag in rows:
        word = _BRACKETS.get(raw, raw)
        closes = word == '"' and in_quotes
        if not (glued or closes or word in _NOTHING_BEFORE):
            pieces.append(" ")
            length += 1
        glued = word in _NOTHING_AFTER or (word == '"' and not in_quotes)
        in_quotes ^= word == '"'
        start, length = length, length + len(word)
        pieces.append(word)
        prefix, entity = _split(tag)
        if entity:
            if labels and before != "O" and labels[-1].entity == entity and prefix not in ("B", "U", "S"):
                labels[-1] = Label(labels[-1].start, length, entity)
            else:
                labels.append(Label(start, length, entity))
        before = tag
    return Sample("".join(pieces), tuple(labels), line)


def _split(tag: str) -> tuple[str, str]:
    """Prefix and entity; both are empty outside of any."""
    match = _TAG.fullmatch(tag)
    if match:
        return match[1], match[2]
    return "", "" if tag == "O" else tag
