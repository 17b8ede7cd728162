"""docs/policy.md is the reference of the language, so it has to be complete and its examples have to work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.domain.target import Target
from gateway.policy import compile_policy, load
from gateway.policy.cases import read_tests
from gateway.policy.load import ROOT, RULE, WAIVER
from gateway.policy.load_limits import CEILING, LIMITS, SCOPE
from gateway.policy.load_outcome import HANDLING, THEN
from gateway.policy.load_when import TIME, WHEN
from gateway.policy.schema import UNSURE
from gateway.policy.testing import run_tests

TEXT = (Path(__file__).parents[2] / "docs/policy.md").read_text("utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
NESTED = ("detect", "confidence", "any_of", "all_of", "at_least", "when_spent", "per_request", "per_app_per_day")


@pytest.mark.parametrize(
    "key", sorted({*ROOT, *RULE, *WHEN, *THEN, *HANDLING, *WAIVER, *UNSURE, *LIMITS, *SCOPE, *CEILING, *TIME, *NESTED})
)
def test_every_key_is_described(key: str) -> None:
    """Each key of the language stands in the reference as code."""
    assert re.search(rf"`{key}\b", TEXT)


def test_the_examples_work(tmp_path: Path) -> None:
    """The complete policy of the reference loads without warnings, and the complete test file passes on it."""
    (source,) = (block for block in BLOCKS if block.startswith("schema:"))
    (tests,) = (block for block in BLOCKS if block.startswith("policy:"))
    (tmp_path / "acme.yaml").write_text(source, "utf-8")
    (tmp_path / "acme_test.yaml").write_text(tests, "utf-8")
    policy, warnings = load(tmp_path / "acme.yaml")
    assert warnings == ()

    def no_settings(path: Path) -> tuple[Target, ...]:
        raise AssertionError(path)

    read = read_tests(tmp_path / "acme_test.yaml", no_settings)
    results = list(run_tests(compile_policy(policy), read, lambda _: ()))
    assert [result.mismatches for result in results] == [()] * len(results)
