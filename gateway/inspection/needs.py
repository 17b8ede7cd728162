"""What every match of a regular expression has, read off the expression itself, so that texts without it are skipped.

A pattern of a company's own has nobody who says where it can match. Its parse tree does: at least so many digits,
one of these literals, at most so many characters, no white space. A text that lacks one of them is not searched; in a
long text only the stretches around its digits or literals are.

Why not Hyperscan in prefilter mode, which takes all of Presidio's English patterns: compiling the 44 of them takes 5 s
(10 s with Unicode properties) in every process. A scan then costs 3.5 µs for 120 characters of prose and 1.4 ms for
100,000, and 4.6 ms for 100,000 dense with data, of which nearly every pattern is reported and must be matched again
anyway. Reading off costs 3 ms a pattern once; for the same prose the gates here cost about 2 µs and 0.1 ms, mostly for
counting digits, whatever the number of patterns. And Hyperscan counts bytes and folds case in its own way, not as
`regex` does, so that equal findings would rest on its approximations being supersets.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from re import _constants as op  # type: ignore[attr-defined]  # the parse tree of the standard library
from re import _parser  # type: ignore[attr-defined]
from typing import Any

import regex  # type: ignore[import-untyped]

_KNOWN_FLAGS = int(re.IGNORECASE | re.MULTILINE | re.DOTALL | re.VERBOSE | re.ASCII | re.UNICODE)
# What `regex` reads in another way than `re`, without `re` objecting: fuzzy counts and POSIX classes.
_OTHER_MEANING = re.compile(r"\{[^{}]*[a-z<][^{}]*\}|\[:\^?\w+:\]")
_WIDEST = 1000
_REPEATS = (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT)
_ASSERTIONS = (op.ASSERT, op.ASSERT_NOT)
_SPACES = [code for code in range(0x3001) if regex.match(r"\s", chr(code))]
_MOST_ALTERNATIVES = 12


@dataclass(frozen=True, slots=True)
class Needs:
    """What every match has.

    `digits`: at least so many decimal digits, of any script. `literals`: one of these, in lower case; empty if none is
    known. `least`: at least so many characters. `reach`: it lies within so many characters of each of its characters,
    with all that it looks at; None if there is no limit. `spaceless`: it holds no white space; `margin` is then how far
    it looks beyond its ends, None if there is no limit.
    """

    digits: int = 0
    literals: tuple[str, ...] = ()
    least: int = 0
    reach: int | None = None
    spaceless: bool = False
    margin: int | None = None


NOTHING = Needs()


def needs(pattern: str, flags: int) -> Needs:
    """What every match of a pattern for `regex` with these flags has; `NOTHING` where that cannot be read off."""
    if flags & ~_KNOWN_FLAGS or _OTHER_MEANING.search(pattern):
        return NOTHING
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tree = _parser.parse(pattern, flags)
    except (re.error, Warning, RecursionError, OverflowError):
        return NOTHING
    margin = _margin(tree)
    least, widest = map(int, tree.getwidth())
    reach = widest + margin if margin is not None and widest <= _WIDEST else None
    return Needs(
        digits=_digits(tree),
        literals=_literals(tree),
        least=min(least, _WIDEST),
        reach=reach,
        spaceless=not _may_hold_space(tree),
        margin=margin,
    )


def _digits(sequence: Any) -> int:
    return sum(_digits_of(kind, value) for kind, value in sequence)


def _digits_of(kind: Any, value: Any) -> int:
    if kind is op.LITERAL:
        return int(chr(value).isdecimal())
    if kind is op.IN:
        return int(all(_only_digits(*item) for item in value))
    if kind in _REPEATS:
        least, _, inner = value
        return int(min(least, _WIDEST)) * _digits(inner)
    if kind is op.SUBPATTERN:
        return _digits(value[3])
    if kind is op.ATOMIC_GROUP:
        return _digits(value)
    if kind is op.BRANCH:
        return min(map(_digits, value[1]))
    return 0


def _only_digits(kind: Any, value: Any) -> bool:
    if kind is op.LITERAL:
        return chr(value).isdecimal()
    if kind is op.RANGE:
        return bool(ord("0") <= value[0] <= value[1] <= ord("9"))
    return kind is op.CATEGORY and value is op.CATEGORY_DIGIT


def _literals(sequence: Any) -> tuple[str, ...]:
    """The best of the sets of literals of which one is in every match of the sequence: the one with the longest."""
    found: list[tuple[str, ...]] = []
    run = ""
    for kind, value in sequence:
        if kind is op.LITERAL and value < 128:
            run += chr(value).lower()
            continue
        if run:
            found.append((run,))
        run = ""
        inner = _literals_of(kind, value)
        if inner:
            found.append(inner)
    if run:
        found.append((run,))
    return max(found, key=lambda literals: (min(map(len, literals)), -len(literals)), default=())


def _literals_of(kind: Any, value: Any) -> tuple[str, ...]:
    if kind is op.SUBPATTERN:
        return _literals(value[3])
    if kind is op.ATOMIC_GROUP:
        return _literals(value)
    if kind in _REPEATS:
        return _literals(value[2]) if value[0] else ()
    if kind is op.IN and len(value) <= 2 and all(k is op.LITERAL and v < 128 for k, v in value):
        return tuple(chr(v).lower() for _, v in value)
    if kind is op.BRANCH:
        each = [_literals(branch) for branch in value[1]]
        united = tuple(dict.fromkeys(literal for literals in each for literal in literals))
        return united if all(each) and len(united) <= _MOST_ALTERNATIVES else ()
    return ()


def _margin(sequence: Any) -> int | None:
    """How far a match looks beyond its ends: one character for a word boundary, more for assertions. None: no limit."""
    most = 1
    for kind, value in sequence:
        margins: list[int | None] = []
        if kind in _ASSERTIONS:
            width = value[1].getwidth()[1]
            inner = _margin(value[1])
            margins = [None if inner is None or width > _WIDEST else width + inner]
        else:
            margins = [_margin(part) for part in _parts(kind, value)]
        for margin in margins:
            if margin is None:
                return None
            most = max(most, margin)
    return most


def _may_hold_space(sequence: Any) -> bool:
    return any(_may_be_space(kind, value) for kind, value in sequence)


def _may_be_space(kind: Any, value: Any) -> bool:
    if kind is op.LITERAL:
        return value in _SPACES
    if kind is op.IN:
        return any(_holds_space(value, code) for code in _SPACES)
    if kind in (op.NOT_LITERAL, op.ANY, op.GROUPREF_EXISTS):
        return True
    return any(_may_hold_space(part) for part in _parts(kind, value))


_SPACE_CATEGORIES = (op.CATEGORY_SPACE, op.CATEGORY_NOT_DIGIT, op.CATEGORY_NOT_WORD)


def _holds_space(items: Any, code: int) -> bool:
    negated = False
    holds = False
    for kind, value in items:
        if kind is op.NEGATE:
            negated = True
        elif kind is op.LITERAL:
            holds |= value == code
        elif kind is op.RANGE:
            holds |= value[0] <= code <= value[1]
        elif kind is op.CATEGORY:
            holds |= value in _SPACE_CATEGORIES
        else:
            return True
    return holds is not negated


def _parts(kind: Any, value: Any) -> list[Any]:
    """The sequences inside a node that a match runs through."""
    if kind in _REPEATS:
        return [value[2]]
    if kind is op.SUBPATTERN:
        return [value[3]]
    if kind is op.ATOMIC_GROUP:
        return [value]
    if kind is op.BRANCH:
        return list(value[1])
    if kind is op.GROUPREF_EXISTS:
        return [part for part in value[1:] if part is not None]
    return []
