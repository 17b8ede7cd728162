from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.policy.common import PolicyTools
from gateway.cli.policy.render import render
from support.policies import TARGETS, document


def run(*arguments: str) -> Result:
    tools = PolicyTools(lambda _: (), lambda _: TARGETS)
    return CliRunner().invoke(render, list(arguments), obj=tools)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("acme.yaml").write_text(json.dumps(document()))
    Path("bailiwick.yaml").write_text("schema: 1\n")


def test_text_goes_to_standard_output() -> None:
    """Without options the page is plain text, the same each time for the same day."""
    result = run("acme.yaml", "--as-of", "2026-11-21")
    assert result.exit_code == 0
    assert result.stdout.startswith("Policy acme, version 7\n======")
    assert "As of:       21 November 2026" in result.stdout
    assert "Which models" not in result.stdout
    assert run("acme.yaml", "--as-of", "2026-11-21").stdout == result.stdout


def test_html_goes_to_a_file() -> None:
    """A file that ends in .html gets HTML, and standard output nothing."""
    result = run("acme.yaml", "-o", "acme.html")
    assert (result.exit_code, result.stdout) == (0, "")
    assert Path("acme.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    assert run("acme.yaml", "--format", "html").stdout.startswith("<!DOCTYPE html>")
    assert run("acme.yaml", "--format", "text", "-o", "acme.html").exit_code == 0
    assert Path("acme.html").read_text("utf-8").startswith("Policy acme")


def test_targets_are_asked_for() -> None:
    """--targets adds which models may receive what."""
    assert "cloud-us  cloud, US" in run("acme.yaml", "--targets", "bailiwick.yaml").stdout


def test_what_cannot_be_read_or_written_is_told() -> None:
    """A wrong policy and an output that cannot be written end with exit code 3 and a sentence."""
    Path("wrong.yaml").write_text("schema: 1\n")
    assert run("wrong.yaml").exit_code == 3
    result = run("acme.yaml", "-o", "no/where.html")
    assert result.exit_code == 3
    assert "no/where.html: cannot be written" in result.stderr


def test_what_is_extended_is_on_the_page() -> None:
    """A policy that extends another is rendered whole, with the promises of both."""
    promise = [{"say": "Cards stay inside", "when": {"level": "restricted"}, "never": {"sent_to": "cloud"}}]
    Path("acme.yaml").write_text(json.dumps(document(guarantees=promise)))
    Path("child.yaml").write_text(
        "{schema: 1, policy: child, version: 2, owner: o, extends: acme.yaml, "
        "rules: [{id: r, why: w, when: {app: x}, then: {action: block}}]}"
    )
    result = run("child.yaml")
    assert result.exit_code == 0
    assert "Requests of the app x are refused." in result.stdout
    assert "CREDIT_CARD" in result.stdout
    assert "* Cards stay inside" in result.stdout
