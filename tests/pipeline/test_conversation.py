"""Sticky levels: what a conversation has come to holds for its next turns, also for those that leave something out."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from gateway.audit.mac import LogMac
from gateway.conversations.sql_store import SqlConversations
from gateway.dialects import openai_chat
from gateway.domain.call import Chunk, ProviderEvent
from gateway.domain.decision import Level
from gateway.domain.errors import Code, GatewayError
from gateway.domain.ports import ConversationsUnavailable, DetectorFailed, Standing
from gateway.domain.request import Caller, Hints
from gateway.domain.target import Zone
from gateway.pipeline.answer import StreamAnswer, WholeAnswer
from gateway.pipeline.conversation import Keeper
from gateway.pipeline.exchange import Exchange
from gateway.sql import open_engine
from support.assembly import CALLER, KEY, Assembly, a_target
from support.detectors import ListedDetector
from support.exposure import CARD, NAME
from support.playing import END, Playing, chunk, whole

pytestmark = pytest.mark.anyio

CLOUD, HERE = a_target("cloud"), a_target("here", Zone.LOCAL, "on-premises")
POLICY = """\
schema: 1
policy: sticky
version: 1
owner: privacy@example.com
mode: enforce
data_types:
  contact: {detect: [PERSON], confidence: 0.40}
  cards: {detect: [CREDIT_CARD], confidence: 0.40}
  numbers: {detect: [US_SSN], confidence: 0.40}
levels:
  restricted:
    - any_of: [cards]
  confidential:
    - any_of: [numbers]
  internal:
    - any_of: [contact]
handling:
  public: {action: allow}
  internal: {action: redact}
  confidential: {action: block}
  restricted: {action: local_only}
if_unsure: {detector_fails: local_only, unreadable_content: local_only, redaction_incomplete: local_only}
"""
NAMED = Hints(conversation="chat 7")
IMAGE: Any = [{"type": "image_url", "image_url": {"url": "https://pictures.example/1.png"}}]


class Flaky:
    """A store that fails when it is told to, and counts how often it is used; in front of a real one."""

    def __init__(self, store: SqlConversations) -> None:
        self._store = store
        self.used: Counter[str] = Counter()
        self.reading_fails = self.writing_fails = False

    async def standing(self, keys: Sequence[str]) -> Mapping[str, Standing]:
        self.used["read"] += 1
        if self.reading_fails:
            raise ConversationsUnavailable("away")
        return await self._store.standing(keys)

    async def join(self, keys: Sequence[str], standing: Standing) -> None:
        self.used["written"] += 1
        if self.writing_fails:
            raise ConversationsUnavailable("away")
        await self._store.join(keys, standing)

    async def aclose(self) -> None:
        await self._store.aclose()


class Numbered(Playing):
    """Answers with ids that count up: ``answer-cloud-1``; each has the events of `events_of`."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    @property
    def last_id(self) -> str:
        return f"answer-{self._name}-{len(self.calls)}"

    async def stream(self, call: Any) -> AsyncIterator[ProviderEvent]:
        self.calls.append(call)
        if not call.stream:
            yield whole(id=self.last_id)
            return
        yield _with_id(chunk("Hello"), "")  # Azure begins with a chunk without an id
        yield _with_id(chunk(" you"), self.last_id)
        yield END


def _with_id(piece: Chunk, name: str) -> Chunk:
    return replace(piece, data=json.dumps({"id": name, **json.loads(piece.data)}).encode())


