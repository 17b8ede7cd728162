"""A hub of models on this machine, with the faults that hubs have."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hub(ThreadingHTTPServer):
    """Serves `data` at /owner/name/resolve/main/*.gguf, through a redirect to another host name.

    `break_after` cuts the next answer after so many bytes, `silent` makes it say nothing for so many seconds in its
    middle, `statuses` are answered first. Without `ranges` it always sends the whole file. `tag` is the file's ETag.
    """

    daemon_threads = True

    def __init__(self, data: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.data = data
        self.tag = ""
        self.break_after: int | None = None
        self.silent = 0.0
        self.statuses: list[int] = []
        self.ranges = True
        self.requests: list[tuple[str, str | None, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def ranges_asked(self) -> list[str | None]:
        """What was asked of the storage, None for the whole file."""
        return [wanted for path, wanted, _ in self.requests if path == "/storage"]


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        hub, wanted = self.server, self.headers.get("Range")
        hub.requests.append((self.path, wanted, self.headers.get("Authorization")))
        if hub.statuses:
            self._status(hub.statuses.pop(0))
        elif self.path.startswith("/owner/name/resolve/main/"):
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{hub.server_port}/storage")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path == "/storage":
            condition = self.headers.get("If-Range")
            self._file(wanted if hub.ranges and condition in (None, hub.tag) else None)
        else:
            self._status(404)

    def _status(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _file(self, wanted: str | None) -> None:
        hub = self.server
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if start >= len(hub.data):
            return self._status(416)
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(hub.data) - start))
        if hub.tag:
            self.send_header("ETag", hub.tag)
        self.end_headers()
        end = len(hub.data)
        if hub.break_after is not None:
            end, hub.break_after = min(end, start + hub.break_after), None
        middle = (start + end) // 2
        self.wfile.write(hub.data[start:middle])
        pause, hub.silent = hub.silent, 0.0
        time.sleep(pause)
        try:
            self.wfile.write(hub.data[middle:end])
        except OSError:
            self.close_connection = True  # the client did not wait
        return None

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serving(data: bytes) -> Iterator[Hub]:
    """A hub that serves this file."""
    hub = Hub(data)
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()
