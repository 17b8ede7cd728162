"""``bailiwick models``: which local models there are, fetch them, look at one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from adapters.llama_cpp.files import ModelFile, ModelSource, resolve
from adapters.llama_cpp.gguf import GgufInfo, NotGguf, read_gguf
from gateway.domain.errors import ConfigurationError

_ADAPTER = "llama_cpp"


class ModelTarget(Protocol):
    """What these commands read of a configured target."""

    @property
    def id(self) -> str: ...
    @property
    def adapter(self) -> str: ...
    @property
    def model_file(self) -> ModelSource | None: ...


class ModelSettings(Protocol):
    """What these commands read of the settings. `model_cache` is the folder for fetched models."""

    @property
    def targets(self) -> Iterable[ModelTarget]: ...
    @property
    def model_cache(self) -> Path: ...


@click.group()
def models() -> None:
    """Local model files: list, fetch, check."""


@models.command("list")
@click.pass_context
def list_command(ctx: click.Context) -> None:
    """The local models that are configured, and whether their files are here."""
    settings: ModelSettings = ctx.obj.settings()
    show_models(settings, Console())


@models.command("pull")
@click.argument("target_id", required=False)
@click.pass_context
def pull_command(ctx: click.Context, target_id: str | None) -> None:
    """Fetch the files of all local models, or of TARGET_ID, and verify their SHA-256."""
    settings: ModelSettings = ctx.obj.settings()
    try:
        pull_models(settings, target_id, Console())
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error


@models.command("check")
@click.argument("file", type=click.Path(path_type=Path))
def check_command(file: Path) -> None:
    """Say what is in a GGUF file, and whether it can serve chats."""
    try:
        info = read_gguf(file)
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from error
    except NotGguf as error:
        raise click.ClickException(f"{file} is not a usable GGUF file: {error}") from error
    show_file(file, info, Console())


def show_models(settings: ModelSettings, console: Console) -> None:
    """Print one line per local target."""
    table = Table("target", "model", "file", "size", "context", "chat template")
    for target in settings.targets:
        if target.adapter != _ADAPTER or target.model_file is None:
            continue
        source = ModelFile.of(target.model_file)
        place = source.place(settings.model_cache)
        table.add_row(target.id, *_describe(source, place))
    if not table.row_count:
        console.print("No local models are configured.")
        return
    console.print(table)


def _describe(source: ModelFile, place: Path) -> tuple[str, str, str, str, str]:
    named = f"{source.hub}/{source.file}" if source.hub else str(source.path)
    if not place.exists():
        return named, "missing" if source.path else "not fetched", "", "", ""
    try:
        info = read_gguf(place)
    except (OSError, NotGguf):
        return named, "not a GGUF file", "", "", ""
    return named, "here", _size(info.file_bytes), str(info.context_tokens or "?"), _yes(info.has_chat_template)


def pull_models(settings: ModelSettings, target_id: str | None, console: Console) -> None:
    """Fetch and verify. Raises `ConfigurationError`."""
    targets = [target for target in settings.targets if target.adapter == _ADAPTER and target.model_file is not None]
    if target_id is not None:
        targets = [target for target in targets if target.id == target_id]
        if not targets:
            raise ConfigurationError(f"no local target is called {target_id!r}: see `bailiwick models list`")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    for target in targets:
        assert target.model_file is not None
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(target.id, total=None)
            place = resolve(
                ModelFile.of(target.model_file),
                settings.model_cache,
                progress=lambda have, total, bar=bar, task=task: bar.update(task, completed=have, total=total),  # type: ignore[misc]
            )
        console.print(f"{target.id}: {place} ({_size(place.stat().st_size)}), verified", soft_wrap=True)


def show_file(path: Path, info: GgufInfo, console: Console) -> None:
    """Print what a file says of itself, and a warning for what is missing."""
    for label, value in (
        ("file", f"{path} ({_size(info.file_bytes)}, GGUF version {info.version})"),
        ("name", info.name or "not given"),
        ("architecture", info.architecture or "not given"),
        ("context", f"{info.context_tokens} tokens" if info.context_tokens else "not given"),
        ("chat template", _yes(info.has_chat_template)),
        ("tensors", str(info.tensors)),
    ):
        console.print(f"{label:14} {value}", soft_wrap=True, highlight=False)
    if not info.has_chat_template:
        console.print("warning: without a chat template, the ChatML format is used; this model may not know it")
    if info.split_files > 1:
        console.print(f"warning: this is one of {info.split_files} files; all of them must lie in the same folder")


def _size(number: int) -> str:
    if number < 1_000_000:
        return f"{number / 1000:.0f} kB"
    return f"{number / 1_000_000:.1f} MB" if number < 1_000_000_000 else f"{number / 1_000_000_000:.2f} GB"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
