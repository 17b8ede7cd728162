"""Promise 6: a budget is never overspent, whatever arrives at once, breaks off, restarts or dies."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import pytest

from gateway.domain.money import NanoUsd, Price, in_usd, usd
from gateway.domain.record import AuditRecord, RecordKind
from support.evidence import eventually, money, records
from support.live import Cloud, Gateway, Setup, cloud_target, local_target
from support.nursery import ForkedGateway, client_of, forked_gateway, make_key

POLICY = """\
schema: 1
policy: budgets
version: 1
owner: privacy@example.com
mode: enforce
data_types:
  contact: {{detect: [EMAIL_ADDRESS], confidence: 0.40}}
levels:
  internal:
    - any_of: [contact]
handling:
  public: {{action: allow}}
  internal: {{action: redact}}
  confidential: {{action: redact}}
  restricted: {{action: local_only}}
limits:
  cost: {{per_app_per_day: {limit} USD, when_spent: {when_spent}}}
if_unsure: {{detector_fails: local_only, unreadable_content: local_only, redaction_incomplete: local_only}}
rules:
  - id: capped
    why: a small request is enough
    when: {{app: [capped, capped-redacted]}}
    then: {{cost_per_request: 0.002 USD}}
"""
LIMIT_USD = "0.006"
LIMIT = usd(LIMIT_USD)
CAP = usd("0.002")
PRICE = Price.per_million("1.00", "4.00", "0.10")
INPUT, OUTPUT = 1000, 4000
"""Nano-dollars a token, as `PRICE` says."""
OVERHEAD = 16
"""Tokens that a prompt may have beyond the bytes of its JSON (`gateway.domain.estimate`)."""

WORST = 1000
"""Output tokens of a request that sets no bound: what the target says."""


@pytest.fixture(scope="module")
def gateway(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkedGateway]:
    """A gateway that refuses what nobody can pay for. Each test has an app, and so a budget, of its own."""
    with forked_gateway(_setup(cloud, tmp_path_factory.mktemp("promise6"), "block")) as running:
        yield running


def _setup(cloud: Cloud, folder: Path, when_spent: str, *more: str) -> Setup:
    price = "{input: 1.00 USD, output: 4.00 USD, cached_input: 0.10 USD}"
    with socket.create_server(("127.0.0.1", 0)) as unused:
        closed = unused.getsockname()[1]
    targets = [
        cloud_target("cloud", cloud.base_url, price=price, timeouts="{connect: 1s, first_event: 1s, idle: 1s}"),
        cloud_target("nobody", f"http://127.0.0.1:{closed}/v1", price=price),
        *more,
    ]
    names = ["cloud", *(["local"] if more else [])]
    routes = {
        "auto": f"{{targets: [{', '.join(names)}], rank: listed}}",
        "cloud": "{targets: [cloud]}",
        "nobody": "{targets: [nobody]}",
    }
    return Setup(folder, targets, routes, POLICY.format(limit=LIMIT_USD, when_spent=when_spent))


@pytest.fixture(autouse=True)
def _empty(cloud: Cloud) -> None:
    cloud.forget()


@dataclass
class App:
    """An app with its own budget."""

    gateway: Gateway
    name: str
    client: httpx.Client = field(init=False)
    key: str = field(init=False)

    def __post_init__(self) -> None:
        self.key = make_key(self.gateway, app=self.name)
        self.client = client_of(self.gateway, self.key)

    def chat(self, text: str, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
        body = {"model": "auto", "messages": [{"role": "user", "content": text}], **fields}
        return self.client.post("/v1/chat/completions", json=body, headers=headers)

    def money(self) -> tuple[int, int]:
        """Spent and reserved nano-dollars."""
        found = [held for scope, held in money(self.gateway.state).items() if scope.split("/")[1] == self.name]
        return found[0] if found else (0, 0)

    def settled(self) -> int:
        """What is spent when nothing is reserved any more."""
        eventually(lambda: self.money()[1] == 0, 5, "something stays reserved")
        return self.money()[0]

    def records(self, kind: RecordKind) -> list[AuditRecord]:
        mine = {record.decision for record in records(self.gateway.state) if record.app == self.name}
        return [record for record in records(self.gateway.state) if record.kind is kind and record.decision in mine]


class Watch:
    """Looks at a budget all the time, from outside, and remembers the most that was spent and reserved at once."""

    def __init__(self, app: App) -> None:
        self.most = 0
        self._app = app
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.is_set():
            self.most = max(self.most, sum(self._app.money()))
            time.sleep(0.002)


@pytest.mark.parametrize("leaving", [False, True], ids=["staying", "leaving"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_two_hundred_at_once_never_overspend(gateway: ForkedGateway, cloud: Cloud, stream: bool, leaving: bool) -> None:
    """200 requests at the same moment, half with a bound of their own, some of whose clients leave: what is spent and
    reserved never exceeds the limit, and the costs on record add up to what the ledger says."""
    app = App(gateway, f"crowd-{'s' if stream else 'w'}{'l' if leaving else ''}")
    with Watch(app) as watch:
        statuses = asyncio.run(_crowd(app, 200, stream=stream, leaving=leaving))
    eventually(lambda: len(app.records(RecordKind.OUTCOME)) == len(app.records(RecordKind.INTENT)), 5)
    spent = app.settled()
    costs = sum(record.cost for record in app.records(RecordKind.OUTCOME))
    assert 0 < watch.most <= LIMIT
    assert spent == costs <= LIMIT
    assert set(statuses) <= {200, 429, 0}
    assert 200 in statuses
    assert 429 in statuses, "the limit was never reached, so nothing was proved"
    for intent in app.records(RecordKind.INTENT):
        assert intent.reserved <= LIMIT
    for received in cloud.received():
        assert 1 <= bound_of(json.loads(received["body"])) <= WORST


def bound_of(body: dict[str, Any]) -> int:
    """The output bound that arrived at the cloud."""
    bounds = [body[name] for name in ("max_tokens", "max_completion_tokens") if name in body]
    assert bounds, "a request without a bound can cost anything"
    return int(max(bounds))


async def _crowd(app: App, count: int, *, stream: bool, leaving: bool) -> list[int]:
    """The statuses of so many requests at once; 0 where the client left."""
    chance = random.Random(6)
    limits = httpx.Limits(max_connections=count)
    headers = {"authorization": f"Bearer {app.key}"}
    async with httpx.AsyncClient(
        base_url=app.gateway.url, headers=headers, limits=limits, timeout=60, trust_env=False
    ) as client:

        async def ask(number: int) -> int:
            message = {"role": "user", "content": f"Tell me something about the number {number}, at length."}
            body = {"model": "auto", "messages": [message], "stream": stream}
            if number % 2:
                body["max_tokens"] = 20
            patience = chance.uniform(0.001, 0.2) if leaving and number % 3 == 0 else 60
            try:
                async with asyncio.timeout(patience):
                    return (await client.post("/v1/chat/completions", json=body)).status_code
            except TimeoutError:
                return 0

        return list(await asyncio.gather(*(ask(number) for number in range(count))))


def test_the_bound_that_is_sent_is_what_is_left(gateway: ForkedGateway, cloud: Cloud) -> None:
    """A request that could cost more than is left is sent with as many output tokens as that pays for, to the token."""
    app = App(gateway, "clamped")
    answer = app.chat("A first question", max_tokens=1000)
    assert answer.status_code == 200
    left = LIMIT - app.settled()
    answer = app.chat("A second question", max_tokens=100_000)
    assert answer.status_code == 200
    arrived = cloud.bodies()[-1]
    clamp = json.loads(arrived)["max_tokens"]
    size = len(arrived) + len("100000") - len(str(clamp))  # of the bytes before the bound was lowered
    assert clamp == (left - (size + OVERHEAD) * INPUT) // OUTPUT
    assert app.records(RecordKind.INTENT)[-1].reserved == (size + OVERHEAD) * INPUT + clamp * OUTPUT <= left


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({}, "max_completion_tokens"),
        ({"max_tokens": 5000}, "max_tokens"),
        ({"max_completion_tokens": 5000}, "max_completion_tokens"),
    ],
)
def test_every_request_is_bounded_in_the_words_it_used(
    gateway: ForkedGateway, cloud: Cloud, fields: dict[str, int], name: str
) -> None:
    """With a bound in either name or with none, what leaves has one, in the name that the caller used."""
    app = App(gateway, f"named-{name.replace('_', '-')}{len(fields)}")
    assert app.chat("Say something", **fields).status_code == 200
    body = json.loads(cloud.bodies()[-1])
    assert [key for key in body if key.startswith("max_")] == [name]
    assert app.records(RecordKind.INTENT)[-1].reserved >= len(cloud.bodies()[-1]) * INPUT + body[name] * OUTPUT


def test_two_bounds_in_one_request_count_as_the_larger(gateway: ForkedGateway, cloud: Cloud) -> None:
    """Whichever of the two names the provider follows, the money is there."""
    app = App(gateway, "two-bounds")
    assert app.chat("Say something", max_tokens=1, max_completion_tokens=900).status_code == 200
    assert app.records(RecordKind.INTENT)[-1].reserved >= 900 * OUTPUT
    assert app.chat("Say more", max_tokens=100_000, max_completion_tokens=2).status_code == 200
    assert bound_of(json.loads(cloud.bodies()[-1])) * OUTPUT <= LIMIT


def test_choices_are_paid_for_one_by_one(gateway: ForkedGateway, cloud: Cloud) -> None:
    """`n` answers cost n times as much, in the reservation and in the bound that is left for each."""
    app = App(gateway, "choices")
    assert app.chat("Say something", max_tokens=100_000, n=5).status_code == 200
    body = json.loads(cloud.bodies()[-1])
    intent = app.records(RecordKind.INTENT)[-1]
    assert 5 * body["max_tokens"] * OUTPUT < intent.reserved <= LIMIT


def lose_money(app: App, cloud: Cloud) -> None:
    """Spend all that a budget has on answers that never come."""
    cloud.script("reset-early", 2)
    for _ in range(2):
        assert app.chat("A question").status_code == 503
    assert app.settled() <= LIMIT
    cloud.forget()


def test_a_spent_budget_blocks(gateway: ForkedGateway, cloud: Cloud) -> None:
    """With nothing left the caller gets 429 in OpenAI's shape and the word not to retry; nothing leaves."""
    app = App(gateway, "spent")
    lose_money(app, cloud)
    answer = app.chat("A question " * 40)
    assert answer.status_code == 429
    error = answer.json()["error"]
    assert (error["code"], error["type"]) == ("budget_spent", "rate_limit_error")
    assert answer.headers["x-should-retry"] == "false"
    assert error["decision"] == answer.headers["x-bailiwick-decision"]
    assert cloud.bodies() == []
    eventually(lambda: app.records(RecordKind.REFUSAL)[-1].decision == error["decision"])
    refusal = app.records(RecordKind.REFUSAL)[-1]
    assert (refusal.budget, refusal.error) == ("spent", "budget_spent")


