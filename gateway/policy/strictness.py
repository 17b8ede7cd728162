"""Outcomes compared and joined, as points in the lattice in which a decision is made.

`evaluate` joins the effects of one request; here whole policies are joined, so that several files mean one policy.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from gateway.domain.decision import Action
from gateway.domain.money import NanoUsd, in_usd
from gateway.policy.schema import Approval, Outcome

Number = TypeVar("Number", NanoUsd, int, float)

ACTIONS = (Action.ALLOW, Action.REDACT, Action.LOCAL_ONLY, Action.REQUIRE_APPROVAL, Action.BLOCK)
"""Loosest first, as the language orders them."""

NOWHERE: tuple[str, ...] = ()
"""Regions of an outcome that asks for approval and permits no cloud: one action cannot say both."""

_GATES = {Action.REQUIRE_APPROVAL: 1, Action.BLOCK: 2}
_LOG_CONTENT = ("", "encrypted", "never")


def joined_outcome(one: Outcome, other: Outcome) -> Outcome:
    """The loosest outcome that is at least as strict as both.

    Two approvals become one, by somebody who may give both; where nobody may, `approval` is None, which lets nothing
    through. The callers say so before it comes to that.
    """
    first, second = sorted((one, other), key=lambda outcome: ACTIONS.index(outcome.action))
    action = second.action
    regions = _fewer(one.regions, other.regions)
    if action is Action.REQUIRE_APPROVAL and first.action is Action.LOCAL_ONLY:
        regions = NOWHERE
    return Outcome(
        action=action,
        regions=regions,
        provider_must_have=_all(one.provider_must_have, other.provider_must_have),
        cost_per_request=least(one.cost_per_request, other.cost_per_request),
        first_token=least(one.first_token, other.first_token),
        redact=None if one.redact is None or other.redact is None else _all(one.redact, other.redact),
        tell_user="\n".join(dict.fromkeys(filter(None, (one.tell_user, other.tell_user)))),
        hide_in_answers=_all(one.hide_in_answers, other.hide_in_answers),
        notify=_all(one.notify, other.notify),
        retain_days=least(one.retain_days, other.retain_days),
        log_content=max(one.log_content, other.log_content, key=_LOG_CONTENT.index),
        approval=_joined_approval(one, other) if action is Action.REQUIRE_APPROVAL else None,
    )


def nobody_approves_both(one: Outcome, other: Outcome) -> bool:
    """Do both ask for an approval, and nobody may give both?"""
    if one.approval is None or other.approval is None:
        return False
    return not set(one.approval.approvers) & set(other.approval.approvers)


def looser(one: Outcome, than: Outcome) -> str:
    """What `than` forbids or asks for and `one` does not, in words; empty where `one` is at least as strict."""
    if one.action is Action.BLOCK:
        return ""
    if _GATES.get(one.action, 0) < _GATES.get(than.action, 0):
        return f"action {one.action} instead of {than.action}"
    if stays_inside(than) and not stays_inside(one):
        return "clouds, where nothing may leave"
    if not stays_inside(one) and (what := _looser_outside(one, than)):
        return what
    if than.action is one.action is Action.REQUIRE_APPROVAL and (what := _looser_approval(one, than)):
        return what
    return _looser_obligations(one, than)


def stays_inside(outcome: Outcome) -> bool:
    """Does it permit no cloud, whoever approves?"""
    return outcome.action in (Action.LOCAL_ONLY, Action.BLOCK) or outcome.regions == NOWHERE


def with_named_types(outcome: Outcome, types: Iterable[str]) -> Outcome:
    """The outcome with `redact` naming these data types, where it means all of them."""
    return replace(outcome, redact=tuple(sorted(types))) if outcome.redact is None else outcome


def least(one: Number | None, other: Number | None) -> Number | None:
    """The smaller one, where None is no bound."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def exceeds(one: float | None, bound: float | None) -> bool:
    """Is `one` more than the bound? None is no bound."""
    return bound is not None and (one is None or one > bound)


def _looser_outside(one: Outcome, than: Outcome) -> str:
    if than.regions is not None and (one.regions is None or set(one.regions) - set(than.regions)):
        return f"regions {', '.join(one.regions or ('any',))} instead of {', '.join(than.regions) or 'none'}"
    if missing := set(than.provider_must_have) - set(one.provider_must_have):
        return f"provider_must_have lacks {', '.join(sorted(missing))}"
    if one.redact is not None and (than.redact is None or set(than.redact) - set(one.redact)):
        return "values in clear that must be hidden"
    return ""


def _looser_approval(one: Outcome, than: Outcome) -> str:
    if one.approval is None:
        return ""
    if than.approval is None:
        return "an approval where nobody may approve"
    if more := set(one.approval.approvers) - set(than.approval.approvers):
        return f"approval by {', '.join(sorted(more))}"
    if one.approval.seconds > than.approval.seconds:
        return f"approvals that last {one.approval.seconds} s instead of {than.approval.seconds} s"
    return ""


def _looser_obligations(one: Outcome, than: Outcome) -> str:
    if than.cost_per_request is not None and exceeds(one.cost_per_request, than.cost_per_request):
        return f"a request may cost more than {in_usd(than.cost_per_request)} USD"
    if exceeds(one.first_token, than.first_token):
        return f"the first token may take longer than {than.first_token:g} s"
    if missing := set(than.hide_in_answers) - set(one.hide_in_answers):
        return f"answers may tell {', '.join(sorted(missing))}"
    if missing := set(than.notify) - set(one.notify):
        return f"{', '.join(sorted(missing))} not notified"
    if exceeds(one.retain_days, than.retain_days):
        return f"kept for more than {than.retain_days} days"
    if _LOG_CONTENT.index(one.log_content) < _LOG_CONTENT.index(than.log_content):
        return f"content may be kept otherwise than {than.log_content}"
    return ""


def _joined_approval(one: Outcome, other: Outcome) -> Approval | None:
    asked = [outcome for outcome in (one, other) if outcome.action is Action.REQUIRE_APPROVAL]
    approvals = [outcome.approval for outcome in asked if outcome.approval is not None]
    if len(approvals) < len(asked):
        return None
    approvers = set(approvals[0].approvers).intersection(*(approval.approvers for approval in approvals))
    return Approval(tuple(sorted(approvers)), min(approval.seconds for approval in approvals)) if approvers else None


def _fewer(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if one is None or other is None:
        return one if other is None else other
    return tuple(sorted(set(one) & set(other)))


def _all(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({*one, *other}))
