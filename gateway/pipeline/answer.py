"""What the pipeline hands to the HTTP layer: a whole answer, or a stream that is run into a writer.

A stream is pushed, not iterated: one coroutine opens, pumps and closes, so that no generator is left behind when the
client goes. Closing needs no await that matters: the audit record and the trace are handed over synchronously, so that
a cancelled task still leaves both.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from gateway.dialects import sse
from gateway.domain.call import Chunk, End, ProviderEvent
from gateway.domain.errors import Code, GatewayError, ProviderError
from gateway.pipeline.shapes import ChunkTransform

Write = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True, repr=False)
class WholeAnswer:
    """A complete answer. `headers` tell the decision."""

    body: bytes
    headers: Mapping[str, str]


class StreamAnswer:
    """A stream whose first event has arrived. `run` it once, or `abandon` it."""

    def __init__(
        self,
        first: Chunk,
        events: AsyncGenerator[ProviderEvent, None],
        transform: StreamTransform,
        finish: Callable[[str, GatewayError | None], None],
        headers: Mapping[str, str],
        error_frame: Callable[[GatewayError], bytes],
        step: AbstractContextManager[object],
    ) -> None:
        self.headers = headers
        self._first = first
        self._events = events
        self._transform = transform
        self._finish = finish
        self._error_frame = error_frame
        self._step = step

    async def run(self, write: Write) -> None:
        """Pump everything into `write`. Ends the upstream request and records the outcome in every case: completed,
        broken by the provider (the client gets an error frame), or cancelled because the client left."""
        outcome, error = "cancelled", None
        try:
            with self._step:
                await self._pump(write)
            outcome = "completed"
        except GatewayError as problem:
            outcome, error = "broken", problem
        finally:
            self._finish(outcome, error)
            await self._events.aclose()
        if error is not None:
            await write(self._error_frame(error))

    async def abandon(self) -> None:
        """The client left before the first byte was written."""
        self._finish("cancelled", None)
        await self._events.aclose()

    async def _pump(self, write: Write) -> None:
        """What arrived together is written together: a write for each chunk would be half of the cost of a stream."""
        transform = self._transform
        ready = [sse.encode(data) for data in transform.feed(self._first.data)]
        more = self._first.more
        try:
            while True:
                if ready and not more:
                    await write(b"".join(ready))
                    ready.clear()
                event = await anext(self._events, None)
                if isinstance(event, Chunk):
                    ready += [sse.encode(data) for data in transform.feed(event.data)]
                    more = event.more
                elif isinstance(event, End):
                    ready += [sse.encode(data) for data in transform.finish()]
                    await write(b"".join([*ready, sse.encode(sse.DONE)]))
                    return
                else:
                    raise ProviderError(Code.TARGET_BAD_ANSWER, "The target's stream ended before it was complete.")
        except GatewayError:
            if ready:  # what came before the error is the client's
                await write(b"".join(ready))
            raise


class StreamTransform:
    """What happens to each chunk on its way to the client: usage is noted, pseudonyms are restored."""

    def __init__(
        self,
        note: Callable[[bytes], bool],
        restorer: ChunkTransform | None,
        hide_usage: bool,
    ) -> None:
        self._note = note
        self._restorer = restorer
        self._hide_usage = hide_usage

    def feed(self, data: bytes) -> list[bytes]:
        if b'"usage"' in data:
            usage_only = self._note(data)
            if self._hide_usage:
                if usage_only:
                    return []
                # Asked for by us, not by the client: providers then add a null to each chunk. Inside a JSON string the
                # quotes would be escaped, so this can only be the member itself.
                data = data.replace(b',"usage":null', b"")
        return self._restorer.feed(data) if self._restorer else [data]

    def finish(self) -> list[bytes]:
        return self._restorer.finish() if self._restorer else []
