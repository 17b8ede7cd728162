"""``bailiwick policy replay``: what another policy would have made of the recorded requests."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.audit.codec import decode
from gateway.cli.common import CliContext
from gateway.cli.policy.common import LOOSER, complaints, format_option
from gateway.domain.errors import ConfigurationError
from gateway.domain.record import label
from gateway.policy import CompiledPolicy, compile_policy
from gateway.policy.replay import Question, Replay, Report, as_lines, as_markdown
from gateway.policy.sources import read_policies, read_policy

if TYPE_CHECKING:
    from gateway.compose.tools import History

_SPAN = re.compile(r"(\d{1,6})([hdw])")
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
_HASH = re.compile(r"[0-9a-f]{12,64}")


def _moment(ctx: click.Context, param: click.Parameter, text: str | None) -> int | None:
    """A day, a time (UTC where it names no zone), or a span back from now, as microseconds since the epoch."""
    if text is None:
        return None
    try:
        if span := _SPAN.fullmatch(text):
            return _microseconds(datetime.now(UTC) - timedelta(**{_UNITS[span[2]]: int(span[1])}))
        moment = datetime.fromisoformat(text)
        return _microseconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        message = f"{text!r} is neither a span such as 30d, 12h or 4w nor a day such as 2026-09-01"
        raise click.BadParameter(message, ctx, param) from None


@click.command()
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--since", callback=_moment, default="30d", show_default=True, help="From when: 30d, 12h, 4w, or a day.")
@click.option("--until", callback=_moment, help="Until when (not included).  [default: now]")
@click.option("--against", metavar="HASH|FILE", help="Compare with this policy instead of with what was recorded.")
@format_option("text", "json", "markdown")
@click.option("--fail-on", type=click.Choice(["looser"]), help="Exit with 6 when a decision becomes looser.")
@click.pass_context
def replay(
    ctx: click.Context,
    /,
    new: Path,
    since: int,
    until: int | None,
    against: str | None,
    shape: str,
    fail_on: str | None,
) -> None:
    """Replay the recorded requests against the policy NEW, a file or a folder.

    Says which decisions change, what reaches whom, what it costs and how long it takes, before and after; and what
    cannot be known from the records. It reads the audit log, which holds no content, and sends nothing anywhere.

    Exit codes: 0 done, 2 wrong usage or settings, 3 a policy is invalid, 6 a decision becomes looser (--fail-on).
    """
    if until is not None and until <= since:
        raise click.BadParameter("is not after --since", param_hint="--until")
    settings = (ctx.find_object(CliContext) or CliContext()).settings()
    with complaints(ctx):
        policies = policies_of(new)
    from gateway.compose.tools import open_history  # takes a second: the whole composition

    with open_history(settings) as history:
        with complaints(ctx):
            compared = None if against is None else _against(against, history)
        question = Question(
            new=policies,
            targets=history.targets,
            routes=history.routes,
            decode=decode,
            since=since,
            until=until,
            against=compared,
            policy_of=_kept(history),
            mac=history.mac,
            detectable=settings.inspection.registry.entities(),
        )
        report = _replayed(history, question)
    _print(report, shape)
    if fail_on is not None and report.loosened:
        ctx.exit(LOOSER)


def policies_of(path: Path) -> Mapping[str, CompiledPolicy]:
    """The policies of a file or a folder by tenant, as `Question` wants them. Raises `ConfigurationError`."""
    if path.is_dir():
        found = read_policies(path).policies
        compiled = cache(compile_policy)
        return {label(tenant): compiled(written.policy) for tenant, written in found.items()}
    return _by_tenant(compile_policy(read_policy(path).policy))


def _by_tenant(policy: CompiledPolicy) -> Mapping[str, CompiledPolicy]:
    return {label(tenant): policy for tenant in policy.source.tenants} or {"": policy}


def _against(text: str, history: History) -> Mapping[str, CompiledPolicy]:
    """A file or a folder of this name, else the archived policy of this hash."""
    if Path(text).exists() or not _HASH.fullmatch(text):
        return policies_of(Path(text))
    return _by_tenant(history.policy(text))


def _kept(history: History) -> Callable[[str], CompiledPolicy | None]:
    """The archived policy of a record. One that is missing, or was changed, is not used; the report says so."""

    @cache
    def policy_of(digest: str) -> CompiledPolicy | None:
        try:
            return history.policy(digest)
        except ConfigurationError:
            return None

    return policy_of


def _replayed(history: History, question: Question) -> Report:
    # What is made for each record goes with it; the collector need not walk over the rest again and again.
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    seqs = history.stretch(question.since, question.until)
    replaying = Replay(question)
    with _progress(len(seqs)) as advance:
        for covered, bodies in history.bodies(seqs):
            replaying.feed(bodies)
            advance(covered)
    return replaying.report()


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal; nothing where standard error is piped."""
    columns = (TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TextColumn("records"), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("replaying", total=total)
        yield lambda covered: bar.advance(task, covered)


def _print(report: Report, shape: str) -> None:
    if shape == "json":
        click.echo(orjson.dumps(report.as_json(), option=orjson.OPT_INDENT_2))
    elif shape == "markdown":
        for line in as_markdown(report):
            click.echo(line)
    else:
        for line in as_lines(report):
            click.echo(click.style(line, bold=True) if line.endswith(":") and line[:1].strip() else _coloured(line))


def _coloured(line: str) -> str:
    for word, colour in (("looser", "red"), ("stricter", "green")):
        line = line.replace(f"  {word}  ", f"  {click.style(word, fg=colour)}  ")
    return line


def _microseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)
