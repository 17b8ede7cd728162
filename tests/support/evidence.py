"""What a gateway has recorded, read from outside while it runs, as an auditor would: not through the gateway."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from gateway.audit.codec import decode
from gateway.audit.mac import LogMac
from gateway.cli import main
from gateway.domain.record import AuditRecord, RecordKind
from gateway.identity.secrets import derive, load_secret
from support.live import Gateway


def records(state: Path, decision: str | None = None) -> list[AuditRecord]:
    """Everything that is durable in the audit log now, or what is of one decision, in order."""
    with closing(sqlite3.connect(f"file:{state}/audit.db?mode=ro", uri=True)) as database:
        where, values = ("WHERE decision = ?", (decision,)) if decision else ("", ())
        found = database.execute(f"SELECT body FROM audit_records {where} ORDER BY seq", values).fetchall()
    return [decode(body) for (body,) in found]


def intents(state: Path) -> list[AuditRecord]:
    return [record for record in records(state) if record.kind is RecordKind.INTENT]


def outcomes(state: Path) -> list[AuditRecord]:
    return [record for record in records(state) if record.kind is RecordKind.OUTCOME]


def mac_of(state: Path) -> Callable[[bytes], str]:
    """The keyed hash that the gateway of this state records of what it sends."""
    return LogMac(derive(load_secret(state), "audit-mac")).label


def audit_verify(gateway: Gateway) -> Result:
    """``bailiwick audit verify``, run in this process."""
    return CliRunner().invoke(main, ["--config", str(gateway.config), "audit", "verify", "--json"])


def money(state: Path) -> dict[str, tuple[int, int]]:
    """Spent and reserved nano-dollars of each budget, now."""
    with closing(sqlite3.connect(f"file:{state}/budgets.db?mode=ro", uri=True)) as database:
        return {scope: (spent, held) for scope, spent, held in database.execute("SELECT * FROM budgets")}


def eventually(condition: Callable[[], bool], seconds: float = 3.0, what: str = "it never came true") -> None:
    """Wait until the condition holds; an assertion fails where it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def chat_body(text: str, **fields: Any) -> bytes:
    """A request for the model `auto`."""
    return json.dumps({"model": "auto", "messages": [{"role": "user", "content": text}], **fields}).encode()
