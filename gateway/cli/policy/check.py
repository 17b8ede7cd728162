"""``bailiwick policy check``: everything that is wrong with a policy file."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.policy.common import FILE, complaints, loaded, named, tools


@click.command()
@click.argument("file", type=FILE)
@click.pass_context
def check(ctx: click.Context, file: Path) -> None:
    """Say everything that is wrong with a policy FILE, at once, or that it is well."""
    with complaints(ctx):
        compiled = loaded(file, tools(ctx).detectable())
        rules = len(compiled.rules)
        summary = f"ok — {named(compiled)}, {rules} {'rule' if rules == 1 else 'rules'}, hash {compiled.id.short}"
        click.echo(f"{file}: {click.style(summary, fg='green')}")
