"""Targets as tests give them: only what a policy looks at, because a test sends nothing anywhere."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

from gateway.documents import Node, read
from gateway.domain.money import FREE
from gateway.domain.target import Target, Zone

TARGET = ("id", "zone", "region", "labels")
EXPIRING = ("name", "evidence", "expires")

TargetsOf = Callable[[Path], tuple[Target, ...]]
"""The targets that a settings file declares. Raises `ConfigurationError`."""


def read_targets(path: Path) -> tuple[Target, ...] | None:
    """The targets of a file that is a list of them; None for a file that is something else."""
    root = read(path)
    if root.kind != "list":
        return None
    targets = inline_targets(root)
    root.problems.check()
    return targets


def inline_targets(node: Node) -> tuple[Target, ...]:
    targets: dict[str, Target] = {}
    for item in node.sequence():
        fields = item.mapping(TARGET, ("id", "zone", "region"))
        name = fields["id"].identifier()
        if name and name in targets:
            fields["id"].fail(f"two targets have the id '{name}'")
        labels, expiring = _labels(fields["labels"]) if "labels" in fields else (frozenset(), ())
        zone = Zone(fields["zone"].one_of([zone.value for zone in Zone]))
        targets[name] = simple_target(name, zone, fields["region"].text(), labels, expiring)
    return tuple(targets.values())


def simple_target(
    name: str,
    zone: Zone,
    region: str,
    labels: frozenset[str] = frozenset(),
    expiring: tuple[tuple[str, date], ...] = (),
) -> Target:
    """A target with just what a policy looks at."""
    return Target(
        id=name,
        zone=zone,
        region=region,
        labels=labels,
        provider="",
        model=name,
        dialect="",
        price=FREE,
        max_output_tokens=0,
        context_tokens=0,
        expiring=expiring,
    )


def _labels(node: Node) -> tuple[frozenset[str], tuple[tuple[str, date], ...]]:
    """Labels that hold for ever, and those with a last day: ``[zero-retention, {name: baa, expires: 2027-03-31}]``."""
    lasting: set[str] = set()
    expiring: dict[str, date] = {}
    for item in node.sequence(allow_empty=True) if node.kind != "text" else [node]:
        last = None
        if item.kind == "mapping":
            fields = item.mapping(EXPIRING, ("name",))
            name = fields["name"].text()
            last = fields["expires"].date() if "expires" in fields else None
        else:
            name = item.text()
        if name and (name in lasting or name in expiring):
            item.fail(f"'{name}' is listed twice")
        elif last is not None:
            expiring[name] = last
        else:
            lasting.add(name)
    return frozenset(filter(None, lasting)), tuple(sorted(expiring.items()))
