"""The scripted cloud itself: its routes and its memory of what it received."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict, deque
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

import orjson

from adapters.scripted_cloud import answers
from adapters.scripted_cloud.delivery import fails_at_once, send_error, send_json, send_stream, send_whole
from adapters.scripted_cloud.embeddings import embeddings_of
from adapters.scripted_cloud.faults import Fault, fault, fault_in
from adapters.scripted_cloud.server import Connections, Exchange, HttpProtocol, HttpRequest

MODELS = ("scripted-echo", "scripted-slow", "scripted-429", "scripted-500", "scripted-reset", "scripted-truncated")
"""What ``/v1/models`` lists; any other name is answered too."""

_TEXT = ("content-type", "text/plain; charset=utf-8")
_SECRET_HEADERS = frozenset({"authorization", "api-key", "x-api-key", "cookie", "proxy-authorization"})
_FORGOTTEN_AFTER = 4096
_HELP = b"""Scripted cloud. It speaks OpenAI's chat completions and embeddings, and keeps what it receives.

POST   /v1/chat/completions    any model; scripted-429, scripted-reset ... fail (docs/scripted-cloud.md)
POST   /v1/embeddings          the same
GET    /v1/models
GET    /received               what arrived here, newest last (?format=text to read it)
DELETE /received               forget it
GET    /counters
POST   /script                 {"fault": "500", "count": 2, "retry_after": 1}
"""


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it arrived, without the headers that hold secrets. `at` is an ISO 8601 time in UTC."""

    number: int
    at: str
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def json(self) -> answers.Object:
        """The body as a JSON object."""
        tree = orjson.loads(self.body)
        assert isinstance(tree, dict)
        return tree

    def describe(self) -> answers.Object:
        """For ``/received``."""
        return {
            "number": self.number,
            "at": self.at,
            "method": self.method,
            "path": self.path,
            "headers": dict(self.headers),
            "body": self.body.decode("utf-8", "replace"),
        }


@dataclass(frozen=True, slots=True)
class Counters:
    """What happened since the start. `client_disconnects` counts the clients that left before their answer's end."""

    requests: int
    open_streams: int
    client_disconnects: int
    connections: int
    open_connections: int


