"""The pieces that llama.cpp grammars (GBNF) of JSON are made of. Pure.

Sources: llama.cpp grammars/README.md; RFC 8259 (JSON); RFC 3339 (dates and times).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TypeAlias

LONGEST_NAME = 64
"""Characters of a member's name that the schema does not give."""

_HEX = "[0-9a-fA-F]"
_DIGITS15 = "[0-9]{0,15}"
# What stands in a string as it is. Surrogates and what is beyond Unicode are no characters, whatever bytes spell them.
_PLAIN = r'"\\\x7F\x00-\x1F\uD800-\uDFFF\U00110000-\U001FFFFF'

PRIMITIVES = {
    "ws": '" "?',  # one blank at most: a model that likes white space would spend the whole answer on it
    "plain": f"[^{_PLAIN}]",
    # An escape is one character: half of a surrogate pair would join the next one, and lengths would not be kept.
    "char": rf'plain | "\\" (["\\/bfnrt] | "u" ([0-9a-cefA-CEF] {_HEX}{{3}} | [dD] [0-7] {_HEX}{{2}}))',
    "string": r'"\"" char* "\""',
    "name": rf'"\"" char{{0,{LONGEST_NAME}}} "\""',  # one that the model makes up: prose is no name
    "tail": f"plain{{0,{LONGEST_NAME}}}",  # one rule for all: llama.cpp counts repetitions
    "integer": f'"-"? ("0" | [1-9] {_DIGITS15})',
    "number": f'"-"? ("0" | [1-9] {_DIGITS15}) ("." [0-9] {_DIGITS15})? ([eE] [-+]? [0-9] [0-9]?)?',
    "boolean": '"true" | "false"',
    "null": '"null"',
    "value": "object | array | string | number | boolean | null",
    "object": '"{" ws ( name ws ":" ws value ws ("," ws name ws ":" ws value ws)* )? "}"',
    "array": '"[" ws ( value ws ("," ws value ws)* )? "]"',
}
"""The rules that every grammar has."""

_LEAP = '("0" [48] | [2468] [048] | [13579] [26])'
_YEAR = '("000" [1-9] | "00" [1-9] [0-9] | "0" [1-9] [0-9]{2} | [1-9] [0-9]{3})'
_LEAP_YEAR = f'([0-9]{{2}} {_LEAP} | {_LEAP} "00")'
_TO_28 = '("0" [1-9] | "1" [0-9] | "2" [0-8])'
_DAY = (
    f'({_YEAR} "-" (("0" [13578] | "1" [02]) "-" ("0" [1-9] | [1-2] [0-9] | "3" [0-1])'
    f' | ("0" [469] | "11") "-" ("0" [1-9] | [1-2] [0-9] | "30") | "02-" {_TO_28}) | {_LEAP_YEAR} "-02-29")'
)
_TIME = r'([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{1,6})? "Z"'
_QUOTE = r'"\""'
_LOW = "[0-9a-f]"
FORMATS: dict[str, tuple[str, int, int]] = {
    "date": (f"{_QUOTE} {_DAY} {_QUOTE}", 10, 10),
    "time": (f"{_QUOTE} {_TIME} {_QUOTE}", 9, 16),
    "date-time": (f'{_QUOTE} {_DAY} "T" {_TIME} {_QUOTE}', 20, 27),
    "uuid": (f'{_QUOTE} {_LOW}{{8}} ("-" {_LOW}{{4}}){{3}} "-" {_LOW}{{12}} {_QUOTE}', 36, 36),
}
"""Strings of a known form: the rule, and how many characters it has at least and at most."""

_END = ""
_Names: TypeAlias = "dict[str, _Names]"  # a tree of characters; with _END where a name ends


def literal(value: object) -> str:
    """A literal that matches the JSON text of `value`."""
    return quoted(json_text(value))


def json_text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def quoted(text: str) -> str:
    """A literal that matches `text`."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'


def other_names(names: Iterable[str]) -> str:
    """The name of a member, but none of `names`. It has no escapes, so that no name can be spelt in another way."""
    tree: _Names = {}
    for name in names:
        if all(map(_is_plain, name)):  # any other cannot be written without escapes in any case
            node = tree
            for character in name[:LONGEST_NAME]:
                node = node.setdefault(character, {})
            node[_END] = {}
    return f"{_QUOTE} {_other(tree, 0)} {_QUOTE}"


def _other(node: _Names, length: int) -> str:
    """What may follow the `length` characters at the beginning of names that lead to this node."""
    following = {character: below for character, below in node.items() if character != _END}
    parts = [
        f"[{_inner(character)}] {_other(below, length + 1)}"
        for character, below in following.items()
        if length + 1 < LONGEST_NAME
    ]
    parts.append(f"[^{_PLAIN}{''.join(map(_inner, following))}] tail")
    return f"({' | '.join(parts)})" + ("" if _END in node else "?")


def _is_plain(character: str) -> bool:
    return character not in '"\\\x7f' and character >= " " and not "\ud800" <= character <= "\udfff"


def _inner(character: str) -> str:
    """The character inside a class of characters."""
    if character.isascii() and character.isalnum():
        return character
    code = ord(character)
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"
