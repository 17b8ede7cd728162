"""Tool calls that a model writes into its text when it may choose (``tool_choice: auto``). No I/O.

The form is ``<tool_call>{"name": ..., "arguments": {...}}</tool_call>``, which Hermes, Qwen and many others are trained
on. Models with another form answer in text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from adapters.llama_cpp.text import held_back

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"


@dataclass(frozen=True, slots=True, repr=False)
class Call:
    """One call. `arguments` is JSON text."""

    name: str
    arguments: str


def read_call(text: str, names: frozenset[str]) -> Call | None:
    """The call in `text`, a JSON object with a name and arguments; None when it is not one, or of no known tool."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    if not isinstance(value, dict) or value.get("name") not in names:
        return None
    arguments = value.get("arguments", value.get("parameters", {}))
    return Call(value["name"], arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False))


class CallScanner:
    """Splits text, as it comes, into text and calls. What looks like a call and is none comes out as text."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._held = ""
        self._inside = False

    def feed(self, text: str) -> list[str | Call]:
        """What is certain now."""
        out: list[str | Call] = []
        self._held += text
        while True:
            mark = _CLOSE if self._inside else _OPEN
            before, found, after = self._held.partition(mark)
            if not found:
                break
            self._held = after
            if self._inside:
                out.append(read_call(before, self._names) or f"{_OPEN}{before}{_CLOSE}")
            elif before.strip():
                out.append(before.rstrip())
            self._inside = not self._inside
        if not self._inside:
            sure = self._held[: len(self._held) - held_back(self._held, (_OPEN,))]
            ready = sure.rstrip()  # white space before a call is not content
            self._held = self._held[len(ready) :]
            if ready:
                out.append(ready)
        return out

    def finish(self) -> list[str | Call]:
        """The rest. A call without its closing mark counts when it is complete."""
        rest, self._held = self._held, ""
        if self._inside:
            return [read_call(rest, self._names) or f"{_OPEN}{rest}"]
        return [rest] if rest else []
