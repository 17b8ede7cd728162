"""Promise 4: what leaves is in the audit log before its first byte is out, and what became of it follows."""

from __future__ import annotations

import json
import random
import resource
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from gateway.domain.record import AuditRecord, RecordKind
from support.evidence import audit_verify, eventually, intents, mac_of, outcomes, records
from support.live import Cloud, Setup, cloud_target, scripted_cloud
from support.nursery import ForkedGateway, forked_gateway

KILLS = 8
FREE = "{input: 0 USD, output: 0 USD}"
"""A price with which no money has to be set aside, so that the audit log is the only store on the way."""


@pytest.fixture(scope="module")
def slow_cloud() -> Iterator[Cloud]:
    """It takes 30 ms for each piece of a stream, so that there is time to leave."""
    with scripted_cloud("--keep", "5000", "--chunk-delay", "0.03") as running:
        yield running


@pytest.fixture(scope="module")
def gateway(slow_cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkedGateway]:
    targets = [cloud_target("cloud", slow_cloud.base_url), cloud_target("free", slow_cloud.base_url, price=FREE)]
    routes = {"auto": "{targets: [cloud]}", "free": "{targets: [free]}"}
    with forked_gateway(Setup(tmp_path_factory.mktemp("promise4"), targets, routes)) as running:
        yield running


@pytest.fixture(autouse=True)
def _empty(slow_cloud: Cloud) -> None:
    slow_cloud.forget()


class Witness(ThreadingHTTPServer):
    """A cloud that looks into the gateway's audit log at the moment when a request arrives, before it answers."""

    daemon_threads = True

    def __init__(self) -> None:
        self.state = Path()
        self.seen: list[bool] = []
        super().__init__(("127.0.0.1", 0), _Testify)


class _Testify(BaseHTTPRequestHandler):
    server: Witness

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        sent = mac_of(self.server.state)(body)
        self.server.seen.append(
            any(i.sent_mac == sent and i.sent_bytes == len(body) for i in intents(self.server.state))
        )
        message = {"role": "assistant", "content": "Seen."}
        answer = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a test's output is for its failures."""


def test_whoever_receives_a_request_finds_its_intent_already_durable(tmp_path: Path) -> None:
    """At the moment of arrival, the log on the disk already says what is arriving: its size and its keyed hash."""
    with Witness() as witness:
        threading.Thread(target=witness.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{witness.server_address[1]}/v1"
        with forked_gateway(Setup(tmp_path, [cloud_target("cloud", url)], {"auto": "{targets: [cloud]}"})) as running:
            witness.state = running.state
            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(lambda number: running.chat(f"Question {number}?"), range(60)))
        witness.shutdown()
    assert {answer.status_code for answer in answers} == {200}
    assert witness.seen == [True] * 60


def test_the_intent_is_there_while_the_cloud_keeps_silent(gateway: ForkedGateway, slow_cloud: Cloud) -> None:
    """While nobody knows yet what comes of a request, its intent stands alone, with what was sent to whom."""
    slow_cloud.script("hang")
    with leaving_client(gateway, "A question without an answer") as decision_of:
        eventually(lambda: len(slow_cloud.bodies()) == 1)
        (body,) = slow_cloud.bodies()
        intent = decision_of(body.encode())
        assert [record.kind for record in records(gateway.state, intent.decision)] == [RecordKind.INTENT]
        assert (intent.target, intent.zone, intent.sent_bytes, intent.attempt) == ("cloud", "cloud", len(body), 1)
        assert intent.reserved > 0
    eventually(lambda: len(records(gateway.state, intent.decision)) > 1)


@contextmanager
def leaving_client(gateway: ForkedGateway, text: str, **fields: object):  # type: ignore[no-untyped-def]
    """A client that waits for an answer in the background and leaves, without one, at the end of the block. Gives a
    function from what arrived at a cloud to the intent."""
    client = httpx.Client(base_url=gateway.url, headers=gateway.client.headers, timeout=20, trust_env=False)
    body = {"model": "auto", "messages": [{"role": "user", "content": text}], **fields}

    def wait() -> None:
        with suppress(httpx.HTTPError):
            client.post("/v1/chat/completions", json=body)

    def intent_of(sent: bytes) -> AuditRecord:
        (found,) = [i for i in intents(gateway.state) if i.sent_mac == mac_of(gateway.state)(sent)]
        return found

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    try:
        yield intent_of
    finally:
        _hang_up(client)
        thread.join(5)


