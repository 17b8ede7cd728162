"""``bailiwick audit``: reading the audit log, and proving that nobody has changed it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Final

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from gateway.audit import table as log_table
from gateway.audit.chain import Row
from gateway.audit.codec import decode
from gateway.audit.store import open_log
from gateway.audit.verify import Verification
from gateway.audit.verify import verify as verify_rows
from gateway.cli.audit_text import COLUMNS, describe, line
from gateway.cli.common import CliContext
from gateway.domain.record import AuditRecord, RecordKind
from gateway.sql import reason

_FOLLOW_EVERY: Final = 0.5
_STYLES: Final = {"refusal": "yellow", "failed": "red", "broken": "red", "event": "cyan"}
_WIDE: Final = 140
_WIDTHS: Final = (20, 7, 26, 18, 12, 16, 20, 12, 18)  # of the columns before the last, for lines that follow


@click.group()
def audit() -> None:
    """Read the audit log and verify it."""


@audit.command()
@click.option("-n", "count", type=click.IntRange(0, 100_000), default=20, show_default=True, help="How many records.")
@click.option("-f", "--follow", is_flag=True, help="Go on with new records as they are written, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per record.")
@click.pass_obj
def tail(obj: CliContext, count: int, follow: bool, as_json: bool) -> None:
    """Show the last records, the newest at the end."""
    console = Console(highlight=False)
    with _log(obj) as engine:
        start = log_table.head(engine).seq
        found = log_table.latest(engine, count) if count else []
        last = found[-1].seq if found else start
        if as_json:
            _echo_json(found)
        elif console.is_terminal and not follow:
            console.print(_drawn(engine, found, console.width))
        else:
            _print_lines(console, [COLUMNS])
            _print_rows(console, engine, found)
        with suppress(KeyboardInterrupt):
            while follow:
                time.sleep(_FOLLOW_EVERY)
                for row in log_table.rows(engine, after=last):
                    last = row.seq
                    if as_json:
                        _echo_json([row])
                    else:
                        _print_rows(console, engine, [row])


@audit.command()
@click.argument("decision", metavar="DECISION_ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per record.")
@click.pass_obj
def show(obj: CliContext, decision: str, as_json: bool) -> None:
    """Show everything that is recorded of one decision. Its id is in the answer's headers."""
    with _log(obj) as engine:
        found = log_table.of_decision(engine, decision.strip())
    if not found:
        raise click.ClickException(f"the audit log has no decision {decision!r}")
    if as_json:
        _echo_json(found)
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(Text(f"decision {decision.strip()}", style="bold"))
    for row in found:
        record = _decoded(row)
        if record is None:
            console.print(Text(f"\nrecord {row.seq} cannot be read; run: bailiwick audit verify", style="red"))
            continue
        console.print()
        console.print(Text(f"record {row.seq}: {record.kind.value}", style=_style(record) or "bold"))
        for name, words in describe(record):
            console.print(Text(f"  {name:<10} ", style="dim"), Text(words), sep="")
        console.print(Text(f"  {'hash':<10} {row.hash.hex()}", style="dim"))


