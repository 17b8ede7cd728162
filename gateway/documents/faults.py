"""What the YAML parser complains about, in words for people who do not know its grammar."""

from __future__ import annotations

import re
from typing import Any

# What the parser says of its problem and of what it was doing → what to say, and whether the place to mend is where
# that began instead of where the parser noticed.
_OPEN_QUOTE = "this text in quotes is not closed: the quote at its end is missing"
_SAYINGS = (
    (r"expected ',' or '\]'", "", "this list is not closed: a ']' or a ',' is missing", True),
    (r"expected ',' or '\}'", "", "this '{{' is not closed: a '}}' or a ',' is missing", True),
    (r"unexpected end of stream", "quoted scalar", _OPEN_QUOTE, True),
    (r"unexpected document separator", "quoted scalar", _OPEN_QUOTE, True),
    (r"unknown escape character", "", "a '\\' in double quotes begins an escape: use single quotes", False),
    (r"character '\\t'", "", "a tab stands here: use spaces", False),
    (r"character '(.)'", "", "a text cannot begin with {0}: put it in quotes", False),
    (
        r"mapping values are not allowed",
        "",
        "a ':' is not possible here: look at the indentation of this line and the one before, and put a text with ': ' "
        "in it in quotes",
        False,
    ),
    (r"sequence entries are not allowed", "", "a list with '-' begins on a line of its own", False),
    (
        r"could not find expected ':'",
        "",
        "this line is neither 'key: value' nor an item of a list ('- ' with a space)",
        True,
    ),
    (
        r"expected <block end>, but found '<scalar>'",
        "",
        "something stands behind the closing quote; a text with ' in it goes in double quotes",
        False,
    ),
    (r"expected <block end>", "block collection", "this is not at the same indentation as the list above it", False),
    (r"expected <block end>", "", "this is not at the same indentation as the keys above it", False),
    (r"hexdecimal numbers", "", "this escape is not complete: use single quotes if it is meant as text", False),
    (r"expected the node content, but found '(.)'", "", "a {0} is not possible here", False),
    (
        r"expected '<document start>'",
        "",
        "this does not belong to what stands above: look at the indentation, or for a bracket or quote too many",
        False,
    ),
    (r"alphabetic or numeric character", "alias", "a text cannot begin with *: put it in quotes", True),
    (r"alphabetic or numeric character", "anchor", "a text cannot begin with &: put it in quotes", True),
)


def in_words(problem: Any) -> tuple[int, int, str]:
    """Line and column (from 1) and a sentence for an error of ruamel.yaml."""
    said, doing = str(problem.problem or ""), str(problem.context or "")
    for pattern, context, sentence, at_beginning in _SAYINGS:
        if (match := re.search(pattern, said)) and re.search(context, doing):
            mark = problem.context_mark if at_beginning and problem.context_mark else problem.problem_mark
            return *_place(mark or problem.context_mark), f"not YAML: {sentence.format(*match.groups())}"
    words = ", ".join(filter(None, (doing, said))).replace("\n", " ")
    return *_place(problem.problem_mark or problem.context_mark), f"not YAML: {words}"


def _place(mark: Any) -> tuple[int, int]:
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)
