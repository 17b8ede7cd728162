"""What a caller writes never becomes a control token.

A model's control tokens (``<|im_end|>`` and the like) separate who says what. The chat template writes them as text
among the messages, so the rendered prompt alone does not tell its own from those that a caller typed to speak in
another role. Here a caller's are marked before the template runs, and read as plain text after it. No I/O.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator
from typing import Any


class Controls:
    """The texts of a model's control tokens."""

    def __init__(self, names: Iterable[str]) -> None:
        longest_first = sorted(filter(None, set(names)), key=len, reverse=True)
        pattern = "|".join(map(re.escape, longest_first)) or "(?!)"
        self._mark = secrets.token_hex(8)  # letters and digits pass through any template, and through JSON in one
        self._name = re.compile(pattern)
        self._marked = re.compile(f"{self._mark}({pattern})")

    def mark(self, value: Any) -> Any:
        """`value` (strings, lists and objects as in JSON) with the control tokens in it marked; what has none is
        returned as it is."""
        if isinstance(value, str):
            return self._name.sub(lambda found: self._mark + found[0], value) if self._name.search(value) else value
        if isinstance(value, list | tuple):
            return [self.mark(item) for item in value]
        if isinstance(value, dict):
            return {self.mark(key): self.mark(item) for key, item in value.items()}
        return value

    def parts(self, rendered: str) -> Iterator[tuple[str, bool]]:
        """The prompt in parts, each with whether control tokens in it are the template's own."""
        if self._mark not in rendered:
            yield rendered, True
            return
        end = 0
        for found in self._marked.finditer(rendered):
            yield self._without_mark(rendered[end : found.start()]), True
            yield found[1], False
            end = found.end()
        yield self._without_mark(rendered[end:]), True

    def _without_mark(self, text: str) -> str:
        """A template may have cut a name in two; the mark is no part of the prompt."""
        return text.replace(self._mark, "")
