"""gateway.cli.keys: the key commands, and that the audit log knows of them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.audit import AuditStore
from gateway.cli.common import CliContext
from gateway.cli.keys import keys
from gateway.domain.record import AuditRecord
from gateway.identity import SqlKeyStore


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)  # away from any settings file
    return tmp_path / "state"


def run(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(keys, arguments, obj=CliContext(data_override=data))


def audited(data: Path, decision: str) -> list[AuditRecord]:
    async def find() -> list[AuditRecord]:
        store = AuditStore.open(f"sqlite:///{data}/audit.db")
        try:
            return await store.find(decision)
        finally:
            await store.aclose()

    return asyncio.run(find())


def test_create_prints_the_key_alone(data: Path) -> None:
    """Standard output is the key and nothing else, for scripts; the words for people go to standard error."""
    result = run(data, "create", "--tenant", "acme", "--app", "bot", "--group", "hr", "--role", "auditor")
    assert result.exit_code == 0
    key = result.stdout.strip()
    assert "cannot be shown again" in result.stderr

    async def caller() -> object:
        store = SqlKeyStore.open(f"sqlite:///{data}/identity.db")
        try:
            return store.caller(key)
        finally:
            await store.aclose()

    found = asyncio.run(caller())
    assert found is not None
    assert (found.tenant, found.app, found.group, found.role) == ("acme", "bot", "hr", "auditor")  # type: ignore[attr-defined]


def test_making_and_revoking_is_audited(data: Path) -> None:
    """The audit log says when a key was made and revoked, for whom, by its id; without the secret."""
    made = json.loads(run(data, "create", "--tenant", "acme", "--app", "bot", "--json").output)
    assert run(data, "revoke", made["id"]).exit_code == 0
    records = audited(data, f"key:{made['id']}")
    assert [(record.event, record.tenant, record.app, record.key) for record in records] == [
        ("key.created", "acme", "bot", made["id"]),
        ("key.revoked", "acme", "bot", made["id"]),
    ]


def test_no_key_without_a_record(data: Path) -> None:
    """When the audit log cannot be written, no valid key is made."""
    assert run(data, "create", "--tenant", "acme", "--app", "bot").exit_code == 0
    (data / "audit.db").rename(data / "away.db")
    for left in data.glob("audit.db-*"):
        left.unlink()
    (data / "audit.db").mkdir()
    result = run(data, "create", "--tenant", "acme", "--app", "other")
    assert result.exit_code != 0
    assert "bk_" not in result.stdout
    assert "other" not in run(data, "list").output


def test_list(data: Path) -> None:
    """Tab-separated without a terminal; revoked keys only with --all; never a secret."""
    made = [json.loads(run(data, "create", "--tenant", "acme", "--app", app, "--json").output) for app in ("a", "b")]
    run(data, "revoke", made[0]["id"])
    rows = [line.split("\t") for line in run(data, "list").output.splitlines()]
    assert rows[0] == ["id", "tenant", "app", "group", "role", "created", "revoked", "note"]
    assert [row[0] for row in rows[1:]] == [made[1]["id"]]
    everything = run(data, "list", "--all", "--json").output
    assert [json.loads(line)["id"] for line in everything.splitlines()] == [key["id"] for key in made]
    assert json.loads(everything.splitlines()[0])["revoked"] is not None
    assert not any(key["key"].split("_")[2] in everything for key in made)


def test_revoking_an_unknown_key(data: Path) -> None:
    """An unknown id is an error that says so."""
    run(data, "create", "--tenant", "acme", "--app", "bot")
    result = run(data, "revoke", "nobody000000")
    assert result.exit_code == 1
    assert "no key" in result.output


def test_an_unknown_role_is_a_usage_error(data: Path) -> None:
    """Roles are a closed set, and the message lists them."""
    result = run(data, "create", "--tenant", "acme", "--app", "bot", "--role", "root")
    assert result.exit_code == 2
    assert "auditor" in result.output
