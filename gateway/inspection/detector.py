"""The detector of the gateway: Presidio's recognisers, off the event loop unless that costs more than they do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gateway.domain.finding import Span
from gateway.domain.ports import DetectorFailed
from gateway.domain.tree import Json
from gateway.inspection.batches import Piece, batches
from gateway.inspection.catalogue import ENTITIES
from gateway.inspection.digits import count_digits
from gateway.inspection.pool import ProcessEnded, ProcessPool
from gateway.settings.recognizers import RegistrySettings

if TYPE_CHECKING:
    from gateway.inspection.engine import Engine

INLINE_COST = 1_200
"""Microseconds that a scan in the event loop may take, by estimate; more goes to a process."""

MAX_WAITING = 50_000_000
"""Characters that may wait for a process; a call that would exceed it fails at once."""

# Microseconds, measured, and rather too high: a tagger of names costs the most, and something for each text; what looks
# like a number or an address is parsed and checked.
_COST_OF_TEXT = 100.0
_COST_OF_CHARACTER = 1.25
_COST_OF_DIGIT = 9.0
_COST_OF_AT_SIGN = 40.0
_LONGEST_WORD = 400  # patterns need time in the square of a word's length, so longer words never run in the loop


class PresidioDetector:
    """Implements `gateway.domain.ports.Detector`.

    What is surely fast is scanned in place, in less than about a millisecond. The rest goes to `processes` processes,
    which can be killed: a text that makes a pattern run away costs its own request a timeout and nobody else more
    than the wait for a new process. There is no thread in between: a thread would hold the same interpreter lock,
    and could not be stopped.

    `registry` are the settings of the recognisers, as JSON (`RegistrySettings.to_json`), for here and each process.
    """

    def __init__(self, processes: int = 1, registry: Json = None) -> None:
        if processes < 1:
            raise ValueError("at least one detector process is needed")
        self._processes = processes
        self._registry = registry
        chosen = RegistrySettings.from_json(registry) if isinstance(registry, dict) else None
        self._entities = ENTITIES if chosen is None else chosen.entities()
        self._never_here = chosen is not None and chosen.ner.is_model  # it would stop the event loop for 100 ms
        self._started = False
        self._pool = ProcessPool(processes, registry)
        self._engine: Engine | None = None
        self._waiting = 0

    @property
    def entities(self) -> frozenset[str]:
        """What can be found with these settings; known before the start."""
        return self._entities

    @property
    def pids(self) -> frozenset[int]:
        """Ids of the detector processes, for monitoring."""
        return self._pool.pids

    @property
    def replaced(self) -> int:
        """How many processes had to be replaced since the start."""
        return self._pool.replaced

    async def start(self) -> None:
        """Load the recognisers here and in the processes, some seconds. Raises `DetectorFailed`."""
        if self._never_here:
            await self._pool.start()
        else:
            self._engine, _ = await asyncio.gather(asyncio.to_thread(_load, self._registry), self._pool.start())
        self._started = True

    async def scan(self, texts: Sequence[str], timeout: float) -> list[list[Span]]:
        """The spans of each text; `timeout` is seconds. Raises `DetectorFailed`."""
        if not self._started:
            raise DetectorFailed("the detector has not been started")
        if self._engine is not None and is_cheap(texts):
            return self._scan_here(self._engine, texts)
        characters = sum(map(len, texts))
        if self._waiting + characters > MAX_WAITING:
            raise DetectorFailed("too much text is waiting to be scanned")
        self._waiting += characters
        try:
            return await self._scan_elsewhere(texts, timeout)
        finally:
            self._waiting -= characters

    def scan_now(self, text: str) -> list[Span]:
        """The spans of a text of some hundred characters (a window of a stream), at once, in the event loop. Raises
        `DetectorFailed`, always with a bigger model, which never runs there."""
        if self._engine is None:
            raise DetectorFailed("the detector does not run in the event loop")
        return self._scan_here(self._engine, [text])[0]

    async def aclose(self) -> None:
        """Stop the processes."""
        self._engine, self._started = None, False
        await self._pool.aclose()

    def _scan_here(self, engine: Engine, texts: Sequence[str]) -> list[list[Span]]:
        try:
            return [engine.scan(text) for text in texts]
        except Exception as error:  # the border to the recognisers: whatever fails there, the text was not scanned
            kind = type(error).__name__
        # Raised out here, so that no context is chained to it: the other exception's text may hold content.
        raise DetectorFailed(f"a recogniser failed: {kind}")

    async def _scan_elsewhere(self, texts: Sequence[str], timeout: float) -> list[list[Span]]:
        found: list[list[Span]] = [[] for _ in texts]
        deadline = asyncio.get_running_loop().time() + timeout
        turn = asyncio.Semaphore(self._processes)  # one long request must not take all the places in the queue

        async def run(pieces: list[Piece]) -> None:
            async with turn:
                answer = await self._pool.run([piece.text for piece in pieces], deadline)
            if "error" in answer:
                raise DetectorFailed(f"a recogniser failed: {answer['error']}")
            for piece, spans in zip(pieces, answer["spans"], strict=True):
                found[piece.index].extend(piece.owned([Span(*span) for span in spans]))

        try:
            async with asyncio.timeout_at(deadline), asyncio.TaskGroup() as group:
                for pieces in batches(texts, self._processes):
                    group.create_task(run(pieces))
        except TimeoutError:
            raise DetectorFailed("the scan took too long", timed_out=True) from None
        except ExceptionGroup as failures:
            first = failures.exceptions[0]
            reason = "a detector process ended" if isinstance(first, ProcessEnded) else str(first)
            if isinstance(first, (ProcessEnded, DetectorFailed)):
                raise DetectorFailed(reason) from None
            raise
        return found


def is_cheap(texts: Sequence[str]) -> bool:
    """May these texts be scanned in the event loop? By estimate of the time from what is in them."""
    cost = 0.0
    for text in texts:
        size = len(text)
        cost += _COST_OF_TEXT + _COST_OF_CHARACTER * size
        if cost > INLINE_COST:
            return False
        cost += _COST_OF_DIGIT * count_digits(text) + _COST_OF_AT_SIGN * text.count("@")
        if size > _LONGEST_WORD and max(map(len, text.split()), default=0) > _LONGEST_WORD:
            return False
    return cost <= INLINE_COST


def _load(settings: Json) -> Engine:
    from gateway.inspection.engine import load  # takes seconds to import, and so is not imported with this module

    return load(settings)
