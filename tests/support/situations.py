"""Facts of which an analysis speaks, made into requests in which a real gateway finds just these facts.

Who asks is an API key, what is found are values that the real recognisers find, what is declared are headers."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

import gateway.compose.gateway as compose
from adapters.scripted_cloud.cloud import ScriptedCloud
from gateway.budgets.sql_ledger import SqlLedger
from gateway.domain.decision import BudgetState, Facts
from gateway.domain.estimate import CHARACTERS_PER_TOKEN
from gateway.domain.finding import DetectorState, Found, Span
from gateway.domain.money import in_usd
from gateway.domain.record import AuditRecord
from gateway.domain.target import Target, Zone
from gateway.identity.keys import ROLES, KeyTable
from gateway.inspection import engine as recognisers
from gateway.pipeline.exchange import new_decision_id
from gateway.policy import CompiledPolicy, compile_policy, evaluate, load
from gateway.policy.cases import simple_target
from gateway.policy.schema import FACT_OF, Policy
from gateway.settings.recognizers import RegistrySettings
from gateway.sql import open_engine
from support.detectors import ListedDetector
from support.evidence import eventually, records
from support.here import GatewayHere, gateway_here
from support.live import Setup, cloud_target

SOMEBODY = "somebody-else"
"""The tenant, app and group of whom no policy here speaks."""

PICTURE = {"type": "image_url", "image_url": {"url": "https://img.example/1.png"}}
_FILLER = "Nothing in here is about anybody at all. "
_THINGS = ("table", "chair", "window", "door", "carpet", "shelf", "bottle", "spoon", "ladder", "bucket", "hammer")


class RealDetector(ListedDetector):
    """The real recognisers, in place whatever the length of a text, so that no process has to load them once more. Can
    be told to fail, as every `ListedDetector`."""

    async def start(self) -> None:
        self.error = None
        _engine()

    def _spans(self, text: str) -> list[Span]:
        return _engine().scan(text)


@cache
def _engine() -> recognisers.Engine:
    return recognisers.load(RegistrySettings().to_json())


class SetClock:
    """Shows the time that it was set to, and measures how long things take as every clock does."""

    def __init__(self) -> None:
        self._now = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)

    def set(self, facts: Facts) -> None:
        """To the moment of these facts."""
        day = facts.as_of
        self._now = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(minutes=facts.minute)

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return time.monotonic()


def _people() -> Iterator[str]:
    first = ("Anna", "Maria", "Peter", "Thomas", "Laura", "Julia", "Robert", "Michael", "Sarah", "David")
    last = ("Kowalski", "Gonzalez", "Schmidt", "Johnson", "Andersson", "Moreau", "Rossi", "Novak", "Murphy", "Fischer")
    return (f"Please write to {one} {other} about it." for one, other in itertools.product(first, last))


def _numbered(numbers: range, *sentences: str) -> Callable[[], Iterator[str]]:
    return lambda: (sentence.format(number) for sentence in sentences for number in numbers)


def _each(sentence: str, *values: str) -> Callable[[], Iterator[str]]:
    return lambda: (sentence.format(value) for value in values)


def _cards() -> Iterator[str]:
    for number in range(100, 400):
        digits = f"424242424242{number}"
        total = sum(sum(divmod(int(digit) * (2 - place % 2), 10)) for place, digit in enumerate(digits))
        yield f"Card {digits}{-total % 10} was used."


_CITIES = ("Paris", "Berlin", "Madrid", "Lyon", "Vienna", "Prague", "Lisbon", "Dublin")
_ILLS = ("diabetes", "asthma", "epilepsy", "pneumonia", "arthritis")
_PILLS = ("metformin", "ibuprofen", "paracetamol", "amoxicillin", "insulin")
SENTENCES: Mapping[str, Callable[[], Iterator[str]]] = MappingProxyType(
    {
        "AGE": _numbered(range(21, 99), "aged {}"),
        "API_KEY": _numbered(range(100, 400), "key AKIAIOSFODNN7EX{}QK"),
        "CREDIT_CARD": _cards,
        "DATE_OF_BIRTH": _numbered(range(10, 29), "Date of birth: {} March 1984."),
        "EMAIL_ADDRESS": _numbered(range(100, 400), "Write to user{}@example.com soon."),
        "IBAN_CODE": _each("IBAN {}", "DE89 3704 0044 0532 0130 00", "GB82 WEST 1234 5698 7654 32"),
        "IP_ADDRESS": _numbered(range(1, 250), "The host 203.0.113.{} is down."),
        "JWT": _each(
            "{}", f"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.{'dozjgNryP4J3jVmN' * 2}"
        ),
        "LOCATION": _each("She lives in {}.", *_CITIES),
        "MAC_ADDRESS": _numbered(range(10, 99), "The adapter is 00:1B:44:11:3A:{}."),
        "MEDICAL_CONDITION": _each("The patient suffers from {}.", *_ILLS),
        "MEDICATION": _each("The drug is {}.", *_PILLS),
        "NRP": _each("a {}", "Buddhist", "Catholic"),
        "ORGANIZATION": _each("The matter concerns {} only.", "Siemens AG", "Acme Holdings Ltd", "Volvo Group"),
        "PERSON": _people,
        "PHONE_NUMBER": _numbered(range(100, 999), "Call +44 20 7946 0{}."),
        "SECRET": _numbered(range(10, 99), "password = 'kq7Lm2Zt9x{}'"),
        "UK_NINO": _numbered(range(10, 99), "Her national insurance number is AB1234{}C."),
        "UK_PASSPORT": _numbered(range(10, 99), "passport AB12345{}"),
        "US_BANK_NUMBER": _numbered(range(10, 99), "My bank account number is 9454567876{}."),
        "US_MBI": _each("Her Medicare number is {}.", "1EG4-TE5-MK73"),
        "US_PASSPORT": _numbered(range(10, 99), "Her passport number is C030059{}."),
        "US_SSN": _numbered(range(10, 99), "My social security number is 536-90-43{}.", "It is 536-90-44{}."),
    }
)
"""Sentences with one value each; by entity, all different. Whether it is found, and what else, is looked at each time:
it depends on the recognisers, and what counts on the policy."""


@dataclass(frozen=True, slots=True)
class Written:
    """The text of a message, and the values in it that count for the policy."""

    text: str
    values: tuple[str, ...]


class Writer:
    """Writes messages in which is found what facts say, so far as this policy tells it apart."""

    def __init__(self, policy: Policy) -> None:
        self._types = {kind.name: kind for kind in policy.data_types}
        self._topics = itertools.permutations(_THINGS, 3)

    def write(self, facts: Facts) -> Written:
        """A text that no other was; raises `LookupError` where no sentence is known for what must be found."""
        one, other, last = next(self._topics)
        sentences = [f"Tell me about the {one}, the {other} and the {last}."]
        values: list[str] = []
        for item in facts.found:
            for sentence, value in itertools.islice(self._fitting(item, values), item.distinct):
                sentences.append(sentence)
                values.append(value)
        text = "\n".join(sentences)
        if facts.prompt_tokens:
            text += "\n" + _FILLER * (1 + facts.prompt_tokens * CHARACTERS_PER_TOKEN // len(_FILLER))
        return Written(text, tuple(values))

    def _fitting(self, item: Found, taken: list[str]) -> Iterator[tuple[str, str]]:
        """Sentences in which one value counts, and for just the data types for which this finding does: of the same
        entity if there are any, else of another one."""
        wanted = self._counts_for(item.entity, item.percent)
        entities = sorted(SENTENCES, key=lambda entity: (entity != item.entity, entity))
        for sentence in itertools.chain.from_iterable(SENTENCES[entity]() for entity in entities):
            counting = [(span, types) for span in _engine().scan(sentence) if (types := self._types_of(span))]
            if [types for _, types in counting] == [wanted]:
                value = sentence[counting[0][0].start : counting[0][0].end]
                if value not in taken:
                    yield sentence, value
        raise LookupError(f"no sentence is known for {item.entity} at {item.percent} %")

    def _types_of(self, span: Span) -> frozenset[str]:
        return self._counts_for(span.entity, span.percent)

    def _counts_for(self, entity: str, percent: int) -> frozenset[str]:
        return frozenset(
            name for name, kind in self._types.items() if entity in kind.detect and percent >= kind.percent
        )


@dataclass(frozen=True, slots=True, order=True)
class Asker:
    """Who asks: what an API key is made for."""

    tenant: str
    app: str
    group: str
    role: str


def asker_of(policy: Policy, facts: Facts, tenant: str = SOMEBODY) -> Asker:
    """Who asks in these facts. Where nobody is named, somebody of whom the policy does not speak, of `tenant`."""
    named = names_in(policy)["role"]
    other = next(role for role in ROLES if role not in named)
    return Asker(facts.tenant or tenant, facts.app or SOMEBODY, facts.group or SOMEBODY, facts.role or other)


def names_in(policy: Policy) -> dict[str, frozenset[str]]:
    """Every name that a policy speaks of, by the field of the facts."""
    whens = [rule.when for rule in policy.rules]
    whens += [waiver.who for waiver in policy.waivers] + [scope.who for scope in policy.limits.scopes]
    found: dict[str, set[str]] = {field: set() for field in FACT_OF.values()}
    for condition, names in itertools.chain.from_iterable(when.names for when in whens):
        found[FACT_OF[condition]].update(names)
    return {field: frozenset(names) for field, names in found.items()}


def headers_of(facts: Facts) -> dict[str, str]:
    """What a client declares with a request of these facts."""
    said = {
        "x-bailiwick-user": facts.user,
        "x-bailiwick-labels": ", ".join(facts.labels),
        "x-bailiwick-min-level": "" if facts.min_level is None else facts.min_level.word,
        "x-bailiwick-max-cost": "" if facts.max_cost is None else in_usd(facts.max_cost),
        "x-bailiwick-max-latency": "" if facts.max_first_token is None else f"{facts.max_first_token:g}",
    }
    return {name: value for name, value in said.items() if value}


def body_of(facts: Facts, model: str, text: str) -> dict[str, Any]:
    """The request; `model` is asked for where the facts name none."""
    content: Any = [{"type": "text", "text": text}, PICTURE] if facts.unreadable else text
    messages = [{"role": "user", "content": content}]
    return {"model": facts.model or model, "max_tokens": 16, "messages": messages}


LABELS = ("baa", "dpa", "no-training", "pci-acknowledged", "technical-documentation", "zero-retention")
TARGETS: tuple[Target, ...] = (
    simple_target("cn", Zone.CLOUD, "CN"),
    simple_target("us", Zone.CLOUD, "US"),
    simple_target("us-bound", Zone.CLOUD, "US", frozenset(LABELS)),
    simple_target("eu", Zone.CLOUD, "EU"),
    simple_target("eu-bound", Zone.CLOUD, "EU", frozenset(LABELS)),
    simple_target("local", Zone.LOCAL, "on-premises"),
)
"""Where a `Reality` can send to; the *bound* ones have every label."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of a request: the answer, the last record with a decision, and what arrived at which target."""

    answer: httpx.Response
    record: AuditRecord
    arrived: tuple[tuple[str, str], ...]


