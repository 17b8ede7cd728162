"""The packs: proved, tested to the last rule, and described."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.policy import load
from gateway.policy.schema import Outcome, Policy

PACKS = Path(__file__).parents[2] / "policies/packs"
NAMES = sorted(folder.name for folder in PACKS.iterdir() if folder.is_dir())


def bailiwick(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, list(arguments))
    return result.exit_code, result.output


def outcomes(policy: Policy) -> list[Outcome]:
    return [*policy.handling, *(rule.then for rule in policy.rules)]


@pytest.mark.parametrize("name", NAMES)
def test_every_guarantee_is_proved_without_a_warning(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each promise of a pack holds in all situations, and nothing in it is without effect."""
    monkeypatch.chdir(tmp_path)  # no settings: the targets are those of the pack's tests
    code, said = bailiwick("policy", "check", "--strict", "--as-of", "2026-11-01", str(PACKS / name / "policy.yaml"))
    assert code == 0, said
    assert re.search(r"\b[1-9][0-9]* guarantees: [1-9][0-9]* proved, 0 broken", said), said


@pytest.mark.parametrize("name", NAMES)
def test_every_rule_is_covered_and_every_mutant_noticed(name: str) -> None:
    """The examples of a pack pass, cover all of it, and notice each loosening."""
    file = str(PACKS / name / "policy_test.yaml")
    code, said = bailiwick("policy", "test", "--coverage", "--mutate", "--min", "100", file)
    assert code == 0, said


@pytest.mark.parametrize("name", NAMES)
def test_its_page_says_what_it_asks_of_the_platform(name: str) -> None:
    """Labels, regions, groups and declared labels that a pack needs stand in its page, and so does what it does not
    claim."""
    policy, _ = load(PACKS / name / "policy.yaml")
    page = (PACKS / name / "README.md").read_text("utf-8")
    needed = {label for outcome in outcomes(policy) for label in outcome.provider_must_have}
    needed |= {region for outcome in outcomes(policy) for region in outcome.regions or ()}
    needed |= {group for outcome in outcomes(policy) if outcome.approval for group in outcome.approval.approvers}
    needed |= {group for rule in policy.rules for group in dict(rule.when.names).get("group", ())}
    assert {word for word in needed if f"`{word}`" not in page} == set()
    assert "It does not claim" in page


def test_the_default_policy_is_tested_to_the_last_rule() -> None:
    """The policy that everybody starts with is covered and mutation-tested like the packs."""
    file = str(PACKS.parent / "default_test.yaml")
    code, said = bailiwick("policy", "test", "--coverage", "--mutate", "--min", "100", file)
    assert code == 0, said
