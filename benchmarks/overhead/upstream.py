"""The model provider of the benchmark: an OpenAI-shaped answer at once, as cheaply as Python can give one.

`GET /counters` tells how many chat requests came and in how many of them a personal mail address was
still readable, which is how the report knows whether a gateway really redacted.
"""

import argparse
import asyncio
import json
import re
import socket
from collections.abc import Iterator

import uvloop

from benchmarks.overhead.prompts import MAIL_DOMAIN, REPEAT_REQUEST

ANSWER = (
    "The gateway forwards this fixed answer so that every measurement compares the same bytes. It is about "
    "two hundred characters long, which is typical of a short reply from a chat model in production."
)
CHUNKS = 64
_COMMON = {"id": "chatcmpl-bench", "created": 1_700_000_000, "model": "bench"}
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_STREAM = re.compile(rb'"stream"\s*:\s*true')
_MAIL = f"@{MAIL_DOMAIN}".encode()
_REPEAT = REPEAT_REQUEST.encode()
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)

counters = {"chat": 0, "with_mail": 0}


def http_answer(payload: object, status: bytes = b"200 OK") -> bytes:
    """Return a whole HTTP/1.1 answer with the payload as JSON."""
    body = json.dumps(payload).encode()
    head = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (
        status,
        len(body),
    )
    return head + body


def completion(text: str) -> bytes:
    """Return the answer to a chat request that is not streamed."""
    message = {"role": "assistant", "content": text}
    return http_answer({
        **_COMMON,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 40, "completion_tokens": 48, "total_tokens": 88},
    })  # fmt: skip


def http_chunk(body: bytes) -> bytes:
    """Frame one piece of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(body), body)


def _event(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    payload = {**_COMMON, "object": "chat.completion.chunk", "choices": [choice]}
    return http_chunk(b"data: " + json.dumps(payload, separators=(",", ":")).encode() + b"\n\n")


def _stream_writes() -> list[bytes]:
    """One write, so one TCP segment, for each event: what a fast model server does."""
    words = ANSWER.split(" ")
    events = [_event({"content": words[index % len(words)] + " "}) for index in range(CHUNKS)]
    last = _event({}, "stop") + http_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
    return [_STREAM_HEAD + _event({"role": "assistant", "content": ""}), *events, last]


_PLAIN = completion(ANSWER)
_MODELS = http_answer(
    {"object": "list", "data": [{"id": "bench", "object": "model", "created": 1, "owned_by": "bench"}]}
)
_NOT_FOUND = http_answer({"error": {"message": "no such path", "type": "invalid_request_error"}}, b"404 Not Found")
_STREAM_WRITES = _stream_writes()


class UpstreamProtocol(asyncio.Protocol):
    """One keep-alive connection. Bodies come with a content length or in chunks."""

    def __init__(self) -> None:
        """Start with nothing received."""
        self._received = b""
        self._streaming = False
        self._closed = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Switch Nagle's algorithm off: a small event must leave at once."""
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop a stream that nobody reads."""
        self._closed = True

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        self._received += data
        self._answer_received()

    def _answer_received(self) -> None:
        while self._received and not self._streaming and not self._closed:
            request = self._next_request()
            if request is None:
                return
            self._answer(*request)

    def _next_request(self) -> tuple[bytes, bytes] | None:
        head_end = self._received.find(b"\r\n\r\n")
        if head_end < 0:
            return None
        head, start = self._received[:head_end], head_end + 4
        length = _CONTENT_LENGTH.search(head)
        if length is None and b"chunked" in head.lower():
            end = self._received.find(b"0\r\n\r\n", start)
            if end < 0:
                return None
            body, self._received = self._received[start:end], self._received[end + 5 :]
            return head, body
        end = start + (int(length[1]) if length else 0)
        if len(self._received) < end:
            return None
        body, self._received = self._received[start:end], self._received[end:]
        return head, body

    def _answer(self, head: bytes, body: bytes) -> None:
        path = head.split(b" ", 2)[1]
        if path.endswith(b"/chat/completions"):
            self._chat(body)
        elif path == b"/counters":
            self._transport.write(http_answer(counters))
        elif path.endswith(b"/models"):
            self._transport.write(_MODELS)
        elif path == b"/healthz":
            self._transport.write(http_answer({"ok": True}))
        else:
            self._transport.write(_NOT_FOUND)

    def _chat(self, body: bytes) -> None:
        counters["chat"] += 1
        counters["with_mail"] += _MAIL in body
        if _STREAM.search(body):
            self._streaming = True
            self._write_next(iter(_STREAM_WRITES))
        elif _REPEAT in body:
            self._transport.write(completion(json.loads(body)["messages"][-1]["content"]))
        else:
            self._transport.write(_PLAIN)

    def _write_next(self, writes: Iterator[bytes]) -> None:
        if self._closed:
            return
        write = next(writes, None)
        if write is None:
            self._streaming = False
            self._answer_received()
            return
        self._transport.write(write)
        asyncio.get_running_loop().call_soon(self._write_next, writes)


async def serve(port: int) -> None:
    """Serve on 127.0.0.1 until cancelled."""
    server = await asyncio.get_running_loop().create_server(UpstreamProtocol, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
