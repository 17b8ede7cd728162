"""``bailiwick policy``: check a policy file, run its tests, explain what it decides."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

import click

from gateway.cli.common import DEFAULT_CONFIG, CliContext
from gateway.documents import Problem
from gateway.domain.decision import Facts
from gateway.domain.errors import ConfigurationError
from gateway.domain.finding import Found
from gateway.domain.ports import DetectorFailed
from gateway.domain.target import Target, Zone
from gateway.policy import CompiledPolicy, compile_policy, evaluate, load
from gateway.policy import explain as explain_decision
from gateway.policy.cases import TargetsOf, read_facts, read_targets, read_tests, simple_target
from gateway.policy.testing import Result, ScanTexts, run_tests
from gateway.settings.recognizers import RegistrySettings

INVALID_FILE = 3
TESTS_FAILED = 4

_FILE = click.Path(path_type=Path, dir_okay=False)
_EXAMPLES = (
    simple_target("local", Zone.LOCAL, "on-premises"),
    simple_target("cloud-eu", Zone.CLOUD, "EU"),
    simple_target("cloud-us", Zone.CLOUD, "US"),
)


@dataclass(frozen=True, slots=True)
class PolicyTools:
    """What these commands borrow from the running gateway. `detectable` gives every entity its detector can find."""

    scan_texts: ScanTexts
    targets_of: TargetsOf
    detectable: Callable[[], frozenset[str] | None] = lambda: None


def _real_tools(registry: Callable[[], RegistrySettings]) -> PolicyTools:
    # Imported when needed only: the composition root loads the detector, which takes seconds.
    def scan_texts(texts: Sequence[str]) -> tuple[Found, ...]:
        from gateway.compose import scan_texts as scan

        return scan(texts, registry())

    def targets_of(path: Path) -> tuple[Target, ...]:
        from gateway.compose import targets_of as targets

        return targets(path)

    return PolicyTools(scan_texts, targets_of, lambda: registry().entities())


@click.group()
@click.pass_context
def policy(ctx: click.Context) -> None:
    """Check, test and explain policy files.

    Exit codes: 0 all is well, 2 wrong usage, 3 a file is invalid, 4 tests failed.
    """


@policy.command()
@click.argument("file", type=_FILE)
@click.pass_context
def check(ctx: click.Context, file: Path) -> None:
    """Say everything that is wrong with a policy FILE, at once, or that it is well."""
    with _complaints(ctx):
        compiled = _loaded(file, _tools(ctx).detectable())
        rules = len(compiled.rules)
        summary = f"ok — {_named(compiled)}, {rules} {'rule' if rules == 1 else 'rules'}, hash {compiled.id.short}"
        click.echo(f"{file}: {click.style(summary, fg='green')}")


@policy.command()
@click.argument("file", type=_FILE)
@click.pass_context
def test(ctx: click.Context, file: Path) -> None:
    """Run a test FILE (such as policies/default_test.yaml) against the policy that it names."""
    tools = _tools(ctx)
    with _complaints(ctx):
        tests = read_tests(file, tools.targets_of)
        compiled = _loaded(tests.policy)
        failed = 0
        for result in run_tests(compiled, tests, tools.scan_texts):
            failed += not result.passed
            for line in _result_lines(result, file):
                click.echo(line)
        summary = f"{len(tests.cases) - failed} passed, {failed} failed"
        click.echo(f"{click.style(summary, fg='red' if failed else 'green')} — {_named(compiled)}")
        if failed:
            ctx.exit(TESTS_FAILED)


@policy.command()
@click.argument("file", type=_FILE)
@click.option("--text", help="A prompt, to be searched by the real detector; '-' reads it from standard input.")
@click.option("--facts", "facts_text", help="Facts in YAML or JSON, such as '{found: {CREDIT_CARD: 1}}', or @FILE.")
@click.option("--app", help="The app that asks.")
@click.option("--tenant", help="Its tenant.")
@click.option("--group", help="The group of its key.")
@click.option("--role", help="The role of its key.")
@click.option("--user", help="The user that the request names.")
@click.option("--model", help="The model asked for.")
@click.option("--targets", "targets_file", type=_FILE, help="bailiwick.yaml, or a YAML list of targets.")
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
    tools = _tools(ctx)
    with _complaints(ctx):
        compiled = _loaded(file)
        facts = _facts(facts_text, as_of.date() if as_of else _today())
        facts = _asked_by(facts, who)
        if text is not None:
            found = tools.scan_texts([sys.stdin.read() if text == "-" else text])
            facts = replace(facts, found=tuple(sorted((*facts.found, *found))))
        targets = _targets(ctx, targets_file, tools)
        explanation = explain_decision(compiled, facts, evaluate(compiled, facts, targets))
        if as_json:
            click.echo(json.dumps(explanation.as_json(), indent=2, ensure_ascii=False))
        else:
            for line in explanation.as_lines():
                click.echo(_coloured(line))


def _tools(ctx: click.Context) -> PolicyTools:
    return ctx.find_object(PolicyTools) or _real_tools((ctx.find_object(CliContext) or CliContext()).registry)


def _today() -> date:
    return datetime.now(UTC).date()


@contextmanager
def _complaints(ctx: click.Context) -> Iterator[None]:
    """A wrong file ends the command with its problems on standard error, all of them."""
    try:
        yield
    except ConfigurationError as problem:
        click.echo(str(problem), err=True)
        count = len(getattr(problem, "problems", ())) or 1
        click.echo(click.style(f"{count} {'problem' if count == 1 else 'problems'}", fg="red"), err=True)
        ctx.exit(INVALID_FILE)
    except DetectorFailed as problem:
        raise click.ClickException(f"the detector did not finish: {problem}") from problem


def _loaded(file: Path, detectable: frozenset[str] | None = None) -> CompiledPolicy:
    """The policy in `file`, its warnings printed. Raises `ConfigurationError`."""
    loaded, warnings = load(file, detectable=detectable, today=_today())
    for warning in warnings:
        click.echo(_warning(warning), err=True)
    return compile_policy(loaded)


def _warning(problem: Problem) -> str:
    return click.style(replace(problem, message=f"warning: {problem.message}").render(), fg="yellow")


def _named(compiled: CompiledPolicy) -> str:
    return f"policy {compiled.id.name}, version {compiled.id.version}"


def _result_lines(result: Result, file: Path) -> Iterator[str]:
    if result.passed:
        yield f"{click.style('✓', fg='green')} {result.case.name}"
        return
    yield f"{click.style('✗', fg='red')} {result.case.name}  ({file}:{result.case.line})"
    for mismatch in result.mismatches:
        yield f"    {mismatch.what}: expected {mismatch.expected}, got {mismatch.got}"
    if all(mismatch.what != "because" for mismatch in result.mismatches):
        yield f"    because of {', '.join(reason.rule for reason in result.decision.reasons)}"


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


def _targets(ctx: click.Context, named: Path | None, tools: PolicyTools) -> tuple[Target, ...]:
    common = ctx.find_object(CliContext)
    path = named or (common.config if common else None) or (DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None)
    if path is None:
        click.echo("The targets below are examples; name a file with your own by --targets.", err=True)
        return _EXAMPLES
    listed = read_targets(path)
    return tools.targets_of(path) if listed is None else listed


def _coloured(line: str) -> str:
    first = line.split(maxsplit=1)[0] if line.strip() else ""
    if line.startswith("  ") and first in ("permitted", "rejected"):
        return line.replace(first, click.style(first, fg="green" if first == "permitted" else "red"), 1)
    return click.style(line, bold=True) if line.startswith(("Level ", "Action ")) else line
