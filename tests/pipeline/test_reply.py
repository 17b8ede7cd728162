"""From a first event to the client's answer: restored, counted, settled and recorded exactly once."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from gateway.domain.call import Chunk, Whole
from gateway.domain.errors import Code, GatewayError
from gateway.domain.ports import DetectorFailed
from gateway.domain.record import RecordKind
from gateway.pipeline.reply import decision_headers
from support.assembly import Assembly, RecordingProvider, a_target
from support.exposure import NAME
from support.playing import BLOCKING, END, USAGE, Counting, Playing, chunk, until, whole

pytestmark = pytest.mark.anyio

CLOUD = a_target("cloud")
COST = 10 * 1000 + 5 * 4000
"""Nano-dollars for the usage that `support.playing` reports."""


def built(provider: RecordingProvider, ledger: Counting | None = None) -> Assembly:
    return Assembly(BLOCKING, {CLOUD: provider}, ledger=ledger)


async def test_a_whole_answer_is_settled_by_its_usage() -> None:
    """The provider's count is what is paid, and the rest of the reservation is free again."""
    ledger = Counting()
    parts = built(Playing(whole()), ledger)
    await parts.ask("Hello")
    await asyncio.sleep(0)
    outcome = parts.log.records[-1]
    assert (outcome.outcome, outcome.cost, outcome.cost_basis) == ("completed", COST, "usage")
    assert (ledger.paid, ledger.open) == (COST, {})


async def test_an_answer_without_usage_costs_what_was_reserved() -> None:
    """Nobody knows, so it is the most it can be."""
    ledger = Counting()
    parts = built(Playing(Whole(b'{"choices": []}')), ledger)
    await parts.ask("Hello")
    await asyncio.sleep(0)
    intent, outcome = parts.log.records
    assert (outcome.cost, outcome.cost_basis) == (intent.reserved, "reserved")
    assert ledger.paid == intent.reserved


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[1]", b'"text"', b"\xff"])
async def test_an_answer_that_is_no_object_is_an_error_and_on_record(body: bytes) -> None:
    """It has been paid for, perhaps; the outcome says that it failed, once."""
    ledger = Counting()
    parts = built(Playing(Whole(body)), ledger)
    with pytest.raises(GatewayError) as caught:
        await parts.ask("Hello")
    await asyncio.sleep(0)
    assert caught.value.code is Code.TARGET_BAD_ANSWER
    intent, outcome = parts.log.records
    assert (outcome.kind, outcome.outcome, outcome.error) == (RecordKind.OUTCOME, "failed", "target_bad_answer")
    assert ledger.paid == intent.reserved


class Stubborn(Playing):
    """A provider whose closing takes its time, so that a client can leave just then."""

    async def stream(self, call):  # type: ignore[no-untyped-def, override]
        self.calls.append(call)
        try:
            yield whole()
        finally:
            self.closed += 1
            await asyncio.sleep(5)


async def test_a_client_that_leaves_while_the_answer_is_closed_still_leaves_the_outcome() -> None:
    """The answer was there and was paid for: the record says completed, whatever cancels the closing."""
    ledger, provider = Counting(), Stubborn()
    parts = built(provider, ledger)
    task = asyncio.create_task(parts.ask("Hello"))
    await until(lambda: provider.closed)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    outcomes = [record.outcome for record in parts.log.records if record.kind is RecordKind.OUTCOME]
    assert outcomes == ["completed"]
    assert (ledger.paid, ledger.open) == (COST, {})