@dataclass
class Chat:
    """A gateway with a cloud and a local model, and a store of conversations."""

    store: Flaky
    engine: sa.Engine
    detector: ListedDetector = field(default_factory=ListedDetector)
    cloud: Numbered = field(default_factory=lambda: Numbered("cloud"))
    here: Numbered = field(default_factory=lambda: Numbered("here"))
    counted: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Another process on the same store: it remembers nothing by itself."""
        self.parts = Assembly(POLICY, {CLOUD: self.cloud, HERE: self.here}, detector=self.detector)
        self.keeper = Keeper(self.store, LogMac(KEY).label, lambda outcome: self.counted.update([outcome]))
        pipeline = self.parts.pipeline
        pipeline._steps = replace(pipeline._steps, conversations=self.keeper)

    def begin(self, content: Any, hints: Hints = NAMED, caller: Caller = CALLER, **fields: Any) -> Exchange:
        body = {"model": "auto", "messages": [{"role": "user", "content": content}], **fields}
        return self.parts.pipeline.begin(caller, hints, openai_chat, json.dumps(body).encode())

    async def says(self, content: Any, hints: Hints = NAMED, caller: Caller = CALLER, **fields: Any) -> str:
        """Where this turn was answered: ``cloud``, ``here``; or the code of the error."""
        exchange = self.begin(content, hints, caller, **fields)
        try:
            answer = await self.parts.pipeline.handle(exchange)
        except GatewayError as error:
            return error.code.value
        if isinstance(answer, StreamAnswer):
            await answer.run(_nobody)
        assert exchange.attempt is not None
        return exchange.attempt.candidate.target.id

    def rows(self) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text("SELECT key, level, unread FROM conversations"))]


async def _nobody(data: bytes) -> None:
    """Takes what is written."""


@pytest.fixture
async def chat(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Chat]:
    engine = open_engine(f"sqlite:///{tmp_path}/conversations.db", durable=False)
    store = Flaky(await SqlConversations.open(engine, keep=3600))
    opened = Chat(store, engine)
    yield opened
    await opened.keeper.aclose()
    await store.aclose()


# ---- conversations that the caller names


async def test_a_restricted_turn_is_not_forgotten_when_it_is_left_out(chat: Chat) -> None:
    """A conversation goes to the cloud until something restricted is said; then it stays, also after a restart."""
    assert await chat.says("Hello") == "cloud"
    assert await chat.says(f"My card is {CARD}") == "here"
    assert await chat.says("And what did I just say?") == "here"
    chat.restart()
    assert await chat.says("And now?") == "here"
    assert chat.counted["raised"] == 1
    assert await chat.says("Something else", Hints(conversation="chat 8")) == "cloud"
    assert await chat.says("Something else", Hints()) == "cloud"


async def test_a_lower_level_is_kept_as_well(chat: Chat) -> None:
    """What was internal stays so: the facts of the next turn say it, and the decision has at least that level."""
    await chat.says(f"I am {NAME}")
    exchange = chat.begin("Hello")
    await chat.parts.pipeline.handle(exchange)
    assert exchange.facts is not None
    assert exchange.decision is not None
    assert (exchange.facts.history_level, exchange.decision.level) == (Level.INTERNAL, Level.INTERNAL)


async def test_nothing_is_written_where_nothing_rises(chat: Chat) -> None:
    """A harmless turn costs a read and the id of its answer, a plain request neither."""
    await chat.says("Hello")
    await chat.says("Hello again")
    assert chat.store.used == {"read": 2, "written": 2}  # the ids of both answers
    assert sorted(row[1:] for row in chat.rows()) == [(0, 0), (0, 0)]
    chat.store.used.clear()
    await chat.says("Hello", Hints())
    await chat.says("Hello", Hints(), previous_response_id=None, conversation=None, store=False)
    assert chat.store.used == {}


async def test_callers_of_another_tenant_or_app_never_share(chat: Chat) -> None:
    """The same name, and the id of another's answer, mean nothing between them."""
    assert await chat.says(f"My card is {CARD}") == "here"
    answered = chat.here.last_id
    for other in (replace(CALLER, tenant="globex"), replace(CALLER, app="hr-assistant")):
        assert await chat.says("Hello", caller=other) == "cloud"
        assert await chat.says("Hello", Hints(), other, previous_response_id=answered) == "here"  # unknown to them
    same = replace(CALLER, key="another", group="others", role="auditor")
    assert await chat.says("Hello", caller=same) == "here"
    assert chat.counted["unknown"] == 2


async def test_a_blocked_turn_counts(chat: Chat) -> None:
    """Who may not say something has said it all the same: the conversation knows, the next turn too."""
    assert await chat.says("My number is 536-90-4399") == Code.BLOCKED.value
    assert await chat.says("Forget it") == Code.BLOCKED.value
    assert await chat.says("Hello", Hints()) == "cloud"


async def test_what_could_not_be_read_stays_so(chat: Chat) -> None:
    """A picture, or a turn on which the detector failed, may have held anything: the conversation stays inside."""
    assert await chat.says(IMAGE) == "here"
    assert await chat.says("And now?") == "here"
    second = Hints(conversation="second")
    chat.detector.error = DetectorFailed("broken")
    assert await chat.says("Hello", second) == "here"
    chat.detector.error = None
    assert await chat.says("Hello", second) == "here"
    chat.restart()
    assert await chat.says("Hello", second) == "here"


