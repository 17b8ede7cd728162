"""Where approvals are looked at, given and denied: by the admin API and the command line alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from gateway.approvals import events
from gateway.approvals.store import SqlApprovals
from gateway.approvals.values import Approval, Status, check_denial, check_reader, met_by, not_found
from gateway.domain.errors import GatewayError
from gateway.domain.ports import AuditLog
from gateway.domain.request import Caller


class ApprovalDesk:
    """Who comes here is a caller whose API key has been checked. Every method raises `GatewayError`.

    Nothing is given or denied without a record: that one is durable first. Where what it says then does not come about,
    a second record says so.
    """

    def __init__(self, store: SqlApprovals, audit: AuditLog) -> None:
        self._store = store
        self._audit = audit

    def now(self) -> int:
        """Microseconds since the epoch, by the store's clock."""
        return self._store.now()

    async def listed(self, caller: Caller, statuses: Sequence[Status] = (), limit: int = 100) -> Sequence[Approval]:
        """The approvals of the caller's tenant, the newest first, for the roles admin and auditor."""
        check_reader(caller)
        return await self._store.listed(caller.tenant, statuses, limit)

    async def find(self, caller: Caller, name: str) -> Approval:
        """One of the caller's tenant, for the roles admin and auditor."""
        check_reader(caller)
        found = await self._store.find(name)
        if found.case.tenant != caller.tenant:
            raise not_found()
        return found

    async def approve(self, caller: Caller, name: str) -> Approval:
        """Give the caller's word. Giving it twice changes nothing."""
        found = await self.find(caller, name)
        if not met_by(found, caller, self.now()):
            return found
        return await self._recorded(found, caller, events.GIVEN, events.NOT_GIVEN, self._store.approve)

    async def deny(self, caller: Caller, name: str) -> Approval:
        """Refuse the request, or take back an approval that was not used yet. Denying twice changes nothing."""
        found = await self.find(caller, name)
        if not check_denial(found, caller, self.now()):
            return found
        return await self._recorded(found, caller, events.DENIED, events.NOT_DENIED, self._store.deny)

    async def _recorded(
        self,
        found: Approval,
        caller: Caller,
        event: str,
        undone: str,
        change: Callable[[str, Caller], Awaitable[Approval]],
    ) -> Approval:
        await self._audit.append(events.approval_event(event, self.now(), found.id, caller, found.case))
        try:
            return await change(found.id, caller)
        except GatewayError:
            self._audit.submit(events.approval_event(undone, self.now(), found.id, caller, found.case))
            raise
