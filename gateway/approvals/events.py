"""What the audit log says of approvals. All events of one approval have the same id in place of a decision's, so that
``bailiwick audit show approval:ID`` tells its story."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.domain.ports import ApprovalCase
from gateway.domain.record import AuditRecord, Label, RecordKind, label
from gateway.domain.request import Caller

ASKED: Final = "approval asked for"
GIVEN: Final = "approval given"
NOT_GIVEN: Final = "approval not given"
"""What was about to be given could not be: somebody else was faster, or the store failed."""
DENIED: Final = "approval denied"
NOT_DENIED: Final = "approval not denied"
USED: Final = "approval used"


def approval_event(name: str, at: int, approval: str, caller: Caller, case: ApprovalCase) -> AuditRecord:
    """`caller` is who did it, `at` microseconds since the epoch, `case` the request, whose facts the record holds."""
    return AuditRecord(
        kind=RecordKind.EVENT,
        at=at,
        decision=story(approval),
        event=Label(name),
        tenant=label(caller.tenant),
        app=label(caller.app),
        group=label(caller.group),
        role=label(caller.role),
        key=label(caller.key),
        dialect=label(case.dialect),
        model=label(case.model),
        body_bytes=case.size,
        found=case.found,
        level=Label(case.level.word),
        approval=label(approval),
        policy=label(case.policy),
        because=_labels([needed.rule for needed in case.needed]),
        permitted=_labels(case.targets),
    )


def story(approval: str) -> Label:
    """What to ask the audit log for."""
    return label(f"approval:{approval}")


def _labels(texts: Sequence[str]) -> tuple[Label, ...]:
    return tuple(label(text) for text in texts)
