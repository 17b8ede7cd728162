"""The wire format between gateway and engine, without a socket: length-prefixed frames.

A frame is four bytes (big-endian) with the length of what follows, one byte with its kind, and a JSON payload. The
kind is outside the JSON so that the gateway can hand a chunk on as it came, without decoding and encoding it again.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

MAX_FRAME_BYTES = 64 * 1024 * 1024
_HEADER = struct.Struct(">IB")


class Kind(IntEnum):
    """What the payload is. CHAT, EMBED, STATS_WANTED and TERMS go to the engine, READY and FAILED come on its standard
    output.

    TERMS holds what the gateway knows of the request after it and its body does not say: ``tenant`` and ``first_token``
    (seconds). STATS_WANTED may hold ``prompt_tokens``, for which STATS then predicts the time to the first token.
    """

    CHAT = 1
    STATS_WANTED = 2
    TERMS = 3
    EMBED = 4
    CHUNK = 10
    WHOLE = 11
    END = 12
    ERROR = 13
    STATS = 14
    READY = 20
    FAILED = 21


_KINDS = {int(kind): kind for kind in Kind}


class FrameError(Exception):
    """The peer does not speak this format. Holds no content."""


@dataclass(frozen=True, slots=True, repr=False)
class Frame:
    """One frame; the repr is the class name only, because the payload may be content."""

    kind: Kind
    payload: bytes = b""


def encode(kind: Kind, payload: bytes = b"") -> bytes:
    """The frame as bytes. Raises `FrameError` when the payload is too large."""
    if len(payload) >= MAX_FRAME_BYTES:
        raise FrameError(f"a frame of {len(payload)} bytes is over the limit of {MAX_FRAME_BYTES}")
    return _HEADER.pack(len(payload) + 1, kind) + payload


class Decoder:
    """Bytes to frames. Feed it whatever arrives, then take the frames that are complete."""

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._buffer = bytearray()
        self._limit = max_frame_bytes

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that `data` completes. Raises `FrameError`; after that the connection is of no more use."""
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= _HEADER.size:
                length, number = _HEADER.unpack_from(buffer, start)
                if not 1 <= length <= self._limit:
                    raise FrameError(f"a frame of {length} bytes is outside 1 to {self._limit}")
                kind = _KINDS.get(number)
                if kind is None:
                    raise FrameError(f"unknown frame kind {number}")
                end = start + _HEADER.size + length - 1
                if len(buffer) < end:
                    return
                frame = Frame(kind, bytes(buffer[start + _HEADER.size : end]))
                start = end
                yield frame
        finally:
            del buffer[:start]

    @property
    def pending(self) -> int:
        """Bytes of a frame that is not complete yet; not 0 at the end of a connection means that it was cut."""
        return len(self._buffer)
