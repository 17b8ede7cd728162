"""Notices: a policy may ask that somebody is told of a decision. What is told holds no content, and no request waits.

Each channel has a queue and a task of its own, so that one that is slow holds up no other. A notice is sent at least
once: where an answer was lost it comes again, with the same ``idempotency-key``.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Protocol

import httpx
import orjson

from gateway.domain.decision import Decision
from gateway.pipeline.exchange import Exchange
from gateway.telemetry.logs import log_event

MOST_WAITING: Final = 1000
"""Notices that may wait for one channel; what comes then is dropped, counted and said in the log."""

WAITS: Final = (1.0, 5.0, 25.0)
"""Seconds before each further try."""

DRAIN: Final = 5.0
"""Seconds that what is waiting gets when the gateway ends; it is tried once then."""

_PASSING: Final = frozenset({408, 425, 429})
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Channel:
    """Where notices go: a webhook. `timeout` is seconds for one try; `headers` may hold a secret."""

    name: str
    url: str = field(repr=False)  # that of a chat system is a secret by itself
    timeout: float = 5.0
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Notice:
    """One decision, for one channel."""

    decision: str
    channel: str
    body: bytes = field(repr=False)


class Sender(Protocol):
    async def post(self, channel: Channel, notice: Notice) -> int:
        """The status of the answer. Raises where there is none."""
        ...

    async def aclose(self) -> None: ...


class Webhooks:
    """Implements `Sender`: POSTs notices; servers are trusted by the system's certificates."""

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()

    async def post(self, channel: Channel, notice: Notice) -> int:
        """See `Sender`; the answer's body is not read. Raises `httpx.HTTPError` or `TimeoutError`."""
        async with self._opening:
            if self._client is None:  # reading the certificates takes a moment, and most policies tell nobody
                context = await asyncio.to_thread(ssl.create_default_context)
                # Nothing from the environment: a proxy named there is not where the platform team sends its notices.
                self._client = httpx.AsyncClient(verify=context, trust_env=False, follow_redirects=False)
            client = self._client
        headers = {
            "content-type": "application/json",
            "idempotency-key": f"{notice.decision}/{notice.channel}",
            **channel.headers,
        }
        request = client.build_request("POST", channel.url, content=notice.body, headers=headers, timeout=None)
        async with asyncio.timeout(channel.timeout):
            answer = await client.send(request, stream=True)
            await answer.aclose()
        return answer.status_code

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()


class Notifier:
    """Tells channels of decisions. `count` is told channel and outcome of each notice: ``sent``, ``failed`` (all tries
    did), ``dropped`` (too many were waiting, or the gateway ended) or ``unknown`` (there is no such channel). `event`
    records, with the channel, when notices begin not to arrive, and when they arrive again."""

    def __init__(
        self,
        channels: Mapping[str, Channel],
        sender: Sender | None = None,
        *,
        count: Callable[[str, str], None] = lambda channel, outcome: None,
        event: Callable[[str, str], None] = lambda name, channel: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._sender = sender or Webhooks()
        self._count = count
        self._event = event
        self._now = now
        self._lines = {name: _Line(channel) for name, channel in channels.items()}
        self._troubled: set[str] = set()
        self._closing = asyncio.Event()

    def tell(self, exchange: Exchange) -> None:
        """Queue a notice for each channel that the exchange's decision names. Never waits, never raises."""
        decision = exchange.decision
        if decision is None or not decision.notify:
            return
        at = self._now()
        for name in dict.fromkeys(decision.notify):
            line = self._lines.get(name)
            if line is None:
                self._lost(name, "unknown")
            elif len(line.waiting) >= MOST_WAITING or self._closing.is_set():
                self._lost(name, "dropped")
            else:
                line.put(Notice(exchange.id, name, _body(exchange, decision, name, at)))
                if line.task is None:
                    line.task = asyncio.get_running_loop().create_task(self._work(line), name=f"notices {name}")

    async def aclose(self) -> None:
        """Try once more what is waiting, for `DRAIN` seconds at most; what is left is dropped and counted."""
        self._closing.set()
        working = {line.task for line in self._lines.values() if line.task is not None}
        for line in self._lines.values():
            line.wake.set()
        if working:
            _, late = await asyncio.wait(working, timeout=DRAIN)
            for task in late:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)
        for name, line in self._lines.items():
            for _ in line.waiting:
                self._lost(name, "dropped")
            line.waiting.clear()
        await self._sender.aclose()

    async def _work(self, line: _Line) -> None:
        """Send what comes, in order, until the gateway ends."""
        while True:
            while not line.waiting:
                if self._closing.is_set():
                    return
                line.wake.clear()
                await line.wake.wait()
            if await self._send(line, line.waiting[0]):
                self._arrived(line.channel.name)
            else:
                self._lost(line.channel.name, "failed")
            line.waiting.popleft()

    async def _send(self, line: _Line, notice: Notice) -> bool:
        for wait in (*WAITS, None):
            last = wait is None or self._closing.is_set()
            try:
                status = await self._sender.post(line.channel, notice)
            except Exception:  # a border: a try that failed; a task that died would look like one without work
                status = 0
            if 200 <= status < 300:
                return True
            if last or (status and status < 500 and status not in _PASSING):
                return False
            try:
                async with asyncio.timeout(wait):
                    await self._closing.wait()
            except TimeoutError:
                continue
        return False

    def _arrived(self, name: str) -> None:
        self._count(name, "sent")
        if name in self._troubled:
            self._troubled.remove(name)
            self._event("notices arrive again", name)
            log_event(_log, logging.WARNING, "notices arrive again", channel=name)

    def _lost(self, name: str, outcome: str) -> None:
        self._count(name, outcome)
        if name not in self._troubled:
            self._troubled.add(name)
            self._event(f"notice {outcome}", name)
            log_event(_log, logging.ERROR, "a notice that the policy asks for was not sent", channel=name, why=outcome)


class _Line:
    """What waits for one channel."""

    __slots__ = ("channel", "task", "waiting", "wake")

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.waiting: deque[Notice] = deque()
        self.wake = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def put(self, notice: Notice) -> None:
        self.waiting.append(notice)
        self.wake.set()


def _body(exchange: Exchange, decision: Decision, channel: str, at: datetime) -> bytes:
    """Ids and names, all of configuration or made here; nothing of the request."""
    policy = decision.policy
    return orjson.dumps(
        {
            "channel": channel,
            "decision": exchange.id,
            "at": at.isoformat(timespec="milliseconds"),
            "policy": {"name": policy.name, "version": policy.version, "hash": policy.hash},
            "level": decision.level.word,
            "action": decision.action.value,
            "rules": [reason.rule for reason in decision.reasons],
            "tenant": exchange.caller.tenant,
            "app": exchange.caller.app,
        }
    )
