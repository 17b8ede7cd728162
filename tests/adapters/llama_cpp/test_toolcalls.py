"""Tests of `adapters.llama_cpp.toolcalls`."""

from __future__ import annotations

import pytest

from adapters.llama_cpp.toolcalls import Call, CallScanner

NAMES = frozenset({"f", "g"})
ONE = '<tool_call>\n{"name": "f", "arguments": {"a": "é"}}\n</tool_call>'


def scan(text: str, step: int) -> list[str | Call]:
    scanner, parts = CallScanner(NAMES), []
    for start in range(0, len(text), step):
        parts += scanner.feed(text[start : start + step])
    parts += scanner.finish()
    joined: list[str | Call] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        else:
            joined.append(part)
    return joined


@pytest.mark.parametrize("step", [1, 3, 1000])
@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("just text, 1 < 2", ["just text, 1 < 2"]),
        (ONE, [Call("f", '{"a": "é"}')]),
        (f"Let me look.\n{ONE}\n{ONE}", ["Let me look.", Call("f", '{"a": "é"}'), Call("f", '{"a": "é"}')]),
        ('<tool_call>{"name":"g","arguments":"{}"}', [Call("g", "{}")]),
        ('<tool_call>{"name":"g","parameters":{}}</tool_call>', [Call("g", "{}")]),
        ('<tool_call>{"name":"evil"}</tool_call>', ['<tool_call>{"name":"evil"}</tool_call>']),
        ("<tool_call>oops</tool_call> text", ["<tool_call>oops</tool_call> text"]),
        ("<tool_call>{", ["<tool_call>{"]),
        ("a <tool", ["a <tool"]),
    ],
)
def test_calls_are_found_at_any_cut(text: str, parts: list[str | Call], step: int) -> None:
    """A call of a known tool is a call, everything else stays text, and nothing is lost."""
    assert scan(text, step) == parts


def test_text_before_a_call_goes_out_at_once() -> None:
    """A stream does not wait for a call that may never come."""
    assert CallScanner(NAMES).feed("Hello there <to") == ["Hello there"]