class ScriptedCloud:
    """A server on a loopback port: ``async with ScriptedCloud() as cloud`` and point a client at `base_url`.

    `latency` is seconds before each answer, `chunk_delay` between the events of a stream; `keep` is how many requests
    are remembered. With `api_key` a request needs it as its bearer token. Raises `OSError` if the port is taken.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        latency: float = 0.0,
        chunk_delay: float = 0.0,
        keep: int = 200,
        api_key: str | None = None,
    ) -> None:
        self._port = port
        self._latency = latency
        self._chunk_delay = chunk_delay
        self._api_key = api_key
        self._received: deque[Received] = deque(maxlen=keep)
        self._script: deque[Fault] = deque()
        self._prefixes: OrderedDict[bytes, None] = OrderedDict()
        self._connections = Connections()
        self._protocols: set[HttpProtocol] = set()
        self._requests = 0
        self._open_streams = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen on 127.0.0.1, never on another address."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: HttpProtocol(self._handle, self._connections, self._protocols), "127.0.0.1", self._port
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def aclose(self) -> None:
        """Stop listening and end every connection."""
        if self._server is None:
            return
        self._server.close()
        for protocol in list(self._protocols):
            protocol.close()
            protocol.transport.abort()
        await self._server.wait_closed()
        self._server = None

    async def __aenter__(self) -> ScriptedCloud:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def url(self) -> str:
        """The root of the server, for ``/received`` and the other pages."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def base_url(self) -> str:
        """What a client takes as OpenAI's base URL."""
        return f"{self.url}/v1"

    @property
    def received(self) -> list[Received]:
        """The requests remembered, newest last."""
        return list(self._received)

    @property
    def counters(self) -> Counters:
        seen = self._connections
        return Counters(self._requests, self._open_streams, seen.client_disconnects, seen.opened, seen.open)

    def script(self, name: str, count: int = 1, retry_after: float | None = None) -> None:
        """Let the next `count` requests meet this fault, after those scripted before. Raises `ValueError`."""
        if not 1 <= count <= 10_000:
            raise ValueError("count must be from 1 to 10000")
        self._script.extend([fault(name, retry_after)] * count)

    def forget(self) -> None:
        """Drop the requests remembered."""
        self._received.clear()

    async def _handle(self, exchange: Exchange, request: HttpRequest) -> None:
        url = urlsplit(request.target)  # an absolute URL too: a client may take this server for its proxy
        match request.method, url.path:
            case "POST", "/v1/chat/completions" | "/v1/embeddings":
                await self._answer(exchange, request, url.path)
            case "GET", "/v1/models":
                models = [{"id": name, "object": "model", "created": 0, "owned_by": "scripted"} for name in MODELS]
                await send_json(exchange, 200, {"object": "list", "data": models})
            case "GET", "/received":
                if parse_qs(url.query).get("format") == ["text"]:
                    await exchange.whole(200, [_TEXT], self._as_text())
                else:
                    await send_json(exchange, 200, [item.describe() for item in self._received])
            case "DELETE", "/received":
                self.forget()
                await send_json(exchange, 200, {"deleted": True})
            case "GET", "/counters":
                await send_json(exchange, 200, asdict(self.counters))
            case "POST", "/script":
                await self._take_script(exchange, request.body)
            case "GET", "/":
                await exchange.whole(200, [_TEXT], _HELP)
            case _:
                await send_error(exchange, 404, "There is nothing here.")

    async def _take_script(self, exchange: Exchange, body: bytes) -> None:
        try:
            wish = orjson.loads(body)
            wait = wish.get("retry_after")
            self.script(str(wish["fault"]), int(wish.get("count", 1)), None if wait is None else float(wait))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            await send_error(exchange, 400, f'Send {{"fault": ..., "count": ..., "retry_after": ...}}: {error}')
        else:
            await send_json(exchange, 200, {"scripted": len(self._script)})

    async def _answer(self, exchange: Exchange, request: HttpRequest, path: str) -> None:
        number = self._remember(request, path)
        if self._api_key is not None and request.header("authorization") != f"Bearer {self._api_key}":
            await send_error(exchange, 401, "Incorrect API key provided.")
            return
        try:
            wish = orjson.loads(request.body)
            if not isinstance(wish, dict):
                raise answers.BadRequest("The body must be a JSON object.")
            answer = embeddings_of(wish) if path.endswith("/embeddings") else self._completion(wish, number)
        except orjson.JSONDecodeError:
            await send_error(exchange, 400, "We could not parse the JSON body of your request.")
            return
        except answers.BadRequest as error:
            await send_error(exchange, 400, str(error), param=error.param)
            return
        chosen = self._script.popleft() if self._script else fault_in(wish["model"])
        await asyncio.sleep(self._latency)
        if await fails_at_once(exchange, chosen):
            return
        exchange.cut = chosen.number if chosen.kind == "cut" else 0
        if isinstance(answer, dict):
            await send_whole(exchange, answer, chosen)
        elif wish.get("stream") is not True:
            await send_whole(exchange, answers.completion(answer), chosen)
        else:
            await self._stream(exchange, answer, wish, chosen)

    def _remember(self, request: HttpRequest, path: str) -> int:
        """Keep what has arrived; its number."""
        self._requests += 1
        kept = tuple((name, value) for name, value in request.headers if name not in _SECRET_HEADERS)
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._received.append(Received(self._requests, at, request.method, path, kept, request.body))
        return self._requests

    def _completion(self, wish: answers.Object, number: int) -> answers.Answer:
        messages = wish.get("messages")
        cached = self._cached_tokens(messages) if isinstance(messages, list) else 0
        return answers.answer_to(wish, number=number, created=int(time.time()), cached_tokens=cached)

    async def _stream(self, exchange: Exchange, answer: answers.Answer, wish: answers.Object, chosen: Fault) -> None:
        options = wish.get("stream_options")
        usage = isinstance(options, dict) and options.get("include_usage") is True
        self._open_streams += 1
        try:
            await send_stream(exchange, answer, chosen, usage=usage, delay=self._chunk_delay)
        finally:
            self._open_streams -= 1

    def _cached_tokens(self, messages: list[answers.Object]) -> int:
        """The tokens of the longest beginning of the conversation that was seen before, as a prompt cache counts."""
        digest = hashlib.sha256()
        cached = 0
        for length, message in enumerate(messages, 1):
            digest.update(orjson.dumps(message) + b"\n")
            prefix = digest.digest()
            if prefix in self._prefixes:
                cached = answers.tokens_of(messages[:length])
                self._prefixes.move_to_end(prefix)
            else:
                self._prefixes[prefix] = None
        while len(self._prefixes) > _FORGOTTEN_AFTER:
            self._prefixes.popitem(last=False)
        return cached

    def _as_text(self) -> bytes:
        """What was received, for reading."""
        if not self._received:
            return b"Nothing has arrived yet.\n"
        parts = [
            f"#{item.number}  {item.at}  {item.method} {item.path}  {len(item.body)} bytes\n"
            + "".join(f"{name}: {value}\n" for name, value in item.headers)
            + "\n"
            + item.body.decode("utf-8", "replace")
            + "\n"
            for item in self._received
        ]
        return "\n".join(parts).encode()
