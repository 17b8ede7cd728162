"""``bailiwick policy``: everything about policy files, one command a module."""

from __future__ import annotations

import click

from gateway.cli.lazy import LazyGroup

_HERE = "gateway.cli.policy"
_COMMANDS = {
    name: (f"{_HERE}.{name}", name) for name in ("check", "test", "explain", "diff", "replay", "render", "schema")
}
_COMMANDS |= {name: (f"{_HERE}.signing", name) for name in ("keygen", "sign", "verify")}
_COMMANDS |= {"publish": (f"{_HERE}.publish", "publish")}


@click.group(cls=LazyGroup, lazy=_COMMANDS)
def policy() -> None:
    """Check, test, prove, compare, replay, read and publish policies.

    Exit codes: 0 all is well, 2 wrong usage, 3 a file is invalid, 4 tests failed, 5 a guarantee is broken, 6 a change
    is looser (diff and replay with --fail-on).
    """
