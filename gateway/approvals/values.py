"""What an approval is, and the rules of giving one. Nothing here holds content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.domain.decision import ApprovalNeeded
from gateway.domain.errors import Code, GatewayError
from gateway.domain.ports import ApprovalCase
from gateway.domain.request import Caller

SECOND: Final = 1_000_000
"""Microseconds."""

PENDING_FOR: Final = 7 * 86_400 * SECOND
"""Microseconds after which a request that nobody approved is forgotten, and a denial too."""


class Status(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    USED = "used"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Word:
    """What the holder of an API key (its public id) said, and when (microseconds since the epoch, UTC)."""

    key: str
    at: int


@dataclass(frozen=True, slots=True)
class Approval:
    """An approval and what became of it. Times are microseconds since the epoch (UTC).

    `words` are by the number of the requirement in `case.needed` that they meet; each holds for that requirement's
    seconds. `status` is what was written last; time goes on, so ask `status_at`. `used_by` is the decision id of the
    request that used it, empty while there is none.
    """

    id: str
    case: ApprovalCase
    status: Status
    asked_at: int
    expires_at: int
    words: Mapping[int, Word]
    denied: Word | None = None
    used_at: int | None = None
    used_by: str = ""

    def status_at(self, now: int) -> Status:
        lapsed = self.status in (Status.PENDING, Status.APPROVED) and now >= self.expires_at
        return Status.EXPIRED if lapsed else self.status

    def waiting(self, now: int) -> tuple[int, ...]:
        """The numbers of the requirements that nobody's word meets now."""
        return tuple(number for number in range(len(self.case.needed)) if not self._holds(number, now))

    def lasts_until(self) -> int:
        """When the first of the words given so far ceases to hold."""
        return min(word.at + self.case.needed[number].seconds * SECOND for number, word in self.words.items())

    def said(self, key: str) -> bool:
        """Is one of the words that of this key?"""
        return any(word.key == key for word in self.words.values())

    def _holds(self, number: int, now: int) -> bool:
        word = self.words.get(number)
        return word is not None and now < word.at + self.case.needed[number].seconds * SECOND


def met_by(approval: Approval, caller: Caller, now: int) -> tuple[int, ...]:
    """The numbers of the requirements that this caller's word would meet; none when it was given before.

    Raises `GatewayError`: FORBIDDEN for who may not approve this request, APPROVAL_CLOSED when it no longer waits.
    """
    _check_admin(approval, caller)
    if caller.key == approval.case.key:
        raise GatewayError(Code.FORBIDDEN, "This API key asked for the approval, so it cannot give it.")
    status = approval.status_at(now)
    if status is Status.APPROVED and approval.said(caller.key):
        return ()
    if status is not Status.PENDING:
        raise _closed(status)
    waiting = approval.waiting(now)
    met = tuple(number for number in waiting if caller.group in approval.case.needed[number].approvers)
    if not met and not approval.said(caller.key):
        raise _not_among(caller, [approval.case.needed[number] for number in waiting])
    return met


def check_denial(approval: Approval, caller: Caller, now: int) -> bool:
    """Would this caller's denial change anything? Every approver may deny, also what was approved and is not used yet.

    Raises `GatewayError` as `met_by` does.
    """
    _check_admin(approval, caller)
    if not any(caller.group in needed.approvers for needed in approval.case.needed):
        raise _not_among(caller, approval.case.needed)
    status = approval.status_at(now)
    if status is Status.DENIED:
        return False
    if status not in (Status.PENDING, Status.APPROVED):
        raise _closed(status)
    return True


def check_reader(caller: Caller) -> None:
    """Raises `GatewayError(FORBIDDEN)` for who may not look at approvals."""
    if caller.role not in ("admin", "auditor"):
        raise GatewayError(Code.FORBIDDEN, "Approvals are for API keys with the role admin or auditor.")


def not_found() -> GatewayError:
    return GatewayError(Code.APPROVAL_NOT_FOUND, "There is no such approval in the tenant of this API key.")


def _check_admin(approval: Approval, caller: Caller) -> None:
    if caller.role != "admin":
        raise GatewayError(Code.FORBIDDEN, "To approve or deny takes an API key with the role admin.")
    if caller.tenant != approval.case.tenant:
        raise not_found()


def _closed(status: Status) -> GatewayError:
    return GatewayError(Code.APPROVAL_CLOSED, f"This approval no longer waits for anybody: it is {status.value}.")


def _not_among(caller: Caller, needed: tuple[ApprovalNeeded, ...] | list[ApprovalNeeded]) -> GatewayError:
    return GatewayError(
        Code.FORBIDDEN,
        f"The group of this API key, {caller.group}, is not among those that are asked: {in_words(needed)}.",
    )


def in_words(needed: tuple[ApprovalNeeded, ...] | list[ApprovalNeeded]) -> str:
    """Such as ``dpo (handling.restricted), legal or privacy (contracts)``."""
    return ", ".join(f"{' or '.join(one.approvers)} ({one.rule})" for one in needed)
