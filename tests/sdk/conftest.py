"""A server of a few lines that answers as a gateway does, so that the client can be tested against any answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

DECISION = {
    "x-bailiwick-decision": "d019c0ffee0123456789abcdef",
    "x-bailiwick-target": "cloud-mini-eu",
    "x-bailiwick-level": "confidential",
    "x-bailiwick-action": "redact",
    "x-bailiwick-because": "handling.confidential, health-needs-agreement",
    "x-bailiwick-policy": "0123456789ab",
    "x-bailiwick-cost": "0.0001252",
    "x-bailiwick-cost-basis": "usage",
}
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "scripted-echo",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "logprobs": None,
            "message": {"role": "assistant", "content": '{"colour": "blue"}', "refusal": None},
        }
    ],
    "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
    "a_field_of_tomorrow": {"kept": True},
}


@dataclass
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass
class Server:
    """`answers` maps a path to status, headers and body; a list as body is sent as a stream of events."""

    url: str
    answers: dict[str, tuple[int, dict[str, str], Any]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def last(self) -> Asked:
        return self.asked[-1]

    def complete(self, body: Any = COMPLETION, headers: Mapping[str, str] = DECISION, status: int = 200) -> None:
        self.answers["/v1/chat/completions"] = (status, dict(headers), body)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    known: Server

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        size = int(self.headers.get("content-length") or 0)
        raw = self.rfile.read(size)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.known.asked.append(Asked(self.command, self.path, headers, json.loads(raw) if raw else None))
        status, extra, body = self.known.answers.get(self.path, (404, {}, {"error": {"message": "unknown path"}}))
        kind, sent = "application/json", json.dumps(body).encode()
        if isinstance(body, list):
            frames = [f"data: {json.dumps(one)}\n\n" for one in body]
            kind, sent = "text/event-stream", "".join([*frames, "data: [DONE]\n\n"]).encode()
        self.send_response(status)
        for name, value in {"content-type": kind, "content-length": str(len(sent)), **extra}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: pytest's output is for the tests."""


@pytest.fixture
def server() -> Iterator[Server]:
    """It answers completions with `COMPLETION` and the headers `DECISION`, until a test says otherwise."""
    handler = type("Handler", (_Handler,), {})
    listening = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    handler.known = known = Server(f"http://127.0.0.1:{listening.server_address[1]}")
    known.complete()
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield known
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()
