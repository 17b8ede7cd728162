"""A whole pipeline in this process, with providers that record what they are given instead of sending it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import orjson

from adapters.scripted_cloud import answers
from adapters.scripted_cloud.embeddings import embeddings_of
from gateway.audit.mac import LogMac
from gateway.dialects import openai_chat, openai_embeddings
from gateway.domain.call import Chunk, End, ProviderCall, ProviderEvent, Timeouts, Whole
from gateway.domain.errors import BudgetSpent, ProviderError
from gateway.domain.money import NanoUsd, Price
from gateway.domain.ports import ApprovalCase, ApprovalClaim, Approvals, Ledger, Reservation
from gateway.domain.record import AuditRecord
from gateway.domain.request import Caller, Hints
from gateway.domain.target import Route, Target, Zone
from gateway.inspection.answers import AnswerMasker
from gateway.inspection.inspector import Inspector
from gateway.inspection.occurrences import leaks
from gateway.inspection.redact import Pseudonymiser
from gateway.pipeline.answer import StreamAnswer, WholeAnswer
from gateway.pipeline.approval import ApprovalGate
from gateway.pipeline.dispatch import Dispatcher, RetryPolicy, Tries
from gateway.pipeline.exchange import Exchange
from gateway.pipeline.guard import EgressGuard
from gateway.pipeline.handle import Directory, Pipeline, Steps
from gateway.pipeline.purse import Purse
from gateway.pipeline.recorder import Recorder
from gateway.pipeline.reply import Replier
from gateway.pipeline.shapes import Dialect, Redactor
from gateway.policy import compile_policy, evaluate, load
from gateway.routing.breaker import Breaker
from gateway.routing.latency import LatencyBook
from gateway.routing.select import Selector
from gateway.telemetry.export import Exporter
from gateway.telemetry.trace import OtelTracer
from support.clock import FakeClock
from support.detectors import ListedDetector

CALLER = Caller(key="k3y", tenant="acme", app="support-bot", group="default", role="user")
KEY = bytes(range(32))


def an_embedder(name: str, zone: Zone = Zone.CLOUD, region: str = "EU", labels: Sequence[str] = ()) -> Target:
    """A target that makes embeddings, and costs a little if it is a cloud."""
    price = Price(1_000_000, 0, 1_000_000) if zone is Zone.CLOUD else Price(0, 0, 0)
    return Target(name, zone, region, frozenset(labels), "openai", "m", openai_embeddings.DIALECT, price, 0, 512)


def a_target(name: str, zone: Zone = Zone.CLOUD, region: str = "EU", labels: Sequence[str] = ()) -> Target:
    """A target that costs a little if it is a cloud."""
    price = Price(1_000_000, 4_000_000, 1_000_000) if zone is Zone.CLOUD else Price(0, 0, 0)
    return Target(name, zone, region, frozenset(labels), "openai", "m", openai_chat.DIALECT, price, 500, 100_000)


class RecordingProvider:
    """Implements `gateway.domain.ports.Provider`: answers as the scripted cloud does, after the `faults` it was given.

    `rewrite` is what the model makes of the text that it repeats.
    """

    def __init__(self, *faults: ProviderError, rewrite: Callable[[str], str] = lambda text: text) -> None:
        self.calls: list[ProviderCall] = []
        self._faults = list(faults)
        self._rewrite = rewrite

    async def stream(self, call: ProviderCall) -> AsyncIterator[ProviderEvent]:
        self.calls.append(call)
        if self._faults:
            raise self._faults.pop(0)
        request = orjson.loads(call.body)
        if call.target.dialect == openai_embeddings.DIALECT:
            yield Whole(orjson.dumps(embeddings_of(request)))
            return
        last = request["messages"][-1]
        if isinstance(last["content"], str):
            last["content"] = self._rewrite(last["content"])
        answer = answers.answer_to(request, number=1, created=1, cached_tokens=0)
        if not call.stream:
            yield Whole(orjson.dumps(answers.completion(answer)))
            return
        for chunk in answers.chunks(answer, include_usage=True):
            yield Chunk(orjson.dumps(chunk))
        yield End()

    async def ready(self) -> bool:
        return True

    async def aclose(self) -> None:
        """There is nothing to close."""

    @property
    def bodies(self) -> list[str]:
        return [call.body.decode() for call in self.calls]


class MemoryLog:
    """Implements `gateway.domain.ports.AuditLog`."""

    def __init__(self) -> None:
        self.records: list[AuditRecord] = []

    async def append(self, record: AuditRecord) -> None:
        self.records.append(record)

    def submit(self, record: AuditRecord) -> None:
        self.records.append(record)

    async def find(self, decision: str) -> list[AuditRecord]:
        return [record for record in self.records if record.decision == decision]

    async def aclose(self) -> None:
        """There is nothing to close."""


class OpenPurse:
    """Implements `gateway.domain.ports.Ledger`: there is always money, or (`spent_out`) there never is."""

    def __init__(self, *, spent_out: bool = False) -> None:
        self._spent_out = spent_out

    async def reserve(self, scope: str, amount: NanoUsd, limit: NanoUsd | None) -> Reservation:
        if self._spent_out:
            raise BudgetSpent(scope)
        return Reservation("", amount)

    async def settle(self, reservation: Reservation, cost: NanoUsd) -> None:
        """Nothing was counted."""

    async def spent(self, scope: str) -> NanoUsd:
        return NanoUsd(1 << 60) if self._spent_out else NanoUsd(0)

    async def aclose(self) -> None:
        """There is nothing to close."""


class NobodyApproves:
    """Implements `gateway.domain.ports.Approvals`: whatever is asked waits."""

    async def claim(self, case: ApprovalCase) -> ApprovalClaim:
        return ApprovalClaim("a1", "pending", True, case.needed, 1_800_000_000_000_000)


class _NoFeedback:
    def answered(self, target: str, seconds: float) -> None:
        """Nobody learns from it."""

    def failed(self, target: str, error: ProviderError) -> None:
        """Nobody learns from it."""


class Assembly:
    """The parts of a pipeline, put together. `providers` are by target; one route, ``auto``, lists all targets."""

    def __init__(
        self,
        policy: str,
        providers: Mapping[Target, RecordingProvider],
        *,
        redactor: Redactor | None = None,
        ledger: Ledger | None = None,
        detector: ListedDetector | None = None,
        approvals: Approvals | None = None,
    ) -> None:
        clock = FakeClock()
        targets = {target.id: target for target in providers}
        directory = self.directory = Directory(targets, {"auto": Route("auto", tuple(targets), rank="listed")})
        self.policy = compile_policy(load(policy)[0])  # a test may put another one in its place
        self.log = MemoryLog()
        self.detector = detector or ListedDetector()
        self.exchange: Exchange | None = None
        recorder = Recorder(self.log, clock, LogMac(KEY).label, targets.__contains__)
        purse = self.purse = Purse(ledger or OpenPurse(), clock)
        dispatcher = Dispatcher(
            EgressGuard({target.id: provider for target, provider in providers.items()}, self.log, leaks),
            purse,
            redactor or Pseudonymiser(KEY),
            recorder,
            _NoFeedback(),
            clock,
            Tries(dict.fromkeys(targets, Timeouts()), retry=RetryPolicy(first_wait=0.0)),
        )
        masker = AnswerMasker(self.detector, self.detector.scan_now, 2.0)
        steps = Steps(
            inspector=Inspector(self.detector),
            decide=lambda facts, among: evaluate(self.policy, facts, among),
            approvals=ApprovalGate(approvals or NobodyApproves(), self.log, LogMac(KEY).label, clock),
            selector=Selector(targets, LatencyBook(), Breaker(clock.monotonic)),
            dispatcher=dispatcher,
            replier=Replier(recorder, purse, masker, lambda exchange, outcome, error: None),
            recorder=recorder,
        )
        self.pipeline = Pipeline(directory, steps, OtelTracer(Exporter([]), models=frozenset(targets)), clock)

    async def ask(self, text: str, **fields: Any) -> str:
        """The answer's body, of a stream all of it (see `support.streams`). Raises `GatewayError`."""
        return await self._asked(openai_chat, {"messages": [{"role": "user", "content": text}], **fields})

    async def embed(self, texts: str | list[str], **fields: Any) -> dict[str, Any]:
        """The answer to a request for embeddings. Raises `GatewayError`."""
        answer: dict[str, Any] = json.loads(await self._asked(openai_embeddings, {"input": texts, **fields}))
        return answer

    async def _asked(self, dialect: Dialect, fields: dict[str, Any]) -> str:
        body = json.dumps({"model": "auto", **fields}).encode()
        self.exchange = self.pipeline.begin(CALLER, Hints(), dialect, body)
        answer = await self.pipeline.handle(self.exchange)
        if isinstance(answer, WholeAnswer):
            return answer.body.decode()
        return await _all_of(answer)


async def _all_of(answer: StreamAnswer) -> str:
    pieces: list[bytes] = []

    async def write(data: bytes) -> None:
        pieces.append(data)

    await answer.run(write)
    return b"".join(pieces).decode()
