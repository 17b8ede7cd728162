"""A model that tells secrets of its own, behind a policy that wants none told: what OpenAI's SDK gets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import orjson
import pytest
from openai import OpenAI

from support.evidence import outcomes
from support.live import DEFAULT_POLICY, Setup, cloud_target
from support.nursery import ForkedGateway

TOLD = "Use the key AKIAIOSFODNN7EXAMPQZ and the card 4242 4242 4242 4242, then ask again. " + "And so on. " * 40
POLICY = DEFAULT_POLICY.read_text() + "\nanswers: {hide: [secrets, payment data]}\n"


class Indiscreet(BaseHTTPRequestHandler):
    """A provider that says `TOLD`, whatever it is asked; streamed in pieces of seven characters."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = orjson.loads(self.rfile.read(int(self.headers["content-length"])))
        if asked.get("stream"):
            pieces = [TOLD[start : start + 7] for start in range(0, len(TOLD), 7)]
            chunks = [{"choices": [{"index": 0, "delta": {"content": p}, "finish_reason": None}]} for p in pieces]
            chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            data = b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
            media_type = "text/event-stream"
        else:
            message = {"role": "assistant", "content": TOLD}
            data = orjson.dumps({"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
            media_type = "application/json"
        self.send_response(200)
        self.send_header("content-type", media_type)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is written."""


@contextmanager
def indiscreet_cloud() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Indiscreet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_what_a_model_may_not_tell_does_not_arrive(tmp_path: Path, stream: bool) -> None:
    """Key and card are replaced by their kinds, the rest of the answer is as it was, and the record has the count."""
    with indiscreet_cloud() as url:
        setup = Setup(tmp_path, [cloud_target("cloud", url)], {"auto": "{targets: [cloud]}"}, POLICY)
        gateway = ForkedGateway(setup)
        try:
            with OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0) as client:
                question = [{"role": "user", "content": "What now?"}]
                if stream:
                    events = client.chat.completions.create(model="auto", messages=question, stream=True)  # type: ignore[call-overload]
                    said = "".join(event.choices[0].delta.content or "" for event in events if event.choices)
                else:
                    answer = client.chat.completions.create(model="auto", messages=question)  # type: ignore[arg-type]
                    said = answer.choices[0].message.content or ""
        finally:
            gateway.close()
    assert said == TOLD.replace("AKIAIOSFODNN7EXAMPQZ", "[API_KEY]").replace("4242 4242 4242 4242", "[CREDIT_CARD]")
    (outcome,) = outcomes(gateway.state)
    assert outcome.masked == 2
