"""Values come back exactly: in whole answers, in streams at any boundary, and escaped where the text is JSON."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inspection.restore import RestoreMap, StreamRestorer

TOKENS = {"PERSON_ABCDEFGH": "Anna", "PERSON_ABCDEFGX": 'Zoë "Z"', "CARD_2345672A": "4242 4242", "XABCDEFGH": "\\n"}
MAP = RestoreMap(TOKENS)
PIECES = st.lists(
    st.sampled_from([*TOKENS, *(t.lower() for t in TOKENS), "PERSON\\_ABCDEFGH", "PERSON_", "PER", "CARD_", "X", "x"])
    | st.text("PERSON_ABCDEFGHXx\\ \u212a", max_size=6),
    max_size=8,
).map("".join)


def test_tokens_are_recognised_as_models_write_them() -> None:
    """In any case, with an escaped underscore, and with a possessive behind."""
    assert MAP.restore_text("PERSON_ABCDEFGH's and person_abcdefgh, PERSON\\_ABCDEFGH") == "Anna's and Anna, Anna"
    assert MAP.restore_text("PERSON_ABCDEFG") == "PERSON_ABCDEFG"


def test_json_text_is_escaped() -> None:
    """A value with quotes stays inside its JSON string."""
    text, _ = MAP.restored('{"a": "PERSON_ABCDEFGX"}', json_text=True)
    assert json.loads(text) == {"a": 'Zoë "Z"'}


def test_restore_tree() -> None:
    """In a whole answer, JSON in strings is restored inside, with its layout, and cut JSON where its path is named."""
    tree: dict[str, Any] = {
        "content": "Hi PERSON_ABCDEFGX",
        "calls": [{"arguments": '{ "to":"PERSON_ABCDEFGX" }'}, {"arguments": '{"to": "PERSON_ABCDEFGX'}],
        "deep": json.dumps({"x": json.dumps({"y": "PERSON_ABCDEFGX"})}),
        "n": 5,
    }
    restored, count = MAP.restore_tree(tree, lambda path: path[-1] == "arguments")
    calls: Any = restored["calls"]
    assert restored["content"] == 'Hi Zoë "Z"'
    assert calls[0]["arguments"] == '{ "to":"Zoë \\"Z\\"" }'
    assert calls[1]["arguments"] == '{"to": "Zoë \\"Z\\"'
    assert json.loads(json.loads(str(restored["deep"]))["x"]) == {"y": 'Zoë "Z"'}
    assert count == 4
    assert RestoreMap({}).restore_tree(tree) == (tree, 0)


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_a_stream_that_turns_out_to_be_json(size: int) -> None:
    """A streamed answer in JSON, and JSON in the arguments of a tool call, is escaped as the whole answer would be."""
    text = json.dumps({"who": "PERSON_ABCDEFGX", "call": json.dumps({"who": "PERSON_ABCDEFGX"})})
    for json_text in (False, True):
        stream = StreamRestorer(MAP, json_text)
        out = "".join(stream.feed(text[i : i + size]) for i in range(0, len(text), size)) + stream.flush()
        assert json.loads(out)["who"] == json.loads(json.loads(out)["call"])["who"] == 'Zoë "Z"'
    assert MAP.restore_tree({"arguments": text}, lambda path: path[-1] == "arguments")[0] == {"arguments": out}


def test_an_argument_named_arguments() -> None:
    """A member of the arguments that is called like them is no JSON text for that."""
    tree: dict[str, Any] = {"arguments": '{"arguments": "PERSON_ABCDEFGX"}'}
    restored, _ = MAP.restore_tree(tree, lambda path: path[-1] == "arguments")
    assert json.loads(str(restored["arguments"])) == {"arguments": 'Zoë "Z"'}


def test_ambiguous_tokens_are_refused() -> None:
    """No token may contain another."""
    with pytest.raises(ValueError, match="contains another"):
        RestoreMap({"PERSON_A": "x", "PERSON_AB": "y"})


@given(PIECES, st.randoms(use_true_random=False), st.booleans())
def test_a_stream_is_restored_like_the_whole(text: str, rng: random.Random, json_text: bool) -> None:
    """However a text is cut, the pieces joined are the whole text restored, and as many tokens are counted."""
    stream = StreamRestorer(MAP, json_text)
    out = []
    rest = text
    while rest:
        size = rng.randint(1, 6)
        out.append(stream.feed(rest[:size]))
        rest = rest[size:]
    out.append(stream.flush())
    expected, count = MAP.restored(text, json_text=json_text)
    assert "".join(out) == expected
    assert stream.count == count


def test_only_a_possible_start_is_held_back() -> None:
    """Text that cannot become a token is passed on at once."""
    stream = StreamRestorer(MAP, json_text=False)
    assert stream.feed("hello P") == "hello "
    assert stream.feed("eter") == "Peter"
    assert stream.feed(" PERSON_ABCDEFG") == " "
    assert stream.feed("H!") == "Anna!"
    assert stream.flush() == ""
    assert StreamRestorer(RestoreMap({}), json_text=False).feed("PERSON_") == "PERSON_"


def test_nothing_is_printed() -> None:
    """The map's repr has neither tokens nor values."""
    assert repr(MAP) == "RestoreMap(4 tokens)"
    assert MAP.values() == tuple(TOKENS.values())
    assert MAP.tokens == {token.lower() for token in TOKENS}
