"""Hot reload: the policy file is watched, and a changed one takes over if it is good. A bad one changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import watchfiles

from gateway.domain.decision import PolicyId
from gateway.domain.errors import ConfigurationError
from gateway.policy.store import PolicyStore


async def watch(
    store: PolicyStore,
    path: Path,
    *,
    loaded: Callable[[PolicyId], None],
    refused: Callable[[ConfigurationError], None],
) -> None:
    """Reload at each change of the file at `path`, until cancelled. `loaded` is called with a policy that took over,
    `refused` with what is wrong with one that did not."""
    # The folder is watched, not the file: editors and configuration maps replace files instead of writing into them.
    async for _ in watchfiles.awatch(path.parent, debounce=200, step=50, recursive=False):
        before = store.current.id.hash
        try:
            identity = await asyncio.to_thread(store.reload)
        except ConfigurationError as problem:
            refused(problem)
        else:
            if identity.hash != before:
                loaded(identity)
