"""``bailiwick policy explain``: what a policy decides about a request, and why."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import click

from gateway.cli.common import CliContext
from gateway.cli.policy.common import FILE, INVALID_FILE, complaints, loaded, targets, today, tools
from gateway.domain.decision import Facts
from gateway.domain.errors import ConfigurationError
from gateway.policy import CannotRecompute, evaluate
from gateway.policy import explain as explain_decision
from gateway.policy.cases import read_facts
from gateway.policy.replay import explain_record, facts_record


@click.command()
@click.argument("file", type=FILE, required=False)
@click.option("--record", "decision", metavar="ID", help="A decision in the audit log; its id is in every answer.")
@click.option("--text", help="A prompt, to be searched by the real detector; '-' reads it from standard input.")
@click.option("--facts", "facts_text", help="Facts in YAML or JSON, such as '{found: {CREDIT_CARD: 1}}', or @FILE.")
@click.option("--app", help="The app that asks.")
@click.option("--tenant", help="Its tenant.")
@click.option("--group", help="The group of its key.")
@click.option("--role", help="The role of its key.")
@click.option("--user", help="The user that the request names.")
@click.option("--model", help="The model asked for.")
@click.option("--targets", "targets_file", type=FILE, help="bailiwick.yaml, or a YAML list of targets.")
@click.option("--as-of", type=click.DateTime(["%Y-%m-%d"]), help="The day to decide on.  [default: today]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def explain(
    ctx: click.Context,
    /,
    file: Path | None,
    decision: str | None,
    text: str | None,
    facts_text: str | None,
    targets_file: Path | None,
    as_of: datetime | None,
    as_json: bool,
    **who: str | None,
) -> None:
    """Explain what the policy FILE decides about a request: level, rules, and what each target is permitted or not.

    With --record, explain a decision of the audit log: by the policy that made it, which needs no FILE, or by FILE.
    Exit code 3 then also says that the decision does not come out as it was recorded.
    """
    if decision is not None:
        given = {"--text": text, "--facts": facts_text, "--targets": targets_file, "--as-of": as_of}
        given |= {f"--{name}": value for name, value in who.items()}
        if extra := [name for name, value in given.items() if value is not None]:
            raise click.UsageError(f"--record takes the request from the audit log; leave out {', '.join(extra)}")
        _explain_record(ctx, decision.strip(), file, as_json)
        return
    if file is None:
        raise click.UsageError("name a policy FILE, or a decision of the audit log with --record ID")
    with complaints(ctx):
        compiled = loaded(file)
        facts = _facts(facts_text, as_of.date() if as_of else today())
        facts = _asked_by(facts, who)
        if text is not None:
            found = tools(ctx).scan_texts([sys.stdin.read() if text == "-" else text])
            facts = replace(facts, found=tuple(sorted((*facts.found, *found))))
        served = targets(ctx, targets_file, tools(ctx))
        explanation = explain_decision(compiled, facts, evaluate(compiled, facts, served))
        if as_json:
            click.echo(json.dumps(explanation.as_json(), indent=2, ensure_ascii=False))
        else:
            for line in explanation.as_lines():
                click.echo(_coloured(line))


def _explain_record(ctx: click.Context, decision: str, file: Path | None, as_json: bool) -> None:
    from gateway.compose.tools import day_budget, open_history  # takes a second: the whole composition

    settings = (ctx.find_object(CliContext) or CliContext()).settings()
    with open_history(settings, priced=False) as history:
        records = history.of_decision(decision)
        if not records:
            raise click.BadParameter(f"the audit log has no decision {decision!r}", param_hint="--record")
        try:
            record = facts_record(records)
            with complaints(ctx):
                compiled = history.policy(record.policy) if file is None else loaded(file)
            names = None if history.mac is None else {history.mac(name.encode()): name for name in compiled.users}
            served = history.served(record.model)
            if not served:
                raise CannotRecompute(f"the model {record.model!r} is not configured now, so its targets are unknown")
            assert record.as_of is not None  # a record with facts has a day
            day = day_budget(settings, record.tenant, record.app, record.as_of)
            explained = explain_record(compiled, records, served, names, day)
        except CannotRecompute as problem:
            raise click.ClickException(str(problem)) from problem
    if as_json:
        click.echo(json.dumps(explained.as_json(), indent=2, ensure_ascii=False))
    else:
        for line in explained.as_lines():
            click.echo(_coloured(line))
    if explained.differences and not explained.other:
        click.echo(click.style("This decision does not come out as it was recorded.", fg="red", bold=True), err=True)
        ctx.exit(INVALID_FILE)


def _facts(text: str | None, as_of: date) -> Facts:
    if text is None:
        return read_facts("{}", as_of)
    if not text.startswith("@"):
        return read_facts(text, as_of, "--facts")
    path = Path(text[1:])
    try:
        return read_facts(path.read_text("utf-8"), as_of, str(path))
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigurationError(f"{path}: cannot be read: {problem}") from problem


def _asked_by(facts: Facts, who: Mapping[str, str | None]) -> Facts:
    """The facts with the caller that the options name, where they name one."""

    def named(key: str) -> str:
        value = who[key]
        return str(getattr(facts, key)) if value is None else value

    return replace(
        facts,
        app=named("app"),
        tenant=named("tenant"),
        group=named("group"),
        role=named("role"),
        user=named("user"),
        model=named("model"),
    )


def _coloured(line: str) -> str:
    first = line.split(maxsplit=1)[0] if line.strip() else ""
    if line.startswith("  ") and first in ("permitted", "rejected"):
        return line.replace(first, click.style(first, fg="green" if first == "permitted" else "red"), 1)
    if line.startswith("IT DOES NOT COME OUT"):
        return click.style(line, fg="red", bold=True)
    return click.style(line, bold=True) if line.startswith(("Level ", "Action ")) else line
