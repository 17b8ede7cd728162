"""A scheduler in the test's own process, with real llama.cpp below it, and clients that remember what they hear."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adapters.llama_cpp.chat import parse
from adapters.llama_cpp.decoding import Outcome, Part
from adapters.llama_cpp.frames import Kind
from adapters.llama_cpp.model import LoadedModel, ModelConfig
from adapters.llama_cpp.scheduler import Scheduler
from adapters.llama_cpp.work import Job


class WatchedModel(LoadedModel):
    """Remembers the parts of every step. `full` makes the next decodes say that the cache is full."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.steps: list[list[Part]] = []
        self.full = 0

    def decode(self, parts: list[Part]) -> tuple[Outcome, list[int]]:
        if self.full:
            self.full -= 1
            return Outcome.NO_ROOM, []
        outcome, rows = super().decode(parts)
        if outcome is Outcome.DONE:
            self.steps.append(parts)
        return outcome, rows


class Client:
    """One request and what came of it."""

    def __init__(self, body: dict[str, Any], tenant: str = "a", first_token: float | None = None) -> None:
        defaults = {"messages": [{"role": "user", "content": "Hello."}], "temperature": 0, "stream": True}
        self.frames: list[tuple[Kind, dict[str, Any]]] = []
        self.done = threading.Event()
        request = parse(json.dumps({**defaults, **body}).encode())
        self.job = Job(request, self._hear, tenant, first_token, request.background)

    def _hear(self, kind: Kind, payload: bytes) -> None:
        self.frames.append((kind, json.loads(payload or b"{}")))
        if kind in (Kind.END, Kind.WHOLE, Kind.ERROR):
            self.done.set()

    def text(self, index: int = 0, seconds: float = 20) -> str:
        """The text of a choice, when the answer is complete."""
        assert self.done.wait(seconds), "no answer"
        assert self.frames[-1][0] is Kind.END, self.frames[-1]
        choices = [one for kind, chunk in self.frames if kind is Kind.CHUNK for one in chunk["choices"]]
        return "".join(one["delta"].get("content") or "" for one in choices if one["index"] == index)

    def error(self, seconds: float = 20) -> tuple[int, str]:
        """Status and code of the error that the request ended with."""
        assert self.done.wait(seconds), "no answer"
        kind, payload = self.frames[-1]
        assert kind is Kind.ERROR
        return payload["status"], payload["body"]["error"]["code"]

    @property
    def cached(self) -> int:
        """Prompt tokens that were not read again; needs ``include_usage``."""
        self.text()
        return int(self.frames[-2][1]["usage"]["prompt_tokens_details"]["cached_tokens"])


class Bench:
    """A scheduler and its model."""

    def __init__(self, model: WatchedModel, limit: int, **options: Any) -> None:
        self.model = model
        self.scheduler = Scheduler(model, "tiny", limit, **options)

    def ask(self, body: dict[str, Any], tenant: str = "a", first_token: float | None = None) -> Client:
        """Submit a request, which must be accepted."""
        client = Client(body, tenant, first_token)
        assert self.scheduler.submit(client.job)
        return client

    def idle(self) -> bool:
        """Is nothing left of any request?"""
        scheduler = self.scheduler
        left = (scheduler._jobs, scheduler._active, scheduler._ready, list(scheduler._waiting), scheduler._prepared)
        return not any(left) and not any(place.busy for place in scheduler._places._places)

    def agrees(self) -> bool:
        """Does llama.cpp hold exactly what the prefix cache believes?"""
        places = self.scheduler._places._places
        return all(self.model.resident(place.number) == len(place.tokens) for place in places)


@contextmanager
def bench(
    path: Path, *, limit: int = 32, share_prefixes: bool = False, prefix_memory: int = 0, **config: Any
) -> Iterator[Bench]:
    """A running scheduler, closed at the end."""
    options = {"share_prefixes": share_prefixes, "prefix_memory": prefix_memory}
    made = Bench(WatchedModel(ModelConfig(path, **config)), limit, **options)
    try:
        yield made
    finally:
        made.scheduler.close()


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for what another thread does; fails when it does not."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.005)
