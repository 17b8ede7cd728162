"""``bailiwick policy explain``: what a policy decides about a request, and why."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import click

from gateway.cli.policy.common import FILE, complaints, loaded, targets, today, tools
from gateway.domain.decision import Facts
from gateway.domain.errors import ConfigurationError
from gateway.policy import evaluate
from gateway.policy import explain as explain_decision
from gateway.policy.cases import read_facts


@click.command()
@click.argument("file", type=FILE)
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
    file: Path,
    text: str | None,
    facts_text: str | None,
    targets_file: Path | None,
    as_of: datetime | None,
    as_json: bool,
    **who: str | None,
) -> None:
    """Explain what the policy FILE decides about a request: level, rules, and what each target is permitted or not."""
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
    return click.style(line, bold=True) if line.startswith(("Level ", "Action ")) else line
