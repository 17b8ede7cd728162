"""The least a Litestar gateway can do: read the body, forward the bytes, return the bytes.

No inspection, no policy, no audit, no keys. It is the same stack as ours (Litestar, httpx over the
aiohttp transport), so the distance from here to the gateway is what the gateway's own work costs.
"""

import os
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import httpx
import msgspec
from httpx_aiohttp import AiohttpTransport
from litestar import Litestar, Request, Response, get, post
from litestar.response import Stream

UPSTREAM = os.environ.get("BENCH_UPSTREAM", "http://127.0.0.1:9100")
_HEADERS = {"content-type": "application/json", "authorization": "Bearer sk-upstream"}
_LIMIT = 1000
_TIMEOUT = httpx.Timeout(60, connect=5)


class StreamFlag(msgspec.Struct):
    """The only field of a request that the pass-through looks at."""

    stream: bool = False


_decoder = msgspec.json.Decoder(StreamFlag)


def _session() -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=_LIMIT, keepalive_timeout=30)
    return aiohttp.ClientSession(connector=connector, auto_decompress=False)


async def _open_client(app: Litestar) -> None:
    limits = httpx.Limits(max_connections=_LIMIT, max_keepalive_connections=_LIMIT)
    transport = AiohttpTransport(client=_session, limits=limits)
    app.state.client = httpx.AsyncClient(
        base_url=UPSTREAM, transport=transport, timeout=_TIMEOUT, headers=_HEADERS, trust_env=False
    )


async def _close_client(app: Litestar) -> None:
    await app.state.client.aclose()


async def _relay(client: httpx.AsyncClient, body: bytes) -> AsyncIterator[bytes]:
    async with client.stream("POST", "/v1/chat/completions", content=body) as answer:
        async for piece in answer.aiter_raw():
            yield piece


@get("/healthz", sync_to_thread=False)
def healthz() -> dict[str, bool]:
    """Say that the application is up."""
    return {"ok": True}


@post("/v1/chat/completions", status_code=200)
async def chat_completions(request: Request[Any, Any, Any]) -> Response[bytes] | Stream:
    """Forward the request as it came and return the answer as it comes."""
    body = await request.body()
    client: httpx.AsyncClient = request.app.state.client
    if _decoder.decode(body).stream:
        return Stream(_relay(client, body), media_type="text/event-stream")
    answer = await client.post("/v1/chat/completions", content=body)
    return Response(answer.content, status_code=answer.status_code, media_type=answer.headers.get("content-type"))


app = Litestar(
    route_handlers=[healthz, chat_completions],
    on_startup=[_open_client],
    on_shutdown=[_close_client],
    openapi_config=None,
    logging_config=None,
)
