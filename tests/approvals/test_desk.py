"""gateway.approvals.desk: who may look and who may speak, and that nothing is said without a record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.approvals import ApprovalDesk, SqlApprovals, Status
from gateway.domain.errors import Code, GatewayError
from gateway.domain.record import AuditRecord, RecordKind
from support.approvals import CASE, Hands, a_case, approver
from support.assembly import MemoryLog

pytestmark = pytest.mark.anyio


class FullLog(MemoryLog):
    """An audit log that takes nothing."""

    async def append(self, record: AuditRecord) -> None:
        raise GatewayError(Code.AUDIT_UNAVAILABLE, "The audit log is not available.")


@pytest.fixture
async def store(tmp_path: Path, anyio_backend: str) -> AsyncIterator[SqlApprovals]:
    opened = SqlApprovals.open(f"sqlite:///{tmp_path}/approvals.db", Hands())
    yield opened
    await opened.aclose()


def events(log: MemoryLog) -> list[tuple[str, str]]:
    return [(record.event, record.key) for record in log.records]


async def test_what_is_said_is_on_record(store: SqlApprovals) -> None:
    """Who approved and who denied, of which approval, by which policy, under one id that tells the whole story."""
    log = MemoryLog()
    desk = ApprovalDesk(store, log)
    name = (await store.claim(CASE)).id
    await desk.approve(approver("officer"), name)
    await desk.deny(approver("second"), name)
    assert events(log) == [("approval given", "officer"), ("approval denied", "second")]
    for record in log.records:
        assert (record.kind, record.decision, record.approval) == (RecordKind.EVENT, f"approval:{name}", name)
        assert (record.tenant, record.group, record.role, record.policy) == ("acme", "dpo", "admin", CASE.policy)
        assert (record.because, record.permitted) == (("handling.restricted",), ("cloud-eu", "local"))


async def test_without_a_record_nothing_is_approved(store: SqlApprovals) -> None:
    """The record is durable before the approval is in force."""
    desk = ApprovalDesk(store, FullLog())
    name = (await store.claim(CASE)).id
    for act in (desk.approve, desk.deny):
        with pytest.raises(GatewayError) as caught:
            await act(approver(), name)
        assert caught.value.code is Code.AUDIT_UNAVAILABLE
    assert (await store.find(name)).status is Status.PENDING
    assert (await store.claim(CASE)).status == "pending"


async def test_what_is_refused_or_changes_nothing_leaves_no_event(store: SqlApprovals) -> None:
    """An event says that something was said."""
    log = MemoryLog()
    desk = ApprovalDesk(store, log)
    name = (await store.claim(CASE)).id
    for caller in (approver(group="sales"), approver(role="auditor"), approver(key=CASE.key)):
        with pytest.raises(GatewayError):
            await desk.approve(caller, name)
    assert events(log) == []
    await desk.approve(approver(), name)
    await desk.approve(approver(), name)
    assert events(log) == [("approval given", "officer")]


async def test_who_was_too_late_is_on_record_too(store: SqlApprovals) -> None:
    """Where two speak at once and one comes too late, a second event takes back what the first announced."""
    log = MemoryLog()
    desk = ApprovalDesk(store, log)
    name = (await store.claim(CASE)).id
    outcomes = await asyncio.gather(
        desk.approve(approver("one"), name), desk.approve(approver("two"), name), return_exceptions=True
    )
    (late,) = [outcome for outcome in outcomes if isinstance(outcome, GatewayError)]
    assert late.code is Code.APPROVAL_CLOSED
    assert [event for event, _ in events(log)] == ["approval given", "approval given", "approval not given"]
    assert log.records[-1].key not in {word.key for word in (await store.find(name)).words.values()}


async def test_looking_is_for_admins_and_auditors_of_the_tenant(store: SqlApprovals) -> None:
    """Another tenant's approvals do not exist for anybody else, and users see none."""
    desk = ApprovalDesk(store, MemoryLog())
    name = (await store.claim(CASE)).id
    await store.claim(a_case(binding="2" * 32, tenant="other"))
    for role in ("admin", "auditor"):
        assert [found.id for found in await desk.listed(approver(role=role, group="any"))] == [name]
        assert (await desk.find(approver(role=role, group="any"), name)).id == name
    for caller, code in (
        (approver(role="user"), Code.FORBIDDEN),
        (approver(tenant="third"), Code.APPROVAL_NOT_FOUND),
    ):
        with pytest.raises(GatewayError) as caught:
            await desk.find(caller, name)
        assert caught.value.code is code
    with pytest.raises(GatewayError):
        await desk.listed(approver(role="user"))
