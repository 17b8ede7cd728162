"""The sums of a replay, request by request."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.domain.decision import Level
from gateway.domain.target import Zone
from gateway.policy.replay.question import Question
from gateway.policy.replay.requests import Attempt, Request
from gateway.policy.replay.sides import NOWHERE, Kept, Sent, Side, as_recorded, sent_under
from gateway.policy.replay.verdict import Direction, Verdict


@dataclass(slots=True)
class Changes:
    """Of a group of requests: how many there were, how many are decided otherwise, in which direction."""

    decisions: int = 0
    changed: int = 0
    directions: Counter[Direction] = field(default_factory=Counter)

    def add(self, verdict: Verdict) -> None:
        self.decisions += verdict.count
        if verdict.ruling.changed:
            self.changed += verdict.count
            self.directions[verdict.ruling.direction] += verdict.count


@dataclass(slots=True)
class Kind:
    """One kind of change: how often, and the decision id of one of them."""

    count: int = 0
    example: str = ""


@dataclass(slots=True)
class Tally:
    """`notes` counts what has to be said beside the figures, by a word of `NOTES`."""

    question: Question
    before: Side = field(default_factory=Side)
    after: Side = field(default_factory=Side)
    times: dict[tuple[str, float | None, float | None], Counter[int | None]] = field(default_factory=dict)
    measured: defaultdict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    all: Changes = field(default_factory=Changes)
    bounds: int = 0
    apps: defaultdict[tuple[str, str], Changes] = field(default_factory=lambda: defaultdict(Changes))
    types: defaultdict[str, Changes] = field(default_factory=lambda: defaultdict(Changes))
    kinds: defaultdict[tuple[str, str, Direction], Kind] = field(default_factory=lambda: defaultdict(Kind))
    levels: Counter[tuple[Level, Level]] = field(default_factory=Counter)
    added: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    entities: Counter[str] = field(default_factory=Counter)
    seen_targets: set[str] = field(default_factory=set)
    unsent: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    days: dict[tuple[str, str, str], list[int]] = field(default_factory=dict)
    first: int | None = None
    last: int | None = None

    def add(self, request: Request, verdict: Verdict) -> None:
        """Count one request. Its verdict is shared by all with the same facts, and summed up in `fold`."""
        verdict.count += 1
        at = request.at
        if self.first is None or self.last is None:
            self.first = self.last = at
        elif at > self.last:
            self.last = at
        elif at < self.first:
            self.first = at
        attempts = request.attempts
        if len(attempts) == 1 and attempts[0].answered:
            target = attempts[0].target
            if target in verdict.after_ids and (self.question.against is None or target in verdict.before_ids):
                self._stays(request, attempts[0], verdict)
                return
        self._goes(request, verdict)

    def _stays(self, request: Request, attempt: Attempt, verdict: Verdict) -> None:
        """The usual case, which has to be fast: nothing moves, and before and after are the same."""
        kept = verdict.kept.get(attempt.target)
        if kept is None:
            if not verdict.example:
                verdict.example = request.decision
            times = self.times.setdefault((attempt.target, *verdict.ruling.first_token), Counter())
            kept = verdict.kept[attempt.target] = Kept(attempt.target, attempt.zone == Zone.CLOUD.value, times)
        kept.requests += 1
        kept.size += attempt.size
        kept.cost += attempt.cost
        kept.times[attempt.first_ms] += 1
        if kept.cloud:
            ruling = verdict.ruling
            if ruling.day_limit is not None or ruling.cost_cap is not None:
                self._money(request, verdict, (attempt,), attempt.cost)

    def _goes(self, request: Request, verdict: Verdict) -> None:
        if not verdict.example:
            verdict.example = request.decision
        level = verdict.level
        recorded = as_recorded(request)
        for attempt in recorded.kept:
            if attempt.first_ms is not None:
                self.measured[attempt.target][attempt.first_ms] += 1
        ruling = verdict.ruling
        if not recorded.kept and not ruling.refused:
            self.unsent[request.error or "unknown"] += 1
        sent = self._before(request, verdict, recorded)
        self.before.add(sent, request, level)
        self.before.time(sent, ruling.first_token[0])
        permitted = ruling.permitted[1]
        sent = sent_under(permitted, verdict.after_ids, request, ruling.rank, was_refused=ruling.refused)
        paid = self.after.add(sent, request, level)
        self.after.time(sent, ruling.first_token[1])
        self._money(request, verdict, sent.kept, paid)

    def _before(self, request: Request, verdict: Verdict, recorded: Sent) -> Sent:
        """Where it went, or would have gone under the policy compared with."""
        if self.question.against is None:
            return recorded if recorded.kept else NOWHERE
        ruling = verdict.ruling
        permitted = ruling.permitted[0]
        return sent_under(permitted, verdict.before_ids, request, ruling.rank, was_refused=ruling.refused)

    def _money(self, request: Request, verdict: Verdict, kept: tuple[Attempt, ...], paid: int) -> None:
        ruling = verdict.ruling
        limit, cap = ruling.day_limit, ruling.cost_cap
        if limit is not None and paid:
            day = (ruling.tenant, ruling.app, (request.tree or {}).get("as_of", ""))
            spent = self.days.get(day)
            if spent is None:
                spent = self.days[day] = [0, limit]
            spent[0] += paid
        if cap is not None:
            if paid > cap:
                self.notes["cost_over_cap"] += 1
            else:
                for attempt in kept:
                    if attempt.reserved > cap and attempt.zone == Zone.CLOUD.value:
                        self.notes["reserved_over_cap"] += 1
                        break

    def fold(self, verdicts: Iterable[Verdict]) -> None:
        """Sum up situations that are done with."""
        for verdict in verdicts:
            if verdict.count:
                self._fold(verdict)

    def _fold(self, verdict: Verdict) -> None:
        ruling, count = verdict.ruling, verdict.count
        for kept in verdict.kept.values():
            self.before.add_kept(verdict.level, kept)
            self.after.add_kept(verdict.level, kept)
        self.all.add(verdict)
        self.apps[ruling.tenant, ruling.app].add(verdict)
        for name in ruling.types or ("",):
            self.types[name].add(verdict)
        for entity in ruling.entities:
            self.entities[entity] += count
        self.seen_targets.update(ruling.seen)
        if ruling.changed:
            was, now = ruling.actions
            kind = self.kinds[was.value, now.value, ruling.direction]
            kind.count += count
            kind.example = kind.example or verdict.example
            if ruling.levels[0] is not ruling.levels[1]:
                self.levels[ruling.levels] += count
            for rule in ruling.added:
                self.added[rule] += count
            for rule in ruling.dropped:
                self.dropped[rule] += count
        if ruling.facets & {"limits", "duties"}:
            self.bounds += count
        for note in ruling.notes:
            self.notes[note] += count

    def days_over(self) -> int:
        """Days on which an app would pay more than the new limit."""
        return sum(1 for spent, limit in self.days.values() if spent > limit)

    def finish(self) -> None:
        """What needs the whole period: the expected times of what moves."""
        for (target, before, after), times in self.times.items():
            for milliseconds, count in times.items():
                if milliseconds is not None:
                    self.measured[target][milliseconds] += count
                    self.before.speed.add(milliseconds, before, count)
                    self.after.speed.add(milliseconds, after, count)
        self.before.expect(self.measured)
        self.after.expect(self.measured)
