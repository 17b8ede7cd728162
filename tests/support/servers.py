"""Two servers for tests: a provider that says what it is told to, byte by byte, and a collector of traces."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class RudeProvider:
    """Answers every request with `answer`, which is everything that it sends, status line included. ``{quote}`` in it
    stands for the body that was received."""

    def __init__(self) -> None:
        self.answer = b""
        self.received: list[bytes] = []
        provider = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                size = 0
                while (line := self.rfile.readline()) not in (b"\r\n", b""):
                    name, _, value = line.partition(b":")
                    if name.lower() == b"content-length":
                        size = int(value)
                body = self.rfile.read(size)
                provider.received.append(body)
                quoted = body.replace(b"\\", b"").replace(b'"', b"'").replace(b"\n", b" ")
                self.wfile.write(provider.answer.replace(b"{quote}", quoted))

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def serve(self) -> None:
        self._server.serve_forever(poll_interval=0.05)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def json(self, status: int, body: str, *headers: str) -> None:
        """Answer with JSON. The body's length is not told: it ends with the connection."""
        head = "\r\n".join([f"HTTP/1.1 {status} Whatever", "content-type: application/json", *headers])
        self.answer = f"{head}\r\nconnection: close\r\n\r\n{body}".encode()

    def events(self, *payloads: str) -> None:
        """Answer with a stream of these payloads."""
        frames = "".join(f"data: {payload}\n\n" for payload in payloads)
        self.answer = (
            f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{frames}".encode()
        )


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The gateway may leave early; that is no error here."""


class Collector:
    """Takes traces over OTLP/HTTP and keeps the bytes."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.bodies.append(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing to say."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def serve(self) -> None:
        self._server.serve_forever(poll_interval=0.05)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def running(server: RudeProvider | Collector) -> Iterator[None]:
    """The server on a thread of its own while the block runs."""
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.close()
        thread.join(5)
