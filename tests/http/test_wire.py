"""ASGI by hand: bounded bodies, writers that give up, and clients that leave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.domain.deadlines import Deadlines
from gateway.domain.errors import Code, GatewayError
from gateway.http.wire import (
    CancelWhenGone,
    ClientGone,
    Departure,
    Limits,
    StreamWriter,
    headers_of,
    read_body,
    send_whole,
)

pytestmark = pytest.mark.anyio

LIMITS = Limits(body_bytes=10, body_seconds=0.1)


def receiving(*messages: dict[str, Any]) -> Callable[[], Awaitable[Any]]:
    """A `receive` that gives these messages, and then nothing."""
    waiting = list(messages)

    async def receive() -> Any:
        if waiting:
            return waiting.pop(0)
        await asyncio.Event().wait()

    return receive


def body(data: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": data, "more_body": more}


GONE = {"type": "http.disconnect"}


async def test_a_body_is_put_together() -> None:
    """Whole, in pieces, empty, and of exactly the size allowed."""
    assert await read_body(receiving(body(b"abc")), {}, LIMITS, Deadlines()) == b"abc"
    assert await read_body(receiving(body(b"12345", True), body(b"67890")), {}, LIMITS, Deadlines()) == b"1234567890"
    assert await read_body(receiving({"type": "http.request"}), {}, LIMITS, Deadlines()) == b""


@pytest.mark.parametrize("declared", [b"11", b"-1", b"+5", b"1_0", b"\xb2", b""])
async def test_a_declared_size_that_is_too_large_or_no_number_is_refused_unread(declared: bytes) -> None:
    """Before anything is read."""
    with pytest.raises(GatewayError) as caught:
        await read_body(receiving(body(b"abc")), {b"content-length": declared}, LIMITS, Deadlines())
    assert caught.value.code is Code.REQUEST_TOO_LARGE


async def test_a_body_that_grows_too_large_is_refused() -> None:
    """Whatever was declared."""
    with pytest.raises(GatewayError) as caught:
        await read_body(
            receiving(body(b"12345", True), body(b"678901")), {b"content-length": b"5"}, LIMITS, Deadlines()
        )
    assert caught.value.code is Code.REQUEST_TOO_LARGE


async def test_a_body_that_does_not_end_in_time_is_refused() -> None:
    """408, and a body that was cut has nobody to answer."""
    with pytest.raises(GatewayError) as caught:
        await read_body(receiving(body(b"1", True)), {}, LIMITS, Deadlines())
    assert caught.value.code is Code.REQUEST_TIMEOUT
    with pytest.raises(ClientGone):
        await read_body(receiving(body(b"1", True), GONE), {}, LIMITS, Deadlines())


def told_by_message() -> CancelWhenGone:
    return CancelWhenGone(receiving(body(b""), GONE))


def told_by_our_server() -> CancelWhenGone:
    departure = Departure()
    asyncio.get_running_loop().call_later(0.01, departure.happened)
    return CancelWhenGone(receiving(), departure)


def told_before() -> CancelWhenGone:
    departure = Departure()
    departure.happened()
    return CancelWhenGone(receiving(), departure)


@pytest.mark.parametrize("watching", [told_by_message, told_by_our_server, told_before])
async def test_a_client_that_leaves_cancels_the_block_and_no_more(watching: Callable[[], CancelWhenGone]) -> None:
    """What runs in the block is cancelled; behind it the task goes on."""
    cleaned = False
    async with watching() as watch:
        try:
            await asyncio.sleep(5)
        finally:
            cleaned = True
    assert watch.left
    assert cleaned
    await asyncio.sleep(0)  # not cancelled any more


async def test_a_client_that_leaves_between_two_requests_cancels_nothing() -> None:
    """A departure after the block is nobody's concern."""
    departure = Departure()
    async with CancelWhenGone(receiving(), departure):
        pass
    departure.happened()
    await asyncio.sleep(0)


async def test_a_client_that_stays_changes_nothing() -> None:
    """Results and errors pass, and nothing keeps watching."""
    async with CancelWhenGone(receiving()) as watch:
        pass
    assert not watch.left
    with pytest.raises(ValueError, match="mine"):
        async with CancelWhenGone(receiving()):
            raise ValueError("mine")


async def test_a_cancellation_from_elsewhere_passes() -> None:
    """The end of the gateway is not mistaken for a client that left."""

    async def work() -> None:
        async with CancelWhenGone(receiving()):
            await asyncio.sleep(5)

    task = asyncio.create_task(work())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_writer_gives_up_on_a_client_that_takes_nothing() -> None:
    """`TimeoutError` after the time for one piece."""

    async def stuck(message: Any) -> None:
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await StreamWriter(stuck, 0.05, Deadlines()).write(b"x")


async def test_an_answer_says_its_length_and_headers_are_read_by_name() -> None:
    """The last of repeated ones counts."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await send_whole(send, 201, {"x-a": "b"}, b"body")
    assert sent[0]["status"] == 201
    assert (b"content-length", b"4") in sent[0]["headers"]
    assert sent[1]["body"] == b"body"
    assert headers_of({"headers": [(b"a", b"1"), (b"a", b"2")]}) == {b"a": b"2"}
    labels = (b"x-bailiwick-labels", b"patient"), (b"a", b"1"), (b"x-bailiwick-labels", b"draft")
    assert headers_of({"headers": labels}) == {b"x-bailiwick-labels": b"patient,draft", b"a": b"1"}