def test_a_spent_budget_goes_local(cloud: Cloud, tiny_model: Path, tmp_path: Path) -> None:
    """With `when_spent: local_only` the local model answers what nobody can pay for, and costs the budget nothing."""
    local = local_target(file=str(tiny_model), context_tokens="1024", max_output_tokens="8")
    with forked_gateway(_setup(cloud, tmp_path, "local_only", local)) as running:
        app = App(running, "frugal")
        for _ in range(2):
            cloud.script("reset-early")
            app.chat("A question", model="cloud")
        spent = app.settled()
        cloud.forget()
        answer = app.chat("A question " * 40)
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-bailiwick-target"] == "local"
        assert answer.headers["x-bailiwick-action"] == "local_only"
        assert cloud.bodies() == []
        assert app.settled() == spent <= LIMIT


def test_a_cap_for_each_request_bounds_it(gateway: ForkedGateway, cloud: Cloud) -> None:
    """The policy's cap becomes an output bound, to the token; a prompt that costs more than the cap is refused."""
    app = App(gateway, "capped")
    answer = app.chat("A question", max_tokens=100_000)
    assert answer.status_code == 200
    clamp = json.loads(cloud.bodies()[-1])["max_tokens"]
    reserved = app.records(RecordKind.INTENT)[-1].reserved
    assert CAP - OUTPUT - 10 * INPUT < reserved <= CAP
    assert clamp * OUTPUT < CAP
    cloud.forget()
    answer = app.chat("long " * 500)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "no_permitted_target"
    assert "0.002 USD" in answer.json()["error"]["message"]
    assert cloud.bodies() == []


