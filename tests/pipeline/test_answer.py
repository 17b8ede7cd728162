"""A stream is pushed, not iterated: whatever ends it, it is closed and its outcome told, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from gateway.dialects import openai_chat
from gateway.domain.call import Chunk, ProviderEvent, Whole
from gateway.domain.errors import Code, GatewayError, ProviderError
from gateway.pipeline.answer import StreamAnswer, StreamTransform
from gateway.telemetry.export import Exporter
from gateway.telemetry.trace import OtelTracer
from support.playing import END, USAGE, chunk, until

pytestmark = pytest.mark.anyio


def together(text: str) -> Chunk:
    """A chunk with which the next event has arrived."""
    return Chunk(chunk(text).data, more=True)


class Told:
    """What was written, what was told of the end, and how often the source was closed."""

    def __init__(self, *events: ProviderEvent | Exception) -> None:
        self.written = b""
        self.writes: list[int] = []
        self.ends: list[tuple[str, Code | None]] = []
        self.closed = 0
        transform = StreamTransform(lambda data: True, None, hide_usage=True)
        step = OtelTracer(Exporter([]), models=frozenset()).start("d1", None).step("restore")
        source = self._source(events)
        self.source = source
        self.answer = StreamAnswer(chunk("first"), source, transform, self._end, {}, self._frame, step)

    async def _source(self, events: tuple[ProviderEvent | Exception, ...]) -> AsyncGenerator[ProviderEvent, None]:
        try:
            yield chunk("never read here: the first event is taken before")
            for event in events:
                if isinstance(event, Exception):
                    raise event
                yield event
            await asyncio.Event().wait()
        finally:
            self.closed += 1

    def _end(self, outcome: str, error: GatewayError | None) -> None:
        self.ends.append((outcome, error.code if error else None))

    def _frame(self, error: GatewayError) -> bytes:
        return openai_chat.stream_error(error, "d1")

    async def write(self, data: bytes) -> None:
        self.written += data
        self.writes.append(data.count(b"data: "))

    async def run(self) -> None:
        await anext(self.source)
        await self.answer.run(self.write)


async def test_a_complete_stream_ends_with_done() -> None:
    """Every chunk, then the provider's own end mark."""
    told = Told(chunk("second"), END)
    await told.run()
    assert told.written.count(b"data: ") == 3
    assert told.written.endswith(b"data: [DONE]\n\n")
    assert (told.ends, told.closed) == ([("completed", None)], 1)


async def test_what_arrived_together_is_written_together() -> None:
    """Chunks of one read leave in one write, in their order; a chunk after which nothing is here does not wait."""
    told = Told(together("a"), together("b"), chunk("c"), chunk("d"), together("e"), END)
    await told.run()
    assert told.writes == [1, 3, 1, 2]
    places = [told.written.index(b'"%b"' % text) for text in (b"first", b"a", b"b", b"c", b"d", b"e")]
    assert places == sorted(places)


async def test_what_came_before_an_error_is_the_clients() -> None:
    """A chunk that waits for its neighbour leaves when an error comes instead."""
    told = Told(together("kept"), ProviderError(Code.TARGET_BAD_ANSWER, "Unreadable."))
    await told.run()
    assert told.written.index(b"kept") < told.written.index(b'"error"')


@pytest.mark.parametrize(
    "event",
    [ProviderError(Code.TARGET_TIMEOUT, "Too slow."), Whole(b"{}"), Chunk(b"nonsense")],
    ids=["error", "whole", "unreadable"],
)
async def test_a_stream_that_breaks_ends_with_an_error(event: ProviderEvent | Exception) -> None:
    """The client gets an error event, and no [DONE] that would make it look complete."""
    told = Told(event)
    if isinstance(event, Chunk):
        told.answer._transform = StreamTransform(lambda data: True, openai_chat.chunk_restorer(_no_restorer), True)
    await told.run()
    assert b'"error"' in told.written
    assert b"[DONE]" not in told.written
    assert told.ends[0][0] == "broken"
    assert told.closed == 1


def _no_restorer(json_text: bool):  # type: ignore[no-untyped-def]
    class Plain:
        def feed(self, text: str) -> str:
            return text

        def flush(self) -> str:
            return ""

    return Plain()


async def test_a_client_that_leaves_is_told_as_cancelled() -> None:
    """The outcome is told before anything is awaited, and the source is closed."""
    told = Told()
    task = asyncio.create_task(told.run())
    await until(lambda: told.written)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (told.ends, told.closed) == ([("cancelled", None)], 1)


async def test_a_writer_that_gives_up_cancels() -> None:
    """A client that takes nothing any more (the writer's TimeoutError) is one that left."""
    told = Told(END)

    async def stuck(data: bytes) -> None:
        raise TimeoutError

    await anext(told.source)
    with pytest.raises(TimeoutError):
        await told.answer.run(stuck)
    assert (told.ends, told.closed) == ([("cancelled", None)], 1)


async def test_an_abandoned_answer_is_closed() -> None:
    """Given up before its first byte: the same."""
    told = Told(END)
    await anext(told.source)
    await told.answer.abandon()
    assert (told.ends, told.closed) == ([("cancelled", None)], 1)


def test_usage_is_noted_and_hidden() -> None:
    """The chunk that only carries usage is kept back; a null that we caused is taken out; text stays as it is."""
    noted: list[bytes] = []

    def note(data: bytes) -> bool:
        noted.append(data)
        return b'"choices":[]' in data

    hiding = StreamTransform(note, None, hide_usage=True)
    assert hiding.feed(USAGE.data) == []
    assert hiding.feed(b'{"choices":[1],"usage":null}') == [b'{"choices":[1]}']
    assert hiding.feed(b'{"text":"\\"usage\\":null"}') == [b'{"text":"\\"usage\\":null"}']
    assert noted[0] == USAGE.data
    showing = StreamTransform(note, None, hide_usage=False)
    assert showing.feed(USAGE.data) == [USAGE.data]
