"""What the policy commands share: the detector and the targets they borrow, loading with complaints, exit codes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TypeAlias

import click

from gateway.cli.common import DEFAULT_CONFIG, CliContext
from gateway.documents import Problem
from gateway.domain.errors import ConfigurationError
from gateway.domain.finding import Found
from gateway.domain.ports import DetectorFailed
from gateway.domain.target import Target, Zone
from gateway.policy import CompiledPolicy, compile_policy
from gateway.policy.cases import TargetsOf, read_targets, simple_target
from gateway.policy.names import Surroundings
from gateway.policy.sources import read_policy
from gateway.policy.testing import ScanTexts
from gateway.settings.recognizers import RegistrySettings

INVALID_FILE = 3
TESTS_FAILED = 4
GUARANTEE_BROKEN = 5
LOOSER = 6

FILE = click.Path(path_type=Path, dir_okay=False)


def format_option(*shapes: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The option ``--format``, of which text is what is read on a terminal."""
    return click.option(
        "--format", "shape", type=click.Choice(shapes), default="text", show_default=True, help="How to print it."
    )


EXAMPLES = (
    simple_target("local", Zone.LOCAL, "on-premises"),
    simple_target("cloud-eu", Zone.CLOUD, "EU"),
    simple_target("cloud-us", Zone.CLOUD, "US"),
)

Known: TypeAlias = "tuple[Mapping[str, frozenset[str]], frozenset[str] | None]"


@dataclass(frozen=True, slots=True)
class PolicyTools:
    """What these commands borrow from the running gateway. `detectable` gives every entity its detector can find,
    `known_of` the names and the channels that a settings file knows, as `Surroundings` has them, and `models_of` which
    targets may answer for which model."""

    scan_texts: ScanTexts
    targets_of: TargetsOf
    detectable: Callable[[], frozenset[str] | None] = lambda: None
    known_of: Callable[[Path], Known] = lambda settings: ({}, None)
    models_of: Callable[[Path], Mapping[str, tuple[Target, ...]]] = lambda settings: {}


def _real_tools(registry: Callable[[], RegistrySettings]) -> PolicyTools:
    # Imported when needed only: the composition root loads the detector, which takes seconds.
    def scan_texts(texts: Sequence[str]) -> tuple[Found, ...]:
        from gateway.compose import scan_texts as scan

        return scan(texts, registry())

    def targets_of(path: Path) -> tuple[Target, ...]:
        if (listed := read_targets(path)) is not None:
            return listed
        from gateway.compose import targets_of as targets

        return targets(path)

    def known_of(path: Path) -> Known:
        from gateway.settings import load_settings

        settings = load_settings(path, needs_environment=False)
        return settings.known.by_condition(), frozenset(channel.name for channel in settings.channels)

    def models_of(path: Path) -> Mapping[str, tuple[Target, ...]]:
        from gateway.compose import models_of as models

        return models(path)

    return PolicyTools(scan_texts, targets_of, lambda: registry().entities(), known_of, models_of)


def tools(ctx: click.Context) -> PolicyTools:
    return ctx.find_object(PolicyTools) or _real_tools((ctx.find_object(CliContext) or CliContext()).registry)


def today() -> date:
    return datetime.now(UTC).date()


@contextmanager
def complaints(ctx: click.Context) -> Iterator[None]:
    """A wrong file ends the command with its problems on standard error, all of them."""
    try:
        yield
    except ConfigurationError as problem:
        click.echo(str(problem), err=True)
        count = len(getattr(problem, "problems", ())) or 1
        click.echo(click.style(f"{count} {'problem' if count == 1 else 'problems'}", fg="red"), err=True)
        ctx.exit(INVALID_FILE)
    except DetectorFailed as problem:
        raise click.ClickException(f"the detector did not finish: {problem}") from problem


def loaded(file: Path, detectable: frozenset[str] | None = None) -> CompiledPolicy:
    """The policy in `file`, its warnings printed. Raises `ConfigurationError`."""
    written = read_policy(file, Surroundings(detectable=detectable, today=today()))
    for warning in sorted({warning for node in written.places.values() for warning in node.problems.warnings}):
        click.echo(_warning(warning), err=True)
    return compile_policy(written.policy)


def _warning(problem: Problem) -> str:
    return click.style(replace(problem, message=f"warning: {problem.message}").render(), fg="yellow")


def named(compiled: CompiledPolicy) -> str:
    return f"policy {compiled.id.name}, version {compiled.id.version}"


def targets(ctx: click.Context, named: Path | None, tools: PolicyTools) -> tuple[Target, ...]:
    common = ctx.find_object(CliContext)
    path = named or (common.config if common else None) or (DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None)
    if path is None:
        click.echo("The targets below are examples; name a file with your own by --targets.", err=True)
        return EXAMPLES
    listed = read_targets(path)
    return tools.targets_of(path) if listed is None else listed