async def test_a_preview_asks_and_keeps_nothing(chat: Chat) -> None:
    """An explanation knows the history, and adds nothing to it."""
    await chat.says(f"I am {NAME}")
    before = chat.rows()
    _, decision, _ = await chat.parts.pipeline.preview(chat.begin(f"My card is {CARD}"))
    assert decision.level is Level.RESTRICTED
    exchange = chat.begin("Hello")
    _, decision, _ = await chat.parts.pipeline.preview(exchange)
    assert decision.level is Level.INTERNAL
    assert chat.rows() == before


# ---- what a server has kept


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_an_earlier_answer_stands_for_all_before_it(chat: Chat, stream: bool) -> None:
    """Who refers to an answer goes on at its level, over any number of answers, also after a restart; before the
    answer's end its id is in the store."""
    assert await chat.says("Hello", Hints(), store=True, stream=stream) == "cloud"
    first = chat.cloud.last_id
    assert await chat.says(f"My card is {CARD}", Hints(), previous_response_id=first, stream=stream) == "here"
    second = chat.here.last_id
    chat.restart()
    assert await chat.says("And?", Hints(), previous_response_id=second, stream=stream) == "here"
    third = chat.here.last_id
    assert await chat.says("And?", Hints(), previous_response_id=third, stream=stream) == "here"
    # A fork from before the card: what was said after it is not part of it.
    assert await chat.says("Hello", Hints(), previous_response_id=first, stream=stream) == "cloud"
    assert "unknown" not in chat.counted


async def test_an_answer_of_a_plain_call_is_not_known(chat: Chat) -> None:
    """Only an answer that can be referred to is kept: one of a conversation, or one that the server was to store."""
    await chat.says("Hello", Hints())
    assert chat.rows() == []
    assert await chat.says("And?", Hints(), previous_response_id=chat.cloud.last_id) == "here"
    await chat.says("Hello")
    assert await chat.says("And?", Hints(), previous_response_id=chat.cloud.last_id) == "cloud"


async def test_what_was_never_searched_here_cannot_be_read(chat: Chat) -> None:
    """A state of the server that nobody knows is content that no detector saw, and so is all that follows from it."""
    for reference in (
        {"previous_response_id": "resp_unknown"},
        {"previous_response_id": ""},
        {"previous_response_id": 7},
        {"conversation": "conv_unknown"},
        {"conversation": {"id": "conv_unknown"}},
        {"conversation": {}},
        {"conversation": [1]},
    ):
        exchange = chat.begin("Hello", Hints(), **reference)
        await chat.parts.pipeline.handle(exchange)
        assert exchange.facts is not None
        assert exchange.facts.unreadable, reference
        assert exchange.facts.history_level is None
    assert chat.cloud.calls == []
    assert (
        await chat.says("Hello", Hints(), conversation="conv_unknown") == "here"
    )  # having asked does not make it known
    assert await chat.says("Hello", Hints(), previous_response_id=chat.here.last_id) == "here"


async def test_a_name_of_the_callers_own_vouches_for_nothing(chat: Chat) -> None:
    """Naming a conversation in the header does not make the server's state of that name known."""
    assert await chat.says("Hello", Hints(conversation="conv_1")) == "cloud"
    assert await chat.says("Hello", Hints(), conversation="conv_1") == "here"
    assert await chat.says("Hello", Hints(conversation="conv_1"), conversation="conv_1") == "here"
    assert await chat.says("Hello", Hints(conversation="conv_1")) == "here"  # now it has something unknown in it


# ---- failures


async def test_without_the_store_a_conversation_stays_inside(chat: Chat) -> None:
    """When nobody can say what a conversation has come to, it may be anything; plain requests do not depend on it.
    What this process knows by itself still counts."""
    await chat.says(f"I am {NAME}")
    chat.store.reading_fails = True
    exchange = chat.begin("Hello")
    await chat.parts.pipeline.handle(exchange)
    assert exchange.facts is not None
    assert (exchange.facts.unreadable, exchange.facts.history_level) == (True, Level.INTERNAL)
    assert await chat.says("Hello", Hints(conversation="new")) == "here"
    assert await chat.says("Hello", Hints()) == "cloud"
    chat.store.reading_fails = False
    assert await chat.says("Hello") == "cloud"  # that the store was away says nothing of what was said
    assert chat.counted["unavailable"] == 2


async def test_a_level_that_cannot_be_kept_is_not_forgotten(chat: Chat) -> None:
    """The turn itself stays inside, whatever its level; the next one in this process knows, and writes it."""
    chat.store.writing_fails = True
    exchange = chat.begin(f"I am {NAME}")
    await chat.parts.pipeline.handle(exchange)
    assert exchange.facts is not None
    assert exchange.facts.unreadable
    assert (len(chat.cloud.calls), chat.counted["not_kept"]) == (0, 1)
    chat.store.writing_fails = False
    again = chat.begin("Hello")
    await chat.parts.pipeline.handle(again)
    assert again.decision is not None
    assert again.decision.level is Level.INTERNAL
    chat.restart()
    after = chat.begin("Hello")
    await chat.parts.pipeline.handle(after)
    assert after.facts is not None
    assert after.facts.history_level is Level.INTERNAL


