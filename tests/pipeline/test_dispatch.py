"""From a plan to a first event: which try follows which, what each costs, and what is left behind."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from gateway.domain.errors import Code, GatewayError, ProviderError
from gateway.domain.money import Price
from gateway.domain.record import RecordKind
from gateway.domain.target import Target, Zone
from support.assembly import CALLER, Assembly, RecordingProvider, a_target
from support.exposure import NAME
from support.playing import BLOCKING, END, FRUGAL, Counting, Playing, until, whole

pytestmark = pytest.mark.anyio

FIRST, SECOND = a_target("first"), a_target("second")
HERE = a_target("here", Zone.LOCAL, "on-premises")


def failing(
    status: int | None = None, *, retryable: bool = True, sent: bool = True, wait: float | None = None
) -> ProviderError:
    return ProviderError(
        Code.TARGET_UNAVAILABLE, "It is down.", status=status, retryable=retryable, sent=sent, retry_after=wait
    )


def built(ledger: Counting | None = None, policy: str = BLOCKING, **providers: RecordingProvider) -> Assembly:
    targets: dict[str, Target] = {"first": FIRST, "second": SECOND, "here": HERE}
    return Assembly(policy, {targets[name]: provider for name, provider in providers.items()}, ledger=ledger)


@pytest.mark.parametrize(
    ("status", "tries"),
    [(429, 3), (408, 3), (409, 3), (500, 3), (503, 3), (401, 1), (403, 1), (402, 1), (307, 1), (None, 1)],
)
async def test_only_what_may_pass_is_tried_again_at_the_same_target(status: int | None, tries: int) -> None:
    """A busy or broken server gets two more tries; one that refuses us, redirects us or is not there gets none."""
    first, second = RecordingProvider(*[failing(status, wait=0.0) for _ in range(5)]), RecordingProvider()
    parts = built(first=first, second=second)
    assert "Hello" in await parts.ask("Hello")
    assert (len(first.calls), len(second.calls)) == (tries, 1)


async def test_an_error_that_is_the_callers_ends_the_tries() -> None:
    """A request that is wrong is wrong everywhere."""
    first, second = RecordingProvider(failing(400, retryable=False)), RecordingProvider()
    with pytest.raises(ProviderError):
        await built(first=first, second=second).ask("Hello")
    assert second.calls == []


async def test_a_long_wait_is_not_waited() -> None:
    """Beyond the longest wait it is the next target's turn at once."""
    first, second = RecordingProvider(failing(429, wait=3600)), RecordingProvider()
    async with asyncio.timeout(1):
        await built(first=first, second=second).ask("Hello")
    assert (len(first.calls), len(second.calls)) == (1, 1)


async def test_the_last_error_is_the_callers() -> None:
    """When all fail, the caller learns of the last, with its wait."""
    parts = built(first=RecordingProvider(failing()), second=RecordingProvider(failing(429, wait=60.0)))
    with pytest.raises(ProviderError) as caught:
        await parts.ask("Hello")
    assert caught.value.retry_after == 60


@pytest.mark.parametrize(
    ("error", "paid"), [(failing(500, wait=9.0), False), (failing(sent=False), False), (failing(), True)]
)
async def test_a_try_is_paid_for_unless_it_surely_cost_nothing(error: ProviderError, paid: bool) -> None:
    """Released after a clear refusal and where no byte left; spent in full where nobody knows."""
    ledger = Counting()
    parts = built(ledger, first=RecordingProvider(error))
    with pytest.raises(ProviderError):
        await parts.ask("Hello")
    await asyncio.sleep(0)
    intent, outcome = parts.log.records[:2]
    assert ledger.open == {}
    assert ledger.paid == outcome.cost == (intent.reserved if paid else 0)
    assert outcome.cost_basis == ("reserved" if paid else "none")


async def test_each_try_has_its_own_intent_and_outcome() -> None:
    """Numbered, each with its target and its own cost, so that a sum over them counts nothing twice."""
    ledger = Counting()
    parts = built(ledger, first=RecordingProvider(failing()), second=RecordingProvider())
    await parts.ask("Hello")
    await asyncio.sleep(0)
    lines = [(record.kind, record.attempt, record.target) for record in parts.log.records]
    assert lines == [
        (RecordKind.INTENT, 1, "first"),
        (RecordKind.OUTCOME, 1, "first"),
        (RecordKind.INTENT, 2, "second"),
        (RecordKind.OUTCOME, 2, "second"),
    ]
    assert sum(record.cost for record in parts.log.records) == ledger.paid
    assert parts.exchange is not None
    assert parts.exchange.cost == ledger.paid
    assert parts.exchange.cost_basis == "reserved", "a part of the cost is a bound, not a count"


