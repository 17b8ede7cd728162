"""``bailiwick models list``, ``check`` and ``verify``: what there is, and whether it is what it should be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import orjson

from adapters.llama_cpp.files import resolve, verify
from adapters.llama_cpp.gguf import GgufInfo
from adapters.llama_cpp.offline import inspect_model
from adapters.llama_cpp.registry import Model, Models, Reference, Registry, Version, find
from adapters.llama_cpp.shelf import locate
from gateway.cli.common import CliContext
from gateway.cli.models.common import sentences, size, table
from gateway.domain.errors import ConfigurationError
from gateway.settings import Settings

_TARGET_COLUMNS = ("target", "model", "version", "file", "state")
_VERSION_COLUMNS = (
    "version",
    "aliases",
    "file",
    "size",
    "architecture",
    "type",
    "context",
    "sha256",
    "source",
    "added",
)


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def list_command(obj: CliContext, as_json: bool) -> None:
    """The models of the registry with their versions and aliases, and what each local target uses."""
    settings = obj.settings()
    with sentences():
        models = Registry(settings.model_registry).read()
    targets = [_target(settings, *pair) for pair in _local(settings)]
    if as_json:
        registered = {name: _as_json(model) for name, model in sorted(models.items()) if model.versions}
        click.echo(orjson.dumps({"models": registered, "targets": targets}))
        return
    versions = [_row(name, model, each) for name, model, each in _versions(models)]
    table(_VERSION_COLUMNS, versions, "No models are registered: bailiwick models pull, or add.")
    click.echo()
    table(_TARGET_COLUMNS, [[row[key] for key in _TARGET_COLUMNS] for row in targets], "No target is a local model.")


@click.command("check")
@click.argument("file", type=click.Path(path_type=Path))
def check_command(file: Path) -> None:
    """Say what is in a GGUF file, whether llama.cpp can load it, and whether it can serve chats."""
    with sentences():
        info = inspect_model(file)
    _show_file(file, info)


@click.command("verify")
@click.argument("model", required=False)
@click.pass_obj
def verify_command(obj: CliContext, model: str | None) -> None:
    """Read the files of all registered versions and local targets again, and compare their SHA-256; or of MODEL, which
    is a name, name@alias or name@number. Exit code 1 if anything is not as it should be."""
    settings = obj.settings()
    registry, bad = Registry(settings.model_registry), 0
    with sentences():
        chosen = list(_chosen(registry.read(), model))
    for name, version in chosen:
        bad += not _verified(f"{name}@{version.number}", registry.place(version), version.sha256, settings.model_cache)
    for target, source in _local(settings) if model is None else ():
        if source.registered is None:
            try:
                located = locate(source, settings.model_registry)
                place = resolve(located.file, settings.model_cache, download=False)
            except ConfigurationError as error:
                click.echo(f"{target}: {error}")
                bad += 1
            else:
                bad += not _verified(target, place, located.file.sha256, settings.model_cache)
    if bad:
        raise click.ClickException(f"{bad} not as it should be")


def _verified(what: str, place: Path, wanted: str | None, cache: Path) -> bool:
    try:
        if wanted is not None:
            verify(place, wanted.lower(), cache, again=True)
        inspect_model(place)
    except ConfigurationError as error:
        click.echo(f"{what}: {error}")
        return False
    except OSError as error:
        click.echo(f"{what}: {place}: {error.strerror}")
        return False
    click.echo(f"{what}: {'as pinned' if wanted else 'can be loaded; no SHA-256 is given for it'}")
    return True


def _chosen(models: Models, text: str | None) -> Iterator[tuple[str, Version]]:
    if text is not None and "@" in text:
        reference = Reference.parse(text)
        yield reference.name, find(models, reference)
        return
    if text is not None and text not in models:
        raise ConfigurationError(f"there is no model {text!r} in the registry: see `bailiwick models list`")
    yield from ((name, version) for name, _, version in _versions(models) if text in (None, name))


def _versions(models: Models) -> Iterator[tuple[str, Model, Version]]:
    for name, model in sorted(models.items()):
        yield from ((name, model, version) for _, version in sorted(model.versions.items()))


def _local(settings: Settings) -> Iterator[tuple[str, Any]]:
    yield from ((target.id, target.model_file) for target in settings.targets if target.model_file is not None)


def _target(settings: Settings, name: str, source: Any) -> dict[str, str]:
    """A local target, its file, and in one word or a sentence how it is."""
    row = {"target": name, "model": source.registered or "", "version": "", "file": "", "state": ""}
    try:
        located = locate(source, settings.model_registry)
    except ConfigurationError as error:
        return row | {"state": str(error)}
    file = located.file
    place = file.place(settings.model_cache)
    row |= {"model": row["model"] or (f"{file.hub}/{file.file}" if file.hub else ""), "version": located.version}
    state = "here" if place.exists() else "missing" if file.path else "not fetched"
    return row | {"file": str(place), "state": state}


def _row(name: str, model: Model, version: Version) -> list[str]:
    aliases = [alias for alias, number in sorted(model.aliases.items()) if number == version.number]
    context = f"{version.context_tokens:,}" if version.context_tokens else "?"
    known = (version.file, size(version.size), version.architecture, version.quantisation or "?", context)
    return [f"{name}@{version.number}", " ".join(aliases), *known, version.sha256[:12], version.source, _added(version)]


def _added(version: Version) -> str:
    return f"{version.added_at[:16].replace('T', ' ')} by {version.added_by}"


def _as_json(model: Model) -> dict[str, Any]:
    return {"aliases": model.aliases, "versions": [asdict(each) for _, each in sorted(model.versions.items())]}


def _show_file(path: Path, info: GgufInfo) -> None:
    """Print what a file says of itself, and a warning for what is missing."""
    for label, value in (
        ("file", f"{path} ({size(info.file_bytes)}, GGUF version {info.version})"),
        ("name", info.name or "not given"),
        ("architecture", info.architecture or "not given"),
        ("type", info.quantisation or "not given"),
        ("context", f"{info.context_tokens} tokens" if info.context_tokens else "not given"),
        (
            "a token's keys",
            f"{size(info.kv_bytes_per_token)} with its values" if info.kv_bytes_per_token else "unknown",
        ),
        ("chat template", "yes" if info.has_chat_template else "no"),
        ("tensors", str(info.tensors)),
    ):
        click.echo(f"{label:14} {value}")
    if not info.has_chat_template:
        click.echo("warning: without a chat template, the ChatML format is used; this model may not know it")
