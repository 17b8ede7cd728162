"""What a part of a decision is about: the key under which its place in the file is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from gateway.domain.decision import Action, Decision
from gateway.policy.compile import CompiledPolicy

Subject: TypeAlias = "tuple[str, str]"
"""Kind and id of a place in a policy file, as in ``Loaded.places``: ``("rule", "hr-stays-inside")``,
``("exception", "EX-12")``, ``("handling", "restricted")``, ``("unsure", "detector_fails")``, ``("level", "internal")``,
``("section", "limits")``, ``("file", "")``."""

_KINDS = {"handling": "handling", "if_unsure": "unsure"}
_SECTIONS = ("mode", "data_types", "levels", "answers", "limits")


def subject_of(policy: CompiledPolicy, reason: str) -> Subject | None:
    """The subject of a reason by its id; None for what this file does not have (the caller's wish)."""
    if any(rule.id == reason for rule in policy.source.rules):
        return "rule", reason
    if any(waiver.id == reason for waiver in policy.source.waivers):
        return "exception", reason
    kind, _, key = reason.partition(".")
    if kind in _KINDS:
        return _KINDS[kind], key
    return ("section", kind) if kind in _SECTIONS else None


@dataclass(frozen=True, slots=True)
class Responsible:
    """Something that had a say in a decision. `subject` is None for what is not written in the policy file."""

    id: str
    effect: str
    why: str
    subject: Subject | None


def responsible(policy: CompiledPolicy, decision: Decision) -> tuple[Responsible, ...]:
    """Everything that had a say; what only allows comes last."""
    reasons = sorted(decision.reasons, key=lambda reason: reason.effect == Action.ALLOW.value)
    return tuple(
        Responsible(reason.rule, reason.effect, reason.why, subject_of(policy, reason.rule)) for reason in reasons
    )