def _hang_up(client: httpx.Client) -> None:
    """Close the connection under a request that is waiting for its answer."""
    for connection in client._transport._pool.connections:  # type: ignore[attr-defined]
        stream = connection._connection._network_stream  # the socket itself: only it can be closed from outside
        with suppress(OSError):
            stream.get_extra_info("socket").shutdown(2)


def test_a_client_that_leaves_in_the_middle_of_a_stream(gateway: ForkedGateway, slow_cloud: Cloud) -> None:
    """The record is complete (intent, outcome: cancelled, what it can have cost) and the cloud is let go at once."""
    before = slow_cloud.counters()["client_disconnects"]
    text = "word " * 300
    body = {"model": "auto", "stream": True, "messages": [{"role": "user", "content": text}]}
    with gateway.client.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert answer.status_code == 200, answer.read()
        decision = answer.headers["x-bailiwick-decision"]
        pieces = answer.iter_bytes()  # to be kept: when it is gone, so is the connection
        assert next(pieces)
        assert slow_cloud.counters()["open_streams"] == 1
    eventually(lambda: slow_cloud.counters()["open_streams"] == 0, 1.5, "the cloud goes on streaming to nobody")
    assert slow_cloud.counters()["client_disconnects"] > before
    eventually(lambda: len(records(gateway.state, decision)) == 2)
    intent, outcome = records(gateway.state, decision)
    assert (intent.kind, outcome.kind) == (RecordKind.INTENT, RecordKind.OUTCOME)
    assert (outcome.outcome, outcome.cost, outcome.cost_basis) == ("cancelled", intent.reserved, "reserved")
    assert outcome.first_token_ms is not None


def test_a_client_that_leaves_while_it_waits(gateway: ForkedGateway, slow_cloud: Cloud) -> None:
    """The same for an answer that is not streamed: the upstream request is ended, the outcome follows."""
    before = slow_cloud.counters()["client_disconnects"]
    slow_cloud.script("hang")
    with leaving_client(gateway, "Will you wait for me?") as intent_of:
        eventually(lambda: len(slow_cloud.bodies()) == 1)
        intent = intent_of(slow_cloud.bodies()[0].encode())
    eventually(lambda: slow_cloud.counters()["client_disconnects"] > before, 1.5)
    eventually(lambda: len(records(gateway.state, intent.decision)) == 3)
    _, outcome, refusal = records(gateway.state, intent.decision)
    assert (outcome.outcome, outcome.error, outcome.cost) == ("cancelled", "", intent.reserved)
    assert (refusal.kind, refusal.outcome, refusal.error) == (RecordKind.REFUSAL, "cancelled", "")


def test_a_client_that_leaves_before_a_retry_ends_the_tries(gateway: ForkedGateway, slow_cloud: Cloud) -> None:
    """Nobody sends a second time for a client who is gone."""
    slow_cloud.script("429", retry_after=1)
    with leaving_client(gateway, "Come back later?") as intent_of:
        eventually(lambda: len(slow_cloud.bodies()) == 1)
        intent = intent_of(slow_cloud.bodies()[0].encode())
        eventually(lambda: len(records(gateway.state, intent.decision)) == 2)
    time.sleep(1.2)
    assert len(slow_cloud.bodies()) == 1
    kinds = [record.kind for record in records(gateway.state, intent.decision)]
    assert kinds == [RecordKind.INTENT, RecordKind.OUTCOME, RecordKind.REFUSAL]


