"""Model servers that answer as vLLM, Ollama and llama-server do: their real paths, statuses and forms, written from
their documentation and sources. What they say can be changed while they run."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

Answer: TypeAlias = "tuple[int, str, bytes]"
"""Status, content type, body."""

TEXT = "text/plain; version=0.0.4; charset=utf-8"
JSON = "application/json"


@dataclass
class Received:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class FakeServer:
    """`pages` are the answers by path, values or functions; any other path is a 404. `/v1/chat/completions` says
    `says`. So many seconds as `slow` says pass before the answer of a path; `name` is the header ``server``."""

    def __init__(self, says: str = "hello") -> None:
        self.pages: dict[str, Answer | Callable[[], Answer]] = {}
        self.says = says
        self.name = ""
        self.slow: dict[str, float] = {}
        self.received: list[Received] = []
        self._open: list[socket.socket] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(b"")

            def do_POST(self) -> None:
                self._answer(self.rfile.read(int(self.headers["content-length"])))

            def _answer(self, body: bytes) -> None:
                path = self.path
                headers = {name.lower(): value for name, value in self.headers.items()}
                fake.received.append(Received(self.command, path, headers, body))
                time.sleep(fake.slow.get(path, 0.0))
                page = fake.pages.get(path)
                if page is None and path == "/v1/chat/completions":
                    page = fake.chat(json.loads(body))
                status, kind, content = page() if callable(page) else page or (404, JSON, b'{"detail":"Not Found"}')
                self.send_response_only(status)
                self.send_header("server", fake.name)
                if headers.get("connection") == "close":
                    self.send_header("connection", "close")
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                if fake.name == "llama.cpp" and kind.startswith("text/event-stream"):
                    self.close_connection = True  # as it does, without having said so

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing to say."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def get_request(self) -> tuple[socket.socket, Any]:
                connection, address = super().get_request()
                fake._open.append(connection)
                return connection, address

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Whoever asks may leave early; that is no error here."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.socket.listen(64)
        self.root = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.base_url = f"{self.root}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def calls(self) -> int:
        """Chat completions that came in."""
        return sum(one.path == "/v1/chat/completions" for one in self.received)

    def paths(self) -> set[str]:
        return {one.path for one in self.received}

    def set(self, path: str, body: bytes | str | dict[str, Any] | list[Any], status: int = 200, kind: str = "") -> None:
        if isinstance(body, dict | list):
            body, kind = json.dumps(body), kind or JSON
        self.pages[path] = (status, kind or TEXT, body.encode() if isinstance(body, str) else body)

    def chat(self, request: dict[str, Any]) -> Answer:
        head = {"id": "c-1", "created": 1, "model": request["model"]}
        usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
        if not request.get("stream"):
            message = {"role": "assistant", "content": self.says}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            whole = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
            return 200, JSON, json.dumps(whole).encode()
        delta = {"index": 0, "delta": {"role": "assistant", "content": self.says}, "finish_reason": None}
        last = {"index": 0, "delta": {}, "finish_reason": "stop"}
        kind = {**head, "object": "chat.completion.chunk"}
        chunks = [{**kind, "choices": [delta]}, {**kind, "choices": [last]}, {**kind, "choices": [], "usage": usage}]
        events = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
        return 200, "text/event-stream; charset=utf-8", events.encode()

    def close(self) -> None:
        """Vanish, with every connection that is open."""
        self._server.shutdown()
        self._server.server_close()
        for connection in self._open:
            with contextlib.suppress(OSError):  # those that are closed already
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)


@dataclass
class VllmFigures:
    """The figures that `vllm_metrics` tells, for each of `engines`; the sums and counts since the start."""

    running: int = 0
    waiting: int = 0
    cache: float = 0.0
    first_token: tuple[float, int] = (0.0, 0)
    request: tuple[float, int] = (0.0, 0)
    prefill_seconds: float = 0.0
    prompt_tokens: int = 0
    engines: int = 1


def vllm_metrics(model: str, figures: VllmFigures) -> str:
    """A page as vLLM (V1) makes it: help and type of each family, labels in order, numbers as Python's floats."""
    lines = ["# HELP python_info Python platform information", "# TYPE python_info gauge"]
    lines.append('python_info{implementation="CPython",major="3",minor="12",patchlevel="11",version="3.12.11"} 1.0')

    def family(name: str, kind: str, samples: dict[str, float], more: str = "") -> None:
        lines.extend((f"# HELP {name} Help.", f"# TYPE {name} {kind}"))
        for engine in range(figures.engines):
            for sample, value in samples.items():
                lines.append(f'{sample}{{engine="{engine}",model_name="{model}"{more}}} {float(value)}')

    def histogram(name: str, seconds: float, count: int) -> None:
        lines.extend((f"# HELP {name} Help.", f"# TYPE {name} histogram"))
        for engine in range(figures.engines):
            for bound in ("0.1", "1.0", "10.0", "+Inf"):
                lines.append(f'{name}_bucket{{engine="{engine}",le="{bound}",model_name="{model}"}} {float(count)}')
            lines.append(f'{name}_count{{engine="{engine}",model_name="{model}"}} {float(count)}')
            lines.append(f'{name}_sum{{engine="{engine}",model_name="{model}"}} {float(seconds)}')

    family("vllm:num_requests_running", "gauge", {"vllm:num_requests_running": figures.running})
    family("vllm:num_requests_waiting", "gauge", {"vllm:num_requests_waiting": figures.waiting})
    by_reason = "vllm:num_requests_waiting_by_reason"
    family(by_reason, "gauge", {by_reason: figures.waiting}, ',reason="capacity"')
    family("vllm:kv_cache_usage_perc", "gauge", {"vllm:kv_cache_usage_perc": figures.cache})
    histogram("vllm:time_to_first_token_seconds", *figures.first_token)
    histogram("vllm:e2e_request_latency_seconds", *figures.request)
    count = figures.request[1]
    histogram("vllm:request_prefill_time_seconds", figures.prefill_seconds, count)
    histogram("vllm:request_prompt_tokens", figures.prompt_tokens, count)
    return "\n".join(lines) + "\n"


