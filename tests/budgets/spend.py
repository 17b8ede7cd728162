"""A gateway in miniature, run as a process of its own by test_processes.py and test_leases.py.

usage: spend.py URL SCOPE LIMIT AMOUNT COUNT (settle|die) (plain|leased) (together|in-turn)

Reserves COUNT times AMOUNT, together or one after the other, and prints how many were granted. `settle` settles each at
half its amount, `die` kills the process, whose lease is half a second.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from gateway.budgets.leases import LeasedLedger
from gateway.budgets.redis_ledger import RedisLedger
from gateway.budgets.sql_ledger import SqlLedger
from gateway.domain.errors import BudgetSpent
from gateway.domain.money import NanoUsd
from gateway.domain.ports import Ledger, Reservation
from gateway.sql import open_engine


async def main(url: str, scope: str, amounts: tuple[int, int, int], end: str, kind: str, order: str) -> None:
    limit, amount, count = amounts
    lease = 0.5 if end == "die" else 120.0
    ledger: Ledger
    if url.startswith("redis"):
        ledger = await RedisLedger.open(url, lease=lease)
    else:
        ledger = await SqlLedger.open(open_engine(url, durable=True), lease=lease)
    if kind == "leased":
        ledger = LeasedLedger(ledger)

    async def spend() -> Reservation | None:
        try:
            return await ledger.reserve(scope, NanoUsd(amount), NanoUsd(limit))
        except BudgetSpent:
            return None

    if order == "together":
        answers = await asyncio.gather(*(spend() for _ in range(count)))
    else:
        answers = [await spend() for _ in range(count)]
    made = [item for item in answers if item is not None]
    print(len(made), flush=True)
    if end == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    await asyncio.gather(*(ledger.settle(item, NanoUsd(amount // 2)) for item in made))
    await ledger.aclose()


if __name__ == "__main__":
    limit, amount, count = map(int, sys.argv[3:6])
    asyncio.run(main(sys.argv[1], sys.argv[2], (limit, amount, count), *sys.argv[6:9]))
