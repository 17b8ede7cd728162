"""Notices: each channel that a policy names hears of a decision once, nobody waits for it, and what fails is seen."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gateway.dialects import openai_chat
from gateway.domain.errors import Code, ConfigurationError, GatewayError
from gateway.domain.request import Hints
from gateway.pipeline import notice
from gateway.pipeline.notice import Channel, Notice, Notifier, Webhooks
from support.assembly import CALLER, Assembly, RecordingProvider, a_target
from support.exposure import CARD, NAME
from support.here import GatewayHere, gateway_here
from support.live import Setup, cloud_target
from support.playing import until
from support.policies import CARDS_AND_CONTACTS
from support.servers import running

pytestmark = pytest.mark.anyio

CLOUD = a_target("cloud")
POLICY = f"""\
schema: 1
policy: telling
version: 3
owner: privacy@example.com
mode: enforce
{CARDS_AND_CONTACTS}\
  restricted: {{action: block}}
rules:
  - {{id: names-are-told, why: A test, when: {{contains: contact}}, then: {{notify: [privacy-team]}}}}
  - {{id: cards-are-told, why: A test, when: {{contains: cards}}, then: {{notify: [privacy-team, security]}}}}
"""


class Hook:
    """A webhook: keeps what it is sent, and answers with `statuses`, the last of them for ever."""

    def __init__(self, *statuses: int) -> None:
        self.received: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.statuses = list(statuses or (204,))
        self.waits = 0.0
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                hook.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
                status = hook.statuses.pop(0) if len(hook.statuses) > 1 else hook.statuses[0]
                time.sleep(hook.waits)
                self.send_response(status)
                self.send_header("location", "http://127.0.0.1:9/elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing to say."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook?token=1"

    def serve(self) -> None:
        self._server.serve_forever(poll_interval=0.02)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [body for _, body in self.received]


@dataclass
class Told:
    """What a notifier told the world about itself."""

    counted: Counter[tuple[str, str]] = field(default_factory=Counter)
    events: list[tuple[str, str]] = field(default_factory=list)

    def notifier(self, *channels: Channel, sender: Any = None) -> Notifier:
        return Notifier(
            {channel.name: channel for channel in channels},
            sender or Webhooks(),
            count=lambda channel, outcome: self.counted.update([(channel, outcome)]),
            event=lambda name, channel: self.events.append((name, channel)),
            now=lambda: datetime(2026, 9, 1, 12, 0, 0, 123456, tzinfo=UTC),
        )


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def hook() -> Iterator[Hook]:
    opened = Hook()
    with running(opened):
        yield opened


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notice, "WAITS", (0.01, 0.01, 0.01))


def asking(notifier: Notifier) -> Assembly:
    parts = Assembly(POLICY, {CLOUD: RecordingProvider()})
    parts.pipeline._steps = replace(parts.pipeline._steps, notices=notifier)
    return parts


class Stuck:
    """A sender that never comes back."""

    def __init__(self) -> None:
        self.begun = 0

    async def post(self, channel: Channel, notice: Notice) -> int:
        self.begun += 1
        await asyncio.Event().wait()
        return 200

    async def aclose(self) -> None:
        """There is nothing to close."""


async def test_a_channel_hears_of_a_decision_without_its_content(hook: Hook, told: Told) -> None:
    """One notice with the decision's id, its policy, level, action, rules, and whose it is; nothing of the request."""
    channel = Channel("privacy-team", hook.url, headers={"authorization": "Bearer s3cret"})
    notifier = told.notifier(channel)
    parts = asking(notifier)
    await parts.ask(f"Write to {NAME}")
    await until(lambda: told.counted)
    exchange = parts.exchange
    assert exchange is not None
    assert exchange.decision is not None
    ((headers, body),) = hook.received
    assert body == {
        "channel": "privacy-team",
        "decision": exchange.id,
        "at": "2026-09-01T12:00:00.123+00:00",
        "policy": {"name": "telling", "version": 3, "hash": exchange.decision.policy.hash},
        "level": "internal",
        "action": "redact",
        "rules": ["handling.internal", "names-are-told"],
        "tenant": "acme",
        "app": "support-bot",
    }
    assert headers["authorization"] == "Bearer s3cret"
    assert headers["content-type"] == "application/json"
    assert headers["idempotency-key"] == f"{exchange.id}/privacy-team"
    assert NAME not in str(hook.received)
    assert told.counted == {("privacy-team", "sent"): 1}
    assert "s3cret" not in f"{channel!r}{notifier!r}"
    assert "token=1" not in repr(channel)
    await notifier.aclose()


