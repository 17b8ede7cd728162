"""Can a regular expression backtrack for ever? It is tried on texts made to provoke that, with a time limit.

A text is made by walking the expression: one that matches up to the end of each repetition, with that part many times,
and then a character that fits nowhere. What needs more than a tenth of a second for a thousand characters would need
minutes for a long prompt, and would hold up everybody else's.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from re import _constants as op  # type: ignore[attr-defined]  # the parse tree of the standard library
from re import _parser  # type: ignore[attr-defined]
from typing import Any

import regex  # type: ignore[import-untyped]

FLAGS = regex.DOTALL | regex.MULTILINE | regex.IGNORECASE
"""What Presidio compiles the patterns of such recognisers with."""

_SECONDS = 0.1
_CHARACTERS = 1000
_PUMPS = 40
_STRANGER = "\x00"
_USUAL = ("a", "1", " ", "-", ".", "_", "a1", "a ", "1 ", "a-", "1-", "a.", "1.", "aA", "@a", "/a", "\n", "é", "=", ":")


def runs_away(pattern: str) -> bool:
    """Does a pattern that compiles take too long on one of the texts made for it?"""
    compiled = regex.compile(pattern, FLAGS)
    return any(_too_long(compiled, text) and _too_long(compiled, text) for text in _texts(pattern))


def _too_long(compiled: Any, text: str) -> bool:
    try:
        for _ in compiled.finditer(text, timeout=_SECONDS):
            pass
    except TimeoutError:
        return True
    return False


def _texts(pattern: str) -> Iterator[str]:
    found: list[str] = []
    whole = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = _parser.parse(pattern, int(re.DOTALL | re.MULTILINE | re.IGNORECASE))
        whole = _walk(tree, "", found)
    except (re.error, RecursionError, OverflowError):
        pass  # syntax that only `regex` knows: the usual texts must do
    # What ends the match is further on all the same: a text without it would not be searched at all.
    end = _STRANGER * 2 + whole[-_PUMPS:]
    for unit in _USUAL:
        yield unit * (_CHARACTERS // len(unit)) + end
    for text in dict.fromkeys(found):
        yield text[:_CHARACTERS] + end


def _walk(sequence: Any, before: str, found: list[str]) -> str:
    """A text that matches a part of the tree, after `before`; at each repetition a provoking text goes to `found`."""
    text = ""
    for kind, value in sequence:
        if kind is op.LITERAL:
            text += chr(value)
        elif kind is op.ANY or kind is op.NOT_LITERAL:
            text += "a"
        elif kind is op.IN:
            text += _one_of(value)
        elif kind is op.SUBPATTERN:
            text += _walk(value[3], before + text, found)
        elif kind is op.ATOMIC_GROUP:
            text += _walk(value, before + text, found)
        elif kind is op.BRANCH:
            branches = [_walk(branch, before + text, found) for branch in value[1]]  # every one, for what it finds
            text += branches[0]
        elif kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            least, most, inner = value
            once = _walk(inner, before + text, found)
            if most > least and most > 1:
                found.append(before + text + once * min(int(most), _CHARACTERS // max(1, len(once))))
                once *= min(int(most), _PUMPS)
            else:
                once *= int(least)
            text = (text + once)[:_CHARACTERS]
    return text


def _one_of(items: Any) -> str:
    """A character of a class."""
    for kind, value in items:
        if kind is op.LITERAL:
            return chr(value)
        if kind is op.RANGE:
            return chr(value[0])
        if kind is op.CATEGORY:
            return {op.CATEGORY_DIGIT: "1", op.CATEGORY_SPACE: " "}.get(value, "a")
    return "a"
