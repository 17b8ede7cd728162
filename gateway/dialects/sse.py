"""Server-sent events without a socket: bytes in, events out, at any cut of the bytes.

Follows the event stream section of the HTML standard (https://html.spec.whatwg.org/multipage/server-sent-events.html)
with one leniency: an event that lacks its closing blank line at the end of the stream is still handed out, by
`SseDecoder.finish`, because several servers forget it after ``data: [DONE]``.
"""

from __future__ import annotations

from typing import NamedTuple

DONE = b"[DONE]"
"""The payload with which OpenAI's format marks the end of a stream."""

MAX_EVENT_BYTES = 1024 * 1024

_BOM = b"\xef\xbb\xbf"


class SseEvent(NamedTuple):
    """One event; `event` is its type, empty when the server named none."""

    event: str
    data: bytes


class SseError(ValueError):
    """The bytes are not an event stream that we take. Holds no content."""


def encode(data: bytes) -> bytes:
    """Frame one payload as an event. Every line of it gets its own ``data:`` field."""
    if b"\n" in data or b"\r" in data:
        data = b"\ndata: ".join(data.splitlines())
    return b"data: " + data + b"\n\n"


class SseDecoder:
    """Splits a byte stream into events. Feed it with `feed` or with `feed_events`, not with both.

    An event longer than `max_event_bytes` raises `SseError`, so that a server cannot fill the memory.
    """

    __slots__ = ("_after_cr", "_max", "_pending", "_started")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._pending = bytearray()
        self._started = False
        self._after_cr = False

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads of the events that these bytes complete, without their types (OpenAI sends none)."""
        if self._started and not self._pending and not self._after_cr and data[:6] == b"data: ":
            payloads = data[6:-2].split(b"\n\ndata: ")
            # Nearly always a read holds whole events of one line each: then these account for every line end in it.
            if (
                data[-2:] == b"\n\n"
                and data.count(b"\n") == 2 * len(payloads)
                and b"\r" not in data
                and len(data) <= self._max
            ):
                return payloads
        payloads = []
        for block in self._blocks(data):
            if block[:6] == b"data: " and b"\n" not in block:
                payloads.append(block[6:])
            elif (event := _parse(block)) is not None:
                payloads.append(event.data)
        return payloads

    def feed_events(self, data: bytes) -> list[SseEvent]:
        """The events that these bytes complete, with their types."""
        return [event for block in self._blocks(data) if (event := _parse(block)) is not None]

    def finish(self) -> list[SseEvent]:
        """The event left without its closing blank line when the stream ended, if any."""
        block, self._pending = bytes(self._pending), bytearray()
        event = _parse(block)
        return [] if event is None else [event]

    def _blocks(self, data: bytes) -> list[bytes]:
        """The stretches between blank lines that are now complete, each with ``\\n`` as its only line end."""
        if not self._started or self._after_cr or b"\r" in data:
            data = self._normalise(data)
        pending = self._pending
        if pending:
            searched = len(pending) - 1
            pending += data
            if pending.find(b"\n\n", max(0, searched)) < 0:  # long events stay linear: only the new bytes are searched
                self._check(len(pending))
                return []
            data = bytes(pending)
            pending.clear()
        blocks = data.split(b"\n\n")
        rest = blocks.pop()
        if rest:
            self._check(len(rest))
            pending += rest
        if len(data) > self._max:
            self._check(max(map(len, blocks), default=0))
        return blocks

    def _normalise(self, data: bytes) -> bytes:
        """Drop the byte order mark and turn each line end into ``\\n``, also where a cut falls between CR and LF."""
        if not self._started:
            data = bytes(self._pending) + data
            self._pending.clear()
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._pending += data
                return b""
            self._started = True
            data = data.removeprefix(_BOM)
        if self._after_cr and data:
            data = data.removeprefix(b"\n")
            self._after_cr = False
        if data.endswith(b"\r"):
            self._after_cr = True
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data

    def _check(self, size: int) -> None:
        if size > self._max:
            raise SseError(f"an event is longer than {self._max} bytes")


def _parse(block: bytes) -> SseEvent | None:
    """The event in a block of lines; None where it has no data (a comment, a lone ``id:`` or ``retry:``)."""
    name = b""
    lines: list[bytes] = []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            lines.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    if not lines:
        return None
    return SseEvent(name.decode("utf-8", "replace"), b"\n".join(lines))
