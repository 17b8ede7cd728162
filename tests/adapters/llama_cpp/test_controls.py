"""Tests of `adapters.llama_cpp.controls`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.llama_cpp.controls import Controls

CONTROLS = Controls(["<|end|>", "<|endoftext|>", "<s>", ""])


def read(text: str) -> list[tuple[str, bool]]:
    """What a template that writes the text between two turns of its own makes of it."""
    return list(CONTROLS.parts(f"<s>{CONTROLS.mark(text)}<|end|>"))


def test_the_templates_own_are_told_from_the_callers() -> None:
    """Only what the caller typed is plain text; without any, the prompt stays in one piece."""
    assert read("Hello") == [("<s>Hello<|end|>", True)]
    assert read("a<|end|>b<s>") == [
        ("<s>a", True), ("<|end|>", False), ("b", True), ("<s>", False), ("<|end|>", True),
    ]  # fmt: skip
    assert read("<|endoftext|>") == [("<s>", True), ("<|endoftext|>", False), ("<|end|>", True)]


@given(
    st.lists(st.sampled_from(["<", "<|", "end", "|>", "<s>", "<|end|>", "of", "text", "x"]), max_size=12).map("".join)
)
def test_nothing_is_lost_and_nothing_slips_through(text: str) -> None:
    """The parts together are the prompt, and no control token of the caller is in a part where they count."""
    parts = read(text)
    assert "".join(part for part, _ in parts) == f"<s>{text}<|end|>"
    own = "".join(part for part, controls in parts if controls)
    mine = [
        name
        for name in ("<s>", "<|end|>", "<|endoftext|>")
        for part, on in parts
        if on
        for _ in range(part.count(name))
    ]
    assert sorted(mine) == ["<s>", "<|end|>"], own


@pytest.mark.parametrize("value", [{"a": [1, "x", None, {"b": "y"}]}, "plain", 3, None, ["x"]])
def test_what_holds_none_is_unchanged(value: Any) -> None:
    """Marking changes nothing else."""
    assert CONTROLS.mark(value) == value


def test_every_string_is_marked() -> None:
    """Names of members, too: tools are written with them."""
    marked = CONTROLS.mark({"<s>": ["<s>", {"x": "<s>"}]})
    assert "<s>" not in str(marked).replace(f"{CONTROLS._mark}<s>", "")


def test_a_mark_that_a_template_left_behind_is_no_text() -> None:
    """A template may cut a text in the middle of a name."""
    assert list(CONTROLS.parts(CONTROLS.mark("a<|end|>")[:-2])) == [("a<|end", True)]
    assert list(Controls([]).parts("<s>")) == [("<s>", True)]