def test_a_callers_own_cap_can_only_tighten(gateway: ForkedGateway, cloud: Cloud) -> None:
    """`x-bailiwick-max-cost` lowers the bound below the policy's, and never lifts it."""
    app = App(gateway, "capped-redacted")
    assert app.chat("A question", {"x-bailiwick-max-cost": "0.001"}, max_tokens=100_000).status_code == 200
    assert app.records(RecordKind.INTENT)[-1].reserved <= usd("0.001")
    assert json.loads(cloud.bodies()[-1])["max_tokens"] * OUTPUT <= usd("0.001")
    assert app.chat("A question", {"x-bailiwick-max-cost": "5"}, max_tokens=100_000).status_code == 200
    assert usd("0.001") < app.records(RecordKind.INTENT)[-1].reserved <= CAP


def test_stand_ins_that_make_a_prompt_longer_are_paid_for(gateway: ForkedGateway, cloud: Cloud) -> None:
    """What is reserved covers the bytes that are sent, not those received; a cap that they exceed refuses them."""
    app = App(gateway, "lengthened")
    text = " ".join(f"a{number}@b.co" for number in range(60))
    answer = app.chat(text)
    assert answer.status_code == 200, answer.text
    (body,) = cloud.bodies()
    assert len(body) > 1.5 * len(text)
    intent = app.records(RecordKind.INTENT)[-1]
    assert intent.reserved >= len(body) * INPUT + bound_of(json.loads(body)) * OUTPUT
    cloud.forget()
    capped = App(gateway, "capped")
    answer = capped.chat(text + " and a long question about them all" * 30)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "cost_cap_exceeded"), answer.text
    assert cloud.bodies() == []


