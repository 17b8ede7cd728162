"""How one decision differs from another about the same request: what is looser, what is stricter, what is neither."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from gateway.domain.decision import ApprovalNeeded, Decision, Gate, Hidden, LogContent
from gateway.domain.money import NanoUsd, in_usd
from gateway.domain.target import Target, Zone
from gateway.policy.analysis.words import listed

Said: TypeAlias = "tuple[str, str]"
"""``looser``, ``stricter`` or ``other``, and the difference in words."""

WHERE, BOUNDS, DUTIES, TRIAL = "where", "bounds", "duties", "trial"
"""What a difference is about: where a request may go and what is hidden; what it may cost and take; what else has to be
done; what audit mode would do."""

_GATES = {Gate.ALLOW: "open", Gate.REQUIRE_APPROVAL: "waits for approval", Gate.BLOCK: "blocked"}
_LOGGED = {LogContent.UNSAID: "nothing said", LogContent.ENCRYPTED: "encrypted only", LogContent.NEVER: "never"}


@dataclass(frozen=True, slots=True)
class Difference:
    """In words. `looser` and `stricter` may both hold something; all three are empty where nothing differs."""

    looser: tuple[str, ...]
    stricter: tuple[str, ...]
    other: tuple[str, ...]

    @property
    def kind(self) -> str:
        """``looser``, ``stricter``, ``mixed``, ``other``, or empty where nothing differs."""
        if self.looser and self.stricter:
            return "mixed"
        return "looser" if self.looser else "stricter" if self.stricter else "other" if self.other else ""

    @property
    def words(self) -> tuple[str, ...]:
        return (*self.looser, *self.stricter, *self.other)


def difference(
    old: Decision, new: Decision, targets: Sequence[Target], *, in_words: bool = True
) -> dict[str, Difference]:
    """What is different in `new`, by what it is about; empty where nothing is.

    What nobody can notice is no difference: a bound on a request that is refused either way. Without `in_words`, nor is
    what changes nothing with these targets: the clouds that there might be, and the words for level and action.
    """
    both = bool(old.permitted and new.permitted)
    facets = {
        WHERE: [*_where(old, new, targets), *(_possible(old, new) if in_words else ())],
        BOUNDS: [*_bounds(old, new)] if both else [],
        DUTIES: [*_duties(old, new, both)],
        TRIAL: [*_trials(old, new)],
    }
    return {facet: _sorted_out(said) for facet, said in facets.items() if said}


def _sorted_out(said: list[Said]) -> Difference:
    looser, stricter, other = (
        tuple(words for direction, words in said if direction == kind) for kind in ("looser", "stricter", "other")
    )
    return Difference(looser, stricter, other)


def _where(old: Decision, new: Decision, targets: Sequence[Target]) -> Iterator[Said]:
    was, now = old.permitted, new.permitted
    yield from _sets("may also go to {}", "may no longer go to {}", now - was, was - now)
    if old.gate is not new.gate:
        direction = "looser" if new.gate < old.gate else "stricter"
        yield direction, f"{_GATES[new.gate]} instead of {_GATES[old.gate]}"
    if old.gate is not Gate.BLOCK and new.gate is not Gate.BLOCK:
        yield from _approvals(old.approvals, new.approvals)
    clouds = {target.id for target in targets if target.zone is Zone.CLOUD}
    if was & clouds and now & clouds:
        yield from _hidden("from clouds", old.redact, new.redact)


def _possible(old: Decision, new: Decision) -> Iterator[Said]:
    """What would be different with other targets, and the words."""
    if old.gate is not Gate.BLOCK and new.gate is not Gate.BLOCK:
        if old.cloud and new.cloud:
            yield from _clouds(old, new)
        elif old.cloud is not new.cloud:
            yield ("looser", "clouds are possible") if new.cloud else ("stricter", "clouds are out")
    if old.level is not new.level:
        yield "other", f"level {new.level.word} instead of {old.level.word}"
    if old.action is not new.action:
        yield "other", f"action {new.action.value} instead of {old.action.value}"


def _sets(more: str, fewer: str, gained: Iterable[str], lost: Iterable[str]) -> Iterator[Said]:
    """For sets whose growth is looser."""
    if one := sorted(gained):
        yield "looser", more.format(listed(one))
    if other := sorted(lost):
        yield "stricter", fewer.format(listed(other))


def _clouds(old: Decision, new: Decision) -> Iterator[Said]:
    """Which clouds are possible, whether there is one now or not."""
    if old.regions != new.regions:
        was, now = _regions(old), _regions(new)
        if new.regions is None or (old.regions is not None and new.regions - old.regions):
            yield "looser", f"clouds in {now} instead of {was}"
        if old.regions is None or (new.regions is not None and old.regions - new.regions):
            yield "stricter", f"clouds in {now} instead of {was}"
    yield from _sets(
        "providers need no longer have {}",
        "providers must have {}",
        old.provider_must_have - new.provider_must_have,
        new.provider_must_have - old.provider_must_have,
    )


def _regions(decision: Decision) -> str:
    return "any region" if decision.regions is None else listed(sorted(decision.regions) or ["no region"])


def _hidden(where: str, old: Sequence[Hidden], new: Sequence[Hidden]) -> Iterator[Said]:
    was, now = ({item.entity: item.percent for item in hidden} for hidden in (old, new))
    lost = [entity for entity, percent in was.items() if now.get(entity, 101) > percent]
    gained = [entity for entity, percent in now.items() if was.get(entity, 101) > percent]
    yield from _sets(f"{{}} no longer hidden {where}", f"{{}} hidden {where}", lost, gained)


def _bounds(old: Decision, new: Decision) -> Iterator[Said]:
    yield from _bound("at most {} per request", _usd(old.cost_cap), _usd(new.cost_cap), old.cost_cap, new.cost_cap)
    yield from _bound("{} per app and day", _usd(old.day_limit), _usd(new.day_limit), old.day_limit, new.day_limit)
    was, now = _seconds(old.first_token), _seconds(new.first_token)
    yield from _bound("first token within {}", was, now, old.first_token, new.first_token)


def _usd(amount: NanoUsd | None) -> str:
    return "any amount" if amount is None else f"{in_usd(amount)} USD"


def _seconds(seconds: float | None) -> str:
    return "any time" if seconds is None else f"{seconds:g} s"


def _days(days: int | None) -> str:
    return "for any time" if days is None else f"for {days} days"


def _bound(words: str, was: str, now: str, old: float | None, new: float | None) -> Iterator[Said]:
    if old != new:
        looser = new is None or (old is not None and new > old)
        yield "looser" if looser else "stricter", f"{words.format(now)} instead of {was}"


def _duties(old: Decision, new: Decision, both: bool) -> Iterator[Said]:
    if both:
        yield from _hidden("in answers", old.hide_in_answers, new.hide_in_answers)
    if set(old.tell_user) != set(new.tell_user):
        yield "other", "what the caller is told"
    was, now = set(old.notify), set(new.notify)
    yield from _sets("{} no longer notified", "{} notified", was - now, now - was)
    kept = _days(old.retain_days), _days(new.retain_days)
    yield from _bound("kept {}", kept[0], kept[1], old.retain_days, new.retain_days)
    if old.log_content is not new.log_content:
        direction = "looser" if new.log_content < old.log_content else "stricter"
        yield direction, f"content in logs: {_LOGGED[new.log_content]} instead of {_LOGGED[old.log_content]}"


def _approvals(old: Sequence[ApprovalNeeded], new: Sequence[ApprovalNeeded]) -> Iterator[Said]:
    if any(not _implied(needed, new) for needed in old):
        yield "looser", f"approved by {_approvers(new)} instead of {_approvers(old)}"
    if any(not _implied(needed, old) for needed in new):
        yield "stricter", f"approved by {_approvers(new)} instead of {_approvers(old)}"


def _implied(needed: ApprovalNeeded, by: Sequence[ApprovalNeeded]) -> bool:
    """Does whoever meets some approval of `by` meet this one as well?"""
    return any(set(one.approvers) <= set(needed.approvers) and one.seconds <= needed.seconds for one in by)


def _approvers(needed: Sequence[ApprovalNeeded]) -> str:
    return listed([f"{' or '.join(one.approvers) or 'nobody'} ({one.seconds} s)" for one in needed] or ["no one"])


def _trials(old: Decision, new: Decision) -> Iterator[Said]:
    was, now = ({reason.rule for reason in decision.would} for decision in (old, new))
    if was != now or old.trial != new.trial:
        ids = sorted(was ^ now)
        yield "other", f"what audit mode would do{f' ({listed(ids)})' if ids else ''}"
