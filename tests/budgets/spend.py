"""A gateway in miniature, run as a process of its own by test_processes.py.

usage: spend.py URL SCOPE LIMIT AMOUNT COUNT (settle|die)

Reserves COUNT times AMOUNT at once and prints how many were granted. `settle` settles each at half its amount, `die`
leaves without a word, as a crash does, with a lease of half a second.
"""

from __future__ import annotations

import asyncio
import os
import sys

from gateway.budgets.ledger import StoreLedger
from gateway.budgets.redis_ledger import RedisLedger
from gateway.budgets.sql_ledger import SqlLedger
from gateway.domain.errors import BudgetSpent
from gateway.domain.money import NanoUsd
from gateway.domain.ports import Reservation
from gateway.sql import open_engine


async def main(url: str, scope: str, limit: int, amount: int, count: int, end: str) -> None:
    lease = 0.5 if end == "die" else 120.0
    ledger: StoreLedger
    if url.startswith("redis"):
        ledger = await RedisLedger.open(url, lease=lease)
    else:
        ledger = await SqlLedger.open(open_engine(url, durable=True), lease=lease)

    async def spend() -> Reservation | None:
        try:
            return await ledger.reserve(scope, NanoUsd(amount), NanoUsd(limit))
        except BudgetSpent:
            return None

    made = [item for item in await asyncio.gather(*(spend() for _ in range(count))) if item is not None]
    print(len(made), flush=True)
    if end == "die":
        os._exit(9)
    await asyncio.gather(*(ledger.settle(item, NanoUsd(amount // 2)) for item in made))
    await ledger.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6]), sys.argv[6]))  # type: ignore[arg-type]