async def test_an_answer_whose_id_cannot_be_kept_is_given_and_unknown(chat: Chat) -> None:
    """It cost money and did nothing wrong; who refers to it later is treated as with any unknown answer."""
    chat.store.writing_fails = True
    assert await chat.says("Hello", Hints(), store=True) == "cloud"
    assert chat.counted["answer_not_kept"] == 1
    chat.store.writing_fails = False
    chat.restart()
    assert await chat.says("And?", Hints(), previous_response_id=chat.cloud.last_id) == "here"


async def test_a_client_that_leaves_takes_nothing_along(chat: Chat) -> None:
    """A stream that is abandoned, or cut, is closed beneath, and its id is in the store all the same."""
    exchange = chat.begin("Hello", Hints(), store=True, stream=True)
    answer = await chat.parts.pipeline.handle(exchange)
    assert isinstance(answer, StreamAnswer)
    await answer.abandon()
    assert exchange.closed

    cut = chat.begin("Hello", Hints(), store=True, stream=True)
    answer = await chat.parts.pipeline.handle(cut)
    assert isinstance(answer, StreamAnswer)
    seen = asyncio.Event()

    async def stuck(data: bytes) -> None:
        if b"you" in data:
            seen.set()
            await asyncio.Event().wait()

    running = asyncio.create_task(answer.run(stuck))
    await seen.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await chat.keeper.aclose()
    assert len(chat.rows()) == 1
    assert [record.outcome for record in chat.parts.log.records if record.outcome] == ["cancelled", "cancelled"]


# ---- what is kept, and what it costs


async def test_no_id_and_no_content_is_kept(chat: Chat, tmp_path: Path) -> None:
    """The database holds keyed hashes and numbers only."""
    await chat.says(f"My card is {CARD}", Hints(conversation="Anna's divorce"), store=True)
    await chat.says("Hello", Hints(), previous_response_id=chat.here.last_id)
    stored = b"".join((tmp_path / f"conversations.db{part}").read_bytes() for part in ("", "-wal"))
    keys = [key for key, _, _ in chat.rows()]
    assert all(key.encode() in stored for key in keys)
    for secret in ("Anna", "divorce", chat.here.last_id, CALLER.tenant, CALLER.app, CARD):
        assert secret.encode() not in stored
    assert all(len(key) == 32 and int(key, 16) for key in keys)


async def test_a_request_that_names_no_conversation_costs_nothing(chat: Chat) -> None:
    """Less than three microseconds, best of several (usual is half of one)."""
    request = openai_chat.parse(b'{"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}')
    recall, hints = chat.keeper.recall, Hints()
    best = 1.0
    for _ in range(30):
        began = time.perf_counter()
        for _ in range(100):
            assert await recall(CALLER, hints, request) is None
        best = min(best, (time.perf_counter() - began) / 100)
    assert best < 3e-6


async def test_only_so_many_are_remembered_here(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of a process is bounded; what falls out of it is still in the store."""
    monkeypatch.setattr("gateway.pipeline.conversation.MOST_REMEMBERED", 3)
    chat.restart()
    for number in range(5):
        await chat.says(f"I am {NAME}", Hints(conversation=f"chat {number}"))
    assert len(chat.keeper._floors._floors) == 3
    exchange = chat.begin("Hello", Hints(conversation="chat 0"))
    await chat.parts.pipeline.handle(exchange)
    assert exchange.facts is not None
    assert exchange.facts.history_level is Level.INTERNAL


async def test_facts_tell_labels_and_the_minute(chat: Chat) -> None:
    """What the caller declared, and the minute (UTC) of the same reading of the clock as the day."""
    exchange = chat.begin("Hello", Hints(labels=("draft", "patient")))
    answer = await chat.parts.pipeline.handle(exchange)
    assert isinstance(answer, WholeAnswer)
    facts = exchange.facts
    assert facts is not None
    assert facts.labels == ("draft", "patient")
    now = chat.parts.pipeline._clock.now()
    assert now == datetime(2026, 9, 1, 12, 0, tzinfo=UTC)
    assert (facts.as_of, facts.minute) == (now.date(), 720)
