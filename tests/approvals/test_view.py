"""gateway.approvals.view: an approval as data, for programs and people."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from gateway.approvals import Approval, Status, Word
from gateway.approvals.view import as_json, in_iso
from gateway.domain.ports import ApprovalCase
from support.approvals import DPO, HOUR, LEGAL, SECOND, Hands, a_case

NOW = Hands().now
PENDING = Approval("a1", a_case(needed=(DPO, LEGAL)), Status.PENDING, NOW - HOUR, NOW + HOUR, {0: Word("officer", NOW)})


def test_everything_an_approver_needs_is_shown() -> None:
    """Who asks, for what data, where to, who has spoken and who has not, how old it is."""
    shown: Any = as_json(PENDING, NOW)
    assert shown["asked_by"] == {
        "key": "asker",
        "tenant": "acme",
        "app": "support-bot",
        "group": "default",
        "user": None,
    }
    assert (shown["status"], shown["level"], shown["body_bytes"], shown["age_seconds"]) == (
        "pending",
        "restricted",
        120,
        3600,
    )
    assert shown["found"] == [{"entity": "CREDIT_CARD", "percent": 100, "distinct": 1}]
    assert shown["targets"] == ["cloud-eu", "local"]
    assert shown["hidden_from_clouds"] == ["CREDIT_CARD"]
    assert shown["needed"] == [
        {
            "rule": "handling.restricted",
            "approvers": ["dpo"],
            "lasts_seconds": 3600,
            "given": {"key": "officer", "at": in_iso(NOW)},
        },
        {"rule": "contracts", "approvers": ["law", "privacy"], "lasts_seconds": 600, "given": None},
    ]
    assert (shown["denied"], shown["used"]) == (None, None)


def test_what_time_has_done_is_shown() -> None:
    """A word that has lapsed is not shown as given while the approval waits; an approval past its time is expired; who
    approved what was used is shown for good."""
    later = NOW + DPO.seconds * SECOND
    waits: Any = as_json(replace(PENDING, expires_at=later + 1), later)
    assert waits["needed"][0]["given"] is None
    assert as_json(PENDING, PENDING.expires_at)["status"] == "expired"
    used = replace(PENDING, status=Status.USED, used_at=NOW, used_by="d1")
    shown: Any = as_json(used, later * 2)
    assert shown["status"] == "used"
    assert shown["used"] == {"decision": "d1", "at": in_iso(NOW)}
    assert shown["needed"][0]["given"] is not None


def test_nothing_but_ids_names_and_counts_is_kept() -> None:
    """A case has no field that could hold a request; a new field has to be thought about here."""
    assert {field.name for field in fields(ApprovalCase)} == {
        *("binding", "decision", "key", "tenant", "app", "group", "user", "dialect", "model", "level", "found"),
        *("size", "policy", "targets", "hidden", "needed"),
    }


def test_times_are_in_utc() -> None:
    """ISO 8601, whole seconds."""
    assert in_iso(1_790_000_000_999_999) == "2026-09-21T14:13:20Z"
