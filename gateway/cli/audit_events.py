"""Commands that change something write it to the audit log first."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.audit import AuditStore
from gateway.domain.record import AuditRecord


def append(url: str, records: Sequence[AuditRecord]) -> None:
    """Append records to the audit log in this database. Raises `GatewayError` and `ConfigurationError`."""

    async def write() -> None:
        store = AuditStore.open(url)
        try:
            for record in records:
                await store.append(record)
        finally:
            await store.aclose()

    asyncio.run(write())
