"""One server of a target: its health, what it says of its load, and what was measured of the calls to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from adapters.llama_cpp.speeds import Calibration
from adapters.model_servers.ask import Asker, NoAnswer
from adapters.model_servers.sight import Look, Sight
from adapters.openai_compatible import OpenAICompatible
from gateway.domain.errors import Code, ProviderError
from gateway.domain.standing import ServerState

_UNSEEN: Final = "it has not been asked yet"
_WEIGHT: Final = 0.2
_LONGEST_PAUSE: Final = 30.0
_BROKEN: Final = frozenset({Code.TARGET_UNAVAILABLE, Code.TARGET_BAD_ANSWER, Code.TARGET_TIMEOUT})


@dataclass(frozen=True, slots=True)
class Room:
    """What the settings say where a server does not tell: how many requests it answers at a time (`places`, None where
    nobody knows), and how many may wait in it (`queue`) before it counts as full."""

    places: int | None = None
    queue: int = 32


class ModelServer:
    """`calls` makes its requests, `ask` looks at it. `monotonic` is the clock, in seconds."""

    def __init__(
        self,
        base_url: str,
        calls: OpenAICompatible,
        ask: Asker,
        look: Look,
        room: Room,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        split = urlsplit(base_url)
        port = split.port or (443 if split.scheme == "https" else 80)
        self.name = f"{split.hostname}:{port}{split.path.rstrip('/').removesuffix('/v1')}"
        self.calls = calls
        self.look_now = asyncio.Event()
        self.used = 0.0
        self._ask, self._look, self._room, self._monotonic = ask, look, room, monotonic
        self._sight = Sight(None, _UNSEEN)
        self._missed = 0
        self._failures = 0
        self._looked = True
        self._paused_until = 0.0
        self._in_flight = 0
        self._in_flight_then = 0
        self._calibration = Calibration()
        self._first_token: float | None = None
        self._request: float | None = None

    # ---- looking

    async def look(self, model: str) -> None:
        """Look once; never raises. Being late is excused once: a server that is busy may answer its next request."""
        try:
            sight = await self._look.look(self._ask, model)
        except NoAnswer as problem:
            self._missed += 1
            excused = problem.slow and self._missed == 1 and self._sight.up is not False
            sight = Sight(self._sight.up if excused else False, str(problem), models=self._sight.models)
        else:
            self._missed = 0
            self._looked = True
        self._sight = sight
        self._in_flight_then = self._in_flight

    async def aclose(self) -> None:
        await self.calls.aclose()
        await self._ask.aclose()

    # ---- what is known

    @property
    def up(self) -> bool | None:
        """None is unknown."""
        if self._failures and (not self._looked or self._monotonic() < self._paused_until):
            return False
        return self._sight.up

    @property
    def paused(self) -> bool:
        """Calls to it failed, and yet it looks well: worth a try when there is no other."""
        return bool(self._failures) and self._looked and self._sight.up is not False

    @property
    def sight(self) -> Sight:
        return self._sight

    @property
    def load(self) -> int:
        """Requests in it: those of others as of the last look, and our own of this moment."""
        said = (self._sight.figures.running or 0) + (self._sight.figures.waiting or 0)
        return max(said - self._in_flight_then, 0) + self._in_flight

    @property
    def places(self) -> int | None:
        return self._sight.figures.places or self._room.places

    @property
    def waiting(self) -> int | None:
        """Requests that wait in it, those counted in that came since the last look. None where nobody can tell."""
        said, places = self._sight.figures.waiting, self.places
        if places is not None:
            return max(said or 0, self.load - places)
        if not said:
            return said
        return said + max(self._in_flight - self._in_flight_then, 0)  # where one waits, the next one waits too

    @property
    def full(self) -> bool:
        return (self.waiting or 0) >= self._room.queue

    @property
    def request_seconds(self) -> float | None:
        """Of a whole request, as the server says, else as measured here."""
        said = self._sight.figures.request
        return self._request if said is None else said

    @property
    def retry_after(self) -> float:
        """Seconds until a place in its queue is likely to be free."""
        return min(max((self.request_seconds or 1.0) / self._width, 1.0), 60.0)

    def first_token(self, prompt_tokens: int) -> float | None:
        """Predicted seconds to the first token of a prompt of that length: waiting for a place, and reading it. Where
        the server does not say how fast it reads, the mean of late, as it says or as measured here. None where
        somebody waits and nobody knows for how long, or nothing is known."""
        figures = self._sight.figures
        if figures.prompt_speed:
            reading: float | None = prompt_tokens / figures.prompt_speed
        else:
            reading = self._first_token if figures.first_token is None else figures.first_token
        ahead = self._ahead()
        if not ahead:
            return reading
        if reading is None or self.request_seconds is None:
            return None
        return reading + ahead * self.request_seconds / self._width

    def latest(self, predicted: float) -> float:
        """What 95 of 100 calls with this prediction keep, as those up to now teach."""
        return predicted * self._calibration.factor

    def state(self) -> ServerState:
        known: dict[str, float] = {**self._sight.figures.known(), "in_flight": self._in_flight}
        reason = self._sight.reason
        if self.up is False and self._sight.up is not False:
            reason = "the last requests to it failed"
        return ServerState(self.name, self.up, reason, known)

    def _ahead(self) -> int:
        """How many have to go before a request that comes now gets a place."""
        waiting, places = self.waiting or 0, self.places
        if places is not None:
            return max(self.load + 1 - places, 0)
        return waiting + 1 if waiting else 0

    @property
    def _width(self) -> int:
        return max(self.places or self._sight.figures.running or 1, 1)

    # ---- what is measured

    def began(self) -> float:
        """A call begins; give the answer to the other two."""
        self._in_flight += 1
        self.used = self._monotonic()
        return self.used

    def answered(self, began: float, predicted: float | None, *, whole: bool) -> None:
        """Its first event has come: the first token, or a `whole` answer, which says nothing of when that came."""
        self._failures = 0
        if whole:
            return
        seconds = self._monotonic() - began
        self._first_token = _smooth(self._first_token, seconds)
        if predicted:
            self._calibration.observed(predicted, seconds)

    def ended(self, began: float, *, complete: bool) -> None:
        self._in_flight -= 1
        if complete:
            self._request = _smooth(self._request, self._monotonic() - began)

    def failed(self, error: ProviderError) -> None:
        """A server that cannot be reached, breaks off, hangs or talks nonsense is left alone until it looks well again;
        after several failures in a row for a while in any case (2, 4, … 30 seconds). A refusal is no failure."""
        if error.code in _BROKEN and error.retryable:
            self._failures += 1
            self._looked = False
            pause = min(2.0 ** min(self._failures - 1, 10), _LONGEST_PAUSE) if self._failures > 1 else 0.0
            self._paused_until = self._monotonic() + pause
            self.look_now.set()


def _smooth(average: float | None, value: float) -> float:
    return value if average is None else average + _WEIGHT * (value - average)
