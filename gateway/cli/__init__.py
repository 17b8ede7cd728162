"""The command line. Each command lives in a module of its own and is imported when it is called, so that
``bailiwick keys list`` does not load what ``bailiwick serve`` needs."""

from __future__ import annotations

from pathlib import Path

import click

from gateway import __version__
from gateway.cli.common import CliContext
from gateway.cli.lazy import LazyGroup
from gateway.domain.errors import ConfigurationError

_COMMANDS = {
    "serve": ("gateway.cli.serve", "serve"),
    "demo": ("gateway.cli.serve", "demo"),
    "policy": ("gateway.cli.policy", "policy"),
    "audit": ("gateway.cli.audit", "audit"),
    "inspect": ("gateway.cli.inspect", "inspect"),
    "trace": ("gateway.cli.trace", "trace"),
    "approvals": ("gateway.cli.approvals", "approvals"),
    "keys": ("gateway.cli.keys", "keys"),
    "models": ("gateway.cli.models", "models"),
    "doctor": ("gateway.cli.doctor", "doctor"),
}


class _Main(LazyGroup):
    def invoke(self, ctx: click.Context) -> object:
        """A wrong file or setting is a message and exit code 2, not a traceback."""
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(2)


@click.group(cls=_Main, lazy=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="BAILIWICK_CONFIG",
    help="The settings file.  [default: bailiwick.yaml in this folder]",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="BAILIWICK_DATA",
    help="The folder with the gateway's state, instead of the one that the settings name.",
)
@click.version_option(__version__, prog_name="bailiwick")
@click.pass_context
def main(ctx: click.Context, config: Path | None, data: Path | None) -> None:
    """Bailiwick: an inference gateway that keeps every prompt inside the jurisdiction its policy allows."""
    ctx.obj = CliContext(config=config, data_override=data)
