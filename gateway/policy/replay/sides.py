"""Where requests go, what that costs and how long it takes: sums for one side, before or after."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.domain.decision import Level
from gateway.domain.money import Usage
from gateway.domain.record import label
from gateway.domain.target import Target, Zone
from gateway.policy.replay.requests import Attempt, Request

_TYPICAL_OUTPUT = 256  # tokens, as routing assumes; only to choose a target for what was never answered


@dataclass(frozen=True, slots=True)
class Sent:
    """Where one request goes. `kept` are attempts as they were recorded; `moved` is the target that it would go to
    instead, None where it does not move. `answered` is the kept attempt that was answered."""

    kept: tuple[Attempt, ...] = ()
    moved: Target | None = None
    answered: Attempt | None = None


NOWHERE = Sent()


def as_recorded(request: Request) -> Sent:
    return Sent(tuple(request.attempts), None, next((a for a in request.attempts if a.answered), None))


def sent_under(
    permitted: tuple[Target, ...], ids: frozenset[str], request: Request, rank: str, *, was_refused: bool
) -> Sent:
    """Where a request goes if these targets are permitted (`ids` are their recorded names, `rank` how their route ranks
    them). A recorded target that is still permitted stays; else it is the one that the route ranks first, by its price
    and the recorded tokens. What was not sent although it might have been (`was_refused` is false) is not sent now
    either: it was not the policy that stopped it."""
    attempts = request.attempts
    if not attempts:
        return Sent(moved=_first(permitted, request, rank, None)) if was_refused and permitted else NOWHERE
    kept = tuple([attempt for attempt in attempts if attempt.target in ids])
    answered = next((attempt for attempt in attempts if attempt.answered), None)
    if kept if answered is None else answered.target in ids:
        return Sent(kept, None, answered)
    failed = {attempt.target for attempt in kept}
    left = tuple([target for target in permitted if label(target.id) not in failed])
    return Sent(kept, _first(left, request, rank, answered), None)


def _first(permitted: tuple[Target, ...], request: Request, rank: str, answered: Attempt | None) -> Target | None:
    tokens = request.tree.get("prompt_tokens", 0) if request.tree else 0
    fitting = [target for target in permitted if target.context_tokens >= tokens]
    if rank != "cost" or len(fitting) < 2:
        return fitting[0] if fitting else None
    usage = (answered and answered.usage) or Usage(tokens, _TYPICAL_OUTPUT)
    return min(fitting, key=lambda target: target.price.cost(usage))


@dataclass(slots=True)
class Reach:
    """Requests, and bytes of them over all attempts."""

    requests: int = 0
    size: int = 0


@dataclass(slots=True)
class Kept:
    """Requests with the same facts that one target answered at the first try, and would again: both sides are the same.
    `times` are their first tokens, counted with those of all others that have the same target and limits."""

    target: str
    cloud: bool
    times: Counter[int | None]
    requests: int = 0
    size: int = 0
    cost: int = 0


@dataclass(slots=True)
class Speed:
    """Milliseconds to the first token, as counts of each figure; `misses` of those `limited` that had a limit."""

    figures: Counter[float] = field(default_factory=Counter)
    limited: float = 0
    misses: float = 0

    def add(self, milliseconds: float, limit: float | None, count: float = 1) -> None:
        """`limit` is seconds, None where there is none."""
        self.figures[milliseconds] += count  # type: ignore[assignment]
        if limit is not None:
            self.limited += count
            if milliseconds > limit * 1000:
                self.misses += count

    @property
    def count(self) -> float:
        return sum(self.figures.values())

    @property
    def mean(self) -> float | None:
        count = self.count
        return sum(figure * number for figure, number in self.figures.items()) / count if count else None

    def quantile(self, share: float) -> float | None:
        wanted, seen = share * self.count, 0.0
        for figure in sorted(self.figures):
            seen += self.figures[figure]
            if seen >= wanted:
                return figure
        return None


class Side:
    """Sums of what was, or of what would be. Money is nano-dollars."""

    def __init__(self) -> None:
        self.reach: defaultdict[tuple[Level, str], Reach] = defaultdict(Reach)
        self.nowhere = 0
        self.paid = 0
        self.own = 0
        self.unpriced = 0
        self.moved = 0
        self.speed = Speed()
        self._expected: Counter[tuple[str, float | None]] = Counter()
        self.unmeasured = 0

    def add(self, sent: Sent, request: Request, level: Level) -> int:
        """Returns what it costs to be paid to a cloud."""
        kept, moved = sent.kept, sent.moved
        paid = 0
        seen: list[str] = []
        for attempt in kept:
            reach = self.reach[level, attempt.target]
            reach.requests += attempt.target not in seen
            reach.size += attempt.size
            seen.append(attempt.target)
            if attempt.zone == Zone.LOCAL.value:
                self.own += attempt.cost
            else:
                paid += attempt.cost
        if moved is not None:
            paid += self._move(moved, request, level)
        elif not kept:
            self.nowhere += 1
        self.paid += paid
        return paid

    def _move(self, target: Target, request: Request, level: Level) -> int:
        self.moved += 1
        attempts = request.attempts
        reach = self.reach[level, label(target.id)]
        reach.requests += 1
        received = request.tree.get("body_bytes", 0) if request.tree else 0
        reach.size += attempts[-1].size if attempts else received
        usage = next((attempt.usage for attempt in attempts if attempt.answered), None)
        if usage is None:
            self.unpriced += 1
            return 0
        cost = target.price.cost(usage)
        if target.zone is Zone.LOCAL:
            self.own += cost
            return 0
        return cost

    def add_kept(self, level: Level, kept: Kept) -> None:
        """Sums of requests of which the one attempt was answered and stays."""
        reach = self.reach[level, kept.target]
        reach.requests += kept.requests
        reach.size += kept.size
        if kept.cloud:
            self.paid += kept.cost
        else:
            self.own += kept.cost

    def time(self, sent: Sent, limit: float | None) -> None:
        """Note the time to the first token: the recorded one where the recorded target stays, else expected later."""
        if sent.answered is not None:
            if sent.answered.first_ms is not None:
                self.speed.add(sent.answered.first_ms, limit)
        elif sent.moved is not None:
            self._expected[label(sent.moved.id), limit] += 1

    def expect(self, measured: Mapping[str, Counter[int]]) -> None:
        """Add the times of what would move, as its new target's were measured over the whole period."""
        for (target, limit), count in self._expected.items():
            figures = measured.get(target)
            if not figures:
                self.unmeasured += count
                continue
            share = count / sum(figures.values())
            for milliseconds, number in figures.items():
                self.speed.add(milliseconds, limit, number * share)
        self._expected.clear()
