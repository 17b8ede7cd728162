"""How deep in JSON strings a place in a growing text is, and so how often a value that is put there must be escaped."""

from __future__ import annotations

import json

_SPACE = " \t\r\n"
_AFTER = {"{": '"}', "[": '[{"-0123456789tfn]'}
"""What can follow the first character of JSON text; anything else shows that it is prose in brackets."""

_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


class Nesting:
    """Follows a text that arrives in pieces: JSON from its start (`is_json`), or if it begins like it.

    A JSON string may be JSON text itself (a request in the arguments of a tool call), and so on inward.
    """

    __slots__ = ("_escape", "_in_string", "_inner", "_json", "_opening")

    def __init__(self, is_json: bool) -> None:
        self._json = True if is_json else None  # None: not known yet
        self._opening = ""
        self._in_string = False
        self._escape = ""
        self._inner: Nesting | None = None

    @property
    def levels(self) -> int:
        """How many strings, one in the other, the end of the text is in."""
        if not self._in_string or self._inner is None:
            return 0
        return 1 + self._inner.levels

    def feed(self, text: str) -> None:
        """The next piece."""
        for character in text:
            if self._json is False:
                return
            self._take(character)

    def _take(self, character: str) -> None:
        if self._json is None:
            self._judge(character)
        if not self._json:
            return
        if not self._in_string:
            if character == '"':
                self._in_string, self._inner = True, Nesting(False)
        elif self._escape or character == "\\":
            self._take_escape(character)
        elif character == '"':
            self._in_string = False
        elif self._inner is not None and self._inner._json is not False:
            self._inner._take(character)

    def _take_escape(self, character: str) -> None:
        self._escape += character
        kind = self._escape[1:2]
        if not kind or (kind == "u" and len(self._escape) < 6):
            return
        meant = _unicode(self._escape[2:]) if kind == "u" else _ESCAPED.get(kind, kind)
        self._escape = ""
        if self._inner is not None and self._inner._json is not False:
            self._inner._take(meant)

    def _judge(self, character: str) -> None:
        if character in _SPACE:
            return
        if self._opening:
            self._json = character in _AFTER[self._opening]
        elif character in _AFTER:
            self._opening = character
        else:
            self._json = False


def escaped(value: str, times: int) -> str:
    """A value as the inside of a JSON string in a JSON string …, `times` in all."""
    for _ in range(times):
        value = json.dumps(value, ensure_ascii=False)[1:-1]
    return value


def _unicode(digits: str) -> str:
    try:
        return chr(int(digits, 16))
    except ValueError:  # no JSON
        return "\ufffd"
