"""``bailiwick policy``: check, test, compare, replay and explain policy files, one command a module."""

from __future__ import annotations

import click

from gateway.cli.policy.check import check
from gateway.cli.policy.explain import explain
from gateway.cli.policy.test import test


@click.group()
def policy() -> None:
    """Check, test and explain policy files.

    Exit codes: 0 all is well, 2 wrong usage, 3 a file is invalid, 4 tests failed.
    """


for _command in (check, test, explain):
    policy.add_command(_command)
