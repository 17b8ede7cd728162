"""Every text in a JSON tree: strings, long numbers, unknown member names, and JSON inside strings."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.domain.errors import Code, GatewayError
from gateway.domain.grammar import ControlNode, Grammar
from gateway.domain.tree import Embedded, Json, JsonObject, KeyOf, Leaf, Path
from gateway.inspection import embedded

MIN_DIGITS = 7
"""A number with fewer digits identifies nobody and is not looked at."""

MIN_BLOB = 512
"""Characters of unbroken base64 alphabet from which a string is taken for encoded bytes that nobody can read."""

_BLOB = re.compile(rf"[A-Za-z0-9+/_-]{{{MIN_BLOB},}}+={{0,2}}")
_BLOB_LINE = re.compile(r"[A-Za-z0-9+/_-]{60,}={0,2}")  # encoders break lines after 64 or 76 characters
_DATA_URL = re.compile(r"data:[^,\s]{0,200};base64,", re.IGNORECASE)
_SMALL = 10 ** (MIN_DIGITS - 1)


@dataclass(frozen=True, slots=True)
class Walk:
    """The leaves in document order, and how many parts or blobs no detector can read."""

    leaves: tuple[Leaf, ...]
    unreadable: int


def leaves(tree: JsonObject, grammar: Grammar) -> Walk:
    """All texts of `tree`. Raises `GatewayError(INVALID_REQUEST)` for a tree deeper than 100 levels."""
    walker = _Walker(grammar)
    walker.member(tree, (), grammar.root, 0, 0)
    return Walk(tuple(walker.found), walker.unreadable)


class _Walker:
    """Bounded recursion: `depth` counts levels since the last border, `nesting` the strings parsed as JSON."""

    __slots__ = ("found", "grammar", "unreadable")

    def __init__(self, grammar: Grammar) -> None:
        self.grammar = grammar
        self.found: list[Leaf] = []
        self.unreadable = 0

    def member(self, value: Json, path: Path, node: ControlNode | None, depth: int, nesting: int) -> None:
        if isinstance(value, str):
            if node is None or not node.permits(value):
                self._string(value, path, nesting)
        elif isinstance(value, dict):
            if len(path) == 3 and path[0] == "messages" and path[2] == "content" and nesting == 0:
                self.unreadable += self._is_unreadable(value)  # one part in place of a list of them
            self._object(value, path, node, depth + 1, nesting)
        elif isinstance(value, list):
            self._list(value, path, node, depth + 1, nesting)
        elif isinstance(value, float) or (isinstance(value, int) and abs(value) >= _SMALL):
            text = embedded.number_text(value)
            if sum(map(str.isdigit, text)) >= MIN_DIGITS:
                self.found.append(Leaf(path, text))

    def _object(self, value: JsonObject, path: Path, node: ControlNode | None, depth: int, nesting: int) -> None:
        _check_depth(depth)
        names = self.grammar.names
        known = node.members if node is not None else None
        for name, item in value.items():
            if name not in names and name:
                self.found.append(Leaf((*path, KeyOf(name)), name))
                self._blob(name)
            below = known.get(name) if known else None
            # Most members need no path made for them: small numbers, flags, control fields.
            if type(item) is str:
                if item and (below is None or not below.permits(item)):
                    self._string(item, (*path, name), nesting)
            elif item is not None and (type(item) is not int or not -_SMALL < item < _SMALL):
                self.member(item, (*path, name), below, depth, nesting)

    def _list(self, value: list[Json], path: Path, node: ControlNode | None, depth: int, nesting: int) -> None:
        _check_depth(depth)
        item_node = node.item if node is not None else None
        if nesting == 0 and path and path[-1] == "content":
            self.unreadable += sum(map(self._is_unreadable, value))
        for position, item in enumerate(value):
            self.member(item, (*path, position), item_node, depth, nesting)

    def _string(self, text: str, path: Path, nesting: int) -> None:
        if not text:
            return
        inner = embedded.parse(text) if nesting < embedded.MAX_NESTING else None
        if inner is not None:
            self.member(inner, (*path, Embedded.JSON), None, 0, nesting + 1)
            return
        self.found.append(Leaf(path, text))
        self._blob(text)
        if nesting == embedded.MAX_NESTING and embedded.parse(text) is not None:
            self.unreadable += 1  # JSON so deep in JSON that nothing says what its escapes stand for

    def _is_unreadable(self, part: Json) -> bool:
        """Is this part of a content something else than text?"""
        if isinstance(part, dict):
            kind = part.get("type")
            return not isinstance(kind, str) or kind not in self.grammar.readable_parts
        return not isinstance(part, str)

    def _blob(self, text: str) -> None:
        if (";base64," in text and _DATA_URL.search(text)) or (len(text) >= MIN_BLOB and _has_blob(text)):
            self.unreadable += 1


def _has_blob(text: str) -> bool:
    """Are there encoded bytes in the text, in one piece or broken into lines?"""
    lines = 0
    for word in text.replace("\\r", "").replace("\\n", "\n").split():
        if len(word) < 60:
            lines = 0
        elif len(word) >= MIN_BLOB and _BLOB.search(word):
            return True
        elif _BLOB_LINE.fullmatch(word):
            lines += len(word)
            if lines >= MIN_BLOB:
                return True
        else:
            lines = 0
    return False


def _check_depth(depth: int) -> None:
    if depth > embedded.MAX_DEPTH:
        raise GatewayError(Code.INVALID_REQUEST, f"The request is nested more than {embedded.MAX_DEPTH} levels deep.")
