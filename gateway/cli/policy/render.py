"""``bailiwick policy render``: a policy in plain language, for signature."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from gateway.cli.policy.common import FILE, complaints, targets, today, tools
from gateway.domain.errors import ConfigurationError
from gateway.policy.analysis.guarantees import Guarantee, names_of, read_guarantees
from gateway.policy.hash import policy_hash
from gateway.policy.render import as_html, as_text, page_of
from gateway.policy.sources import read_policy
from gateway.policy.written import Written


@click.command()
@click.argument("file", type=FILE)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "html"]),
    help="[default: html for an --output that ends in .html, otherwise text]",
)
@click.option("--targets", "targets_file", type=FILE, help="bailiwick.yaml, or a YAML list of targets.")
@click.option("--as-of", type=click.DateTime(["%Y-%m-%d"]), help="The day to judge expiry by.  [default: today]")
@click.option("-o", "--output", type=FILE, help="Write to this file instead of standard output.")
@click.pass_context
def render(
    ctx: click.Context,
    file: Path,
    form: str | None,
    targets_file: Path | None,
    as_of: datetime | None,
    output: Path | None,
) -> None:
    """Print what the policy FILE means in plain language, with its hash, for people to read and sign."""
    with complaints(ctx):
        written = read_policy(file)
        served = targets(ctx, targets_file, tools(ctx)) if targets_file else None
        page = page_of(written.policy, as_of.date() if as_of else today(), served, _guarantees(written))
        as_page = form == "html" or (form is None and output is not None and output.suffix.lower() in (".html", ".htm"))
        text = as_html(page) if as_page else as_text(page)
        if output is None:
            click.echo(text, nl=False)
            return
        try:
            output.write_text(text, "utf-8")
        except OSError as problem:
            raise ConfigurationError(f"{output}: cannot be written: {problem.strerror}") from problem
        click.echo(f"{output}: written, hash {policy_hash(written.policy)[:12]}", err=True)


def _guarantees(written: Written) -> tuple[Guarantee, ...]:
    """Those of the file and of what it extends. Raises `DocumentError`."""
    found: list[Guarantee] = []
    for node in written.guarantees:
        found += read_guarantees(node, names_of(written.policy))
        node.problems.check()
    return tuple(found)
