"""``bailiwick inspect``: what the detector finds in a text, and how well it finds what somebody labelled."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from gateway.cli.common import CliContext
from gateway.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from gateway.inspection.evaluation import Report
    from gateway.inspection.evaluation.report import Figures
    from gateway.inspection.explained import Explained, Explainer

_FORMAT = click.Choice(["table", "json"])
_SHARE = click.FloatRange(0, 1)
_SURE, _LIKELY = 80, 50
"""Percent from which a finding is green or yellow; the rest is dim."""


class _TextByDefault(click.Group):
    """``bailiwick inspect "some text"`` is ``bailiwick inspect text "some text"``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in {*self.commands, *ctx.help_option_names}:
            args = ["text", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_TextByDefault)
def inspect() -> None:
    """Find personal and secret data in a text, or evaluate the detector on labelled text.

    `bailiwick inspect "some text"` is short for `bailiwick inspect text "some text"`. Nothing is sent anywhere.
    """


@inspect.command("text")
@click.argument("text", required=False)
@click.option("--file", type=click.Path(path_type=Path, dir_okay=False), help="Inspect this file.")
@click.option("--threshold", type=_SHARE, default=0.0, help="Leave out what is less sure, 0 to 1.")
@click.option("--no-values", is_flag=True, help="Do not show what was found, only what it is and where.")
@click.option("--format", "format_", type=_FORMAT, default="table", show_default=True, help="How to print.")
@click.pass_context
def text_command(
    ctx: click.Context, text: str | None, file: Path | None, threshold: float, no_values: bool, format_: str
) -> None:
    """Find personal and secret data in TEXT, in a file, or in standard input.

    The values that are found are printed: this is for your own terminal.
    """
    content = _content(text, file)
    explainer = _explainer(ctx)
    found = [item for item in explainer.explain(content) if item.span.percent >= round(threshold * 100)]
    if format_ == "json":
        rows = [_row(item, content, values=not no_values) for item in found]
        detector = {
            "recognizers": explainer.recognizers,
            "entities": sorted(explainer.entities),
            "names": explainer.name_engine,
        }
        shown = {"findings": rows, "language": _language(content) or None, "detector": detector}
        click.echo(json.dumps(shown, ensure_ascii=False, indent=2))
        return
    console = _console()
    console.print(Text(_active(explainer), style="dim"))
    read = f"{len(content):,} characters{_of_language(content)}."
    if found:
        console.print(_findings_table(found, content, values=not no_values))
        several = "finding" if len(found) == 1 else "findings"
        console.print(f"{len(found)} {several} in {read}")
    else:
        console.print(f"Nothing was found in {read}")


@inspect.command("evaluate")
@click.option(
    "--data",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Labelled text: Presidio-research's JSON, JSON lines with spans, or CoNLL.",
)
@click.option("--threshold", type=_SHARE, help="Leave out findings that are less sure.  [default: 0.40]")
@click.option("--iou", type=_SHARE, default=0.9, show_default=True, help="How much of a label must be found.")
@click.option("--entities", help="Count only these, separated by commas, such as PERSON,LOCATION.")
@click.option(
    "--map", "maps", multiple=True, metavar="FROM=TO", help="Another name for an entity; none: does not count."
)
@click.option("--format", "format_", type=_FORMAT, default="table", show_default=True, help="How to print.")
@click.pass_context
def evaluate_command(
    ctx: click.Context,
    data: Path,
    threshold: float | None,
    iou: float,
    entities: str | None,
    maps: tuple[str, ...],
    format_: str,
) -> None:
    """Compare what the detector finds with the labels of a file.

    Precision, recall and F2 are counted as presidio-evaluator's SpanEvaluator does.
    """
    from gateway.inspection.evaluation import THRESHOLD, Names, Options, evaluate, read_samples

    samples = read_samples(data)
    names = Names(_mapping(maps))
    wanted = frozenset(filter(None, (names.of(name.strip()) for name in entities.split(",")))) if entities else None
    options = Options(THRESHOLD if threshold is None else threshold, iou, wanted, names)
    explainer = _explainer(ctx)
    progress = Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    with progress:
        task = progress.add_task("inspecting", total=len(samples))
        report = evaluate(samples, explainer.scan, options, lambda: progress.advance(task))
    if format_ == "json":
        click.echo(json.dumps(report.as_json(), indent=2))
    else:
        _show(report, explainer, data, _console())


