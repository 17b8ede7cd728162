"""Token bytes to text: characters are whole, and nothing that belongs to a stop string gets out. No I/O."""

from __future__ import annotations

import codecs
from collections.abc import Sequence


def held_back(text: str, marks: Sequence[str]) -> int:
    """How many characters at the end of `text` may be the beginning of one of `marks`."""
    most = 0
    for mark in marks:
        for size in range(min(len(mark) - 1, len(text)), most, -1):
            if text.endswith(mark[:size]):
                most = size
                break
    return most


class TextAssembler:
    """Turns the bytes of tokens into text, and stops before the stop string that is complete first.

    A token may end inside a UTF-8 character and a stop string may span tokens; both are held back until they are
    decided. What is not valid UTF-8 in the end becomes U+FFFD.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self.stopped = False

    def feed(self, piece: bytes) -> str:
        """The text that is certain now. After `stopped` nothing more comes."""
        if self.stopped:
            return ""
        text = self._decoder.decode(piece)
        if not self._stops:
            return text
        return self._scan(text)

    def finish(self) -> str:
        """The rest, when the model ended by itself or by the token limit."""
        if self.stopped:
            return ""
        text = self._scan(self._decoder.decode(b"", final=True))
        rest, self._held = self._held, ""  # nothing, when a stop string was found just now
        return text + rest

    def _scan(self, new: str) -> str:
        text = self._held + new
        found = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)[1]]  # of the one that is complete first, so the cut into tokens does not matter
        keep = len(text) - held_back(text, self._stops)
        self._held = text[keep:]
        return text[:keep]
