"""Tests of `adapters.llama_cpp.frames`."""

from __future__ import annotations

import struct

import pytest

from adapters.llama_cpp.frames import Decoder, Frame, FrameError, Kind, encode

CASES = [
    pytest.param([(Kind.END, b"")], id="empty payload"),
    pytest.param([(Kind.CHUNK, b'{"a":1}')], id="one"),
    pytest.param([(Kind.CHUNK, b"{}"), (Kind.CHUNK, "é€".encode()), (Kind.END, b"")], id="several"),
    pytest.param([(Kind.CHAT, bytes(range(256)) * 300)], id="large, every byte"),
]


@pytest.mark.parametrize("frames", CASES)
@pytest.mark.parametrize("step", [1, 7, 10**6])
def test_frames_survive_any_cut(frames: list[tuple[Kind, bytes]], step: int) -> None:
    """What was encoded is decoded, however the bytes are cut up on the way."""
    data = b"".join(encode(kind, payload) for kind, payload in frames)
    decoder, found = Decoder(), []
    for start in range(0, len(data), step):
        found += decoder.feed(data[start : start + step])
    assert [(frame.kind, frame.payload) for frame in found] == frames
    assert decoder.pending == 0


def test_an_incomplete_frame_is_kept_and_counted() -> None:
    """A cut connection can be told from one that ended between two frames."""
    decoder = Decoder()
    assert list(decoder.feed(encode(Kind.CHUNK, b"{}")[:-1])) == []
    assert decoder.pending == 6
    assert list(decoder.feed(b"}")) == [Frame(Kind.CHUNK, b"{}")]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (struct.pack(">IB", 2**31, Kind.CHAT), "outside 1 to 100"),
        (struct.pack(">IB", 101, Kind.CHAT), "outside 1 to 100"),
        (struct.pack(">IB", 0, Kind.CHAT), "outside 1 to 100"),
        (struct.pack(">IB", 1, 99), "unknown frame kind 99"),
        (b"GET / HTTP/1.1\r\n", "outside 1 to 100"),
    ],
)
def test_foreign_bytes_are_refused_before_anything_is_kept(data: bytes, reason: str) -> None:
    """A length or kind that cannot be right ends the connection; no memory is set aside for it."""
    with pytest.raises(FrameError, match=reason):
        list(Decoder(max_frame_bytes=100).feed(data))


def test_a_payload_over_the_limit_is_not_encoded() -> None:
    """The sender fails, not the receiver."""
    with pytest.raises(FrameError, match="over the limit"):
        encode(Kind.CHAT, bytes(64 * 1024 * 1024))


def test_a_frame_does_not_show_its_payload() -> None:
    """A frame in a traceback or a log line shows no content."""
    assert "secret" not in repr(Frame(Kind.CHAT, b"secret"))
