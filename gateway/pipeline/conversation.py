"""Sticky levels: a conversation in which something restricted was said stays restricted.

A chat request carries its whole history, and all of it is searched each time. But a client may leave turns out, or
refer to what a server has kept of them. So the standing of a conversation is kept under a keyed hash of the tenant, the
app and the id; the id is the caller's own name of the conversation, or that of an earlier answer. No content is kept,
and no id in clear. A request that names no conversation costs a few look-ups in a dictionary.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from types import TracebackType
from typing import Any, Final

import orjson

from gateway.domain.call import Chunk, End, ProviderEvent, Whole
from gateway.domain.decision import Level
from gateway.domain.ports import Conversations, ConversationsUnavailable, Standing
from gateway.domain.request import Caller, Hints, InferenceRequest
from gateway.domain.tree import JsonObject
from gateway.pipeline.dispatch import Opened
from gateway.telemetry.logs import log_event

SERVER_STATE: Final = ("previous_response_id", "conversation")
"""Members of a request by which it refers to what a server has kept: ids, or objects with an ``id``."""

WAIT: Final = 2.0
"""Seconds that a request waits for the store; then nobody can say what the conversation has come to."""

MOST_REMEMBERED: Final = 20_000
"""Conversations whose standing this process remembers by itself."""

_log = logging.getLogger(__name__)
_NEW: Final = Standing()


@dataclass(slots=True, repr=False)
class Turn:
    """What a request says about the conversation that it belongs to, and what is known of it.

    `raised` are the keys whose standing rises with this turn, `stored` what the store has under them. `history` is
    what the conversation had come to before, None where nothing is known of one. `unknown` says that the request
    refers to something that was never searched here, `unavailable` that the store did not answer. `standing` is what
    the conversation has come to with this turn, and `kept` whether that is in the store, once it has been tried.
    """

    caller: Caller
    raised: tuple[str, ...] = ()
    stored: Mapping[str, Standing] = field(default_factory=dict)
    history: Standing | None = None
    unknown: bool = False
    unavailable: bool = False
    standing: Standing = _NEW
    kept: bool | None = None
    writing: asyncio.Task[None] | None = None

    @property
    def level(self) -> Level | None:
        """For the facts: the highest level so far."""
        return None if self.history is None else self.history.level

    @property
    def unreadable(self) -> bool:
        """For the facts: is there a part of the history of which nobody can say what is in it?"""
        return self.unknown or self.unavailable or (self.history is not None and self.history.unread)

    async def settled(self) -> None:
        """Return when the id of the answer is in the store, or could not be put there."""
        if self.writing is not None:
            await asyncio.wait({self.writing})


class Keeper:
    """Recalls the standing of conversations, and keeps it. `mac` is a keyed hash (hex); `count` is told, once for each
    turn and each failure, what came of it (docs/telemetry.md)."""

    def __init__(
        self, store: Conversations, mac: Callable[[bytes], str], count: Callable[[str], None] = lambda outcome: None
    ) -> None:
        self._store = store
        self._mac = mac
        self._count = count
        self._floors = _Floors(MOST_REMEMBERED)
        self._running: set[asyncio.Task[None]] = set()

    async def recall(self, caller: Caller, hints: Hints, request: InferenceRequest) -> Turn | None:
        """What the request says about its conversation; None where it says nothing."""
        body = request.body
        if not (
            hints.conversation
            or body.get("previous_response_id") is not None
            or body.get("conversation") is not None
            or body.get("store") is True
        ):
            return None
        named = self._key(caller, "named", hints.conversation) if hints.conversation else None
        states: dict[str, str] = {}  # by key, the member that refers to it
        unknown = False
        for member, name in _references(body):
            if name is None:
                unknown = True
            else:
                states[self._key(caller, "state", name)] = member
        return await self._look_up(caller, named, states, unknown)

    async def keep(self, turn: Turn, level: Level, *, unread: bool) -> bool:
        """Raise the conversation to what this turn was decided at; `unread` says that a part of the turn was not
        searched. Returns when that is durable, or, with False, could not be done. The first call counts."""
        if turn.kept is not None:
            return turn.kept
        now = Standing(level, unread or turn.unknown)
        turn.standing = now if turn.history is None else now.joined(turn.history)
        rising = [key for key in turn.raised if not _covers(turn.stored.get(key, _NEW), turn.standing)]
        turn.kept = not rising or await self._join(rising, turn.standing)
        if rising:
            self._count("raised" if turn.kept else "not_kept")
        return turn.kept

    def follow(self, turn: Turn, opened: Opened) -> Opened:
        """Have the id of this answer stand for the conversation. Written beside the answer: a stream's last event waits
        for it, after a whole answer `turn.settled` does."""
        if isinstance(opened.first, Whole):
            self._answered(turn, opened.first.body)
            return opened
        self._answered(turn, opened.first.data)
        return replace(opened, events=_Followed(opened.events, turn, self._answered))

    async def aclose(self) -> None:
        """Return when nothing is being written any more."""
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _look_up(self, caller: Caller, named: str | None, states: Mapping[str, str], unknown: bool) -> Turn:
        """A name of the caller's own that is new begins a conversation. A state of the server that nobody here knows
        was never searched, so it is content that cannot be read."""
        keys = [*([named] if named else []), *states]
        stored: Mapping[str, Standing] = {}
        unavailable = False
        try:
            if keys:
                async with asyncio.timeout(WAIT):
                    stored = await self._store.standing(keys)
        except (ConversationsUnavailable, TimeoutError) as error:
            unavailable = True
            self._count("unavailable")
            log_event(_log, logging.ERROR, "the conversations cannot be read", error=error)
        for key, standing in stored.items():
            self._floors.put(key, standing)
        known = {key: floor for key in keys if (floor := self._floors.get(key)) is not None}
        unknown = unknown or (not unavailable and not known.keys() >= states.keys())
        # An earlier answer is over: what is said from here on stands under the ids of the answers to come.
        raised = [key for key, member in states.items() if member == "conversation" and key in known]
        history = reduce(Standing.joined, known.values()) if known else None
        if keys and not unavailable:
            self._count("unknown" if unknown else "new" if history is None else "known")
        return Turn(
            caller,
            raised=(*([named] if named else []), *raised),
            stored=stored,
            history=history,
            unknown=unknown,
            unavailable=unavailable,
        )

    async def _join(self, keys: Sequence[str], standing: Standing) -> bool:
        for key in keys:
            self._floors.put(key, standing)
        try:
            async with asyncio.timeout(WAIT):
                await self._store.join(keys, standing)
        except (ConversationsUnavailable, TimeoutError) as error:
            log_event(_log, logging.ERROR, "a conversation's level could not be kept", error=error)
            return False
        return True

    def _answered(self, turn: Turn, data: bytes) -> None:
        """Note the id in an answer or in a chunk of one, if it is the first."""
        name = _id_in(data)
        if turn.writing is None and name:
            key = self._key(turn.caller, "state", name)
            turn.writing = self._begin(self._keep_answer(key, turn.standing))

    async def _keep_answer(self, key: str, standing: Standing) -> None:
        # If this fails the answer is unknown, and a request that refers to it is treated as one that cannot be read.
        if not await self._join([key], standing):
            self._count("answer_not_kept")

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """In a task of its own: a client that leaves must not take it along."""
        task = asyncio.get_running_loop().create_task(work, name="conversation")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def _key(self, caller: Caller, kind: str, name: str) -> str:
        """Of two callers with another tenant or app never the same; nor can a name of the caller's own stand for what
        a server has kept."""
        return self._mac(orjson.dumps([caller.tenant, caller.app, kind, name]))


class NothingKept:
    """Implements `gateway.domain.ports.Conversations` where there is no store: nobody can say anything."""

    async def standing(self, keys: Sequence[str]) -> Mapping[str, Standing]:
        raise ConversationsUnavailable("there is no store")

    async def join(self, keys: Sequence[str], standing: Standing) -> None:
        raise ConversationsUnavailable("there is no store")

    async def aclose(self) -> None:
        """There is nothing to close."""


class _Floors:
    """The standing that conversations have at least, as far as this process knows: what it has read or wanted to write.
    The store is asked all the same, since another process may have raised them; but where it fails, or has not taken
    what it was told, this is what holds. The least recently used are forgotten."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._floors: OrderedDict[str, Standing] = OrderedDict()

    def get(self, key: str) -> Standing | None:
        floor = self._floors.get(key)
        if floor is not None:
            self._floors.move_to_end(key)
        return floor

    def put(self, key: str, standing: Standing) -> None:
        self._floors[key] = standing.joined(self._floors.pop(key, standing))
        if len(self._floors) > self._most:
            self._floors.popitem(last=False)