@audit.command()
@click.option("--head", "noted", metavar="HASH", help="The hash of the head as it was noted earlier, somewhere else.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def verify(ctx: click.Context, noted: str | None, as_json: bool) -> None:
    """Verify the hash chain over the whole log.

    Finds records that were changed, taken out, put in or moved. Exit code 0: all is well, 1: it is not. A tail that
    was cut off, or a log that was written anew, is found only with --head: note the head's hash elsewhere from
    time to time.
    """
    expected = _hash(noted)
    with _log(ctx.obj) as engine:
        result = verify_rows(log_table.rows(engine), expected)
    if as_json:
        click.echo(orjson.dumps(_as_json(result)))
    else:
        _print_result(result, noted is not None)
    ctx.exit(0 if result.ok else 1)


def _hash(noted: str | None) -> bytes | None:
    if noted is None:
        return None
    try:
        expected = bytes.fromhex(noted.strip())
    except ValueError:
        expected = b""
    if len(expected) != 32:
        raise click.BadParameter("a hash has 64 hexadecimal digits", param_hint="--head")
    return expected


@contextmanager
def _log(obj: CliContext) -> Iterator[Engine]:
    engine = open_log(obj.audit_url, create=False)
    try:
        yield engine
    except SQLAlchemyError as error:
        raise click.ClickException(f"the audit database cannot be read: {reason(error)}") from error
    finally:
        engine.dispose()


def _decoded(row: Row) -> AuditRecord | None:
    try:
        return decode(row.body)
    except ValueError:
        return None


def _records(engine: Engine, rows: list[Row]) -> Iterator[tuple[Row, AuditRecord | None, str]]:
    """Each row, its record, and its app. An outcome does not repeat the app, so it is looked up."""
    apps: dict[str, str] = {}
    for row in rows:
        if row.app:
            apps[row.decision] = row.app
        elif row.kind == RecordKind.OUTCOME and row.decision not in apps:
            earlier = log_table.of_decision(engine, row.decision)
            apps[row.decision] = next((other.app for other in earlier if other.app), "")
        yield row, _decoded(row), apps.get(row.decision, "")


def _cells(row: Row, record: AuditRecord | None, app: str) -> tuple[str, ...]:
    if record is None:
        return (f"record {row.seq} cannot be read; run: bailiwick audit verify",)
    return line(record, app)


def _drawn(engine: Engine, rows: list[Row], width: int) -> Table:
    """In a narrow terminal, fewer columns rather than cells cut to nothing; `show` has the rest."""
    columns = [name for name in COLUMNS if width >= _WIDE or name not in ("level", "because")]
    drawn = Table(box=None, pad_edge=False)
    for column in columns:
        drawn.add_column(column, justify="right" if column == "cost USD" else "left", no_wrap=column != "because")
    for row, record, app in _records(engine, rows):
        cells = dict(zip(COLUMNS, _cells(row, record, app), strict=False))
        drawn.add_row(*(Text(cells.get(column, "")) for column in columns), style=_style(record))
    return drawn


def _print_rows(console: Console, engine: Engine, rows: list[Row]) -> None:
    _print_lines(console, [_cells(*found) for found in _records(engine, rows)])


def _print_lines(console: Console, lines: list[tuple[str, ...]]) -> None:
    """Columns of a fixed width for people, since what follows is not known yet; tabs for programs."""
    for cells in lines:
        if console.is_terminal:
            padded = [cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=False)]
            click.echo(" ".join([*padded, *cells[len(_WIDTHS) :]]).rstrip())
        else:
            click.echo("\t".join(cells))


def _style(record: AuditRecord | None) -> str | None:
    if record is None:
        return "red"
    return _STYLES.get(record.outcome) or _STYLES.get(record.kind.value)


def _echo_json(rows: list[Row]) -> None:
    for row in rows:
        record = orjson.Fragment(row.body) if _decoded(row) else None
        click.echo(orjson.dumps({"seq": row.seq, "hash": row.hash.hex(), "record": record}))


def _as_json(result: Verification) -> dict[str, Any]:
    problem = result.first_problem
    return {
        "ok": result.ok,
        "records": result.records,
        "head": {"seq": result.head.seq, "hash": result.head.hash.hex()},
        "problem": None if problem is None else {"seq": problem.seq, "what": problem.what},
        "dangling_intents": [
            {"seq": intent.seq, "decision": intent.decision, "attempt": intent.attempt, "at": _time(intent.at)}
            for intent in result.dangling_intents
        ],
    }


def _print_result(result: Verification, with_noted: bool) -> None:
    console = Console(highlight=False, soft_wrap=True)
    if result.first_problem is not None:
        console.print(Text(f"BROKEN: {result.first_problem.what}", style="bold red"))
        console.print(f"{result.records:,} records are in order, up to the hash {result.head.hash.hex()}")
        return
    console.print(Text(f"ok: {result.records:,} records form one unbroken chain", style="bold green"))
    console.print(f"head: {result.head.hash.hex()}")
    if not with_noted:
        console.print("Note the head elsewhere: only with it (--head) a tail that was cut off can be found out.")
    if result.dangling_intents:
        count = f"{len(result.dangling_intents):,}"
        console.print(f"\n{count} sent without a known outcome (in work just now, or cut off by a crash):")
        for intent in result.dangling_intents:
            console.print(
                f"  record {intent.seq}  {_time(intent.at)}  {intent.decision}  attempt {intent.attempt}", markup=False
            )


def _time(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
