"""What the audit log is told about policies and exceptions, and what `/readyz` says of them."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

from gateway.compose.policies import PolicyJournal, state
from gateway.policy.store import PolicyStore
from support.policies import document, rule

BEFORE, LAST, AFTER = date(2026, 12, 30), date(2026, 12, 31), date(2027, 1, 1)


def exception(name: str, expires: str = "2026-12-31") -> dict[str, Any]:
    return {
        "id": name,
        "lifts": "stays",
        "for": {"app": "hr"},
        "approved_by": "dpo",
        "ticket": "T-1",
        "expires": expires,
    }


def write(folder: Path, version: int, *exceptions: dict[str, Any]) -> None:
    rules = [rule("stays", {"app": "hr"}, {"action": "local_only"})]
    folder.mkdir(exist_ok=True)
    content = document(version=version, rules=rules, exceptions=list(exceptions))
    (folder / "all.yaml").write_text(json.dumps(content))


class Journal:
    """A journal and what it wrote, without the hashes."""

    def __init__(self, folder: Path) -> None:
        self.store = PolicyStore(folder)
        self.events: list[tuple[str, str, str]] = []
        self.journal = PolicyJournal(lambda *event: self.events.append(event))

    def told(self, today: date, *, reload: bool = False) -> list[tuple[str, str]]:
        if reload:
            self.store.reload()
        self.events.clear()
        self.journal.note(self.store.in_force, today)
        return [(name, detail) for name, _, detail in self.events]


def test_every_exception_is_recorded(tmp_path: Path) -> None:
    """Those in force at the start, and each that is added, changed or taken away; once each."""
    folder = tmp_path / "policies"
    write(folder, 1, exception("EX-1"))
    journal = Journal(folder)
    assert journal.told(BEFORE) == [("policy loaded", ""), ("exception in force", "EX-1")]
    assert journal.told(BEFORE) == []
    write(folder, 2, exception("EX-1", "2027-06-30"), exception("EX-2"))
    assert journal.told(BEFORE, reload=True) == [
        ("policy loaded", ""),
        ("exception changed", "EX-1"),
        ("exception added", "EX-2"),
    ]
    write(folder, 3, exception("EX-2"))
    assert journal.told(BEFORE, reload=True) == [("policy loaded", ""), ("exception removed", "EX-1")]


def test_an_exception_that_ends_by_its_day_is_recorded(tmp_path: Path) -> None:
    """On the day after its last one, without any change of the files."""
    folder = tmp_path / "policies"
    write(folder, 1, exception("EX-1"))
    journal = Journal(folder)
    journal.told(BEFORE)
    assert journal.told(LAST) == []
    assert journal.told(AFTER) == [("exception expired", "EX-1")]
    assert journal.told(AFTER) == []


def test_an_exception_that_had_expired_before_is_not_in_force(tmp_path: Path) -> None:
    """It lifts nothing, so it is not recorded as if it did."""
    folder = tmp_path / "policies"
    write(folder, 1, exception("EX-1"))
    assert Journal(folder).told(AFTER) == [("policy loaded", "")]


def test_each_tenants_policy_is_recorded(tmp_path: Path) -> None:
    """With its own hash; a change for one tenant records that one only."""
    folder = tmp_path / "policies"
    write(folder, 1)
    lab = {**document(policy="lab"), "for": {"tenant": ["lab"]}}
    (folder / "lab.yaml").write_text(json.dumps(lab))
    journal = Journal(folder)
    journal.told(BEFORE)
    assert {policy for _, policy, _ in journal.events} == {policy.id.hash for policy in journal.store.in_force.policies}
    (folder / "lab.yaml").write_text(json.dumps({**lab, "version": 8}))
    assert journal.told(BEFORE, reload=True) == [("policy loaded", "")]
    assert journal.events[0][1] == journal.store.for_tenant("lab").id.hash


def test_what_could_not_be_recorded_is_tried_again(tmp_path: Path) -> None:
    """An audit log that takes nothing for a while loses no event."""
    folder = tmp_path / "policies"
    write(folder, 1, exception("EX-1"))
    full = True
    told: list[str] = []

    def event(name: str, policy: str, detail: str) -> None:
        if full and name.startswith("exception"):
            raise OSError
        told.append(name)

    journal = PolicyJournal(event)
    store = PolicyStore(folder)
    try:
        journal.note(store.in_force, BEFORE)
    except OSError:
        full = False
    journal.note(store.in_force, BEFORE)
    assert told == ["policy loaded", "policy loaded", "exception in force"]


def test_what_is_in_force_is_told_without_names(tmp_path: Path) -> None:
    """The hash of all and of each policy, so that replicas can be compared; no tenant is named."""
    folder = tmp_path / "policies"
    write(folder, 1)
    (folder / "lab.yaml").write_text(json.dumps({**document(policy="lab"), "for": {"tenant": ["secret-lab"]}}))
    store = PolicyStore(folder)
    told = state(store)
    assert told["hash"] == store.hash
    assert told["policies"] == sorted(policy.id.hash for policy in store.in_force.policies)
    assert told["refused"] is False
    assert "lab" not in json.dumps(told)
