"""docs/policy-tests.md is the reference of test files, so it has to be complete and its example has to work."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.cli.policy.test import test as command
from gateway.domain.finding import Found
from gateway.domain.target import Target
from gateway.policy.analysis.guarantees import prove
from gateway.policy.testing import read_subject, read_tests, run_tests
from gateway.policy.testing.expected import EXPECT, WOULD
from gateway.policy.testing.facts import GIVEN
from gateway.policy.testing.files import FILE, TEST

DOCS = Path(__file__).parents[3] / "docs"
TEXT = (DOCS / "policy-tests.md").read_text("utf-8")


@pytest.mark.parametrize("key", sorted({*FILE, *TEST, *GIVEN, *EXPECT, *WOULD, "would", "expires", "evidence"}))
def test_every_key_is_described(key: str) -> None:
    """Each key of a test file stands in the reference as code."""
    assert re.search(rf"`[^`\n]*\b{key}\b[^`\n]*`", TEXT)


@pytest.mark.parametrize("option", [option for item in command.params for option in item.opts if option[0] == "-"])
def test_every_option_is_described(option: str) -> None:
    """Each option of the command stands in the reference as code."""
    assert re.search(rf"`{option}\b", TEXT)


def test_the_example_works(tmp_path: Path) -> None:
    """The complete test file passes on the complete policy of policy.md, and its guarantee holds."""
    policies = re.findall(r"```yaml\n(.*?)```", (DOCS / "policy.md").read_text("utf-8"), re.DOTALL)
    (policy,) = (block for block in policies if re.search(r"^schema: 1\npolicy: acme-ai-use$", block, re.MULTILINE))
    (tests,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "acme.yaml").write_text(policy, "utf-8")
    (tmp_path / "acme_test.yaml").write_text(tests, "utf-8")

    def no_settings(path: Path) -> tuple[Target, ...]:
        raise AssertionError(path)

    def no_detector(texts: Sequence[str]) -> tuple[Found, ...]:
        raise AssertionError("the example has no text")

    subject = read_subject(tmp_path / "acme.yaml")
    read = read_tests(tmp_path / "acme_test.yaml", no_settings, lambda _: subject)
    assert [result.mismatches for result in run_tests(subject.policy, read, no_detector) if not result.passed] == []
    assert all(proof.holds for proof in prove(subject.policy, read.guarantees, read.targets, read.as_of))
