"""What `check` and `diff` read beside policies: targets, test files with guarantees, and the names that exist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import click

from gateway.cli.common import DEFAULT_CONFIG, CliContext
from gateway.cli.policy.common import EXAMPLES, PolicyTools
from gateway.documents import Node, read
from gateway.domain.target import Target
from gateway.policy.testing.facts import read_clock
from gateway.policy.testing.targets import inline_targets, read_targets

TEST = "_test"
"""The end of the name of a test file."""

_TEST_FILE = ("policy", "targets", "as_of", "zone", "guarantees", "tests")
_KNOWN = ("tenant", "app", "group", "channels")


@dataclass(frozen=True, slots=True)
class Served:
    """The targets that there are, and in words where they come from. Examples are nobody's own. `models` are those that
    may answer by the name of the model, where that is known."""

    targets: tuple[Target, ...]
    words: str
    examples: bool = False
    models: Mapping[str, tuple[Target, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TestFile:
    """What the analysis takes from a test file; the tests themselves are for ``bailiwick policy test``."""

    policy: Path | None
    served: Served | None
    as_of: date | None
    guarantees: Node | None


def settings_file(ctx: click.Context) -> Path | None:
    """The settings, where there are any: their targets are those of the gateway."""
    context = ctx.find_object(CliContext)
    named = context.config if context else None
    return named or (DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None)


def served_by(path: Path | None, tools: PolicyTools) -> Served:
    """The targets of the settings, or of a file that lists them; without either, examples. Raises
    `ConfigurationError`."""
    if path is None:
        return Served(EXAMPLES, f"{len(EXAMPLES)} example targets (name your own by --targets)", True)
    listed = read_targets(path)
    if listed is not None:
        return Served(listed, _words(listed, path))
    targets = tools.targets_of(path)
    return Served(targets, _words(targets, path), models=tools.models_of(path))


def test_file_of(policy: Path) -> Path | None:
    """The test file beside a policy, such as default_test.yaml beside default.yaml; None where there is none."""
    beside = policy.with_name(f"{policy.stem}{TEST}{policy.suffix}")
    return beside if beside.is_file() else None


def read_test_file(path: Path, tools: PolicyTools) -> TestFile:
    """A test file, or one that holds nothing but guarantees. Raises `ConfigurationError`."""
    root = read(path)
    fields = root.mapping(_TEST_FILE)
    as_of = read_clock(fields["as_of"], fields.get("zone")).day if "as_of" in fields else None
    served = None
    if "targets" in fields and fields["targets"].kind == "list":
        targets = inline_targets(fields["targets"])
        served = Served(targets, _words(targets, path))
    elif "targets" in fields and (name := fields["targets"].text()):
        served = served_by(path.parent / name, tools)
    policy = path.parent / fields["policy"].text() if "policy" in fields else None
    root.problems.check()
    return TestFile(policy, served, as_of, fields.get("guarantees"))


def read_known(path: Path) -> tuple[Mapping[str, frozenset[str]], frozenset[str] | None]:
    """The tenants, apps and groups that there are, and the channels that can be notified; a key that is left out is
    not checked. Raises `ConfigurationError`."""
    root = read(path)
    fields = root.mapping(_KNOWN)
    known = {key: frozenset(fields[key].texts(allow_empty=True)) for key in _KNOWN if key in fields}
    root.problems.check()
    channels = known.pop("channels", None)
    return known, channels


def _words(targets: tuple[Target, ...], path: Path) -> str:
    return f"the {len(targets)} {'target' if len(targets) == 1 else 'targets'} of {path}"