async def test_once_for_each_channel_and_none_without_a_duty(hook: Hook, told: Told) -> None:
    """Two rules that name the same channel make one notice; a refusal is told like an answer, anything else is not."""
    channels = [Channel(name, hook.url) for name in ("privacy-team", "security", "nobody-named-it")]
    notifier = told.notifier(*channels)
    parts = asking(notifier)
    with pytest.raises(GatewayError) as refused:
        await parts.ask(f"{NAME} pays with {CARD}")
    assert refused.value.code is Code.BLOCKED
    await parts.ask("Hello")
    await notifier.aclose()
    assert sorted(body["channel"] for body in hook.bodies) == ["privacy-team", "security"]
    assert {body["action"] for body in hook.bodies} == {"block"}


async def test_a_preview_tells_nobody(hook: Hook, told: Told) -> None:
    """An explanation is no decision on a request."""
    notifier = told.notifier(Channel("privacy-team", hook.url))
    parts = asking(notifier)
    body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": NAME}]}).encode()
    await parts.pipeline.preview(parts.pipeline.begin(CALLER, Hints(), openai_chat, body))
    await notifier.aclose()
    assert (hook.received, told.counted) == ([], {})


async def test_no_request_waits_for_a_channel(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel that never answers delays neither a request nor another channel's notices, and its own queue is
    bounded: what is too much is counted."""
    notifier = told.notifier(Channel("privacy-team", "http://stuck.invalid/"), sender=Stuck())
    parts = asking(notifier)
    began = time.monotonic()
    await parts.ask(f"Write to {NAME}")
    assert time.monotonic() - began < 1
    exchange = parts.exchange
    assert exchange is not None
    for _ in range(notice.MOST_WAITING + 6):
        notifier.tell(exchange)
    assert told.counted == {("privacy-team", "dropped"): 7}
    assert told.events == [("notice dropped", "privacy-team")]
    monkeypatch.setattr(notice, "DRAIN", 0.01)
    await notifier.aclose()


@pytest.mark.usefixtures("impatient")
async def test_what_may_pass_is_tried_again(hook: Hook, told: Told) -> None:
    """After a server's error or too many requests the same notice comes again, with the same key, until it is taken."""
    hook.statuses = [500, 429, 503, 200]
    notifier = told.notifier(Channel("privacy-team", hook.url))
    await asking(notifier).ask(f"Write to {NAME}")
    await until(lambda: told.counted)
    assert len(hook.received) == 4
    assert len({headers["idempotency-key"] for headers, _ in hook.received}) == 1
    assert told.counted == {("privacy-team", "sent"): 1}
    assert told.events == []
    await notifier.aclose()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("status", "tries"), [(400, 1), (404, 1), (302, 1), (500, 4)])
async def test_what_does_not_arrive_is_seen(hook: Hook, told: Told, status: int, tries: int) -> None:
    """A notice that is not taken is counted, and recorded when it begins and when it is over. A redirect is not
    followed: it would take the secret along."""
    hook.statuses = [status]
    notifier = told.notifier(Channel("privacy-team", hook.url))
    parts = asking(notifier)
    for _ in range(2):
        await parts.ask(f"Write to {NAME}")
    await until(lambda: told.counted[("privacy-team", "failed")] == 2)
    assert len(hook.received) == 2 * tries
    assert told.events == [("notice failed", "privacy-team")]
    hook.statuses = [200]
    await parts.ask(f"Write to {NAME}")
    await until(lambda: told.counted[("privacy-team", "sent")] == 1)
    assert told.events == [("notice failed", "privacy-team"), ("notices arrive again", "privacy-team")]
    await notifier.aclose()


@pytest.mark.usefixtures("impatient")
async def test_a_channel_that_is_not_there_or_too_slow(hook: Hook, told: Told) -> None:
    """No connection, no name, and no answer in time are failures like any other."""
    hook.waits = 0.2
    channels = [
        Channel("privacy-team", "http://127.0.0.1:9/"),
        Channel("security", hook.url, timeout=0.02),
    ]
    notifier = told.notifier(*channels)
    parts = asking(notifier)
    with pytest.raises(GatewayError):
        await parts.ask(f"{NAME} pays with {CARD}")
    await until(lambda: told.counted.total() == 2)
    assert told.counted == {("privacy-team", "failed"): 1, ("security", "failed"): 1}
    await notifier.aclose()


async def test_a_channel_that_nobody_declared_is_seen(told: Told) -> None:
    """It is counted each time and recorded once; the request goes its way."""
    notifier = told.notifier()
    parts = asking(notifier)
    for _ in range(3):
        await parts.ask(f"Write to {NAME}")
    assert told.counted == {("privacy-team", "unknown"): 3}
    assert told.events == [("notice unknown", "privacy-team")]
    await notifier.aclose()


