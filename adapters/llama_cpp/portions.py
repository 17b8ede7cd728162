"""Which part of which prompt is read in the next step. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence as Ordered

from adapters.llama_cpp.work import Sequence


def portions(reading: Ordered[Sequence], budget: int) -> list[tuple[Sequence, int]]:
    """How many tokens of each prompt, together at most `budget`. Interactive requests come first; among equals each
    tenant gets the same share, and within a tenant the oldest request comes first."""
    given: dict[Sequence, int] = {}
    for background in (False, True):
        tenants: dict[str, deque[Sequence]] = {}
        for sequence in sorted(reading, key=lambda one: one.age):
            if sequence.work.background is background:
                tenants.setdefault(sequence.work.tenant, deque()).append(sequence)
        while budget and tenants:
            share = max(budget // len(tenants), 1)
            for tenant, queue in list(tenants.items()):
                first = queue[0]
                count = min(share, budget, first.unread - given.get(first, 0))
                if count == 0:
                    continue
                given[first] = given.get(first, 0) + count
                budget -= count
                if given[first] == first.unread:
                    queue.popleft()
                    if not queue:
                        del tenants[tenant]
    return list(given.items())
