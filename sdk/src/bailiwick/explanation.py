"""The decision that a request would get, with the reasons; nothing is sent to any model to find it out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True)
class Reason:
    """A rule that had a say: its id (or a place in the policy such as ``handling.restricted``), what it asks for, and
    why it is there."""

    rule: str
    effect: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """How many different values of an entity (Presidio's name, such as ``CREDIT_CARD``) were found with this
    confidence (0 to 1). The values themselves are never told."""

    entity: str
    confidence: float
    distinct: int


@dataclass(frozen=True, slots=True)
class Target:
    """A target of the requested model. `permitted` says whether it would be tried, `reason` why not. For those that
    would, `at_most` is the most the call can cost there in US dollars, `max_output_tokens` the bound that a cost limit
    sets on the answer (None: none is set), `first_token` the expected time to the first token in seconds."""

    id: str
    permitted: bool
    reason: str = ""
    at_most: Decimal | None = None
    max_output_tokens: int | None = None
    first_token: float | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """`because` says in words why the level is what it is, `reasons` which rules had a say in the action. `targets`
    are in the order in which they would be tried, then those that would not be. `raw` is the gateway's whole answer.
    `str()` of it is a text to read."""

    level: str
    because: tuple[str, ...]
    action: str
    reasons: tuple[Reason, ...]
    found: tuple[Found, ...]
    targets: tuple[Target, ...]
    policy: str
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, answer: object) -> Explanation:
        """From the gateway's JSON. Raises `ValueError` for anything else."""
        try:
            return cls._of(answer)  # type: ignore[arg-type]  # checked by what follows
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("this is not an explanation; does base_url lead to a Bailiwick gateway?") from error

    @classmethod
    def _of(cls, answer: Mapping[str, Any]) -> Explanation:
        policy = answer["policy"]
        return cls(
            level=answer["level"],
            because=tuple(answer["because"]),
            action=answer["action"],
            reasons=tuple(Reason(rule["id"], rule["effect"], rule.get("why", "")) for rule in answer["rules"]),
            found=tuple(Found(one["entity"], one["percent"] / 100, one["distinct"]) for one in answer.get("found", ())),
            targets=tuple(_targets(answer)),
            policy=f"{policy['name']}, version {policy['version']}, hash {policy['hash'][:12]}",
            raw=answer,
        )

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"Level {self.level}, because {'; '.join(self.because)}."
        yield f"Action {self.action}."
        if self.found:
            counts = (f"{one.distinct} {one.entity} ({one.confidence:.0%})" for one in self.found)
            yield f"Found: {', '.join(counts)}."
        yield ""
        yield "Rules that had a say:"
        for reason in self.reasons:
            yield f"  {reason.rule}: {reason.effect}" + (f" ({reason.why})" if reason.why else "")
        yield ""
        yield "Targets:"
        for target in self.targets:
            yield f"  {'would be tried' if target.permitted else 'rejected      '}  {target.id}{_aside(target)}"
        yield ""
        yield f"Decided by policy {self.policy}."


def _targets(answer: Mapping[str, Any]) -> Iterator[Target]:
    tried = answer.get("candidates", ())
    for one in tried:
        yield Target(
            id=one["target"],
            permitted=True,
            at_most=Decimal(one["at_most_usd"]),
            max_output_tokens=one.get("max_output_tokens"),
            first_token=one.get("expected_first_token"),
        )
    for one in answer.get("rejected", ()):
        yield Target(one["target"], permitted=False, reason=one.get("reason", ""))


def _aside(target: Target) -> str:
    if not target.permitted:
        return f"  {target.reason}" if target.reason else ""
    parts = [f"at most {target.at_most} USD"]
    if target.max_output_tokens is not None:
        parts.append(f"answer cut at {target.max_output_tokens} tokens")
    if target.first_token is not None:
        parts.append(f"first token in about {target.first_token:.2g} s")
    return f"  {', '.join(parts)}"
