"""How far a download is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bars

from adapters.llama_cpp.download import Progress
from gateway.cli.models.common import size

_COLUMNS = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
_LINE_SECONDS = 5.0


@contextmanager
def showing(name: str) -> Iterator[Progress]:
    """What to call as the bytes of `name` arrive. Shown on standard error."""
    if not sys.stderr.isatty():
        yield _Lines(name)
        return
    with Bars(TextColumn("{task.description}"), *_COLUMNS, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(name, total=None)
        yield lambda have, total: bars.update(task, completed=have, total=total)


class _Lines:
    """A line at the beginning, every five seconds, and at the end."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._next = 0.0

    def __call__(self, have: int, total: int | None) -> None:
        now = time.monotonic()
        if now < self._next and have != total:
            return
        self._next = now + _LINE_SECONDS
        share = f" of {size(total)} ({100 * have // max(total, 1)} %)" if total is not None else ""
        click.echo(f"{self._name}: {size(have)}{share}", err=True)
