"""Bytes → nodes, by way of ruamel.yaml's events, so that nothing is resolved, merged or dropped on the way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, error, events

from gateway.documents.characters import hidden_in, hidden_in_name, invisible
from gateway.documents.faults import in_words
from gateway.documents.node import Node, Scalar
from gateway.documents.problems import DocumentError, Problem, Problems
from gateway.domain.errors import ConfigurationError

MAX_BYTES = 1 << 20
MAX_DEPTH = 32


_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_BASED = re.compile(r"0o[0-7]{1,20}|0x[0-9a-fA-F]{1,15}")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,2})?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
# Above U+10FFFF there are none.
_NO_CHARACTER = re.compile(r"\\U(?!000|0010)[0-9a-fA-F]{8}")
_BREAK = re.compile(r"\r\n|\r|\n")


def read(path: Path, name: str = "") -> Node:
    """The root of the file at `path`, called `name` in messages. Raises `DocumentError` for a file that cannot be
    read or is not YAML; what can be reported together with other problems is left in `Node.problems`."""
    shown = name or str(path)
    return parse(contents(path, shown), shown)


def contents(path: Path, name: str = "") -> bytes:
    """The bytes of a file, no more of them than show that it is too large. Raises `ConfigurationError`."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as problem:
        reason = problem.strerror or type(problem).__name__
        raise ConfigurationError(f"{name or path}: cannot be read: {reason}") from problem


def parse(source: str | bytes, name: str) -> Node:
    """The root of a text. Raises as `read` does."""
    data = source.encode("utf-8", "surrogatepass") if isinstance(source, str) else source
    if len(data) > MAX_BYTES:
        raise DocumentError([Problem(name, 1, 1, f"the file is larger than {MAX_BYTES} bytes")])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise DocumentError([Problem(name, line, 1, "the file is not UTF-8 text")]) from problem
    problems = Problems(name, text)
    for offset, message in invisible(text):
        problems.found.append(problems.at(*_position(text, offset), message))
    problems.check()
    try:
        return _Builder(problems).build(_events(text))
    except error.MarkedYAMLError as problem:
        raise DocumentError([*problems.found, problems.at(*in_words(problem))]) from problem
    except error.YAMLError as problem:  # ruamel's ReaderError, which has a position but no mark
        place = _position(text, getattr(problem, "position", 0))
        found = problems.at(*place, "a control character is not allowed")
        raise DocumentError([*problems.found, found]) from problem
    except (ValueError, OverflowError) as problem:  # an escape for no character, which ruamel hands to chr() as it is
        place = _position(text, match.start() if (match := _NO_CHARACTER.search(text)) else 0)
        found = problems.at(*place, "not YAML: there is no character with this number")
        raise DocumentError([*problems.found, found]) from problem


def _events(text: str) -> Iterator[Any]:
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 2)
    yield from yaml.parse(text)


def _position(text: str, offset: int) -> tuple[int, int]:
    """Line and column, both from 1; lines end as YAML says, also with a carriage return alone."""
    line, start = 1, 0
    for match in _BREAK.finditer(text, 0, offset):
        line, start = line + 1, match.end()
    return line, offset - start + 1


class _Builder:
    """Events → nodes, on a stack of its own, so that nesting is bounded by `MAX_DEPTH` and by nothing else."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._open: list[Node] = []
        self._keys: list[Node | None] = []  # per open mapping, the key that waits for its value
        self._names: list[dict[str, int]] = []  # per open mapping, the names it has with their lines
        self._root: Node | None = None

    def build(self, stream: Iterator[Any]) -> Node:
        documents = 0
        for event in stream:
            if isinstance(event, events.DocumentStartEvent):
                documents += 1
                if event.version or event.tags:
                    self._fail(event, "directives (lines that start with %) are not allowed")
                if documents > 1:
                    self._fail(event, "a second document ('---') is not allowed")
                    break
            elif isinstance(event, events.NodeEvent):
                self._node(event)
            elif isinstance(event, events.MappingEndEvent | events.SequenceEndEvent):
                self._open.pop()
                self._keys.pop()
                self._names.pop()
        return self._root or Node(self._problems, "nothing", 1, 1)

    def _node(self, event: Any) -> None:
        if isinstance(event, events.AliasEvent):
            self._fail(event, f"aliases are not allowed ('*{event.anchor}'); repeat the value")
        elif event.anchor:
            self._fail(event, f"anchors are not allowed ('&{event.anchor}')")
        if getattr(event, "tag", None):
            self._fail(event, f"tags are not allowed ('{event.tag}')")
        node = self._made(event)
        self._attach(node)
        if node.kind in ("mapping", "list"):
            self._open.append(node)
            self._keys.append(None)
            self._names.append({})
            if len(self._open) > MAX_DEPTH:
                raise DocumentError([self._problems.at(node.line, node.column, "nested too deeply")])

    def _made(self, event: Any) -> Node:
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        if isinstance(event, events.MappingStartEvent):
            return Node(self._problems, "mapping", line, column)
        if isinstance(event, events.SequenceStartEvent):
            return Node(self._problems, "list", line, column)
        if isinstance(event, events.AliasEvent):
            return Node(self._problems, "nothing", line, column)
        if message := hidden_in(event.value):
            self._fail(event, message)
        plain = event.implicit[0] and not event.style
        kind, value = _resolve(event.value) if plain else ("text", event.value)
        if kind == "nothing" and not event.value and self._open:  # YAML puts nothing at the start of what follows
            owner = self._keys[-1] or self._open[-1]
            line, column = owner.line, owner.column
        if kind == "not finite":
            self._fail(event, f"'{event.value}' is not a number that can be used")
            kind, value = "number", Decimal(0)
        node = Node(self._problems, kind, line, column, value)
        node._folded = bool(plain) and event.end_mark.line > event.start_mark.line
        return node

    def _attach(self, node: Node) -> None:
        if not self._open:
            self._root = node
            return
        parent = self._open[-1]
        if parent.kind == "list":
            parent._items.append(node)
        elif (key := self._keys[-1]) is not None:
            self._keys[-1] = None
            self._member(parent, key, node)
        else:
            self._keys[-1] = node

    def _member(self, parent: Node, key: Node, value: Node) -> None:
        if key.kind in ("mapping", "list", "nothing"):
            key.fail("a key must be a word")
        elif key._value == "<<":
            key.fail("merge keys ('<<') are not allowed; repeat the values")
        elif (name := str(key._value)) in self._names[-1]:
            key.fail(f"duplicate key '{name}': it stands in line {self._names[-1][name]} already")
        elif message := hidden_in_name(name):
            key.fail(message)
        else:
            self._names[-1][name] = key.line
            parent._entries.append((key, value))

    def _fail(self, event: Any, message: str) -> None:
        mark = event.start_mark
        self._problems.found.append(self._problems.at(mark.line + 1, mark.column + 1, message))


def _resolve(text: str) -> tuple[str, Scalar]:
    """Kind and value of a plain scalar by the core schema."""
    if text in ("", "~", "null", "Null", "NULL"):
        return "nothing", None
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return "boolean", text.lower() == "true"
    if _INTEGER.fullmatch(text):
        return "integer", int(text)
    if _BASED.fullmatch(text):
        return "integer", int(text, 0)
    if _NUMBER.fullmatch(text):
        return "number", Decimal(text)
    return ("not finite", None) if _NOT_FINITE.fullmatch(text) else ("text", text)
