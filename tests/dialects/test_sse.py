"""Server-sent events: one table of streams drives whole, cut and trailing-data tests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.sse import DONE, SseDecoder, SseError, SseEvent, encode

# name, the bytes, the events they hold
STREAMS: list[tuple[str, bytes, list[tuple[str, bytes]]]] = [
    ("one event", b'data: {"a":1}\n\n', [("", b'{"a":1}')]),
    ("two events", b"data: 1\n\ndata: 2\n\n", [("", b"1"), ("", b"2")]),
    ("no space", b"data:1\n\n", [("", b"1")]),
    ("two spaces", b"data:  1\n\n", [("", b" 1")]),
    ("crlf", b"data: 1\r\n\r\ndata: 2\r\n\r\n", [("", b"1"), ("", b"2")]),
    ("cr", b"data: 1\r\rdata: 2\r\r", [("", b"1"), ("", b"2")]),
    ("mixed line ends", b"data: 1\r\n\ndata: 2\n\r\ndata: 3\r\r\n", [("", b"1"), ("", b"2"), ("", b"3")]),
    ("cr within an event", b"data: 1\rdata: 2\n\n", [("", b"1\n2")]),
    ("several lines", b"data: 1\ndata: 2\n\n", [("", b"1\n2")]),
    ("an event of several lines among others", b"data: 1\n\ndata: 2\ndata: 3\n\n", [("", b"1"), ("", b"2\n3")]),
    ("comment", b": hello\n\ndata: 1\n\n", [("", b"1")]),
    ("comment inside", b": hello\ndata: 1\n: bye\n\n", [("", b"1")]),
    ("type", b"event: ping\ndata: 1\n\n", [("ping", b"1")]),
    ("type after data", b"data: 1\nevent: ping\n\ndata: 2\n\n", [("ping", b"1"), ("", b"2")]),
    ("id and retry", b"id: 7\nretry: 10\ndata: 1\n\n", [("", b"1")]),
    ("no data", b"event: ping\n\ndata: 1\n\n", [("", b"1")]),
    ("empty data", b"data:\n\ndata\n\ndata: \n\n", [("", b""), ("", b""), ("", b"")]),
    ("byte order mark", b"\xef\xbb\xbfdata: 1\n\n", [("", b"1")]),
    ("too many blank lines", b"\n\n\ndata: 1\n\n\n\n\ndata: 2\n\n\n", [("", b"1"), ("", b"2")]),
    ("odd blank lines", b"data: 1\n\n\ndata: 2\n\n", [("", b"1"), ("", b"2")]),
    ("colons in data", b"data: a: b\n\n", [("", b"a: b")]),
    ("data that looks like a field", b"data: x\\n\\ndata: y\n\n", [("", b"x\\n\\ndata: y")]),
    ("field that begins like data", b"database: 1\ndata: 2\n\n", [("", b"2")]),
    ("non-ASCII", "data: Žižek €\n\n".encode(), [("", "Žižek €".encode())]),
    ("end mark", b"data: 1\n\ndata: [DONE]\n\n", [("", b"1"), ("", DONE)]),
]
CASES = [pytest.param(stream, events, id=name) for name, stream, events in STREAMS]


def feed_bytes(decoder: SseDecoder, data: bytes) -> None:
    """Feed byte by byte."""
    for byte in data:
        decoder.feed(bytes([byte]))


@pytest.mark.parametrize(("stream", "events"), CASES)
def test_whole(stream: bytes, events: list[tuple[str, bytes]]) -> None:
    """A stream that arrives at once gives its events, as payloads and with their types."""
    assert SseDecoder().feed(stream) == [data for _, data in events]
    assert SseDecoder().feed_events(stream) == [SseEvent(*event) for event in events]


@pytest.mark.parametrize(("stream", "events"), CASES)
def test_byte_by_byte(stream: bytes, events: list[tuple[str, bytes]]) -> None:
    """A stream that arrives byte by byte gives the same events."""
    decoder = SseDecoder()
    found = [event for byte in stream for event in decoder.feed_events(bytes([byte]))]
    assert [*found, *decoder.finish()] == events


@pytest.mark.parametrize(("stream", "events"), CASES)
def test_cut_in_two(stream: bytes, events: list[tuple[str, bytes]]) -> None:
    """Wherever a stream is cut in two, it gives the same payloads."""
    for cut in range(len(stream) + 1):
        decoder = SseDecoder()
        assert decoder.feed(stream[:cut]) + decoder.feed(stream[cut:]) == [data for _, data in events], cut


@pytest.mark.parametrize(("stream", "events"), CASES)
def test_after_a_first_event(stream: bytes, events: list[tuple[str, bytes]]) -> None:
    """A decoder in the middle of its stream, where reads take the fast way, gives the same events."""
    if stream.startswith(b"\xef"):
        return  # a byte order mark counts at the beginning only
    decoder = SseDecoder()
    decoder.feed(b"data: 0\n\n")
    assert decoder.feed(stream) == [data for _, data in events]


@pytest.mark.parametrize(("stream", "events"), CASES)
def test_trailing_data(stream: bytes, events: list[tuple[str, bytes]]) -> None:
    """Bytes after the last event are kept back until the stream ends, and then given out if they are an event."""
    decoder = SseDecoder()
    assert decoder.feed(stream + b"data: last\ndata: one") == [data for _, data in events]
    assert decoder.finish() == [SseEvent("", b"last\none")]
    assert decoder.finish() == []


def test_trailing_comment_is_no_event() -> None:
    """A comment that the end cuts off is nothing."""
    decoder = SseDecoder()
    assert decoder.feed(b": bye") == []
    assert decoder.finish() == []


def test_a_partial_byte_order_mark_is_no_event() -> None:
    """A stream that ends within a byte order mark holds nothing, and one that only resembles it loses nothing."""
    decoder = SseDecoder()
    assert decoder.feed(b"\xef\xbb") == []
    assert decoder.finish() == []
    assert SseDecoder().feed(b"\xef\xbbdata: 1\n\ndata: 2\n\n") == [b"2"]


@pytest.mark.parametrize("first", [b"", b"data: 0\n\n"])
@pytest.mark.parametrize("end", [b"", b"\n\n", b"\r\n\r\n"])
def test_an_event_that_is_too_long_is_refused(first: bytes, end: bytes) -> None:
    """An event over the limit raises, complete or not, and however many reads it comes in."""
    event = b"data: " + b"x" * 100 + end
    decoder = SseDecoder(max_event_bytes=100)
    decoder.feed(first)
    with pytest.raises(SseError, match="longer than 100 bytes"):
        decoder.feed(event)
    decoder = SseDecoder(max_event_bytes=100)
    decoder.feed(first)
    with pytest.raises(SseError, match="longer than 100 bytes"):
        feed_bytes(decoder, event)


def test_many_short_events_may_be_longer_together() -> None:
    """The limit is for one event: a read with many of them may be longer."""
    assert SseDecoder(max_event_bytes=20).feed(b"data: 1\n\n" * 50) == [b"1"] * 50


@given(payloads=st.lists(st.text(max_size=40), max_size=8), cuts=st.lists(st.integers(1, 30), min_size=1, max_size=30))
def test_encoded_payloads_come_back(payloads: list[str], cuts: list[int]) -> None:
    """What `encode` frames, `feed` gives back, at any cut, with line ends inside as plain ones."""
    stream = b"".join(encode(payload.encode()) for payload in payloads)
    decoder = SseDecoder()
    found: list[bytes] = []
    place = turn = 0
    while place < len(stream):
        step = cuts[turn % len(cuts)]
        found += decoder.feed(stream[place : place + step])
        place, turn = place + step, turn + 1
    assert found == [b"\n".join(payload.encode().splitlines()) or b"" for payload in payloads]
    assert decoder.finish() == []
