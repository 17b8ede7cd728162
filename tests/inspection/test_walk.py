"""Every text of a request is a leaf; control fields only while they hold control values."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import Code, GatewayError
from gateway.domain.grammar import Grammar
from gateway.domain.tree import Embedded, KeyOf
from gateway.inspection.walk import leaves

GRAMMAR = Grammar(
    controls={
        ("model",): re.compile(r"[a-z0-9.-]{1,40}"),
        ("messages", "*", "role"): frozenset({"user", "assistant"}),
        ("messages", "*", "content", "*", "type"): frozenset({"text"}),
    },
    names=frozenset({"model", "messages", "role", "content", "type", "text", "tool_calls", "arguments", "seed"}),
    readable_parts=frozenset({"text"}),
)


def texts(tree: dict[str, Any]) -> list[str]:
    return [leaf.text for leaf in leaves(tree, GRAMMAR).leaves]


def test_control_fields_are_skipped_only_with_control_values() -> None:
    """A role or a model name is no text, but anything else in its place is."""
    assert texts({"model": "gpt-x", "messages": [{"role": "user", "content": "hi"}]}) == ["hi"]
    tree = {"model": "My SSN is 536-90-4399", "messages": [{"role": "536-90-4399", "content": "hi"}]}
    assert texts(tree) == ["My SSN is 536-90-4399", "536-90-4399", "hi"]


def test_a_control_path_holds_at_its_place_only() -> None:
    """The same name and value elsewhere is text."""
    assert texts({"content": {"role": "user"}}) == ["user"]


def test_unknown_names_and_fields_are_texts() -> None:
    """A field that nobody knows is inspected, and so is its name."""
    walk = leaves({"x-note": {"deep": ["secret"]}}, GRAMMAR)
    assert [(leaf.path, leaf.text) for leaf in walk.leaves] == [
        ((KeyOf("x-note"),), "x-note"),
        (("x-note", KeyOf("deep")), "deep"),
        (("x-note", "deep", 0), "secret"),
    ]


def test_long_numbers_are_texts() -> None:
    """A card number sent as a JSON number is a text; a temperature or a flag is not."""
    tree = {"seed": 4242424242424242, "model": 4242424242424242.0, "text": 0.7, "type": True, "content": 123456}
    assert texts(tree) == ["4242424242424242", "4242424242424242"]


def test_json_in_strings_is_walked() -> None:
    """Tool arguments are JSON in a string, and so on inside; the path says where."""
    inner = json.dumps({"arguments": json.dumps(["a", {"content": "b"}])})
    walk = leaves({"messages": [{"content": inner}]}, GRAMMAR)
    start = ("messages", 0, "content", Embedded.JSON, "arguments", Embedded.JSON)
    assert [(leaf.path, leaf.text) for leaf in walk.leaves] == [
        ((*start, 0), "a"),
        ((*start, 1, "content"), "b"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        '{"content": "536-90-4399", "content": "x"}',
        '{"content": 0.536904399536904399536904399}',
        '{"content": NaN}',
        '{"content": "a"} 536-90-4399',
        "[" * 5000 + "]" * 5000,
        "[1,2",
    ],
)
def test_json_whose_leaves_are_not_everything_is_a_text(text: str) -> None:
    """Repeated members, overlong numbers and what is no JSON are scanned as they stand."""
    assert texts({"content": text}) == [text]


def test_nesting_of_strings_is_bounded() -> None:
    """JSON in JSON in JSON ends somewhere: what is deeper is scanned as a string."""
    text = "536-90-4399"
    for _ in range(8):
        text = json.dumps([text])
    found = texts({"content": text})
    assert len(found) == 1
    assert "536-90-4399" in found[0]
    assert found[0] != "536-90-4399"
    assert leaves({"content": text}, GRAMMAR).unreadable == 1  # nobody can say what its escapes stand for


def test_a_tree_too_deep_is_refused() -> None:
    """A tree of thousands of levels is an invalid request, not a crash."""
    tree: dict[str, Any] = {}
    for _ in range(5000):
        tree = {"content": tree}
    with pytest.raises(GatewayError) as caught:
        leaves(tree, GRAMMAR)
    assert caught.value.code is Code.INVALID_REQUEST


@pytest.mark.parametrize(
    ("content", "unreadable"),
    [
        ([{"type": "text", "text": "hi"}], 0),
        ([{"type": "image_url", "image_url": {"url": "https://x.org/a.png"}}], 1),
        ([{"text": "no type"}, 7, "plain"], 2),
        ("data:image/png;base64,iVBORw0KGgo=", 1),
        ("QUJD" * 200, 1),
        ([{"type": ["text"], "text": "hi"}], 1),
        ({"type": "image_url", "image_url": {"url": "https://x.org/a.png"}}, 1),
        ({"type": "text", "text": "hi"}, 0),
        (("QUJD" * 19 + "\n") * 8, 1),
        (("QUJD" * 16 + "\\r\\n") * 9 + "QQ==", 1),
        (("0123456789abcdef" * 4 + "  a-file.txt\n") * 20, 0),
        ("word " * 500, 0),
    ],
)
def test_what_nobody_can_read_is_counted(content: Any, unreadable: int) -> None:
    """Images, unknown parts and encoded blobs are counted, so that policy can treat the request as unsure."""
    assert leaves({"messages": [{"content": content}]}, GRAMMAR).unreadable == unreadable


TREES = st.recursive(
    st.text(max_size=8) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=4), TREES, max_size=4))
def test_every_string_is_a_leaf(tree: dict[str, Any]) -> None:
    """Whatever the tree, each of its strings and unknown names is among the leaves."""
    found = set(texts(tree))

    def check(value: Any) -> None:
        if isinstance(value, str):
            assert not value or value in found or value.strip()[:1] in ("[", "{")
        elif isinstance(value, dict):
            for name, item in value.items():
                assert not name or name in found or name in GRAMMAR.names
                check(item)
        elif isinstance(value, list):
            for item in value:
                check(item)

    check(tree)