def test_the_arithmetic_is_exact(gateway: ForkedGateway, cloud: Cloud) -> None:
    """Price times usage, cached tokens at their own price, to the nano-dollar: in the header, record and ledger."""
    app = App(gateway, "arithmetic")
    said = [{"role": "user", "content": f"A conversation that goes on, part {part}."} for part in range(3)]
    total = 0
    for length in (1, 2, 3):
        answer = app.client.post("/v1/chat/completions", json={"model": "auto", "messages": said[:length]})
        usage = answer.json()["usage"]
        cached = usage["prompt_tokens_details"]["cached_tokens"]
        assert bool(cached) == (length > 1)
        pico = (usage["prompt_tokens"] - cached) * PRICE.input + cached * PRICE.cached_input
        pico += usage["completion_tokens"] * PRICE.output
        cost = NanoUsd(-(-pico // 1000))
        total += cost
        assert answer.headers["x-bailiwick-cost"] == in_usd(cost)
        assert answer.headers["x-bailiwick-cost-basis"] == "usage"
        eventually(lambda expected=length: len(app.records(RecordKind.OUTCOME)) == expected)  # type: ignore[misc]
        outcome = app.records(RecordKind.OUTCOME)[-1]
        assert (outcome.cost, outcome.cost_basis) == (cost, "usage")
        counted = (outcome.input_tokens, outcome.output_tokens, outcome.cached_input_tokens)
        assert counted == (usage["prompt_tokens"], usage["completion_tokens"], cached)
    assert app.settled() == total


def test_a_streams_usage_is_settled_though_the_client_did_not_ask_for_it(gateway: ForkedGateway) -> None:
    """The provider's count is asked for and kept from a client that did not want it; the cost is by that count."""
    app = App(gateway, "streamed")
    answer = app.chat("A question to be answered in pieces", stream=True)
    assert '"usage"' not in answer.text
    assert answer.headers["x-bailiwick-cost-basis"] == "reserved"
    eventually(lambda: len(app.records(RecordKind.OUTCOME)) == 1)
    (outcome,) = app.records(RecordKind.OUTCOME)
    assert outcome.cost_basis == "usage"
    assert outcome.cost == outcome.input_tokens * INPUT + outcome.output_tokens * OUTPUT == app.settled()


@pytest.mark.parametrize(
    ("fault", "tries", "kept"), [("500", 3, False), ("reset-early", 1, True), ("hang", 1, True), ("truncated", 1, True)]
)
def test_a_failure_costs_what_it_may_have_cost(
    gateway: ForkedGateway, cloud: Cloud, fault: str, tries: int, kept: bool
) -> None:
    """A clear refusal releases the money; where the provider may have worked, all that was reserved counts as spent."""
    app = App(gateway, f"fails-{fault}")
    cloud.script(fault, tries, retry_after=0.02)
    assert app.chat("A question", max_tokens=100).status_code >= 500
    intent = app.records(RecordKind.INTENT)[-1]
    eventually(lambda: len(app.records(RecordKind.OUTCOME)) == tries)
    costs = [(outcome.cost, outcome.cost_basis) for outcome in app.records(RecordKind.OUTCOME)]
    assert costs == [(intent.reserved, "reserved") if kept else (0, "none")] * tries
    assert app.settled() == (intent.reserved if kept else 0)


def test_where_no_connection_is_made_nothing_is_spent(gateway: ForkedGateway) -> None:
    """A cloud that cannot be reached has received nothing, and its money is released."""
    app = App(gateway, "unreachable")
    assert app.chat("A question", model="nobody").status_code == 503
    assert len(app.records(RecordKind.INTENT)) == 1
    assert app.settled() == 0


def test_a_try_that_may_have_cost_and_one_that_did_are_both_counted_once(gateway: ForkedGateway, cloud: Cloud) -> None:
    """After a broken try the answer's header tells the whole cost; each record tells its own, so that they add up."""
    app = App(gateway, "twice")
    cloud.script("429", retry_after=0.02)
    cloud.script("reset-early")
    assert app.chat("A question", max_tokens=50).status_code == 503
    answer = app.chat("A question", max_tokens=50)
    assert answer.status_code == 200
    eventually(lambda: len(app.records(RecordKind.OUTCOME)) == 3)
    assert app.settled() == sum(outcome.cost for outcome in app.records(RecordKind.OUTCOME))


def test_what_is_spent_survives_a_restart_and_what_was_reserved_a_crash(cloud: Cloud, tmp_path: Path) -> None:
    """After a stop the budget is where it was; after kill -9 what was in flight counts as spent in full."""
    running = ForkedGateway(_setup(cloud, tmp_path, "block"))
    app = App(running, "lasting")
    assert app.chat("A question", max_tokens=200).status_code == 200
    spent = app.settled()
    assert spent > 0
    assert running.process.stop() == 0
    running.restart()
    assert app.money() == (spent, 0)
    app.client = client_of(running, app.key)
    cloud.script("hang")
    in_flight = threading.Thread(target=_ask_and_lose, args=(app,))
    in_flight.start()
    eventually(lambda: len(cloud.bodies()) == 2)
    running.kill()
    in_flight.join()
    reserved = app.records(RecordKind.INTENT)[-1].reserved
    running.restart()
    assert sum(app.money()) == spent + reserved
    app.client = client_of(running, app.key)
    answer = app.chat("Another question", max_tokens=100_000)
    assert answer.status_code == 200
    assert bound_of(json.loads(cloud.bodies()[-1])) * OUTPUT <= LIMIT - spent - reserved
    assert sum(app.money()) <= LIMIT
    assert running.process.stop() == 0


def _ask_and_lose(app: App) -> None:
    with pytest.raises(httpx.HTTPError):
        app.chat("A question that is never answered", max_tokens=500)
