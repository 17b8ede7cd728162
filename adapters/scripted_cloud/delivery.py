"""How an answer goes out: in full, or with the fault that was asked for."""

from __future__ import annotations

import asyncio
import gzip

import orjson

from adapters.scripted_cloud import answers
from adapters.scripted_cloud.faults import Fault
from adapters.scripted_cloud.server import Exchange

JSON = ("content-type", "application/json")
EVENTS = ("content-type", "text/event-stream; charset=utf-8")

_SLOW_START, _SLOW_STEP = 0.3, 0.05
_EVENTS_BEFORE_FAULT = 3
_BROKEN_JSON = b'{"id": "chatcmpl-scripted", "choices": ['
_HTML = b"<!doctype html><html><title>Sign in</title><body>Please sign in to the hotel network.</body></html>"
_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}


async def send_json(exchange: Exchange, status: int, tree: object) -> None:
    """A JSON document."""
    await exchange.whole(status, [JSON], orjson.dumps(tree))


async def send_error(
    exchange: Exchange, status: int, message: str, *, param: str | None = None, retry_after: float | None = None
) -> None:
    """An error in OpenAI's shape."""
    wait = [] if retry_after is None else [("retry-after", f"{retry_after:g}")]
    await exchange.whole(status, [JSON, *wait], orjson.dumps(_error_tree(status, message, param)))


async def fails_at_once(exchange: Exchange, fault: Fault) -> bool:
    """Carry out a fault that leaves no room for an answer; False where this is none of them."""
    match fault.kind:
        case "status":
            default = 1.0 if fault.number in (429, 503) else None
            wait = default if fault.retry_after is None else fault.retry_after
            await send_error(exchange, fault.number, f"Scripted error {fault.number}.", retry_after=wait)
        case "reset-early":
            await exchange.reset()
        case "hang":
            await asyncio.Event().wait()
        case "html":
            await exchange.whole(200, [("content-type", "text/html")], _HTML)
        case "empty":
            await exchange.whole(200, [JSON], b"")
        case "malformed":
            await exchange.whole(200, [JSON], _BROKEN_JSON)
        case "redirect":
            await exchange.whole(307, [("location", "/elsewhere")], b"")
        case _:
            return False
    return True


async def send_whole(exchange: Exchange, tree: answers.Object, fault: Fault) -> None:
    """An answer that is not streamed."""
    if fault.kind == "big" and "choices" in tree:
        tree["choices"][0]["message"]["content"] = _filler(fault)
    elif fault.kind == "big":
        tree["filler"] = _filler(fault)
    elif fault.kind == "error-event":
        tree = _error_tree(500, "Scripted error in place of an answer.")
    body = _BROKEN_JSON if fault.kind == "badchunk" else orjson.dumps(tree)
    await _wait_if_slow(fault)
    if fault.kind in ("reset", "stall", "truncated"):
        await exchange.begin(200, [JSON, ("content-length", str(len(body)))])
        await exchange.send(body[: len(body) // 2])
        await _break(exchange, fault)
    elif fault.kind == "gzip":
        await exchange.whole(200, [JSON, ("content-encoding", "gzip")], gzip.compress(body))
    else:
        await exchange.whole(200, [JSON], body)


async def send_stream(exchange: Exchange, answer: answers.Answer, fault: Fault, *, usage: bool, delay: float) -> None:
    """A streamed answer. `delay` is seconds between two events."""
    events = [_event(orjson.dumps(tree)) for tree in answers.chunks(answer, usage)]
    if fault.kind == "gzip":
        body = gzip.compress(b"".join([*events, _event(b"[DONE]")]))
        await exchange.whole(200, [EVENTS, ("content-encoding", "gzip")], body)
        return
    await _wait_if_slow(fault)
    await exchange.begin(200, [EVENTS, ("cache-control", "no-cache")])
    while fault.kind == "comments":
        await exchange.send(b": still working\n\n")
        await asyncio.sleep(0.02)
    if fault.kind == "big":
        events.insert(_EVENTS_BEFORE_FAULT, _event(orjson.dumps({"choices": [], "filler": _filler(fault)})))
    elif fault.kind == "badchunk":
        events.insert(_EVENTS_BEFORE_FAULT, _event(_BROKEN_JSON))
    elif fault.kind == "error-event":
        broken = _error_tree(500, "Scripted error in the middle of a stream.")
        events.insert(_EVENTS_BEFORE_FAULT, _event(orjson.dumps(broken)))
    for place, event in enumerate(events):
        if place == _EVENTS_BEFORE_FAULT and fault.kind in ("reset", "stall", "truncated"):
            await _break(exchange, fault)
            return
        await exchange.send(event)
        if delay or fault.kind == "slow":
            await asyncio.sleep(delay + (_SLOW_STEP if fault.kind == "slow" else 0.0))
    await exchange.send(b"data: [DONE]" if fault.kind == "no-blank-line" else _event(b"[DONE]"))
    await exchange.end()


async def _break(exchange: Exchange, fault: Fault) -> None:
    """Leave an answer unfinished."""
    if fault.kind == "reset":
        await exchange.reset()
    elif fault.kind == "stall":
        await asyncio.Event().wait()
    else:
        exchange.break_off()


async def _wait_if_slow(fault: Fault) -> None:
    if fault.kind == "slow":
        await asyncio.sleep(_SLOW_START)


def _filler(fault: Fault) -> str:
    return "x" * (fault.number << 20)


def _event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def _error_tree(status: int, message: str, param: str | None = None) -> answers.Object:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": _CODES.get(status)}}
