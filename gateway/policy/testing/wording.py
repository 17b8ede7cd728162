"""Sentences that all forms of a report share."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.domain.decision import Decision
from gateway.policy.analysis.guarantees import Proof
from gateway.policy.testing.report import PolicyReport
from gateway.policy.testing.subject import place_of


def because(decision: Decision) -> str:
    """The reasons of a decision, by id."""
    return f"because of {', '.join(reason.rule for reason in decision.reasons)}"


def summary(report: PolicyReport) -> str:
    """Such as ``12 passed, 1 failed, 2 guarantees hold``."""
    parts = [f"{report.passed} passed", f"{report.failed} failed"]
    if report.holding:
        parts.append("1 guarantee holds" if report.holding == 1 else f"{report.holding} guarantees hold")
    if report.broken:
        parts.append("1 guarantee broken" if report.broken == 1 else f"{report.broken} guarantees broken")
    return ", ".join(parts)


def guarantee_place(proof: Proof) -> str:
    """Where a guarantee stands, such as ``acme_test.yaml:7``."""
    node = proof.guarantee.place
    return "" if node is None else str(place_of(node))


def counter_example_lines(proof: Proof) -> Iterator[str]:
    """The simplest situation in which a guarantee does not hold, in lines; none for one that holds."""
    example = proof.counter_example
    if example is not None:
        yield f"not so in {proof.broken:,} of {proof.situations:,} situations; the simplest:"
        yield example.situation
        yield example.decided