async def test_the_end_sends_what_waits(hook: Hook, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was told before the gateway ends still goes out, without waiting for a further try."""
    monkeypatch.setattr(notice, "WAITS", (60.0, 60.0, 60.0))
    hook.statuses = [500, 200]
    notifier = told.notifier(Channel("privacy-team", hook.url))
    parts = asking(notifier)
    for _ in range(5):
        await parts.ask(f"Write to {NAME}")
    await until(lambda: hook.received)
    await notifier.aclose()
    assert told.counted == {("privacy-team", "sent"): 5}
    assert len({body["decision"] for body in hook.bodies}) == 5
    await parts.ask(f"Write to {NAME}")
    assert told.counted[("privacy-team", "dropped")] == 1


async def test_the_end_does_not_wait_for_ever(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a channel does not take in time is given up, and each one counted."""
    monkeypatch.setattr(notice, "DRAIN", 0.05)
    notifier = told.notifier(Channel("privacy-team", "http://stuck.invalid/"), sender=Stuck())
    parts = asking(notifier)
    for _ in range(3):
        await parts.ask(f"Write to {NAME}")
    await _quickly(notifier.aclose)
    assert told.counted == {("privacy-team", "dropped"): 3}


async def _quickly(work: Callable[[], Any]) -> None:
    async with asyncio.timeout(2):
        await work()


async def test_a_sender_that_breaks_does_not_end_the_notices(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it raises is a try that failed; the next notice is sent."""
    monkeypatch.setattr(notice, "WAITS", ())

    class Broken(Stuck):
        async def post(self, channel: Channel, notice: Notice) -> int:
            self.begun += 1
            if self.begun == 1:
                raise KeyError("a defect")
            return 200

    notifier = told.notifier(Channel("privacy-team", "http://x.invalid/"), sender=Broken())
    parts = asking(notifier)
    for _ in range(2):
        await parts.ask(f"Write to {NAME}")
    await until(lambda: told.counted.total() == 2)
    assert told.counted == {("privacy-team", "failed"): 1, ("privacy-team", "sent"): 1}
    await notifier.aclose()


# ---- the whole gateway


def _setup(folder: Path, notify: str) -> Setup:
    setup = Setup(folder, [cloud_target("cloud", "http://127.0.0.1:9/v1")], {"auto": "{targets: [cloud]}"}, POLICY)
    setup.extra = notify
    return setup


async def test_a_policy_with_a_channel_that_is_not_there_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the channel that nobody has declared."""
    with pytest.raises(ConfigurationError, match=r"channel '?security"):
        async with gateway_here(_setup(tmp_path, "notify: {privacy-team: {url: 'https://x.example/'}}"), monkeypatch):
            raise AssertionError("it opened")


async def test_channels_of_the_settings_are_told(hook: Hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From bailiwick.yaml to the webhook, and the figure in the metrics; the end of the gateway waits for it."""
    monkeypatch.setenv("HOOK_SECRET", "Bearer s3cret")
    notify = (
        f"notify: {{privacy-team: {{url: '{hook.url}', secret_env: HOOK_SECRET}}, security: {{url: '{hook.url}'}}}}"
    )
    setup = _setup(tmp_path, notify)
    setup.environ["HOOK_SECRET"] = "Bearer s3cret"
    async with gateway_here(setup, monkeypatch) as here:
        body = {"model": "auto", "messages": [{"role": "user", "content": f"{NAME} pays with {CARD}"}]}
        answer = await here.client.post("/v1/chat/completions", json=body)
        assert answer.status_code == 403
        await until(lambda: len(hook.received) == 2)
        decision = answer.headers["x-bailiwick-decision"]
        assert {(body["channel"], body["decision"]) for body in hook.bodies} == {
            ("privacy-team", decision),
            ("security", decision),
        }
        assert [headers.get("authorization") for headers, _ in sorted(hook.received, key=_channel)] == [
            "Bearer s3cret",
            None,
        ]
        async with asyncio.timeout(5):
            while 'notices_total{channel="security",outcome="sent"} 1.0' not in await _metrics(here):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert "policy" not in (await here.client.get("/readyz")).json()["problems"]


async def _metrics(here: GatewayHere) -> str:
    return (await here.client.get("/metrics")).text


def _channel(received: tuple[dict[str, str], dict[str, Any]]) -> str:
    return str(received[1]["channel"])


async def test_a_reload_that_names_a_new_channel_is_refused(
    hook: Hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A policy with a duty that cannot be met does not come into force; that it was refused is counted."""
    notify = f"notify: {{privacy-team: {{url: '{hook.url}'}}, security: {{url: '{hook.url}'}}}}"
    setup = _setup(tmp_path, notify)
    async with gateway_here(setup, monkeypatch) as here:
        before = await _info(here)
        (tmp_path / "policy.yaml").write_text(POLICY.replace("[privacy-team]", "[privacy-team, works-council]"))
        async with asyncio.timeout(10):
            while "policy_reload_failures_total 1.0" not in await _metrics(here):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert await _info(here) == before


async def _info(here: GatewayHere) -> str:
    """The line that names the policy in force."""
    return next(line for line in (await _metrics(here)).splitlines() if line.startswith("bailiwick_policy_info"))
