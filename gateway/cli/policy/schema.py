"""``bailiwick policy schema``: the language for editors."""

from __future__ import annotations

import click

from gateway.policy.reference import as_text, schema_of_policies, schema_of_tests


@click.command()
@click.option(
    "--for", "kind", type=click.Choice(["policy", "test"]), default="policy", show_default=True, help="Of which files."
)
def schema(kind: str) -> None:
    """Print the JSON Schema of policy files or of their test files, with which editors complete and check them."""
    click.echo(as_text(schema_of_policies() if kind == "policy" else schema_of_tests()), nl=False)
