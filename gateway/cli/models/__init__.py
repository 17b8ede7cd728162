"""``bailiwick models``: local models as governed artefacts. Each command is imported when it is called."""

from __future__ import annotations

import click

from gateway.cli.lazy import LazyGroup

_HERE = "gateway.cli.models"
_COMMANDS = {
    "list": (f"{_HERE}.show", "list_command"),
    "check": (f"{_HERE}.show", "check_command"),
    "cost": (f"{_HERE}.cost", "cost_command"),
    "verify": (f"{_HERE}.show", "verify_command"),
    "pull": (f"{_HERE}.add", "pull_command"),
    "add": (f"{_HERE}.add", "add_command"),
    "quantize": (f"{_HERE}.add", "quantize_command"),
    "alias": (f"{_HERE}.change", "alias_command"),
    "rollback": (f"{_HERE}.change", "rollback_command"),
    "remove": (f"{_HERE}.change", "remove_command"),
}


@click.group(cls=LazyGroup, lazy=_COMMANDS)
def models() -> None:
    """Local models: fetch, add, verify, make smaller, point aliases to versions, roll back.

    Every change is written to the audit log before it is made. A running gateway takes it up within seconds.
    """
