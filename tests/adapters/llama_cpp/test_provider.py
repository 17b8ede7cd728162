"""Tests of `adapters.llama_cpp.provider`: what it promises as a provider, on a real engine."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace

import anyio
import pytest

from adapters.llama_cpp.client import Exchange
from adapters.llama_cpp.frames import Kind
from adapters.llama_cpp.provider import LlamaCppProvider
from gateway.domain.call import EgressPermit, End, Timeouts, Whole
from gateway.domain.errors import Code, ProviderError
from support.local_engine import LONG, call, until, whole

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "permit", [EgressPermit("d1", "local", b"\0" * 32), EgressPermit("d1", "other", b"")], ids=["bytes", "target"]
)
async def test_nothing_is_sent_without_a_permit_for_it(provider: LlamaCppProvider, permit: EgressPermit) -> None:
    """Other bytes or another target than were cleared are refused, and not tried elsewhere."""
    served = (await provider.stats())["served"]
    cleared = call({"max_tokens": 1})
    wrong = replace(permit, digest=permit.digest or cleared.permit.digest)
    with pytest.raises(ProviderError) as caught:
        [_ async for _ in provider.stream(replace(cleared, permit=wrong))]
    assert (caught.value.code, caught.value.retryable) == (Code.EGRESS_REFUSED, False)
    assert (await provider.stats())["served"] == served


async def test_an_answer_that_takes_too_long_is_given_up(provider: LlamaCppProvider) -> None:
    """The first event has a deadline of its own; the engine is free again afterwards."""
    with pytest.raises(ProviderError) as caught:
        async with aclosing(provider.stream(call({"max_tokens": LONG}, Timeouts(1, 0.2, 5)))) as events:
            [_ async for _ in events]
    assert (caught.value.code, caught.value.retryable) == (Code.TARGET_TIMEOUT, True)
    assert await whole(provider, {"max_tokens": 1})


async def test_a_stream_that_falls_silent_is_given_up(provider: LlamaCppProvider) -> None:
    """Between two events the idle time counts, not the time to the first."""
    body = {"max_tokens": LONG, "stream": True}
    with pytest.raises(ProviderError) as caught:
        async with aclosing(provider.stream(call(body, Timeouts(1, 10, 0.0)))) as events:
            [_ async for _ in events]
    assert caught.value.code is Code.TARGET_TIMEOUT


async def test_connections_are_used_again(provider: LlamaCppProvider) -> None:
    """Calls in a row share a connection, also after an error answer; a stream that was left does not give its back."""
    await whole(provider, {"max_tokens": 1})
    idle = list(provider._idle)
    with pytest.raises(ProviderError):
        await whole(provider, {"temperature": 9})
    await whole(provider, {"max_tokens": 1})
    assert provider._idle == idle
    async with aclosing(provider.stream(call({"max_tokens": LONG, "stream": True}))) as events:
        await anext(events)
    assert len(provider._idle) == len(idle) - 1


async def test_a_slow_reader_gets_everything(provider: LlamaCppProvider) -> None:
    """When the client reads slowly, reading ahead stops, and nothing is lost."""
    async with aclosing(provider.stream(call({"max_tokens": 1500, "stream": True}))) as events:
        received = [await anext(events)]
        await anyio.sleep(0.3)
        received += [event async for event in events]
    assert isinstance(received[-1], End)
    assert len(received) == 1 + 1500 + 1 + 1


async def test_events_have_no_content_in_their_repr(provider: LlamaCppProvider) -> None:
    """An event in a traceback shows nothing of the answer."""
    (event,) = [event async for event in provider.stream(call({"max_tokens": 5}))]
    assert isinstance(event, Whole)
    assert "choices" not in repr(event)


async def test_the_tenant_bounds_who_shares_a_prefix(provider: LlamaCppProvider) -> None:
    """Through the whole path: the same prompt is known to its tenant and new to another."""
    body = {"messages": [{"role": "user", "content": "Everybody sends this. " * 10}], "max_tokens": 1}

    async def cached(tenant: str) -> int:
        answer = await whole(provider, body, tenant=tenant)
        return int(answer["usage"]["prompt_tokens_details"]["cached_tokens"])

    assert [await cached(tenant) > 200 for tenant in ("one", "one", "two")] == [False, True, False]


async def test_a_request_that_would_be_late_goes_elsewhere(provider: LlamaCppProvider) -> None:
    """It is refused at once with an error that lets the router try another target; without a bound it is served."""
    long = {"messages": [{"role": "user", "content": "q" * 10_000}], "max_tokens": 1}
    predicted = (await provider.stats(prompt_tokens=10_000))["first_token_seconds"]
    assert predicted > 0
    with pytest.raises(ProviderError) as caught:
        await whole(provider, long, first_token=predicted / 20)
    assert (caught.value.code, caught.value.retryable, caught.value.detail) == (Code.TARGET_BUSY, True, "too_late")
    assert (await whole(provider, long))["usage"]["completion_tokens"] == 1


async def test_terms_that_make_no_sense_end_the_connection(provider: LlamaCppProvider) -> None:
    """A peer that gets the protocol wrong is cut, and nobody else notices."""
    for kind, payload in (
        (Kind.TERMS, b"[]"),
        (Kind.TERMS, b'{"tenant": 1}'),
        (Kind.STATS_WANTED, b'{"prompt_tokens": -1}'),
    ):
        exchange = await Exchange.open(provider._engine.socket)
        exchange.send(kind, payload)
        await until(lambda exchange=exchange: not exchange.free, 2)
    assert await whole(provider, {"max_tokens": 1})