@contextmanager
def locked(state: Path) -> Iterator[None]:
    """Another process, by way of example a backup, holds the audit log's write lock."""
    with closing(sqlite3.connect(state / "audit.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


def test_nothing_leaves_while_the_log_is_locked(gateway: ForkedGateway, slow_cloud: Cloud) -> None:
    """A request waits for its record, also where that takes a while; then it goes its way."""
    with ThreadPoolExecutor(1) as pool:
        with locked(gateway.state):
            answer = pool.submit(gateway.chat, "Is the door locked?")
            time.sleep(0.6)
            assert slow_cloud.bodies() == []
            assert not answer.done()
        assert answer.result().status_code == 200
    assert len(slow_cloud.bodies()) == 1


def test_a_client_that_leaves_before_its_record_is_written_sends_nothing(
    gateway: ForkedGateway, slow_cloud: Cloud
) -> None:
    """It gave up while the intent was waiting for the disk: the record says so, and no byte has left."""
    before = len(intents(gateway.state))
    with locked(gateway.state), leaving_client(gateway, "Never mind?"):
        time.sleep(0.4)
    eventually(lambda: len(intents(gateway.state)) == before + 1)
    intent = intents(gateway.state)[-1]
    eventually(lambda: len(records(gateway.state, intent.decision)) == 3)
    outcome = records(gateway.state, intent.decision)[1]
    assert (outcome.outcome, outcome.cost, outcome.cost_basis) == ("cancelled", 0, "none")
    assert slow_cloud.bodies() == []


@contextmanager
def full_disk(pid: int) -> Iterator[None]:
    """No file of the process can grow, as on a disk without space."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_on_a_full_disk_nothing_leaves(gateway: ForkedGateway, slow_cloud: Cloud, stream: bool) -> None:
    """Where the intent cannot be made durable the caller gets 503 and the cloud nothing; with space, all is well."""
    with full_disk(gateway.process.pid):
        for _ in range(3):
            answer = gateway.chat("Is there room?", model="free", stream=stream)
            assert answer.status_code == 503, answer.text
            error = answer.json()["error"]
            assert error["code"] == "audit_unavailable"
            assert error["decision"] == answer.headers["x-bailiwick-decision"]
            assert float(answer.headers["retry-after"]) >= 1
        assert slow_cloud.bodies() == []
    assert gateway.chat("Is there room now?", model="free", stream=stream).status_code == 200
    assert len(slow_cloud.bodies()) == 1
    assert audit_verify(gateway).exit_code == 0


def test_every_outcome_follows_its_intent(gateway: ForkedGateway) -> None:
    """After all of the above, no intent is without its outcome and the chain is whole."""

    def all_followed() -> bool:
        answered = {(o.decision, o.attempt) for o in outcomes(gateway.state) if o.error != "audit_unavailable"}
        return answered == {(i.decision, i.attempt) for i in intents(gateway.state)}

    eventually(all_followed, 5, gateway.process.output)  # the last outcome is queued when its answer leaves
    assert audit_verify(gateway).exit_code == 0


def test_kill_minus_nine_at_any_moment_leaves_a_log_that_knows_all_that_left(slow_cloud: Cloud, tmp_path: Path) -> None:
    """Killed again and again under load: the chain verifies each time, and each request that reached the cloud has
    its intent, with its size and keyed hash."""
    chance = random.Random(4)
    setup = Setup(tmp_path, [cloud_target("cloud", slow_cloud.base_url)], {"auto": "{targets: [cloud]}"})
    gateway = ForkedGateway(setup)
    for kill in range(KILLS):
        if kill:
            gateway.restart()
        load = Load(gateway, kill)
        eventually(load.under_way, 10, gateway.process.output)
        time.sleep(chance.uniform(0.0, 0.15))
        gateway.kill()
        load.end()
        verified = audit_verify(gateway)
        assert verified.exit_code == 0, verified.output
        recorded = Counter((record.sent_mac, record.sent_bytes) for record in intents(gateway.state))
        mac = mac_of(gateway.state)
        arrived = Counter((mac(body.encode()), len(body.encode())) for body in slow_cloud.bodies())
        assert arrived <= recorded, "something left of which the log knows nothing"
        assert len(arrived) > 5 * (kill + 1)


class Load:
    """Clients that ask, each question but once, until the gateway is gone."""

    def __init__(self, gateway: ForkedGateway, number: int) -> None:
        self.answered = 0
        self._threads = [threading.Thread(target=self._ask, args=(gateway, f"{number}/{n}")) for n in range(6)]
        for thread in self._threads:
            thread.start()

    def _ask(self, gateway: ForkedGateway, name: str) -> None:
        headers = {"authorization": f"Bearer {gateway.key}"}
        with httpx.Client(base_url=gateway.url, headers=headers, timeout=5, trust_env=False) as client:
            for number in range(10_000):
                messages = [{"role": "user", "content": f"Question {name}/{number}?"}]
                body = {"model": "auto", "messages": messages, "stream": number % 3 == 0, "max_tokens": 6}
                try:
                    client.post("/v1/chat/completions", json=body)
                except httpx.HTTPError:
                    return
                self.answered += 1

    def under_way(self) -> bool:
        return self.answered > 5

    def end(self) -> None:
        for thread in self._threads:
            thread.join(10)
