"""Hot reload: the policy files are looked at again and again, and changed ones take over if all are good. A bad one
changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.domain.decision import PolicyId
from gateway.domain.errors import ConfigurationError
from gateway.policy.store import PolicyStore

LOOK_EVERY = 0.5
"""Seconds."""

SETTLED_AFTER = 0.2
"""Seconds for which a changed file must stay the same before it is loaded: whoever writes into it, instead of replacing
it, writes it in pieces, and half a policy may be a valid one that permits more."""

_MOST_LOOKS = 25


async def watch(
    store: PolicyStore,
    *,
    loaded: Callable[[PolicyId], None],
    refused: Callable[[ConfigurationError], None],
) -> None:
    """Reload at each change of the store's files, until cancelled. `loaded` is called when another policy came into
    force for anybody, with the one of everybody; `refused` with what is wrong with files that did not take over.

    What the files hold is compared, a read of some kilobytes off the event loop. The notices of the operating system
    would be quicker, but they do not come for files on network drives and in some containers, nor when a link on the
    way to the file is pointed elsewhere, which is how configuration maps are updated.
    """
    while True:
        if not await _changed(store):
            await asyncio.sleep(LOOK_EVERY)
            continue
        before = store.hash
        try:
            identity = await asyncio.to_thread(store.reload)
        except ConfigurationError as problem:
            refused(problem)
        else:
            if store.hash != before:
                loaded(identity)


async def _changed(store: PolicyStore) -> bool:
    """Do the files hold something else than at the last load? Returns when that does not change any more."""
    holds = await asyncio.to_thread(store.look)
    for _ in range(_MOST_LOOKS):
        if holds == store.seen:
            return False
        await asyncio.sleep(SETTLED_AFTER)
        before, holds = holds, await asyncio.to_thread(store.look)
        if holds == before:
            break
    return True