class Reality:
    """A gateway put together as in production, whose providers are scripted. It takes one request at a time. `folder`
    holds its settings and its state, `keys` are those of who may ask."""

    def __init__(
        self,
        folder: Path,
        policy: CompiledPolicy,
        here: GatewayHere,
        portal: BlockingPortal,
        cloud: ScriptedCloud,
        clock: SetClock,
        keys: Mapping[Asker, str],
    ) -> None:
        self.folder, self.policy = folder, policy
        self._here, self._portal, self._cloud, self._clock, self._keys = here, portal, cloud, clock, keys

    def ask(self, facts: Facts, text: str, asker: Asker, first: str = "cn") -> Asked:
        """Send the request of these facts. Where the policy leaves a choice, the target `first` gets it."""
        answer, arrived = self._portal.call(self._ask, facts, body_of(facts, f"first-{first}", text), asker)
        found: list[AuditRecord] = []

        def recorded() -> bool:
            found[:] = records(self.folder / "state", answer.headers["x-bailiwick-decision"])
            return any(record.action for record in found)

        eventually(recorded)
        return Asked(answer, [record for record in found if record.action][-1], arrived)

    async def _ask(
        self, facts: Facts, body: dict[str, Any], asker: Asker
    ) -> tuple[httpx.Response, tuple[tuple[str, str], ...]]:
        self._clock.set(facts)
        headers = headers_of(facts)
        if facts.history_level is not None:
            named = {"x-bailiwick-conversation": new_decision_id()}
            before = {**body, "messages": [{"role": "user", "content": "What is a spoon?"}]}
            await self._post(asker, before, {**named, "x-bailiwick-min-level": facts.history_level.word})
            headers |= named
        if facts.budget is BudgetState.SPENT:
            await self._spend(replace(facts, budget=BudgetState.OK), asker)
        if facts.detector is not DetectorState.OK:
            self._here.detector.error = RuntimeError("it broke")
        so_far = len(self._cloud.received)
        try:
            answer = await self._post(asker, body, headers)
            if facts.approved:
                await self._approve(asker.tenant, answer.json()["error"]["approval"])
                answer = await self._post(asker, body, headers)
        finally:
            self._here.detector.error = None
        arrived = [(got.json["model"].split()[0], got.body.decode()) for got in self._cloud.received[so_far:]]
        return answer, tuple(arrived)

    async def _post(self, asker: Asker, body: object, headers: Mapping[str, str]) -> httpx.Response:
        sent = {**headers, "authorization": f"Bearer {self._keys[asker]}"}
        said = {name.encode(): value.encode() for name, value in sent.items()}
        return await self._here.client.post("/v1/chat/completions", json=body, headers=said)

    async def _approve(self, tenant: str, approval: Mapping[str, Any]) -> None:
        """The word of everybody who is asked for it."""
        for needed in approval["waiting"]:
            key = self._keys[approver_of(tenant, needed["approvers"][0])]
            path = f"/admin/v1/approvals/{approval['id']}/approve"
            await self._here.client.post(path, headers={"authorization": f"Bearer {key}"})

    async def _spend(self, facts: Facts, asker: Asker) -> None:
        """All that this app may spend on that day, as another replica would."""
        limit = evaluate(self.policy, facts, TARGETS).day_limit
        assert limit is not None
        engine = open_engine(f"sqlite:///{self.folder}/state/budgets.db", durable=True)
        ledger = await SqlLedger.open(engine)
        scope = f"{asker.tenant}/{asker.app}/{facts.as_of.isoformat()}"
        await ledger.settle(await ledger.reserve(scope, limit, limit), limit)
        await ledger.aclose()
        engine.dispose()


