"""What the commands for models share: the registry of the settings, the audit log, and sentences in place of stacks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from adapters.llama_cpp.registry import Version
from adapters.llama_cpp.shelf import Change, Shelf
from gateway.cli.audit_events import append
from gateway.cli.common import CliContext
from gateway.domain.errors import ConfigurationError, GatewayError
from gateway.domain.record import AuditRecord, Label, RecordKind, label
from gateway.settings import Settings

ALIAS = click.option("--alias", default="", help="Let this alias point to the version, such as stable or next.")


@contextmanager
def shelf_of(context: CliContext) -> Iterator[Shelf]:
    """The registry of the settings; what fails is one sentence and exit code 1."""
    settings = context.settings()
    with sentences():
        yield Shelf(settings.model_registry, lambda change: _record(settings, change))


@contextmanager
def sentences() -> Iterator[None]:
    try:
        yield
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{error.filename or 'a file'}: {error.strerror}") from error


def describe(version: Version) -> str:
    """One line for a person."""
    said = (version.architecture, version.quantisation, size(version.size), f"sha256 {version.sha256}")
    return ", ".join(filter(None, said))


def size(number: int) -> str:
    if number < 1_000_000:
        return f"{number / 1000:.0f} kB"
    return f"{number / 1_000_000:.1f} MB" if number < 1_000_000_000 else f"{number / 1_000_000_000:.2f} GB"


def table(columns: tuple[str, ...], rows: list[list[str]], otherwise: str) -> None:
    """On a terminal a table, elsewhere tabs between the cells; `otherwise` where there are no rows."""
    console = Console(highlight=False)
    if not rows:
        click.echo(otherwise)
    elif not console.is_terminal:
        for row in (list(columns), *rows):
            click.echo("\t".join(row))
    else:
        drawn = Table(*columns, box=None, pad_edge=False)
        for row in rows:
            drawn.add_row(*map(Text, row))
        console.print(drawn)


def record_event(
    settings: Settings, event: str, *, outcome: str, model: str, target: str = "", detail: str = ""
) -> None:
    """Write it to the audit log. Raises `ConfigurationError`, and then nothing may be changed."""
    record = AuditRecord(
        kind=RecordKind.EVENT,
        at=time.time_ns() // 1000,
        decision=Label(""),
        event=Label(event),
        model=label(model),
        target=label(target),
        outcome=label(outcome),
        error=label(detail),
    )
    try:
        append(settings.storage.url("audit"), [record])
    except GatewayError as error:
        raise ConfigurationError(f"the audit log cannot be written, so nothing was changed: {error}") from error


def _record(settings: Settings, change: Change) -> None:
    outcome = f"{change.alias} is {change.model}" if change.alias else change.model
    record_event(settings, change.event, outcome=outcome, model=change.model, detail=f"sha256:{change.sha256}")
