"""A decision explained: as data for programs, as lines for people. Holds counts and names, never content."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain.decision import Decision, Facts, Reason
from gateway.domain.finding import DetectorState
from gateway.domain.money import in_usd
from gateway.domain.tree import Json, JsonObject
from gateway.policy.compile import CompiledLine, CompiledPolicy
from gateway.policy.evaluate import counted, holds, level_of, present_types


@dataclass(frozen=True, slots=True)
class Explanation:
    """`because_level` says in words why the level is what it is."""

    decision: Decision
    because_level: tuple[str, ...]
    audit: bool

    def as_json(self) -> JsonObject:
        """Every field has the same name and unit in all versions of this schema; money is a decimal text in USD."""
        decision = self.decision
        policy = decision.policy
        return {
            "policy": {"name": policy.name, "version": policy.version, "hash": policy.hash},
            "mode": "audit" if self.audit else "enforce",
            "level": decision.level.word,
            "because": list(self.because_level),
            "action": decision.action.value,
            "rules": [_reason(reason) for reason in decision.reasons],
            "would": [_reason(reason) for reason in decision.would],
            "targets": [
                {"id": verdict.target, "permitted": verdict.permitted, "reason": verdict.reason}
                for verdict in decision.targets
            ],
            "regions": None if decision.regions is None else _texts(decision.regions),
            "provider_must_have": _texts(decision.provider_must_have),
            "redact": [{"entity": hidden.entity, "confidence": hidden.percent / 100} for hidden in decision.redact],
            "hide_in_answers": [
                {"entity": hidden.entity, "confidence": hidden.percent / 100} for hidden in decision.hide_in_answers
            ],
            "cost_per_request_usd": None if decision.cost_cap is None else in_usd(decision.cost_cap),
            "cost_per_app_per_day_usd": None if decision.day_limit is None else in_usd(decision.day_limit),
            "first_token_seconds": decision.first_token,
            "tell_user": list(decision.tell_user),
            "notify": list(decision.notify),
            "retain_days": decision.retain_days,
            "log_content": decision.log_content.name.lower() if decision.log_content else None,
            "approvals": [
                {"rule": needed.rule, "approvers": list(needed.approvers), "seconds": needed.seconds}
                for needed in decision.approvals
            ],
            "would_action": None if decision.trial is None else decision.trial.action.value,
            "would_permit": None if decision.trial is None else _texts(decision.trial.permitted),
        }

    def as_lines(self) -> list[str]:
        """Plain text without colour; one fact a line."""
        decision = self.decision
        lines = [f"Level {decision.level.word}, because {'; '.join(self.because_level)}."]
        lines.append(f"Action {decision.action.value}.")
        if self.audit:
            lines.append("The policy is in audit mode: rules and handling are recorded, NOT enforced.")
        lines += ["", "Rules that had a say:", *_shown(decision.reasons)]
        if decision.would:
            lines += ["", "Without effect, because in audit mode; would have added:", *_shown(decision.would)]
        if (trial := decision.trial) and (trial.action, trial.permitted) != (decision.action, decision.permitted):
            permitted = ", ".join(sorted(trial.permitted)) or "nothing"
            lines.append(f"  The action would have been {trial.action.value}, permitted: {permitted}.")
        if decision.redact:
            hidden = ", ".join(f"{item.entity} (from {item.percent} %)" for item in decision.redact)
            lines += ["", f"Hidden from clouds: {hidden}."]
        if decision.hide_in_answers:
            hidden = ", ".join(f"{item.entity} (from {item.percent} %)" for item in decision.hide_in_answers)
            lines += ["", f"Hidden in the model's answers: {hidden}."]
        lines += self._obligations()
        if bounds := self._bounds():
            lines += ["", f"Limits: {', '.join(bounds)}."]
        lines += [f"The caller is told: {text}" for text in decision.tell_user]
        width = max((len(verdict.target) for verdict in decision.targets), default=0)
        lines += ["", "Targets:"]
        for verdict in decision.targets:
            word = "permitted" if verdict.permitted else "rejected "
            lines.append(f"  {word}  {verdict.target:<{width}}  {verdict.reason}".rstrip())
        if not decision.targets:
            lines.append("  (none were given)")
        policy = decision.policy
        lines += ["", f"Decided by policy {policy.name}, version {policy.version}, hash {policy.short}."]
        return lines

    def _obligations(self) -> list[str]:
        decision = self.decision
        found = [
            f"Needs the approval of {' or '.join(needed.approvers) or 'nobody who could give it'} ({needed.rule})."
            for needed in decision.approvals
        ]
        if decision.notify:
            found.append(f"Told about it: {', '.join(decision.notify)}.")
        if decision.retain_days is not None:
            found.append(f"Kept for at most {decision.retain_days} days.")
        if decision.log_content:
            found.append(f"Content in logs: {decision.log_content.name.lower()}.")
        return ["", *found] if found else []

    def _bounds(self) -> list[str]:
        decision = self.decision
        bounds = []
        if decision.cost_cap is not None:
            bounds.append(f"{in_usd(decision.cost_cap)} USD per request")
        if decision.day_limit is not None:
            bounds.append(f"{in_usd(decision.day_limit)} USD per app and day")
        if decision.first_token is not None:
            bounds.append(f"first token within {decision.first_token:g} s")
        return bounds


def explain(policy: CompiledPolicy, facts: Facts, decision: Decision) -> Explanation:
    """Explain a decision that `evaluate` made from these facts and this policy."""
    found_level = level_of(policy, facts.found, present_types(policy, facts.found))
    because = []
    if facts.detector is not DetectorState.OK:
        because.append(f"the detector did not finish ({facts.detector.value.replace('_', ' ')})")
    if decision.level > found_level:
        if facts.min_level is decision.level:
            because.append(f"the caller asked for at least {decision.level.word}")
        if facts.history_level is decision.level:
            because.append(f"the conversation was {decision.level.word} before")
    else:
        because += _level_words(policy, facts, decision)
    return Explanation(decision, tuple(because), policy.source.audit)


def _level_words(policy: CompiledPolicy, facts: Facts, decision: Decision) -> list[str]:
    present = present_types(policy, facts.found)
    for level, lines in policy.levels:
        if level is decision.level:
            return [_line_words(line, policy, facts) for line in lines if holds(line, facts.found, present)]
    return [
        "what was found makes no line of a higher level true"
        if any(item.distinct for item in facts.found)
        else "nothing was found"
    ]


def _line_words(line: CompiledLine, policy: CompiledPolicy, facts: Facts) -> str:
    """Such as ``payment data was found (CREDIT_CARD: 1)``."""
    names = line.source.all_of or line.source.any_of
    present = present_types(policy, facts.found)
    kinds = {kind.name: kind for kind in policy.source.data_types}
    bits = {name: 1 << place for place, name in enumerate(kinds)}
    named = [name for name in names if bits[name] & present]
    entities: dict[str, int] = {}
    for part in line.parts:
        for entity, percent in part.items():
            if number := counted(facts.found, {entity: percent}):
                entities[entity] = number
    counts = ", ".join(f"{entity}: {number}" for entity, number in sorted(entities.items()))
    needed = f", at least {line.at_least} distinct values {'each' if line.every else 'altogether'}"
    return f"found {' and '.join(named)}{needed if line.at_least > 1 else ''} ({counts})"


def _texts(texts: frozenset[str]) -> list[Json]:
    return [*sorted(texts)]


def _reason(reason: Reason) -> Json:
    return {"id": reason.rule, "effect": reason.effect, "why": reason.why}


def _shown(reasons: tuple[Reason, ...]) -> list[str]:
    width = max(len(reason.rule) for reason in reasons) if reasons else 0
    lines = []
    for reason in reasons:
        why = f"  ({reason.why})" if reason.why else ""
        lines.append(f"  {reason.rule:<{width}}  {reason.effect}{why}")
    return lines or ["  (none)"]
