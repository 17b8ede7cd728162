"""From a stream of records to requests: what was decided, where it was sent, what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from gateway.domain.money import Usage

_LONGEST_OPEN = 65_536  # requests without an end are given up in order: a crash leaves some, and memory stays flat
_OVER = frozenset({"completed", "broken"})


class Attempt:
    """One try at one target: what the intent and, if there is one, the outcome say. Bytes, nano-dollars,
    milliseconds; `answered` when a first token came."""

    __slots__ = ("_intent", "_outcome", "answered", "cost", "first_ms", "number", "size", "target")

    def __init__(self, intent: dict[str, Any]) -> None:
        self._intent = intent
        self._outcome: dict[str, Any] | None = None
        self.number: int = intent.get("attempt", 0)
        self.target: str = intent.get("target", "")
        self.size: int = intent.get("sent_bytes", 0)
        self.cost = 0
        self.first_ms: int | None = None
        self.answered = False

    def ended(self, outcome: dict[str, Any]) -> None:
        self._outcome = outcome
        self.cost = outcome.get("cost", 0)
        self.first_ms = outcome.get("first_token_ms")
        self.answered = self.first_ms is not None or outcome.get("outcome") in _OVER

    @property
    def zone(self) -> str:
        zone: str = self._intent.get("zone", "")
        return zone

    @property
    def reserved(self) -> int:
        reserved: int = self._intent.get("reserved", 0)
        return reserved

    @property
    def usage(self) -> Usage | None:
        """The tokens that were counted, all of them as if none came from a cache: another target has another one."""
        outcome = self._outcome
        if outcome is None or not ("input_tokens" in outcome or "output_tokens" in outcome):
            return None
        return Usage(outcome.get("input_tokens", 0), outcome.get("output_tokens", 0))


class Request:
    """All that was recorded of one decision id. `tree` and `body` are the last record with facts, None and empty where
    there is none; `error` is why it went nowhere."""

    __slots__ = ("at", "attempts", "body", "decision", "error", "tree")

    def __init__(self, decision: str, at: int) -> None:
        self.decision = decision
        self.at = at
        self.tree: dict[str, Any] | None = None
        self.body = b""
        self.attempts: list[Attempt] = []
        self.error = ""


class Joiner:
    """Collects the records of each request; gives it out when it is over. Holds a bounded number of open ones."""

    def __init__(self, since: int, until: int | None) -> None:
        self._since = since
        self._until = until
        self._open: dict[str, Request] = {}
        self.records = 0
        self.unreadable = 0
        """Bodies that are no records."""
        self.unfinished = 0
        """Requests that were sent and of which no end is recorded."""

    def add(self, body: bytes) -> Request | None:
        """Take one record; returns a request that is over with it, if it came in the time asked for."""
        self.records += 1
        try:
            tree = orjson.loads(body)
            kind, name, at = tree["kind"], tree["decision"], tree["at"]
            if kind == "outcome":
                return self._ended(name, tree)
            if kind == "intent":
                return self._begun(name, at, tree, body)
            return self._refused(name, at, tree, body) if kind == "refusal" else None
        except (ValueError, TypeError, KeyError, AttributeError):  # somebody has put something else there
            self.unreadable += 1
            return None

    def rest(self) -> Iterator[Request]:
        """The requests that have no end yet."""
        for request in self._open.values():
            if self._asked_for(request):
                self.unfinished += 1
                yield request
        self._open.clear()

    def _begun(self, name: str, at: int, tree: dict[str, Any], body: bytes) -> Request | None:
        request = self._open.get(name)
        if request is None:
            request = self._open[name] = Request(name, at)
        request.tree, request.body = tree, body
        request.attempts.append(Attempt(tree))
        if len(self._open) <= _LONGEST_OPEN:
            return None
        given_up = self._open.pop(next(iter(self._open)))
        if not self._asked_for(given_up):
            return None
        self.unfinished += 1
        return given_up

    def _ended(self, name: str, tree: dict[str, Any]) -> Request | None:
        request = self._open.get(name)
        if request is None:
            return None
        number = tree.get("attempt", 0)
        for attempt in reversed(request.attempts):
            if attempt.number == number:
                attempt.ended(tree)
                if not attempt.answered:
                    return None  # another attempt follows, or a refusal
                break
        del self._open[name]
        return request if self._asked_for(request) else None

    def _refused(self, name: str, at: int, tree: dict[str, Any], body: bytes) -> Request | None:
        request = self._open.pop(name, None) or Request(name, at)
        if request.tree is None or "detector" in tree:
            request.tree, request.body = tree, body
        request.error = tree.get("error", "") or tree.get("outcome", "")
        return request if self._asked_for(request) else None

    def _asked_for(self, request: Request) -> bool:
        return self._since <= request.at and (self._until is None or request.at < self._until)
