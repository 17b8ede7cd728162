"""``bailiwick trace``: the recorded traces in the terminal, from the local span store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.cli.common import CliContext
from gateway.domain.errors import ConfigurationError
from gateway.telemetry import names
from gateway.telemetry.span import SpanRecord, TraceRecord
from gateway.telemetry.spans import SpanStore

_MS: Final = 1_000_000
_NAME_WIDTH: Final = 24
_NARROWEST_BAR: Final = 10


@click.group()
def trace() -> None:
    """Look at what requests did, step by step."""


@trace.command()
@click.argument("identifier", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per trace.")
@click.pass_obj
def show(obj: CliContext, identifier: str, as_json: bool) -> None:
    """Show the steps of a request; ID is a decision id or a trace id."""
    with _store(obj) as store:
        found = store.find(identifier.strip())
    if not found:
        raise click.ClickException(f"no trace of {identifier!r} in the span store; old ones are removed in time")
    console = Console(highlight=False, soft_wrap=True)
    for number, item in enumerate(found):
        if as_json:
            click.echo(orjson.dumps(_as_json(item)))
            continue
        if number:
            console.print()
        _draw(console, item)


@trace.command("list")
@click.option("-n", "count", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many traces.")
@click.pass_obj
def list_(obj: CliContext, count: int) -> None:
    """List the latest traces, newest first."""
    with _store(obj) as store:
        found = store.recent(count)
    columns = ("time", "decision", "model", "target", "ms", "status")
    rows = [_summary(item) for item in found]
    console = Console(highlight=False)
    if not console.is_terminal:
        for row in [columns, *rows]:
            click.echo("\t".join(row))
        return
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column == "ms" else "left", no_wrap=True)
    for row, item in zip(rows, found, strict=True):
        table.add_row(*(Text(cell) for cell in row), style="red" if item.spans[0].error else None)
    console.print(table)


@contextmanager
def _store(obj: CliContext) -> Iterator[SpanStore]:
    try:
        store = SpanStore.existing(obj.spans_url)
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error
    try:
        yield store
    finally:
        store.close()


def _summary(item: TraceRecord) -> tuple[str, ...]:
    root = item.spans[0]
    at = datetime.fromtimestamp(root.start / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    model, target = (str(root.attributes.get(name, "-")) for name in (names.REQUEST_MODEL, names.TARGET))
    return at, item.decision, model, target, _ms(root.end - root.start), root.error or "ok"


def _draw(console: Console, item: TraceRecord) -> None:
    """The waterfall: a bar per span on the root's time line; without a terminal, start and duration as numbers."""
    root = item.spans[0]
    console.print(f"trace {item.trace_id}  decision {item.decision}", markup=False)
    width = max(_NARROWEST_BAR, console.width - _NAME_WIDTH - 36)
    for span in item.spans:
        indent = "" if span is root else "  "
        name = f"{indent}{span.name}".ljust(_NAME_WIDTH)
        if not console.is_terminal:
            start, length = _ms(span.start - root.start), _ms(span.end - span.start)
            console.print(f"{name} +{start} ms  {length} ms  {span.error or 'ok'}", markup=False)
            continue
        line = Text(name)
        line.append(_bar(span, root, width).ljust(width), style="red" if span.error else "cyan")
        line.append(f"{_ms(span.end - span.start):>10} ms  ")
        line.append(span.error, style="red")
        console.print(line)
    for attribute, value in sorted(root.attributes.items()):
        console.print(f"  {attribute} = {value}", markup=False)


def _bar(span: SpanRecord, root: SpanRecord, width: int) -> str:
    whole = max(1, root.end - root.start)
    first = min(width - 1, max(0, (span.start - root.start) * width // whole))
    last = min(width, max(first + 1, -(-(span.end - root.start) * width // whole)))
    return " " * first + "█" * (last - first)


def _ms(nanoseconds: int) -> str:
    return f"{nanoseconds / _MS:.2f}"


def _as_json(item: TraceRecord) -> dict[str, Any]:
    return {
        "trace_id": item.trace_id,
        "decision": item.decision,
        "spans": [
            {
                "name": span.name,
                "span_id": span.span_id,
                "parent_id": span.parent_id or None,
                "kind": span.kind.value,
                "start_unix_nano": span.start,
                "end_unix_nano": span.end,
                "attributes": dict(span.attributes),
                "error": span.error or None,
            }
            for span in item.spans
        ],
    }
