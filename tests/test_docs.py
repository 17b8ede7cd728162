"""The reference pages are complete: what the code has is in them, and what they link to is there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest
from ruamel.yaml import YAML

from gateway.cli import main
from gateway.domain.errors import Code
from gateway.http.errors import _FINAL, STATUS
from gateway.settings import (
    InspectionSettings,
    LlamaCppSettings,
    LocalModelSettings,
    ModelServerSettings,
    OpenAISettings,
    ServerSettings,
    TelemetrySettings,
    load_settings,
)
from gateway.settings.llama_cpp import LLAMA_CPP
from gateway.settings.servers import ROOM_KEYS, SERVER_KEYS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("**/*.md"), ROOT / "sdk" / "README.md", *ROOT.glob("tools/**/*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def text_of(name: str) -> str:
    return (DOCS / name).read_text()


@pytest.mark.parametrize("code", Code)
def test_every_error_code_is_explained(code: Code) -> None:
    """docs/errors.md has a row for each code, with its status and whether a client should try again."""
    row = re.search(rf"^\| `{code.value}` \| ([^|]*) \| ([^|]+) \| ([^|]+) \|$", text_of("errors.md"), re.MULTILINE)
    assert row, code
    assert row[1] == f"{STATUS[code]}{', no retry' if code in _FINAL else ''}"


def test_no_error_code_is_made_up() -> None:
    """docs/errors.md explains no code that does not exist."""
    rows = re.findall(r"^\| `(\w+)` \| \d{3}[^|]*\|.+\|.+\|$", text_of("errors.md"), re.MULTILINE)
    assert sorted(rows) == sorted(code.value for code in Code)


def setting_keys() -> set[str]:
    """Every key that the readers of bailiwick.yaml ask a mapping for, read from their sources."""
    folder = ROOT / "gateway" / "settings"
    readers = ("reading.py", "prices.py", "llama_cpp.py")
    return {key for name in readers for key in _keys_of((folder / name).read_text())}


def _keys_of(source: str) -> set[str]:
    tree = ast.parse(source)
    named: dict[str, ast.expr] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            named[node.targets[0].id] = node.value
    keys: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "mapping":
            for part in ast.walk(node.args[0]):
                keys |= _texts(named[part.id]) if isinstance(part, ast.Name) and part.id in named else _texts(part)
    return keys | {*SERVER_KEYS, *ROOM_KEYS, *LLAMA_CPP}


def _texts(node: ast.AST) -> set[str]:
    return {part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)}


def test_the_settings_are_found() -> None:
    """The list that the next test stands on is not empty by mistake: it has keys of every mapping."""
    some = {"schema", "drain", "redis_env", "processes", "span_days", "gpu_layers", "proxy", "idle", "revision", "rank"}
    some |= {"input", "idle_watts", "residual", "utilisation", "answer"}
    assert some <= setting_keys()


@pytest.mark.parametrize("key", sorted(setting_keys()))
def test_every_setting_is_explained(key: str) -> None:
    """docs/settings.md names each key of bailiwick.yaml."""
    assert f"`{key}`" in text_of("settings.md")


def defaults() -> Iterator[tuple[str, str]]:
    """Each setting with a number as its default, as the page writes it: durations in seconds, the rest as they are."""
    sections = (ServerSettings, InspectionSettings, TelemetrySettings, OpenAISettings, ModelServerSettings)
    for section in (*sections, LlamaCppSettings, LocalModelSettings):
        for field in fields(section):
            if isinstance(field.default, int | float) and not isinstance(field.default, bool):
                unit = "s" if isinstance(field.default, float) else ""
                yield field.name, f"{field.default:.0f}{unit}"


@pytest.mark.parametrize(("key", "value"), list(defaults()))
def test_defaults_are_told_right(key: str, value: str) -> None:
    """The default that docs/settings.md tells is the one in the code."""
    row = re.search(rf"^\| `{key}` \| [^|]+ \| `([^|`]+)` \|", text_of("settings.md"), re.MULTILINE)
    assert row, key
    assert row[1] == value


def test_the_settings_examples_are_right(tmp_path: Path) -> None:
    """The examples in docs/settings.md, put together, are a settings file that loads."""
    examples = [body for kind, body in FENCED.findall(text_of("settings.md")) if kind == "yaml"]
    first = YAML(typ="safe").load(examples[0])
    assert first.keys() == {"schema", "policy", "targets", "models"}
    sections = [body for body in examples[1:] if not body.startswith(" ")]
    targets = "".join(body for body in examples if body.startswith("  - id:"))
    nano = re.sub("cloud-mini-eu", "cloud-nano", next(body for body in examples if "  - id: cloud-mini-eu" in body))
    config = tmp_path / "bailiwick.yaml"
    config.write_text(f"schema: 1\npolicy: p.yaml\n{''.join(sections)}targets:\n{targets}{nano}")
    environ = {"BAILIWICK_DATABASE_URL": "postgresql://h/d", "BAILIWICK_REDIS_URL": "redis://h"}
    settings = load_settings(config, environ=environ)
    assert {target.id for target in settings.targets} == {
        "house",
        "house-embed",
        "house-next",
        "house-support",
        "cloud-mini-eu",
        "cloud-nano",
    }
    assert {route.name for route in settings.routes} == {"auto", "gpt-5-mini", "private"}
    (tmp_path / "first.yaml").write_text(examples[0])
    assert load_settings(tmp_path / "first.yaml", environ={}).targets


def commands(group: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    if not isinstance(group, click.Group):
        yield path, group
        return
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield from commands(command, (*path, name))


@pytest.mark.parametrize(("path", "command"), [pytest.param(p, c, id=" ".join(p)) for p, c in commands(main)])
def test_every_command_is_in_its_page(path: tuple[str, ...], command: click.Command) -> None:
    """docs/cli.md has a row for each command, which names each of its options."""
    row = re.search(rf"^\| `bailiwick {' '.join(path)}[ `].*$", text_of("cli.md"), re.MULTILINE)
    assert row, path
    for parameter in command.params:
        if isinstance(parameter, click.Option) and "--help" not in parameter.opts:
            assert any(re.search(rf"`{name}[ `]", row[0]) for name in parameter.opts), parameter.opts


def test_the_options_of_all_commands_are_in_their_page() -> None:
    """docs/cli.md names the options before the command and their variables."""
    text = text_of("cli.md")
    for parameter in main.params:
        assert isinstance(parameter, click.Option)
        assert any(f"`{name}" in text for name in parameter.opts)
        if parameter.envvar:
            assert f"`{parameter.envvar}`" in text
            assert f"`{parameter.envvar}`" in text_of("settings.md")


def test_every_variable_is_explained() -> None:
    """Each variable of the gateway's own that the sources name is in docs/settings.md, each of the client's in
    docs/sdk.md."""
    for folder, page in (("gateway", "settings.md"), ("adapters", "settings.md"), ("sdk/src", "sdk.md")):
        sources = "".join(path.read_text() for path in (ROOT / folder).rglob("*.py"))
        for name in set(re.findall(r'"(BAILIWICK_[A-Z_]+)"', sources)):
            assert f"`{name}`" in text_of(page), name


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page leads to a file of the repository, and to a heading in it where it names one."""
    text = FENCED.sub("", page.read_text())
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, heading = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        if heading:
            assert heading in set(map(anchor, re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE))), link


def anchor(heading: str) -> str:
    """As GitHub makes it of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
