"""Measured speeds, and what they say about the next request. No I/O."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

_SMOOTHING = 0.2
_MISSES = 0.05  # of the requests may begin later than the bound says
_LEARNING = 0.2  # a miss widens the bound by 21 %, a hit narrows it by 1 %: in balance at 5 % of misses
_SILENCE = 60.0  # seconds without a request; what was learnt before is trusted less and less from then on
_HALF_LIFE = 600.0  # seconds
_BEGINNING = math.log(2.0)  # the factor before anything was learnt
_FEW_TOKENS = 16  # fewer prompt tokens say more about the fixed cost of a step than about the speed
_LONGEST_WAIT = 60.0


@dataclass(frozen=True, slots=True)
class Figures:
    """Live figures. Speeds are tokens per second, 0 when nothing was measured yet; times are seconds.

    `decode_speed` is what one answer gets, `total_speed` all together. `backlog` counts the prompt tokens that are
    accepted and not read yet. `prompt_tokens` and `cached_tokens` count since the start; `prefix_hit_rate` is their
    ratio. `place_seconds` is how long a new request would wait for a place. `first_token_seconds` is the prediction
    for the prompt length that was asked for, and `first_token_p95_seconds` the bound that holds for 95 of 100 requests;
    None where no length was given. Of `first_tokens` requests since the start, for which there was such a bound when
    they came, the part `bound_kept_rate` kept it.
    """

    waiting: int
    running: int
    parallel: int
    prompt_speed: float
    decode_speed: float
    total_speed: float
    step_seconds: float
    request_seconds: float
    since_progress: float
    served: int
    refused: int
    backlog: int
    place_seconds: float
    prompt_tokens: int
    cached_tokens: int
    prefix_hit_rate: float
    python_share: float
    first_tokens: int
    bound_kept_rate: float
    idle_prefixes: int = 0
    parked_prefixes: int = 0
    parked_bytes: int = 0
    preempted: int = 0
    first_token_seconds: float | None = None
    first_token_p95_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a request meets that comes now: `place` seconds until it gets a place, `backlog` prompt tokens that are read
    before its own, `speed` tokens of prompts per second, and `step` seconds for a step; 0 where nothing was measured.
    """

    place: float = 0.0
    backlog: int = 0
    speed: float = 0.0
    step: float = 0.0

    def first_token(self, unread: int) -> float:
        """Predicted seconds to the first token of a prompt with `unread` tokens that are not in the cache. 0 while
        nothing was measured: the first request is never refused for a guess."""
        reading = (unread + self.backlog) / self.speed if self.speed else 0.0
        return self.place + reading + self.step


class Calibration:
    """By which factor a prediction is raised so that 95 of 100 requests are not later.

    After each request the factor grows if the bound did not hold, else it shrinks, 19 times as little. So misses settle
    at 5 % however the predictions err, and also while that changes (adaptive conformal inference: Gibbs and Candès,
    2021, on the logarithm of the ratio). A bound under which nobody sends requests any more would never be corrected:
    without requests, a large factor goes back to where it began. `clock` gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._last = clock, clock()
        self._logarithm = _BEGINNING
        self.seen = self.kept = 0

    @property
    def factor(self) -> float:
        return math.exp(self._now())

    def observed(self, predicted: float, seconds: float) -> None:
        """A first token came after `seconds`."""
        self._logarithm = self._now()
        self._last = self._clock()
        missed = seconds > predicted * math.exp(self._logarithm)
        self._logarithm += _LEARNING * (missed - _MISSES)
        self.seen += 1
        self.kept += not missed

    def _now(self) -> float:
        silent = self._clock() - self._last - _SILENCE
        if silent <= 0 or self._logarithm <= _BEGINNING:
            return self._logarithm
        return _BEGINNING + (self._logarithm - _BEGINNING) * math.pow(0.5, silent / _HALF_LIFE)


class Speeds:
    """Exponentially weighted means of what the decode thread measures."""

    def __init__(self) -> None:
        self.prompt = self.decode = self.total = self.step = self.request = 0.0
        self.prompt_tokens = self.cached_tokens = 0
        self.native_seconds = self.python_seconds = 0.0
        self._calibration = Calibration()

    def stepped(self, seconds: float, native: float, prompt: int, generating: int) -> None:
        """One step took `seconds`, of them `native` in llama.cpp, for so many prompt tokens and answers."""
        self.native_seconds += native
        self.python_seconds += max(seconds - native, 0.0)
        seconds = max(seconds, 1e-6)
        self.step = _smooth(self.step, seconds)
        if prompt >= _FEW_TOKENS:
            self.prompt = _smooth(self.prompt, prompt / seconds)
        if generating:
            self.decode = _smooth(self.decode, 1 / seconds)
            self.total = _smooth(self.total, generating / seconds)

    def admitted(self, prompt: int, cached: int) -> None:
        self.prompt_tokens += prompt
        self.cached_tokens += cached

    def finished(self, seconds: float) -> None:
        """A request is complete, so long after it got its place: the time that it waited is no work."""
        self.request = _smooth(self.request, seconds)

    @property
    def python_share(self) -> float:
        """The part of all steps that was not spent in llama.cpp."""
        whole = self.native_seconds + self.python_seconds
        return self.python_seconds / whole if whole else 0.0

    @property
    def hit_rate(self) -> float:
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else 0.0

    def place(self, free: int, waiting: int, parallel: int) -> float:
        """Seconds until a request that comes now gets a place: places become free at an even rate."""
        ahead = waiting + 1 - free
        return ahead * self.request / parallel if ahead > 0 else 0.0

    def outlook(self, backlog: int, place: float) -> Outlook:
        """For a request that comes now, behind `backlog` prompt tokens, and gets a place after `place` seconds."""
        return Outlook(place, backlog, self.prompt, self.step)

    def bound(self, predicted: float) -> float:
        """What 95 of 100 requests with this prediction do not exceed, in seconds."""
        return predicted * self._calibration.factor

    def began(self, predicted: float, seconds: float) -> None:
        """A request had its first token after `seconds`; `predicted` when it came, 0 for not at all."""
        if predicted:
            self._calibration.observed(predicted, seconds)

    @property
    def first_tokens(self) -> int:
        """Requests whose first token came and had been predicted."""
        return self._calibration.seen

    @property
    def bound_kept_rate(self) -> float:
        """The part of them that kept the bound; 1 while there are none."""
        return self._calibration.kept / self._calibration.seen if self._calibration.seen else 1.0

    def retry_after(self, parallel: int, oldest: float = 0.0) -> float:
        """Seconds until a place in the queue is likely to be free. While no request is complete, one takes at least as
        long as the `oldest` has been running."""
        return min(max((self.request or oldest) / parallel, 1.0), _LONGEST_WAIT)


def _smooth(average: float, value: float) -> float:
    return value if average == 0 else average + _SMOOTHING * (value - average)
