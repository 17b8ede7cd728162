"""``bailiwick keys``: who may call. Making and revoking a key is written to the audit log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from gateway.cli.audit_events import append
from gateway.cli.common import CliContext
from gateway.domain.errors import ConfigurationError, GatewayError
from gateway.domain.record import AuditRecord, Label, RecordKind
from gateway.identity.keys import ROLES, ApiKey, KeyTable, UnknownKey
from gateway.sql import reason

_COLUMNS = ("id", "tenant", "app", "group", "role", "created", "revoked", "note")
_NOT_RECORDED = (GatewayError, ConfigurationError)  # the log cannot be written, or not even be opened


@click.group()
def keys() -> None:
    """Make, list and revoke API keys."""


@keys.command()
@click.option("--tenant", required=True, help="The organisation that the key belongs to.")
@click.option("--app", required=True, help="The application that will use it; policies and budgets go by it.")
@click.option("--group", default="default", show_default=True, help="A group of people or apps that policies can name.")
@click.option("--role", type=click.Choice(ROLES), default="user", show_default=True, help="What else it may do here.")
@click.option("--note", default="", help="What it is for, for the list.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with the key and its id.")
@click.pass_obj
def create(obj: CliContext, tenant: str, app: str, group: str, role: str, note: str, as_json: bool) -> None:
    """Make a key and print it: on standard output, alone, and only this once."""
    with _table(obj.identity_url) as table:
        key_id, key = table.create(tenant=tenant, app=app, group=group, role=role, note=note)
        made = ApiKey(key_id, tenant, app, group, role, note, 0, None)
        try:
            _record(obj, "key.created", made)
        except _NOT_RECORDED as error:
            table.revoke(key_id)
            raise click.ClickException(f"no key was made, because the audit log cannot be written: {error}") from error
    if as_json:
        click.echo(orjson.dumps({"id": key_id, "key": key, "tenant": tenant, "app": app, "group": group, "role": role}))
        return
    click.echo(f"Key {key_id} for {tenant}/{app}, group {group}, role {role}:", err=True)
    click.echo(key)
    click.echo("Keep it now: only its hash is stored, so it cannot be shown again.", err=True)


@keys.command("list")
@click.option("--all", "with_revoked", is_flag=True, help="Revoked keys as well.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per key.")
@click.pass_obj
def list_(obj: CliContext, with_revoked: bool, as_json: bool) -> None:
    """List the keys, oldest first; never the secrets, which are not stored."""
    with _table(obj.identity_url, create=False) as table:
        found = [key for key in table.list() if with_revoked or key.revoked_at is None]
    if as_json:
        for key in found:
            click.echo(orjson.dumps(_as_json(key)))
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        for cells in (_COLUMNS, *map(_cells, found)):
            click.echo("\t".join(cells))
        return
    if not found:
        console.print("There are no keys. Make one with: bailiwick keys create --tenant NAME --app NAME", markup=False)
        return
    drawn = Table(box=None, pad_edge=False)
    for column in _COLUMNS:
        drawn.add_column(column, no_wrap=column != "note")
    for key in found:
        drawn.add_row(*map(Text, _cells(key)), style=None if key.revoked_at is None else "dim")
    console.print(drawn)


@keys.command()
@click.argument("key_id", metavar="ID")
@click.pass_obj
def revoke(obj: CliContext, key_id: str) -> None:
    """Make a key invalid, in every running gateway within a second. ID is the middle part of the key."""
    with _table(obj.identity_url, create=False) as table:
        try:
            key = table.revoke(key_id)
        except UnknownKey as error:
            raise click.ClickException(str(error)) from error
    try:  # after it: in an emergency a broken audit log must not keep a stolen key alive
        _record(obj, "key.revoked", key)
    except _NOT_RECORDED as error:
        raise click.ClickException(f"key {key_id} is revoked, but the audit log does not say so: {error}") from error
    click.echo(f"Key {key_id} ({key.tenant}/{key.app}) is revoked.")


@contextmanager
def _table(url: str, *, create: bool = True) -> Iterator[KeyTable]:
    with closing(KeyTable.open(url, create=create)) as table:
        try:
            yield table
        except SQLAlchemyError as error:
            raise click.ClickException(f"the identity database: {reason(error)}") from error


def _record(obj: CliContext, event: str, key: ApiKey) -> None:
    record = AuditRecord(
        kind=RecordKind.EVENT,
        at=time.time_ns() // 1000,
        decision=Label(f"key:{key.id}"),
        event=Label(event),
        key=Label(key.id),
        tenant=Label(key.tenant),
        app=Label(key.app),
        group=Label(key.group),
        role=Label(key.role),
    )
    append(obj.audit_url, [record])


def _cells(key: ApiKey) -> tuple[str, ...]:
    revoked = "" if key.revoked_at is None else _time(key.revoked_at)
    return key.id, key.tenant, key.app, key.group, key.role, _time(key.created_at), revoked, key.note


def _time(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _as_json(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "tenant": key.tenant,
        "app": key.app,
        "group": key.group,
        "role": key.role,
        "note": key.note,
        "created": _time(key.created_at),
        "revoked": None if key.revoked_at is None else _time(key.revoked_at),
    }
