"""Targets that could be there: with them it shows whatever a policy asks of a target."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.domain.money import FREE
from gateway.domain.target import Target, Zone
from gateway.policy.compile import CompiledPolicy

_ELSEWHERE = "elsewhere"


def any_targets(policy: CompiledPolicy) -> tuple[Target, ...]:
    """A local one; in each region that the policy names, and in another, a cloud with all labels that it names, one
    without any, and one without each."""
    effects = [*policy.handling, *(rule.effect for rule in policy.rules)]
    regions = sorted({_ELSEWHERE}.union(*(effect.regions or () for effect in effects)))
    labels = frozenset[str]().union(*(effect.provider_must_have for effect in effects))
    sets = dict.fromkeys([labels, frozenset(), *(labels - {label} for label in sorted(labels))])
    return (_target("local", Zone.LOCAL, "here"), *_clouds(regions, sets))


def _clouds(regions: list[str], sets: dict[frozenset[str], None]) -> Iterator[Target]:
    for region in regions:
        for number, labels in enumerate(sets):
            yield _target(f"cloud in {region} {number}", Zone.CLOUD, region, labels)


def _target(name: str, zone: Zone, region: str, labels: frozenset[str] = frozenset()) -> Target:
    """With just what a policy looks at."""
    return Target(name, zone, region, labels, "", name, "", FREE, max_output_tokens=0, context_tokens=0)
