"""``bailiwick models alias``, ``rollback`` and ``remove``: which versions are used, and which are no longer there."""

from __future__ import annotations

import click

from adapters.llama_cpp.registry import Reference
from adapters.llama_cpp.shelf import locate
from gateway.cli.common import CliContext
from gateway.cli.models.common import describe, shelf_of
from gateway.domain.errors import ConfigurationError
from gateway.settings import Settings

_LATER = "A running gateway takes it up within seconds."


@click.command("alias")
@click.argument("alias", metavar="NAME@ALIAS")
@click.argument("number", metavar="VERSION", type=click.IntRange(1))
@click.pass_obj
def alias_command(obj: CliContext, alias: str, number: int) -> None:
    """Let an alias, such as private@stable, be a version of its model."""
    with shelf_of(obj) as shelf:
        reference = Reference.parse(alias)
        version = shelf.point(reference, number)
    click.echo(f"{reference} is {reference.name}@{number}: {describe(version)}")
    click.echo(_LATER, err=True)


@click.command("rollback")
@click.argument("name")
@click.option("--alias", default="stable", show_default=True, help="The alias to set back.")
@click.pass_obj
def rollback_command(obj: CliContext, name: str, alias: str) -> None:
    """Let the alias of the model NAME be the version that it was before. Repeated, it goes back further."""
    with shelf_of(obj) as shelf:
        old, new = shelf.rollback(name, alias)
    click.echo(f"{name}@{alias} is {name}@{new.number} again (was {name}@{old.number}): {describe(new)}")
    click.echo(_LATER, err=True)


@click.command("remove")
@click.argument("model", metavar="NAME@VERSION")
@click.pass_obj
def remove_command(obj: CliContext, model: str) -> None:
    """Forget a version of a model and delete its file, unless an alias or the settings use it. A file that was added
    with --link stays where it is."""
    with shelf_of(obj) as shelf:
        reference = Reference.parse(model)
        version = shelf.remove(reference, _used(obj.settings()))
    click.echo(f"{reference.name}@{version.number} is removed")


def _used(settings: Settings) -> dict[str, str]:
    """By version (``name@number``), the target that uses it."""
    used: dict[str, str] = {}
    for target in settings.targets:
        if target.model_file is not None and target.model_file.registered is not None:
            try:
                used[locate(target.model_file, settings.model_registry).version] = f"the target {target.id!r}"
            except ConfigurationError:
                continue  # what a target names and is not there, it does not use
    return used