class _Followed(AsyncGenerator[ProviderEvent, None]):
    """The events of a stream, whose id is noted, and whose last one comes when the id is in the store. No generator
    function: closing one that has not begun would not close the events beneath."""

    def __init__(
        self, events: AsyncGenerator[ProviderEvent, None], turn: Turn, note: Callable[[Turn, bytes], None]
    ) -> None:
        self._events = events
        self._turn = turn
        self._note = note

    async def asend(self, value: None) -> ProviderEvent:
        event = await anext(self._events)
        if isinstance(event, Chunk):
            if self._turn.writing is None:  # some providers begin with a chunk that has no id
                self._note(self._turn, event.data)
        elif isinstance(event, End):
            await self._turn.settled()
        return event

    async def athrow(
        self,
        kind: type[BaseException] | BaseException,
        value: BaseException | object = None,
        trace: TracebackType | None = None,
    ) -> ProviderEvent:
        error = kind if isinstance(kind, BaseException) else value if isinstance(value, BaseException) else kind()
        return await self._events.athrow(error)

    async def aclose(self) -> None:
        await self._events.aclose()


def _references(body: JsonObject) -> Iterator[tuple[str, str | None]]:
    """The members that refer to a server's state, with the id, or None for one that cannot be read."""
    for member in SERVER_STATE:
        value = body.get(member)
        if isinstance(value, dict):
            value = value.get("id", 0)
        if value is not None:
            yield member, value if isinstance(value, str) and value else None


def _id_in(data: bytes) -> str:
    if b'"id"' not in data:
        return ""
    try:
        tree = orjson.loads(data)
    except orjson.JSONDecodeError:  # whoever takes the answer in says so
        return ""
    name = tree.get("id") if isinstance(tree, dict) else None
    return name if isinstance(name, str) else ""


def _covers(old: Standing, new: Standing) -> bool:
    return old.joined(new) == old
