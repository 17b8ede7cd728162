"""Effects: what each matching thing adds to a decision, with the words for it made once, ahead of any request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.domain.decision import Action, ApprovalNeeded, Gate, Hidden, Level, LogContent, Reason
from gateway.domain.money import NanoUsd, in_usd
from gateway.policy.schema import Approval, Outcome, Rule

_GATES = {Action.BLOCK: Gate.BLOCK, Action.REQUIRE_APPROVAL: Gate.REQUIRE_APPROVAL}
_UNSURE_SUBJECTS = {
    "detector_fails": "what could not be inspected",
    "unreadable_content": "content that no detector can read",
    "redaction_incomplete": "what could not be hidden completely",
    "no_target_left": "a request that no target may receive",
}


@dataclass(frozen=True, slots=True)
class Effect:
    """A schema `Outcome`, ready to be joined. `local_words` says why a cloud is out, where it is; `redact` holds
    the data types to hide, `hide_in_answers` those that a model may not tell; money is nano-dollars, `first_token`
    seconds. `obliges` is true where one of the fields after it says anything."""

    reason: Reason
    local_words: str
    gate: Gate
    cloud: bool
    regions: frozenset[str] | None
    redact: frozenset[str]
    provider_must_have: frozenset[str]
    cost_cap: NanoUsd | None
    first_token: float | None
    tell_user: str
    hide_in_answers: frozenset[str]
    obliges: bool = False
    notify: tuple[str, ...] = ()
    retain_days: int | None = None
    log_content: LogContent = LogContent.UNSAID
    approval: ApprovalNeeded | None = None


def of_answers(types: tuple[str, ...]) -> Effect:
    outcome = Outcome(hide_in_answers=types)
    return _effect(Reason("answers.hide", words(outcome)), "", outcome, frozenset())


def of_handling(level: Level, outcome: Outcome, all_types: frozenset[str]) -> Effect:
    where = f"handling.{level.word}"
    return _effect(Reason(where, words(outcome)), _may_only(f"{level.word} data", where), outcome, all_types)


def of_unsure(key: str, action: Action) -> Effect:
    where = f"if_unsure.{key}"
    outcome = Outcome(action)
    return _effect(Reason(where, words(outcome)), _may_only(_UNSURE_SUBJECTS[key], where), outcome, frozenset())


def of_spent_budget(action: Action) -> Effect:
    outcome = Outcome(action)
    reason = Reason("limits.when_spent", words(outcome), "The app's budget of the day is spent")
    return _effect(reason, _may_only("requests of an app whose budget is spent", reason.rule), outcome, frozenset())


def of_rule(rule: Rule, all_types: frozenset[str]) -> Effect:
    reason = Reason(rule.id, words(rule.then), rule.why)
    return _effect(reason, f"{rule.id} permits local targets only", rule.then, all_types)


def merge_hidden(groups: Iterable[tuple[Hidden, ...]]) -> tuple[Hidden, ...]:
    """Every entity once, at the least confidence from which any group hides it, in the order of their names."""
    least: dict[str, int] = {}
    for group in groups:
        for hidden in group:
            least[hidden.entity] = min(hidden.percent, least.get(hidden.entity, 100))
    return tuple(Hidden(entity, percent) for entity, percent in sorted(least.items()))


def words(outcome: Outcome) -> str:
    """The outcome as a person reads it, such as ``redact; regions EU, US``."""
    parts = [] if outcome.action is Action.ALLOW else [outcome.action.value]
    if outcome.redact:
        parts.append(f"hide {', '.join(outcome.redact)}")
    if outcome.regions is not None:
        parts.append(f"regions {', '.join(outcome.regions)}")
    if outcome.provider_must_have:
        parts.append(f"provider must have {', '.join(outcome.provider_must_have)}")
    if outcome.cost_per_request is not None:
        parts.append(cost_words(outcome.cost_per_request))
    if outcome.first_token is not None:
        parts.append(latency_words(outcome.first_token))
    if outcome.hide_in_answers:
        parts.append(f"hide {', '.join(outcome.hide_in_answers)} in answers")
    if outcome.notify:
        parts.append(f"notify {', '.join(outcome.notify)}")
    if outcome.retain_days is not None:
        parts.append(f"keep for at most {outcome.retain_days} days")
    if outcome.log_content:
        parts.append(f"content logged {outcome.log_content}")
    if outcome.approval is not None:
        parts.append(f"approved by {' or '.join(outcome.approval.approvers)}")
    if outcome.tell_user and not parts:
        parts.append("tell the user")
    return "; ".join(parts) or Action.ALLOW.value


def cost_words(cap: NanoUsd) -> str:
    return f"at most {in_usd(cap)} USD per request"


def latency_words(seconds: float) -> str:
    return f"first token within {seconds:g} s"


def _may_only(subject: str, where: str) -> str:
    return f"{subject} may only go to local targets ({where})"


def _effect(reason: Reason, local_words: str, outcome: Outcome, all_types: frozenset[str]) -> Effect:
    waits = outcome.action is Action.REQUIRE_APPROVAL
    return Effect(
        reason=reason,
        local_words=local_words,
        gate=_GATES.get(outcome.action, Gate.ALLOW),
        cloud=outcome.action is not Action.LOCAL_ONLY,
        regions=None if outcome.regions is None else frozenset(outcome.regions),
        redact=all_types if outcome.redact is None else frozenset(outcome.redact),
        provider_must_have=frozenset(outcome.provider_must_have),
        cost_cap=outcome.cost_per_request,
        first_token=outcome.first_token,
        tell_user=outcome.tell_user,
        hide_in_answers=frozenset(outcome.hide_in_answers),
        obliges=bool(outcome.notify or outcome.retain_days or outcome.log_content or outcome.approval or waits),
        notify=outcome.notify,
        retain_days=outcome.retain_days,
        log_content=LogContent[outcome.log_content.upper()] if outcome.log_content else LogContent.UNSAID,
        approval=ApprovalNeeded(reason.rule, *_approvers(outcome.approval)) if waits else None,
    )


def _approvers(approval: Approval | None) -> tuple[tuple[str, ...], int]:
    """Nobody and no time where the policy names nobody: then nobody can approve."""
    return (approval.approvers, approval.seconds) if approval else ((), 0)
