"""``bailiwick approvals``: the requests that wait for somebody's word, and giving it. There is no content to show."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.approvals import Approval, ApprovalDesk, SqlApprovals, Status
from gateway.approvals.values import in_words
from gateway.approvals.view import as_json
from gateway.audit import AuditStore
from gateway.cli.common import CliContext
from gateway.domain.errors import ConfigurationError, GatewayError
from gateway.domain.request import Caller
from gateway.identity import SqlKeyStore

KEY_VARIABLE: Final = "BAILIWICK_API_KEY"
_COLUMNS = ("id", "status", "age", "app", "level", "found", "bytes", "targets", "waits for")
_WAITING = (Status.PENDING, Status.APPROVED)

T = TypeVar("T")


@click.group()
def approvals() -> None:
    """See what waits for an approval; approve or deny it."""


@approvals.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that are used, denied or expired.")
@click.option("-n", "count", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At most so many.")
@click.option("--json", "as_lines", is_flag=True, help="One JSON object per approval.")
@click.pass_obj
def list_(obj: CliContext, everything: bool, count: int, as_lines: bool) -> None:
    """List what waits and what is approved but not used yet, the newest first."""

    async def read(store: SqlApprovals) -> tuple[list[Approval], int]:
        return list(await store.listed(None, () if everything else _WAITING, count)), store.now()

    found, now = _with_store(obj, read)
    if as_lines:
        for approval in found:
            click.echo(orjson.dumps(as_json(approval, now)))
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        for cells in (_COLUMNS, *(_cells(approval, now) for approval in found)):
            click.echo("\t".join(cells))
        return
    if not found:
        console.print("Nothing waits for an approval.", markup=False)
        return
    table = Table(box=None, pad_edge=False)
    for column in _COLUMNS:
        table.add_column(column, justify="right" if column == "bytes" else "left", no_wrap=column == "id")
    for approval in found:
        style = None if approval.status_at(now) is Status.PENDING else "dim"
        table.add_row(*map(Text, _cells(approval, now)), style=style)
    console.print(table)


@approvals.command()
@click.argument("name", metavar="ID")
@click.option("--json", "as_object", is_flag=True, help="One JSON object.")
@click.pass_obj
def show(obj: CliContext, name: str, as_object: bool) -> None:
    """Show who asks for an approval, for what kind of data, to be sent where, and who has approved."""

    async def read(store: SqlApprovals) -> tuple[Approval, int]:
        return await store.find(name), store.now()

    _print(*_with_store(obj, read), as_object=as_object)


@approvals.command()
@click.argument("name", metavar="ID")
@click.option("--json", "as_object", is_flag=True, help="One JSON object.")
@click.pass_obj
def approve(obj: CliContext, name: str, as_object: bool) -> None:
    """Approve a request, so that the same one may go once.

    It takes an API key with the role admin, of a group that the policy names: in the variable BAILIWICK_API_KEY, or
    typed when asked for.
    """
    _print(*_at_desk(obj, lambda desk, caller: desk.approve(caller, name)), as_object=as_object)


@approvals.command()
@click.argument("name", metavar="ID")
@click.option("--json", "as_object", is_flag=True, help="One JSON object.")
@click.pass_obj
def deny(obj: CliContext, name: str, as_object: bool) -> None:
    """Deny a request, or take back an approval that was not used yet. The key is given as for approve."""
    _print(*_at_desk(obj, lambda desk, caller: desk.deny(caller, name)), as_object=as_object)


def _with_store(obj: CliContext, work: Callable[[SqlApprovals], Awaitable[T]]) -> T:
    async def run() -> T:
        store = SqlApprovals.open(obj.approvals_url, create=False)
        try:
            return await work(store)
        finally:
            await store.aclose()

    return _told(run)


def _at_desk(obj: CliContext, work: Callable[[ApprovalDesk, Caller], Awaitable[Approval]]) -> tuple[Approval, int]:
    presented = os.environ.get(KEY_VARIABLE) or click.prompt("API key", hide_input=True, err=True)

    async def run() -> tuple[Approval, int]:
        store = SqlApprovals.open(obj.approvals_url, create=False)
        try:
            caller = await _caller(obj, presented.strip())
            audit = AuditStore.open(obj.audit_url)
            try:
                return await work(ApprovalDesk(store, audit), caller), store.now()
            finally:
                await audit.aclose()
        finally:
            await store.aclose()

    return _told(run)


async def _caller(obj: CliContext, presented: str) -> Caller:
    keys = SqlKeyStore.open(obj.identity_url)
    try:
        caller = keys.caller(presented)
    finally:
        await keys.aclose()
    if caller is None:
        raise click.ClickException("the API key is unknown or was revoked")
    return caller


def _told(run: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What the work comes to; what a caller would be told is the command's error."""
    try:
        return asyncio.run(run())
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error
    except GatewayError as error:
        raise click.ClickException(error.public) from error


def _print(approval: Approval, now: int, *, as_object: bool) -> None:
    shown = as_json(approval, now)
    if as_object:
        click.echo(orjson.dumps(shown))
        return
    case = approval.case
    waiting = [case.needed[number] for number in approval.waiting(now)]
    lines = [
        ("approval", approval.id),
        ("status", shown["status"]),
        ("asked", f"{shown['asked_at']}, {_age(approval, now)} ago"),
        ("by", f"{case.tenant}/{case.app}, group {case.group}, key {case.key}"),
        ("user", f"keyed hash {case.user}" if case.user else "(not named)"),
        ("decision", case.decision),
        ("model", f"{case.model} ({case.dialect})"),
        ("level", case.level.word),
        ("found", _found(approval) or "nothing"),
        ("size", f"{case.size} bytes"),
        ("may go to", ", ".join(case.targets)),
        ("hidden from clouds", ", ".join(case.hidden) or "nothing"),
        ("policy", case.policy),
        *[("approved", _given(approval, number)) for number in sorted(approval.words)],
        ("waits for", in_words(waiting) if approval.status_at(now) is Status.PENDING else "nobody"),
        ("denied", f"by key {approval.denied.key}" if approval.denied else "no"),
        ("used", f"by decision {approval.used_by}" if approval.used_by else "no"),
        ("expires", shown["expires_at"]),
    ]
    for name, value in lines:
        click.echo(f"{name:<20}{value}")


def _given(approval: Approval, number: int) -> str:
    needed = approval.case.needed[number]
    return f"by key {approval.words[number].key} for {in_words([needed])}, holds for {needed.seconds} seconds"


def _cells(approval: Approval, now: int) -> tuple[str, ...]:
    case = approval.case
    status = approval.status_at(now)
    waiting = [case.needed[number] for number in approval.waiting(now)] if status is Status.PENDING else []
    return (
        approval.id,
        status.value,
        _age(approval, now),
        f"{case.tenant}/{case.app}",
        case.level.word,
        _found(approval) or "-",
        str(case.size),
        ", ".join(case.targets),
        in_words(waiting) or "-",
    )


def _found(approval: Approval) -> str:
    """Such as ``CREDIT_CARD 1, PERSON 3``."""
    counts: dict[str, int] = {}
    for item in approval.case.found:
        counts[item.entity] = counts.get(item.entity, 0) + item.distinct
    return ", ".join(f"{entity} {count}" for entity, count in sorted(counts.items()))


def _age(approval: Approval, now: int) -> str:
    """In the largest unit of which there is one, such as ``3 h``."""
    seconds = max(0, (now - approval.asked_at) // 1_000_000)
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