def approver_of(tenant: str, group: str) -> Asker:
    """Somebody of this group who may approve."""
    return Asker(tenant, "console", group, "admin")


@contextmanager
def reality(
    folder: Path, text: str, askers: Iterable[Asker], *, models: Iterable[str] = (), leak: str = "", extra: str = ""
) -> Iterator[Reality]:
    """A gateway with the policy in `text` and with these callers, and an approver of every group that may be asked.

    Beside `models` it serves ``first-…`` for each target. The clouds' own names of their models hold `leak`: a value
    that cannot be hidden from them, since it is in the final bytes all the same. `extra` are more settings.
    """
    policy = compile_policy(load(text)[0])
    clock = SetClock()
    keys = _make_keys(folder, policy.source, askers)
    ids = [target.id for target in TARGETS]
    routes = {f"first-{name}": sorted(ids, key=lambda one: one != name) for name in ids}
    routes |= dict.fromkeys(models, ids)
    with (
        pytest.MonkeyPatch.context() as patch,
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(ScriptedCloud(keep=10_000)) as cloud,
    ):
        patch.setattr(compose, "SystemClock", lambda: clock)
        setup = Setup(
            folder,
            [_as_setting(target, cloud.base_url, leak) for target in TARGETS],
            {name: f"{{targets: [{', '.join(order)}], rank: listed}}" for name, order in routes.items()},
            text,
            extra=extra,
        )
        with portal.wrap_async_context_manager(gateway_here(setup, patch, RealDetector())) as here:
            yield Reality(folder, policy, here, portal, cloud, clock, keys)


def _as_setting(target: Target, base_url: str, leak: str) -> str:
    return cloud_target(
        target.id,
        base_url,
        zone=target.zone.value,
        region=target.region,
        labels=f"[{', '.join(sorted(target.labels))}]",
        model=json.dumps(f"{target.id} {leak if target.zone is Zone.CLOUD else ''}".strip()),
        price="{input: 0.01 USD, output: 0.01 USD}",
    )


def _make_keys(folder: Path, policy: Policy, askers: Iterable[Asker]) -> dict[Asker, str]:
    outcomes = [*policy.handling, *(rule.then for rule in policy.rules)]
    groups = {group for outcome in outcomes if outcome.approval for group in outcome.approval.approvers}
    wanted = set(askers)
    wanted |= {approver_of(asker.tenant, group) for asker in wanted for group in groups}
    table = KeyTable.open(f"sqlite:///{folder}/state/identity.db")
    try:
        return {one: table.create(**asdict(one))[1] for one in sorted(wanted)}
    finally:
        table.close()