async def test_a_defect_while_restoring_still_leaves_the_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a fault of ours does not lose what was sent: failed, internal_error, and an error without content."""
    ledger = Counting()
    parts = built(Playing(whole(NAME)), ledger)
    monkeypatch.setattr("gateway.dialects.openai_chat.usage_of", lambda tree: 1 / 0)
    with pytest.raises(GatewayError) as caught:
        await parts.ask("Hello")
    await asyncio.sleep(0)
    assert caught.value.code is Code.INTERNAL
    assert caught.value.__cause__ is None
    outcome = parts.log.records[1]
    assert (outcome.kind, outcome.outcome, outcome.error) == (RecordKind.OUTCOME, "failed", "internal_error")
    assert ledger.open == {}


async def test_a_stream_is_settled_by_the_usage_at_its_end() -> None:
    """Asked for by the gateway, taken out of what the client sees."""
    ledger = Counting()
    parts = built(Playing(chunk("Hel"), chunk("lo"), USAGE, END), ledger)
    said = await parts.ask("Hello", stream=True)
    await asyncio.sleep(0)
    assert "usage" not in said
    assert said.endswith("data: [DONE]\n\n")
    assert parts.log.records[-1].cost == ledger.paid == COST


async def test_the_client_gets_the_usage_it_asked_for() -> None:
    """With `stream_options.include_usage` the usage chunk is handed on as it is."""
    parts = built(Playing(chunk("Hello"), USAGE, END))
    said = await parts.ask("Hello", stream=True, stream_options={"include_usage": True})
    assert orjson.loads(USAGE.data) in [
        orjson.loads(line[6:]) for line in said.split("\n\n") if line.startswith("data: {")
    ]


async def test_headers_tell_the_decision_and_the_cost() -> None:
    """Of a whole answer the exact cost, of a stream the most that it can be."""
    parts = built(Playing(whole()))
    await parts.ask("Hello")
    assert parts.exchange is not None
    headers = decision_headers(parts.exchange)
    assert headers["x-bailiwick-decision"] == parts.exchange.id
    assert (headers["x-bailiwick-cost"], headers["x-bailiwick-cost-basis"]) == ("0.00003", "usage")
    assert (headers["x-bailiwick-level"], headers["x-bailiwick-because"]) == ("public", "handling.public")


MASKING = BLOCKING + "answers: {hide: [contact]}\n"
"""`support.detectors` finds `NAME`."""


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_what_a_model_may_not_tell_is_hidden_and_counted(stream: bool) -> None:
    """Where the policy says so; the record has the number of values, and probabilities of tokens are taken away."""
    logprobs = {"content": [{"token": NAME, "logprob": -0.1, "top_logprobs": []}]}
    if stream:
        piece = {"index": 0, "delta": {"content": f"Ask {NAME}."}, "finish_reason": None, "logprobs": logprobs}
        provider = Playing(Chunk(orjson.dumps({"choices": [piece]})), USAGE, END)
    else:
        answer = {"index": 0, "message": {"role": "assistant", "content": f"Ask {NAME}."}, "logprobs": logprobs}
        provider = Playing(Whole(orjson.dumps({"choices": [answer]})))
    parts = Assembly(MASKING, {CLOUD: provider})
    said = await parts.ask("Whom do I ask?", stream=stream)
    assert NAME not in said
    assert "Ask [PERSON]." in said
    outcome = parts.log.records[-1]
    assert (outcome.outcome, outcome.masked) == ("completed", 1)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_the_callers_own_values_are_put_back_all_the_same(stream: bool) -> None:
    """A name that the caller sent was hidden from the cloud, is in the answer, and comes back."""
    provider = RecordingProvider(rewrite=lambda text: text)
    parts = Assembly(MASKING, {CLOUD: provider})
    said = await parts.ask(f"Write to {NAME}.", stream=stream)
    assert NAME not in provider.bodies[0]
    assert NAME in said
    outcome = parts.log.records[-1]
    assert outcome.masked == 0
    assert outcome.restored > 0 or stream


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_an_answer_that_cannot_be_inspected_is_an_error(stream: bool) -> None:
    """It was paid for, and is on record as failed or broken; the caller sees nothing of it."""
    parts = Assembly(MASKING, {CLOUD: Failing(parts_of := [])})
    parts_of.append(parts)
    if stream:
        said = await parts.ask("Whom do I ask?", stream=True)
    else:
        with pytest.raises(GatewayError) as caught:
            await parts.ask("Whom do I ask?")
        assert caught.value.code is Code.ANSWER_NOT_INSPECTED
        said = str(caught.value)
    assert NAME not in said
    assert parts.log.records[-1].error == "answer_not_inspected"


class Failing(RecordingProvider):
    """Answers with a name, and breaks the detector meanwhile."""

    def __init__(self, assemblies: list[Assembly]) -> None:
        super().__init__(rewrite=lambda text: f"Ask {NAME}.")
        self._assemblies = assemblies

    async def stream(self, call):  # type: ignore[no-untyped-def, override]
        self._assemblies[0].detector.error = DetectorFailed("gone")
        async for event in super().stream(call):
            yield event
