"""One request under the old and the new policy: the same facts, two decisions, and the difference between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.domain.decision import Action, Decision, Facts, Gate, Hidden, Level
from gateway.domain.money import NanoUsd
from gateway.domain.record import AuditRecord, label
from gateway.domain.target import Target, Zone
from gateway.policy.compile import CompiledPolicy
from gateway.policy.evaluate import present_types
from gateway.policy.replay.sides import Kept

_GATES = {Action.BLOCK: Gate.BLOCK, Action.REQUIRE_APPROVAL: Gate.REQUIRE_APPROVAL}


class Direction(StrEnum):
    """LOOSER: something may go where it might not, or less is hidden from a cloud. STRICTER: the contrary. BOTH: one
    thing is looser and another stricter. NEITHER: another level or another word for it, and the same may go to the
    same places."""

    LOOSER = "looser"
    STRICTER = "stricter"
    BOTH = "both"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class Before:
    """The decision that the new one is compared with. `permitted` are the targets that there still are. `hides` is what
    had to be hidden from clouds, `first_token` (seconds) and `cost_cap` its limits: None in a record whose policy is
    not kept (`known` is then false)."""

    level: Level
    action: Action
    permitted: tuple[Target, ...]
    because: frozenset[str]
    decision: Decision | None

    @property
    def known(self) -> bool:
        return self.decision is not None

    @property
    def first_token(self) -> float | None:
        return None if self.decision is None else self.decision.first_token


def recorded(record: AuditRecord, served: Sequence[Target], decision: Decision | None) -> Before:
    """What the record says was decided; `decision` is what its own policy gives, where that is kept. Raises `KeyError`
    or `ValueError` for a word that no decision has."""
    permitted = frozenset(record.permitted)
    return Before(
        level=Level[record.level.upper()],
        action=Action(record.action),
        permitted=tuple(target for target in served if label(target.id) in permitted),
        because=frozenset(record.because),
        decision=decision,
    )


def decided(decision: Decision, served: Sequence[Target]) -> Before:
    """What another policy decides."""
    return Before(
        level=decision.level,
        action=decision.action,
        permitted=allowed(decision, served),
        because=frozenset(label(reason.rule) for reason in decision.reasons),
        decision=decision,
    )


def allowed(decision: Decision, served: Sequence[Target]) -> tuple[Target, ...]:
    permitted = decision.permitted
    return tuple(target for target in served if target.id in permitted)


@dataclass(frozen=True, slots=True)
class Ruling:
    """What is decided about requests with the same facts; pairs are before and after.

    `facets` are what differs: ``level``, ``action``, ``targets``, ``redaction``; and, where the old limits are known,
    ``limits`` and ``duties`` (whom to tell, how long to keep). `permitted` are the targets in their route's order, and
    `rank` is how it ranks them; `refused` says that none was permitted when it was recorded. `first_token` is seconds,
    `cost_cap` and `day_limit` (after) nano-dollars. `types` and `entities` are what was found, `seen` the targets that
    were recorded as permitted, `added` and `dropped` the rules that have a say on one side only, `notes` words of
    `NOTES`.
    """

    tenant: str
    app: str
    refused: bool
    rank: str
    levels: tuple[Level, Level]
    actions: tuple[Action, Action]
    permitted: tuple[tuple[Target, ...], tuple[Target, ...]]
    first_token: tuple[float | None, float | None]
    cost_cap: NanoUsd | None
    day_limit: NanoUsd | None
    types: tuple[str, ...]
    entities: tuple[str, ...]
    seen: tuple[str, ...]
    added: tuple[str, ...]
    dropped: tuple[str, ...]
    notes: tuple[str, ...]
    facets: frozenset[str]
    direction: Direction

    @property
    def changed(self) -> bool:
        return bool(self.facets - {"limits", "duties"})

    @property
    def level(self) -> Level:
        """The higher of both levels: the same yardstick for before and after."""
        return max(self.levels)


@dataclass(slots=True)
class Verdict:
    """A ruling and the requests that got it. `before_ids` and `after_ids` are the permitted targets as records name
    them, `example` is a decision id, `kept` are sums by target that `tally` makes."""

    ruling: Ruling
    before_ids: frozenset[str] = field(init=False)
    after_ids: frozenset[str] = field(init=False)
    level: Level = field(init=False)
    count: int = 0
    example: str = ""
    kept: dict[str, Kept] = field(default_factory=dict)

    def __post_init__(self) -> None:
        before, after = self.ruling.permitted
        self.before_ids = frozenset(label(target.id) for target in before)
        self.after_ids = frozenset(label(target.id) for target in after)
        self.level = self.ruling.level


def compare(
    before: Before, after: Decision, facts: Facts, served: Sequence[Target]
) -> tuple[frozenset[str], Direction]:
    """What differs, and in which direction."""
    was, now = frozenset(target.id for target in before.permitted), after.permitted
    looser, stricter = bool(now - was), bool(was - now)
    facets = {"targets"} if was != now else set()
    if before.level is not after.level:
        facets.add("level")
    if before.action is not after.action:
        facets.add("action")
    gate = _GATES.get(before.action, Gate.ALLOW)
    looser |= after.gate < gate
    stricter |= after.gate > gate
    if any(target.zone is Zone.CLOUD for target in before.permitted if target.id in now):
        less, more = _hidden_otherwise(before, after, facts)
        looser |= less
        stricter |= more
        if less or more:
            facets.add("redaction")
    if before.decision is not None:
        facets |= _bounds(before.decision, after)
    if looser and stricter:
        return frozenset(facets), Direction.BOTH
    direction = Direction.LOOSER if looser else Direction.STRICTER if stricter else Direction.NEITHER
    return frozenset(facets), direction


def _hidden_otherwise(before: Before, after: Decision, facts: Facts) -> tuple[bool, bool]:
    """Is less of what was found hidden from a cloud that may have it in both cases? Is more?"""
    if before.decision is None:  # then the word is all that is known
        was, now = before.action is Action.REDACT, after.action is Action.REDACT
        return was and not now, now and not was
    hid = {
        Hidden(f.entity, f.percent) for f in facts.found if f.distinct and before.decision.hides(f.entity, f.percent)
    }
    hides = {Hidden(f.entity, f.percent) for f in facts.found if f.distinct and after.hides(f.entity, f.percent)}
    return bool(hid - hides), bool(hides - hid)


def _bounds(old: Decision, new: Decision) -> set[str]:
    facets = set()
    if (old.cost_cap, old.day_limit, old.first_token) != (new.cost_cap, new.day_limit, new.first_token):
        facets.add("limits")
    duties = [(d.notify, d.retain_days, d.log_content, d.tell_user, d.hide_in_answers) for d in (old, new)]
    if duties[0] != duties[1]:
        facets.add("duties")
    return facets


def types_of(policy: CompiledPolicy, facts: Facts) -> tuple[str, ...]:
    """The policy's data types of which something was found."""
    present = present_types(policy, facts.found)
    return tuple(kind.name for place, kind in enumerate(policy.source.data_types) if present >> place & 1)
