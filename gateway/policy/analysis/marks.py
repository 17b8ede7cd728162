"""Effects as sets of marks, so that joining two is *or*, and equal marks mean an equal decision.

What takes the smaller of two amounts is written as "at most X" for every X that occurs: the smaller amount has all the
marks of the greater one. Regions are written as those that are out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from gateway.domain.decision import Gate, LogContent
from gateway.domain.target import Target, Zone
from gateway.policy.compile import CompiledPolicy
from gateway.policy.effects import Effect
from gateway.policy.schema import Amounts

Mark: TypeAlias = "tuple[object, ...]"
_ELSEWHERE = ""
"""Every region that the policy does not name."""


@dataclass(slots=True)
class Bits:
    """Gives each mark a bit of its own, as they come."""

    of: dict[Mark, int] = field(default_factory=dict)

    def bit(self, mark: Mark) -> int:
        if mark not in self.of:
            self.of[mark] = 1 << len(self.of)
        return self.of[mark]

    def all(self, marks: Iterable[Mark]) -> int:
        bits = 0
        for mark in marks:
            bits |= self.bit(mark)
        return bits


@dataclass(frozen=True, slots=True)
class Lens:
    """Which differences are looked at. With `targets`, of what is asked of clouds only which of these are out; `kinds`
    are the marks that matter beside the gate, None meaning all."""

    targets: tuple[Target, ...] | None = None
    kinds: frozenset[str] | None = None


class Marks:
    """The marks of one policy's effects, as seen through a lens. `place` tells several policies apart."""

    def __init__(self, bits: Bits, place: int, policy: CompiledPolicy, lens: Lens) -> None:
        self._bits = bits
        self._place = place
        self._kinds = lens.kinds
        self._clouds = (
            None if lens.targets is None else [target for target in lens.targets if target.zone is Zone.CLOUD]
        )
        effects = [*policy.handling, *(rule.effect for rule in policy.rules)]
        limits = [policy.limits.default, policy.limits.ceiling, *policy.limits.scopes]
        self._regions = {_ELSEWHERE}.union(*(effect.regions or () for effect in effects))
        self._caps = {effect.cost_cap for effect in effects} | {amounts.per_request for amounts in limits}
        self._waits = {effect.first_token for effect in effects} | {amounts.first_token for amounts in limits}
        self._days = {effect.retain_days for effect in effects}
        self.approvals = 0
        """The bits of all approvals that anything so far asked for."""

    def enforced(self, effect: Effect) -> int:
        """The bits of an effect that counts."""
        self._approve(effect)
        return self._seen("enforced", (*self._where(effect), *self._rest(effect)))

    def tried(self, effect: Effect) -> int:
        """The bits of an effect in audit mode, of which a decision shows what would have been permitted."""
        if self._kinds is not None:
            return 0
        self._approve(effect)
        return self._seen("tried", self._where(effect))

    def kinds(self, effect: Effect) -> frozenset[str]:
        """The kinds of marks that say whether others ask for all that this effect does."""
        return frozenset(
            {"gate", "local only"}.union(str(mark[0]) for mark in (*self._where(effect), *self._rest(effect)))
        )

    def limits(self, amounts: Amounts) -> int:
        marks = [*self._at_most("cost", self._caps, amounts.per_request)]
        marks += self._at_most("first token", self._waits, amounts.first_token)
        day = 0 if self._kinds is not None else self._bits.bit((self._place, "day limit", amounts.per_app_per_day))
        return day | self._seen("enforced", marks)

    def _seen(self, how: str, marks: Iterable[Mark]) -> int:
        kinds = self._kinds
        return self._bits.all((self._place, how, *mark) for mark in marks if kinds is None or mark[0] in kinds)

    def _approve(self, effect: Effect) -> None:
        if effect.gate is Gate.REQUIRE_APPROVAL:
            for kind in ("enforced", "tried"):
                self.approvals |= self._bits.bit((self._place, kind, "gate", Gate.REQUIRE_APPROVAL))

    def _where(self, effect: Effect) -> Iterator[Mark]:
        """What decides where a request may go. An approval lifts only the gate below block, so each has its mark."""
        if effect.gate is not Gate.ALLOW:
            yield "gate", effect.gate
        if not effect.cloud:
            yield ("local only",)
        if self._clouds is not None:
            yield from (("not to", target.id) for target in self._clouds if not _passes(effect, target))
        else:
            if effect.regions is not None:
                yield from (("not in", region) for region in sorted(self._regions - effect.regions))
            yield from (("must have", label) for label in sorted(effect.provider_must_have))
        yield from (("hide", name) for name in sorted(effect.redact))

    def _rest(self, effect: Effect) -> Iterator[Mark]:
        yield from self._at_most("cost", self._caps, effect.cost_cap)
        yield from self._at_most("first token", self._waits, effect.first_token)
        yield from self._at_most("keep", self._days, effect.retain_days)
        yield from (("hide in answers", name) for name in sorted(effect.hide_in_answers))
        yield from (("notify", channel) for channel in effect.notify)
        yield from (("log", stage) for stage in LogContent if LogContent.UNSAID < stage <= effect.log_content)
        if effect.tell_user:
            yield "tell", effect.tell_user
        if effect.approval is not None:
            yield "approval", effect.approval.approvers, effect.approval.seconds

    @staticmethod
    def _at_most(what: str, known: Iterable[float | None], amount: float | None) -> list[Mark]:
        if amount is None:
            return []
        return [(what, value) for value in known if value is not None and value >= amount]


def _passes(effect: Effect, cloud: Target) -> bool:
    """Does this effect, by itself, let a request go to this cloud? `labels` of the target are those of the day."""
    regions = effect.regions
    return effect.cloud and (regions is None or cloud.region in regions) and effect.provider_must_have <= cloud.labels


_NOWHERE = {"local only", "not in", "must have", "hide"}
_UNSEEN = {*_NOWHERE, "not to", "cost", "first token", "hide in answers", "approval"}


def drops(bits: Bits, place: int) -> Iterator[tuple[int, int]]:
    """What nobody can notice beside a block, or where no cloud is possible, of one policy's marks so far."""
    block = (place, "enforced", "gate", Gate.BLOCK)
    local = (place, "enforced", "local only")
    beside_block = beside_local = 0
    for mark, bit in bits.of.items():
        if mark[0] != place or mark[1] not in ("enforced", "tried", "day limit") or mark in (block, local):
            continue
        waits = mark[2:] == ("gate", Gate.REQUIRE_APPROVAL)
        if mark[1] != "enforced" or waits or mark[2] in _UNSEEN:
            beside_block |= bit
        if mark[1] != "day limit" and mark[2] in _NOWHERE:
            beside_local |= bit
    if block in bits.of:
        yield bits.of[block], beside_block | bits.of.get(local, 0)
    if local in bits.of:
        yield bits.of[local], beside_local