class FakeVllm(FakeServer):
    def __init__(self, model: str = "m", says: str = "hello") -> None:
        super().__init__(says)
        self.model = model
        self.figures = VllmFigures()
        self.set("/health", b"")
        self.set("/v1/models", {"object": "list", "data": [{"id": model, "object": "model", "owned_by": "vllm"}]})
        self.pages["/metrics"] = lambda: (200, TEXT, vllm_metrics(self.model, self.figures).encode())


class FakeOllama(FakeServer):
    def __init__(self, *models: str, says: str = "hello") -> None:
        super().__init__(says)
        self.set("/api/version", {"version": "0.12.6"})
        self.holds(*models)
        self.loads(*models)

    def holds(self, *models: str) -> None:
        self.set("/api/tags", {"models": [self._model(name) for name in models]})

    def loads(self, *models: str) -> None:
        more = {"expires_at": "2026-11-21T19:38:31.83753Z", "size_vram": 5137025024, "context_length": 4096}
        self.set("/api/ps", {"models": [{**self._model(name), **more} for name in models]})

    @staticmethod
    def _model(name: str) -> dict[str, Any]:
        details = {"parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"]}
        return {"name": name, "model": name, "size": 5137025024, "digest": "2ae6f6dd7a3d", "details": details}


LOADING = {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}
NO_METRICS = {
    "error": {
        "code": 501,
        "message": "This server does not support metrics endpoint. Start it with `--metrics`",
        "type": "not_supported_error",
    }
}


class FakeLlamaServer(FakeServer):
    def __init__(self, model: str = "m", places: int = 4, says: str = "hello") -> None:
        super().__init__(says)
        self.name = "llama.cpp"
        self.set("/health", {"status": "ok"})
        self.set("/props", {"total_slots": places, "model_alias": model, "chat_template": "x", "build_info": "b1"})
        self.set("/v1/models", {"object": "list", "data": [{"id": model, "object": "model", "owned_by": "llamacpp"}]})
        self.load()

    def load(self, running: int = 0, waiting: int = 0, prompt_speed: float = 0.0) -> None:
        lines = []
        for name, kind, value in (
            ("prompt_tokens_total", "counter", "1.23457e+06"),
            ("prompt_tokens_seconds", "gauge", f"{prompt_speed:g}"),
            ("requests_processing", "gauge", str(running)),
            ("requests_deferred", "gauge", str(waiting)),
        ):
            lines += [f"# HELP llamacpp:{name} Help.", f"# TYPE llamacpp:{name} {kind}", f"llamacpp:{name} {value}"]
        self.set("/metrics", "\n".join(lines) + "\n")

    def without_metrics(self, busy: int, places: int) -> None:
        self.set("/metrics", NO_METRICS, 501)
        slots = [{"id": n, "n_ctx": 512, "is_processing": n < busy, "prompt": "kangaroo"} for n in range(places)]
        self.set("/slots", slots)


@contextmanager
def running(*servers: FakeServer) -> Iterator[None]:
    """The servers while the block runs; one that was closed before is left as it is."""
    try:
        yield
    finally:
        for server in servers:
            server.close()
