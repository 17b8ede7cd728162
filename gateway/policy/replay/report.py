"""What a replay found, as frozen values and as data for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.domain.decision import Level, PolicyId
from gateway.domain.money import NanoUsd, in_usd
from gateway.domain.record import label
from gateway.domain.target import Target
from gateway.domain.tree import Json, JsonObject
from gateway.policy.compile import CompiledPolicy
from gateway.policy.replay.reasons import NOTES, REASONS
from gateway.policy.replay.requests import Joiner
from gateway.policy.replay.sides import Side
from gateway.policy.replay.tally import Changes, Tally
from gateway.policy.replay.verdict import Direction

FORMAT = 1


@dataclass(frozen=True, slots=True)
class NotEvaluated:
    """`reason` is a word of `REASONS`; `example` a decision id."""

    reason: str
    count: int
    example: str


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of change; `before` and `after` are actions, `example` is a decision id."""

    before: str
    after: str
    direction: Direction
    count: int
    example: str


@dataclass(frozen=True, slots=True)
class Group:
    """The decisions of one app or about one data type (empty: nothing of any type was found)."""

    tenant: str
    name: str
    decisions: int
    changed: int
    looser: int
    stricter: int


@dataclass(frozen=True, slots=True)
class Exposure:
    """What of a level reaches the targets of one zone, region and provider: requests and bytes."""

    zone: str
    region: str
    provider: str
    level: Level
    before: tuple[int, int]
    after: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds to the first token; None where nothing was measured. `missed` of those `limited` requests that had
    a limit and a figure were later than it."""

    requests: float
    mean: float | None
    median: float | None
    p95: float | None
    limited: float
    missed: float


@dataclass(frozen=True, slots=True)
class Cost:
    """Nano-dollars: `paid` to clouds, `own` is what local targets are set down for."""

    paid: NanoUsd
    own: NanoUsd


@dataclass(frozen=True, slots=True)
class Report:
    """`records` were read, `evaluated` requests decided again. `first` and `last` are when the first and the last of
    those came (microseconds since the epoch). `nowhere` are requests that are sent nowhere, before and after. `notes`
    pairs a word of `NOTES` with how many requests (or app days) it is about. `policies` has more than one where
    tenants have policies of their own; `against` is empty where the comparison is with what was recorded."""

    policies: tuple[PolicyId, ...]
    against: tuple[PolicyId, ...]
    audit: bool
    since: int
    until: int | None
    first: int | None
    last: int | None
    records: int
    unreadable: int
    evaluated: int
    refused: tuple[NotEvaluated, ...]
    changed: int
    directions: Mapping[Direction, int]
    bounds: int
    kinds: tuple[Kind, ...]
    levels: tuple[tuple[Level, Level, int], ...]
    apps: tuple[Group, ...]
    types: tuple[Group, ...]
    added: tuple[tuple[str, int], ...]
    dropped: tuple[tuple[str, int], ...]
    exposure: tuple[Exposure, ...]
    nowhere: tuple[int, int]
    cost: tuple[Cost, Cost]
    latency: tuple[Latency, Latency]
    moved: int
    unpriced: int
    unmeasured: int
    unsent: tuple[tuple[str, int], ...]
    unseen_entities: tuple[str, ...]
    undetectable: tuple[str, ...]
    unseen_targets: tuple[str, ...]
    notes: Mapping[str, int]

    @property
    def not_evaluated(self) -> int:
        return sum(item.count for item in self.refused)

    @property
    def loosened(self) -> int:
        """Decisions that are looser in any respect."""
        return self.directions.get(Direction.LOOSER, 0) + self.directions.get(Direction.BOTH, 0)

    def as_json(self) -> JsonObject:
        """Keys stay; new ones may be added. Money is a decimal text in USD, times are milliseconds, sizes bytes."""
        return {
            "format": FORMAT,
            "policies": [*map(_policy, self.policies)],
            "against": [*map(_policy, self.against)] or None,
            "mode": "audit" if self.audit else "enforce",
            "since": iso(self.since),
            "until": None if self.until is None else iso(self.until),
            "first": None if self.first is None else iso(self.first),
            "last": None if self.last is None else iso(self.last),
            "records": self.records,
            "unreadable_records": self.unreadable,
            "evaluated": self.evaluated,
            "not_evaluated": {
                "count": self.not_evaluated,
                "reasons": [
                    {"reason": item.reason, "what": REASONS[item.reason], "count": item.count, "example": item.example}
                    for item in self.refused
                ],
            },
            "changed": {
                "count": self.changed,
                **{direction.value: self.directions.get(direction, 0) for direction in Direction},
                "limits_or_duties": self.bounds,
            },
            "kinds": [
                {
                    "before": kind.before,
                    "after": kind.after,
                    "direction": kind.direction.value,
                    "count": kind.count,
                    "example": kind.example,
                }
                for kind in self.kinds
            ],
            "levels": [{"before": was.word, "after": now.word, "count": count} for was, now, count in self.levels],
            "apps": [{"tenant": group.tenant, "app": group.name, **_group(group)} for group in self.apps],
            "data_types": [{"data_type": group.name or None, **_group(group)} for group in self.types],
            "rules": {"added": [*map(_named, self.added)], "dropped": [*map(_named, self.dropped)]},
            **self._where(),
            "notes": [
                {"note": name, "what": NOTES[name], "count": count} for name, count in sorted(self.notes.items())
            ],
            "unseen_entities": [*self.unseen_entities],
            "undetectable_entities": [*self.undetectable],
            "unseen_targets": [*self.unseen_targets],
        }

    def _where(self) -> JsonObject:
        return {
            "exposure": [
                {
                    "zone": row.zone,
                    "region": row.region,
                    "provider": row.provider,
                    "level": row.level.word,
                    "before": {"requests": row.before[0], "bytes": row.before[1]},
                    "after": {"requests": row.after[0], "bytes": row.after[1]},
                }
                for row in self.exposure
            ],
            "sent_nowhere": {"before": self.nowhere[0], "after": self.nowhere[1]},
            "not_sent_for_another_reason": [*map(_named, self.unsent)],
            "cost": {
                "before": _cost(self.cost[0]),
                "after": _cost(self.cost[1]),
                "moved": self.moved,
                "not_priced": self.unpriced,
            },
            "latency": {
                "before": _latency(self.latency[0]),
                "after": _latency(self.latency[1]),
                "not_measured": self.unmeasured,
            },
        }


def build(tally: Tally, joiner: Joiner, refused: tuple[NotEvaluated, ...]) -> Report:
    """The report of a tally that is finished."""
    question = tally.question
    new = _distinct(question.new)
    counted = {entity for policy in new for entity in policy.entities}
    known = question.detectable
    notes = {name: count for name, count in tally.notes.items() if count}
    for name, count in (("unfinished", joiner.unfinished), ("days_over_budget", tally.days_over())):
        if count:
            notes[name] = count
    unseen = tuple(sorted(entity for entity in counted if not tally.entities[entity]))
    return Report(
        policies=tuple(policy.id for policy in new),
        against=tuple(policy.id for policy in _distinct(question.against or {})),
        audit=any(policy.source.audit for policy in new),
        since=question.since,
        until=question.until,
        first=tally.first,
        last=tally.last,
        records=joiner.records,
        unreadable=joiner.unreadable,
        evaluated=tally.all.decisions,
        refused=refused,
        changed=tally.all.changed,
        directions=dict(tally.all.directions),
        bounds=tally.bounds,
        kinds=tuple(
            Kind(before, after, direction, kind.count, kind.example)
            for (before, after, direction), kind in sorted(tally.kinds.items(), key=lambda item: -item[1].count)
        ),
        levels=tuple((was, now, count) for (was, now), count in tally.levels.most_common()),
        apps=_groups(tally.apps),
        types=_groups({("", name): changes for name, changes in tally.types.items()}),
        added=tuple(tally.added.most_common()),
        dropped=tuple(tally.dropped.most_common()),
        exposure=_exposure(tally),
        nowhere=(tally.before.nowhere, tally.after.nowhere),
        cost=(_money(tally.before), _money(tally.after)),
        latency=(_times(tally.before), _times(tally.after)),
        moved=tally.after.moved,
        unpriced=tally.after.unpriced,
        unmeasured=tally.after.unmeasured,
        unsent=tuple(tally.unsent.most_common()),
        unseen_entities=unseen,
        undetectable=() if known is None else tuple(sorted(counted - known)),
        unseen_targets=tuple(target.id for target in question.targets if label(target.id) not in tally.seen_targets),
        notes=notes,
    )


def _distinct(policies: Mapping[str, CompiledPolicy]) -> list[CompiledPolicy]:
    return list({policy.id.hash: policy for policy in policies.values()}.values())


def _groups(groups: Mapping[tuple[str, str], Changes]) -> tuple[Group, ...]:
    """Most changed first."""
    found = [
        Group(
            tenant,
            name,
            changes.decisions,
            changes.changed,
            changes.directions[Direction.LOOSER] + changes.directions[Direction.BOTH],
            changes.directions[Direction.STRICTER] + changes.directions[Direction.BOTH],
        )
        for (tenant, name), changes in groups.items()
    ]
    return tuple(sorted(found, key=lambda group: (-group.changed, -group.decisions, group.tenant, group.name)))


def _exposure(tally: Tally) -> tuple[Exposure, ...]:
    """By level, the highest first; targets of one zone, region and provider together."""
    targets: dict[str, Target] = {label(target.id): target for target in tally.question.targets}
    rows: dict[tuple[str, str, str, Level], list[int]] = {}
    for place, side in enumerate((tally.before, tally.after)):
        for (level, name), reach in side.reach.items():
            target = targets[name]
            sums = rows.setdefault((*_place(target), level), [0, 0, 0, 0])
            sums[2 * place] += reach.requests
            sums[2 * place + 1] += reach.size
    return tuple(
        Exposure(zone, region, provider, level, (sums[0], sums[1]), (sums[2], sums[3]))
        for (zone, region, provider, level), sums in sorted(rows.items(), key=lambda row: (-row[0][3], row[0]))
    )


def _place(target: Target) -> tuple[str, str, str]:
    return target.zone.value, target.region, target.provider


def _money(side: Side) -> Cost:
    return Cost(NanoUsd(side.paid), NanoUsd(side.own))


def _times(side: Side) -> Latency:
    speed = side.speed
    return Latency(speed.count, speed.mean, speed.quantile(0.5), speed.quantile(0.95), speed.limited, speed.misses)


def iso(microseconds: int) -> str:
    """Such as ``2026-11-21T15:00:00Z``."""
    return datetime.fromtimestamp(microseconds / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _policy(policy: PolicyId) -> Json:
    return {"name": policy.name, "version": policy.version, "hash": policy.hash}


def _named(item: tuple[str, int]) -> Json:
    return {"name": item[0], "count": item[1]}


def _group(group: Group) -> JsonObject:
    return {
        "decisions": group.decisions,
        "changed": group.changed,
        "looser": group.looser,
        "stricter": group.stricter,
    }


def _cost(cost: Cost) -> Json:
    return {"paid_usd": in_usd(cost.paid), "own_usd": in_usd(cost.own)}


def _latency(latency: Latency) -> Json:
    def rounded(number: float | None) -> Json:
        return None if number is None else round(number, 1)

    return {
        "requests": round(latency.requests),
        "mean_ms": rounded(latency.mean),
        "median_ms": rounded(latency.median),
        "p95_ms": rounded(latency.p95),
        "with_limit": round(latency.limited),
        "missed": rounded(latency.missed),
    }
