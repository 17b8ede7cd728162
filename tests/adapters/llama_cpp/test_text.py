"""Tests of `adapters.llama_cpp.text`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.llama_cpp.text import TextAssembler, held_back


def run(pieces: list[bytes], stops: list[str]) -> tuple[str, bool]:
    assembler = TextAssembler(stops)
    text = ""
    for piece in pieces:
        text += assembler.feed(piece)
        if assembler.stopped:
            break
    return text + assembler.finish(), assembler.stopped


@pytest.mark.parametrize(
    ("pieces", "stops", "text", "stopped"),
    [
        ([b"Hel", b"lo"], [], "Hello", False),
        ([b"a\xc3", b"\xa9b"], [], "aéb", False),
        ([b"\xf0\x9f", b"\x98", b"\x80"], [], "😀", False),
        ([b"a\xff", b"b"], [], "a\ufffdb", False),
        ([b"a\xc3"], [], "a\ufffd", False),
        ([b"one\n", b"\ntwo"], ["\n\n"], "one", True),
        ([b"one\n", b"two"], ["\n\n"], "one\ntwo", False),
        ([b"one\n"], ["\n\n"], "one\n", False),
        ([b"x END y STOP"], ["STOP", "END"], "x ", True),
        ([b"a", b"a", b"b"], ["ab"], "a", True),
        ([b"\xe2\x82", b"\xac!"], ["€"], "", True),
    ],
)
def test_text_is_whole_and_ends_before_the_first_stop(
    pieces: list[bytes], stops: list[str], text: str, stopped: bool
) -> None:
    """Characters are never cut in two, and neither a stop string nor what follows it gets out."""
    assert run(pieces, stops) == (text, stopped)


@given(
    st.text(alphabet="abé€", max_size=30),
    st.lists(st.text(alphabet="abé€", min_size=1, max_size=4), max_size=3),
    st.integers(1, 5),
)
def test_the_cut_of_the_bytes_does_not_matter(text: str, stops: list[str], step: int) -> None:
    """However the tokens fall, the text ends before the stop string that is complete first."""
    data = text.encode()
    pieces = [data[start : start + step] for start in range(0, len(data), step)]
    _, end = min(((text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text), default=(0, None))
    assert run(pieces, stops)[0] == text[:end]


def test_only_a_beginning_of_a_stop_string_is_held_back() -> None:
    """Text that cannot become a stop string goes out at once."""
    assert held_back("hello", ["xyz"]) == 0
    assert held_back("hello x", ["xyz"]) == 1
    assert held_back("hello xy", ["xyz", "y"]) == 2
