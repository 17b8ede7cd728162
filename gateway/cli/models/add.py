"""``bailiwick models pull``, ``add`` and ``quantize``: new versions of models."""

from __future__ import annotations

from pathlib import Path

import click

from adapters.llama_cpp.cores import default_threads
from adapters.llama_cpp.files import DEFAULT_HUB, HubFile, resolve
from adapters.llama_cpp.offline import QUANTISATIONS
from adapters.llama_cpp.registry import Reference, Version
from adapters.llama_cpp.shelf import locate
from gateway.cli.common import CliContext
from gateway.cli.models.common import ALIAS, describe, sentences, shelf_of, size
from gateway.cli.models.progress import showing
from gateway.domain.errors import ConfigurationError
from gateway.settings import Settings

_DIGEST = click.option("--sha256", help="The SHA-256 that the file must have.")


@click.command("pull")
@click.argument("source", required=False)
@click.option("--name", help="Register the file as a version of this model.")
@ALIAS
@_DIGEST
@click.option("--revision", default="main", show_default=True, help="Branch, tag or commit of the hub's repository.")
@click.option(
    "--endpoint", envvar="HF_ENDPOINT", default=DEFAULT_HUB, show_default=True, help="The hub, or a mirror of it."
)
@click.pass_obj
def pull_command(
    obj: CliContext,
    source: str | None,
    name: str | None,
    alias: str,
    sha256: str | None,
    revision: str,
    endpoint: str,
) -> None:
    """Fetch models and verify their SHA-256. A broken download goes on where it stopped.

    SOURCE is a hub's file (owner/name/file.gguf), which becomes a version of the model --name; or the id of a target of
    the settings. Without it, all targets. Without --sha256, a file that is fetched for the first time is taken as it
    is: its hash is shown, and it must have the same one ever after. HF_TOKEN is sent to the hub's own host.
    """
    if source is None or "/" not in source:
        if name or alias or sha256:
            raise click.UsageError("--name, --alias and --sha256 are for a hub's file: owner/name/file.gguf")
        settings = obj.settings()
        with sentences():
            _pull_targets(settings, source)
        return
    if not name:
        raise click.UsageError("--name is missing: what is the model called here?")
    with shelf_of(obj) as shelf, showing(name) as progress:
        version = shelf.pull(name, HubFile.parse(source, revision, endpoint), sha256, alias, progress)
    _tell(name, version, alias)
    if sha256 is None:
        click.echo("Without --sha256 the hub was trusted for this hash, which is pinned now: compare it.", err=True)


@click.command("add")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="The model that it is a version of.")
@ALIAS
@_DIGEST
@click.option("--link", is_flag=True, help="Leave the file where it is, and link to it.")
@click.pass_obj
def add_command(obj: CliContext, path: Path, name: str, alias: str, sha256: str | None, link: bool) -> None:
    """Register the GGUF file PATH as a version of a model. It is copied, and must be one that llama.cpp can load."""
    with shelf_of(obj) as shelf:
        version = shelf.add(name, path, sha256, alias, link=link)
    _tell(name, version, alias)


@click.command("quantize")
@click.argument("model")
@click.argument("kind", type=click.Choice(QUANTISATIONS, case_sensitive=False))
@ALIAS
@click.option("--threads", type=click.IntRange(0, 1024), default=0, help="0, the default, chooses by the cores.")
@click.pass_obj
def quantize_command(obj: CliContext, model: str, kind: str, alias: str, threads: int) -> None:
    """Make a smaller version of MODEL (name@alias or name@number), as a new version. Best made of one in 16 or 32 bits:
    llama.cpp refuses to quantise most files twice."""
    with shelf_of(obj) as shelf:
        reference = Reference.parse(model)
        click.echo(f"Making {kind} of {reference} …", err=True)
        version = shelf.quantize(reference, kind, alias, threads or default_threads())
    _tell(reference.name, version, alias)


def _tell(name: str, version: Version, alias: str) -> None:
    click.echo(f"{name}@{version.number}: {describe(version)}")
    if alias:
        click.echo(f"{name}@{alias} is {name}@{version.number}")


def _pull_targets(settings: Settings, target_id: str | None) -> None:
    targets = [target for target in settings.targets if target.model_file is not None]
    if target_id is not None:
        targets = [target for target in targets if target.id == target_id]
        if not targets:
            raise ConfigurationError(f"no local target is called {target_id!r}: see `bailiwick models list`")
    for target in targets:
        assert target.model_file is not None
        located = locate(target.model_file, settings.model_registry)
        with showing(target.id) as progress:
            place = resolve(located.file, settings.model_cache, progress=progress)
        click.echo(f"{target.id}: {place} ({size(place.stat().st_size)}), verified")
