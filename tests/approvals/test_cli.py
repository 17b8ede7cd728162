"""gateway.cli.approvals: the approvals at the terminal, with the same rules as in the admin API."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.approvals import SqlApprovals
from gateway.audit import AuditStore
from gateway.cli.approvals import approvals
from gateway.cli.common import CliContext
from gateway.identity.keys import KeyTable
from support.approvals import a_case

Run = Callable[..., Result]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)  # away from any settings file
    monkeypatch.delenv("BAILIWICK_API_KEY", raising=False)
    return tmp_path / "state"


@pytest.fixture
def run(data: Path) -> Run:
    def invoke(*arguments: str, key: str = "", typed: str | None = None) -> Result:
        environ = {"BAILIWICK_API_KEY": key} if key else {}
        return CliRunner(env=environ).invoke(approvals, arguments, obj=CliContext(data_override=data), input=typed)

    return invoke


def waiting(data: Path, **changes: str) -> str:
    """The id of an approval that waits."""

    async def claim() -> str:
        store = SqlApprovals.open(f"sqlite:///{data}/approvals.db")
        try:
            return (await store.claim(a_case(**changes))).id
        finally:
            await store.aclose()

    return asyncio.run(claim())


def key_of(data: Path, group: str = "dpo", role: str = "admin") -> str:
    keys = KeyTable.open(f"sqlite:///{data}/identity.db")
    try:
        return keys.create(tenant="acme", app="console", group=group, role=role)[1]
    finally:
        keys.close()


def events(data: Path, name: str) -> list[str]:
    async def find() -> list[str]:
        store = AuditStore.open(f"sqlite:///{data}/audit.db")
        try:
            return [record.event for record in await store.find(f"approval:{name}")]
        finally:
            await store.aclose()

    return asyncio.run(find())


def test_the_list_has_what_waits(data: Path, run: Run) -> None:
    """One line each, with the facts and whom it waits for; used and denied ones only with --all."""
    name = waiting(data)
    other = waiting(data, binding="2" * 32)
    assert run("deny", other, key=key_of(data)).exit_code == 0
    head, *lines = run("list").stdout.splitlines()
    assert head.split("\t")[0] == "id"
    (line,) = lines
    shown = line.split("\t")
    assert re.fullmatch(r"\d+ s", shown.pop(2))
    assert shown == [
        *(name, "pending", "acme/support-bot", "restricted", "CREDIT_CARD 1", "120", "cloud-eu, local"),
        "dpo (handling.restricted)",
    ]
    assert len(run("list", "--all").stdout.splitlines()) == 3
    assert json.loads(run("list", "--json").stdout)["id"] == name


def test_show_tells_all_that_is_known(data: Path, run: Run) -> None:
    """Who asks, what for, who has approved, and until when."""
    name = waiting(data)
    shown = run("show", name).stdout
    for text in (name, "acme/support-bot", "restricted", "CREDIT_CARD 1", "cloud-eu, local", "dpo", " s ago"):
        assert text in shown
    run("approve", name, key=key_of(data))
    assert "waits for           nobody" in run("show", name).stdout
    assert json.loads(run("show", name, "--json").stdout)["status"] == "approved"


def test_approving_takes_the_key_of_an_approver(data: Path, run: Run) -> None:
    """From the environment or typed, never as an argument; and it is on record."""
    name, key = waiting(data), key_of(data)
    done = run("approve", name, "--json", typed=f"{key}\n")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["needed"][0]["given"]["key"] == key.split("_")[1]
    assert key not in done.output
    assert events(data, name) == ["approval given"]


def test_what_is_refused_says_why(data: Path, run: Run) -> None:
    """Exit code 1 and one sentence; nothing changes."""
    name = waiting(data)
    refused = [
        (run("approve", name, key=key_of(data, group="sales")), "sales"),
        (run("approve", name, key=key_of(data, role="user")), "role admin"),
        (run("approve", name, key="bk_nonsense"), "unknown"),
        (run("deny", name, key=key_of(data, group="sales")), "sales"),
        (run("show", "a0"), "no such approval"),
        (run("approve", "a0", key=key_of(data)), "no such approval"),
    ]
    for result, word in refused:
        assert result.exit_code == 1
        assert word in result.stderr
        assert "Traceback" not in result.stderr
    assert json.loads(run("show", name, "--json").stdout)["status"] == "pending"
    assert events(data, name) == []


def test_without_a_database_nothing_is_made(data: Path, run: Run) -> None:
    """Looking at nothing is an error in a sentence, and leaves no files."""
    for arguments in (["list"], ["show", "a0"], ["approve", "a0"], ["deny", "a0"]):
        result = run(*arguments, key="bk_nonsense")
        assert result.exit_code == 1
        assert "no database" in result.stderr
    assert not data.exists()