async def test_clouds_get_the_stand_ins_and_the_local_model_the_words() -> None:
    """The same request is redacted for the cloud and whole for the local model that follows it."""
    cloud, local = RecordingProvider(failing()), RecordingProvider()
    await built(first=cloud, here=local).ask(f"Write to {NAME}")
    assert NAME not in cloud.bodies[0]
    assert NAME in local.bodies[0]


async def test_only_who_can_be_replaced_has_to_hurry() -> None:
    """A target learns the policy's bound for the first token while another one follows, the last does not; and only
    targets in house learn whose request it is."""
    policy = BLOCKING.replace("limits:\n", "limits:\n  latency: {first_token: 2s}\n")
    local, cloud = RecordingProvider(failing()), RecordingProvider()
    await built(policy=policy, here=local, first=cloud).ask("Hello")
    told = [(call.first_token, call.tenant) for call in (local.calls[0], cloud.calls[0])]
    assert told == [(2.0, CALLER.tenant), (None, "")]


async def test_what_cannot_be_paid_is_the_policys_matter() -> None:
    """A free model is not taken in silence: under `block` the request is refused, under `local_only` it may be."""
    local = RecordingProvider()
    with pytest.raises(GatewayError) as caught:
        await built(_spent(), first=RecordingProvider(), here=local).ask("Hello")
    assert caught.value.code is Code.BUDGET_SPENT
    assert local.calls == []
    parts = built(_spent(), FRUGAL, first=RecordingProvider(), here=local)
    await parts.ask("Hello")
    assert len(local.calls) == 1
    assert (parts.log.records[-2].budget, parts.log.records[-2].action) == ("spent", "local_only")


def _spent() -> Counting:
    ledger = Counting()
    ledger.paid = 10_000_000  # all of the 0.01 USD
    return ledger


async def test_a_cheaper_cloud_is_tried_when_a_dear_one_cannot_be_paid() -> None:
    """Not enough for the first is still enough for the second."""
    ledger = Counting()
    ledger.paid = 9_900_000
    cheap = replace(SECOND, price=Price(1000, 4000, 1000))
    dear, affordable = RecordingProvider(), RecordingProvider()
    parts = Assembly(BLOCKING, {FIRST: dear, cheap: affordable}, ledger=ledger)
    await parts.ask("A question that is a little longer than the money lasts")
    assert (len(dear.calls), len(affordable.calls)) == (0, 1)


@pytest.mark.parametrize("silent", [Playing(), Playing(END, hangs=True)], ids=["nothing", "an end"])
async def test_a_provider_that_says_nothing_is_a_failed_try(silent: Playing) -> None:
    """No event, or an end without a beginning, is a bad answer, and the next target's turn."""
    second = RecordingProvider()
    assert "Hello" in await built(first=silent, second=second).ask("Hello")
    assert silent.closed == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_closes_the_provider_and_is_recorded(stream: bool) -> None:
    """Cancelled while it waits: the provider's generator is closed, the money spent, the outcome on record."""
    ledger, provider = Counting(), Playing(hangs=True)
    parts = built(ledger, first=provider)
    task = asyncio.create_task(parts.ask("Hello", stream=stream))
    await until(lambda: provider.calls)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert provider.closed == 1
    kinds = [(record.kind, record.outcome, record.error) for record in parts.log.records]
    assert kinds[1:] == [(RecordKind.OUTCOME, "cancelled", ""), (RecordKind.REFUSAL, "cancelled", "")]
    assert ledger.paid == parts.log.records[0].reserved
    assert ledger.open == {}


async def test_a_bound_is_written_where_the_caller_set_none() -> None:
    """Else nothing would keep the provider from writing more than was reserved."""
    provider = Playing(whole())
    await built(first=provider).ask("Hello")
    assert json.loads(provider.bodies[0])["max_completion_tokens"] == FIRST.max_output_tokens
