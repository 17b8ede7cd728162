"""Which budget a request belongs to, and how it stands."""

from __future__ import annotations

import re
from datetime import date

from gateway.domain.decision import BudgetState
from gateway.domain.money import NanoUsd
from gateway.domain.ports import Ledger

_is_unsafe = re.compile(r"[^A-Za-z0-9_.:@ \-]", re.ASCII)


class BudgetKeeper:
    """Names budgets and tells their state. It holds no money itself; the ledger does."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @staticmethod
    def day_scope(tenant: str, app: str, day: date) -> str:
        """The budget of an application on one day (UTC), such as ``acme/support-bot/2026-11-21``.

        Different names always give different scopes: what is no letter, digit or one of ``_.:@-`` or a space is
        written as ``+`` and its UTF-8 bytes in hexadecimal.
        """
        return f"{_escaped(tenant)}/{_escaped(app)}/{day.isoformat()}"

    async def state(self, scope: str, limit: NanoUsd | None) -> BudgetState:
        """SPENT when nothing is left under `limit`. Raises `GatewayError` when the ledger is away.

        Only for the policy to look at: whether a request fits is decided by the ledger's `reserve`.
        """
        if limit is None:
            return BudgetState.OK
        return BudgetState.SPENT if await self._ledger.spent(scope) >= limit else BudgetState.OK


def _escaped(name: str) -> str:
    return _is_unsafe.sub(lambda match: f"+{match[0].encode().hex()}.", name)