def _content(text: str | None, file: Path | None) -> str:
    if text not in (None, "-") and file is not None:
        raise click.UsageError("Give a text or --file, not both.")
    if file is not None:
        try:
            return file.read_text("utf-8")
        except OSError as error:
            raise ConfigurationError(f"{file}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"{file}: is not UTF-8") from error
    if text is not None and text != "-":
        return text
    if text is None and sys.stdin.isatty():
        raise click.UsageError("Give a text, --file, or a text on standard input.")
    return sys.stdin.buffer.read().decode("utf-8", "replace")


def _explainer(ctx: click.Context) -> Explainer:
    """The detector that the settings ask for, if there are settings. Raises `ConfigurationError`."""
    common = ctx.find_object(CliContext) or CliContext()
    registry = common.registry()
    from gateway.inspection.explained import Explainer  # takes seconds to import

    return Explainer(registry)


def _mapping(maps: Sequence[str]) -> Mapping[str, str]:
    pairs = [text.partition("=") for text in maps]
    wrong = next((text for text, (name, sign, _) in zip(maps, pairs, strict=True) if not (name and sign)), None)
    if wrong is not None:
        raise click.BadParameter(f"{wrong!r} is not FROM=TO", param_hint="'--map'")
    return {name.strip(): to.strip() for name, _, to in pairs}


def _console() -> Console:
    """Plain and as wide as needed when it is no terminal that reads."""
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=1000)


def _active(explainer: Explainer) -> str:
    names = [name.removesuffix("Recognizer") for name in explainer.recognizers]
    version = metadata.version("presidio-analyzer")
    return f"Presidio {version} with {len(names)} recognisers (names: {explainer.name_engine}): {', '.join(names)}"


def _language(text: str) -> str:
    """Its code, empty where it is not to be told."""
    from gateway.inspection.language import guess_language

    return guess_language(text)


def _of_language(text: str) -> str:
    from gateway.inspection.language import LANGUAGES

    code = _language(text)
    return f" of {LANGUAGES[code]}" if code else ""


def _row(item: Explained, text: str, *, values: bool) -> dict[str, object]:
    span = item.span
    row: dict[str, object] = {
        "entity": span.entity,
        "score": span.percent / 100,
        "recognizer": item.recognizer,
        "start": span.start,
        "end": span.end,
    }
    return {**row, "value": text[span.start : span.end]} if values else row


def _findings_table(found: Sequence[Explained], text: str, *, values: bool) -> Table:
    table = Table("entity", "score", "recogniser", "place", *(["value"] if values else []), box=None, pad_edge=False)
    for item in found:
        span = item.span
        style = "green" if span.percent >= _SURE else "yellow" if span.percent >= _LIKELY else "dim"
        cells = [Text(span.entity, "bold"), Text(f"{span.percent / 100:.2f}", style), Text(item.recognizer, "dim")]
        cells.append(Text(f"{span.start}\u2013{span.end}"))
        if values:
            cells.append(Text(_printable(text[span.start : span.end]), "cyan"))
        table.add_row(*cells)
    return table


def _printable(value: str) -> str:
    """A found value must not steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)


def _show(report: Report, explainer: Explainer, data: Path, console: Console) -> None:
    console.print(Text(_active(explainer), style="dim"))
    console.print(
        f"{data}: {report.samples:,} texts, {report.units:,} labels; findings from {report.threshold:.2f}, "
        f"IoU {report.iou:.2f}\n"
    )
    table = Table("", "labels", "findings", "precision", "recall", "F1", "F2", "exact F1", "touched", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    rows = [("all types", report.pii_figures(), None), *((e, f, e) for e, f in report.type_figures().items())]
    for name, figures, entity in rows:
        exact, overlap = (
            report.pairs(of) if entity is None else report.pairs(of, entity) for of in (report.exact, report.overlap)
        )
        table.add_row(Text(name, "bold" if entity is None else ""), *_cells(figures, exact, overlap))
    console.print(table)
    characters = report.characters.as_json()
    console.print(
        f"\nCharacters: {_percent(characters['recall'])} of the personal data covered; "
        f"{_percent(characters['wrong_of_flagged'])} of what was flagged is none "
        f"({_percent(characters['wrong_of_other'])} of the other text)."
    )
    share = report.hidden / report.units if report.units else None
    console.print(f"Fully hidden: {report.hidden:,} of {report.units:,} labels ({_percent(share)}).")


def _cells(figures: Figures, exact: Figures, overlap: Figures) -> list[str]:
    shares = (figures.precision, figures.recall, figures.f(1), figures.f(2), exact.f(1), overlap.recall)
    return [str(figures.labelled), str(figures.predicted), *map(_three, shares)]


def _three(share: float | None) -> str:
    return "\u2013" if share is None else f"{share:.3f}"


def _percent(share: float | None) -> str:
    return "\u2013" if share is None else f"{share:.1%}"
