"""Where a text is inside of JSON strings is known at each of its characters, however it arrives."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inspection.nesting import Nesting, escaped

MARK = "MARK"


def levels_at_mark(text: str, is_json: bool) -> int:
    nesting = Nesting(is_json)
    nesting.feed(text[: text.index(MARK)])
    return nesting.levels


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("say MARK", 0),
        ('say "MARK"', 0),
        ('"MARK"', 0),
        ('{"a": "MARK', 1),
        (' [ {"MARK": 1', 1),
        ('{"a": "x", "b": MARK', 0),
        ('{"a": "x\\"", "b": "MARK', 1),
        ('{"a": "\\\\", "b": "MARK', 1),
        ('{"a": "MARK said \\"x\\"', 1),
        ('{"a": "he said \\"MARK', 1),
        ('{"a": "{\\"b\\": \\"MARK', 2),
        ('{"a": "\\n\\u007b\\u0022b\\u0022: \\"MARK', 2),
        ('{"a": "{\\"b\\": \\"c\\"}", "d": "MARK', 1),
        ('{"a": "[\\"\\\\\\"MARK', 2),
        ("[Note: 'MARK']", 0),
        ('["MARK"]', 1),
        ("{MARK", 0),
        ('{"a": "[see \\"MARK', 1),
        ("", 0),
    ],
)
def test_levels(text: str, levels: int) -> None:
    """Prose has none; each JSON string has one more than the text that it is in."""
    assert levels_at_mark(text + MARK, is_json=False) == levels


def test_what_is_known_to_be_json() -> None:
    """Arguments of a tool call are JSON from the start; a string alone is JSON too."""
    assert levels_at_mark('"MARK"', is_json=True) == 1
    assert levels_at_mark('"\\ud83d\\zzzz\\uzzzzMARK"', is_json=True) == 1


TREES = st.recursive(
    st.sampled_from(["", "a", MARK, 'q"', "b\\", "[", "{", "\n", "\u2028"]) | st.integers(-9, 9) | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", MARK, 'k"']), inner, max_size=2)
        | st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.just("x"), inner, max_size=1)).map(json.dumps)
    ),
    max_leaves=10,
)


@given(TREES, st.sampled_from(['"', "\\", "\n", "Bob"]), st.booleans())
def test_an_escaped_value_is_read_back(tree: Any, value: str, ascii_only: bool) -> None:
    """A value put in at each mark, escaped as often as it has levels, is read back as itself."""
    text = json.dumps([tree], ensure_ascii=ascii_only)
    nesting = Nesting(is_json=False)
    parts = text.split(MARK)
    made = parts[0]
    for before, after in pairwise(parts):
        nesting.feed(before)
        made += escaped(value, nesting.levels) + after
        nesting.feed(MARK)
    assert json.loads(made) == _put([tree], value)


def _put(tree: Any, value: str) -> Any:
    """The same by way of the tree, into strings that are JSON as well."""
    if isinstance(tree, str):
        if tree[:1] in ("{", "[") and len(tree) > 1:
            return json.dumps(_put(json.loads(tree), value)) if MARK in tree else tree
        return tree.replace(MARK, value)
    if isinstance(tree, list):
        return [_put(item, value) for item in tree]
    if isinstance(tree, dict):
        return {name.replace(MARK, value): _put(item, value) for name, item in tree.items()}
    return tree
