"""docs/policy.md is the reference of the language, so it has to be complete and its examples have to work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.policy import load
from gateway.policy.load import ROOT, RULE, WAIVER
from gateway.policy.load_limits import CEILING, LIMITS, SCOPE
from gateway.policy.load_outcome import HANDLING, THEN
from gateway.policy.load_when import TIME, WHEN
from gateway.policy.schema import UNSURE

TEXT = (Path(__file__).parents[2] / "docs/policy.md").read_text("utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
NESTED = ("detect", "confidence", "any_of", "all_of", "at_least", "when_spent", "per_request", "per_app_per_day")


@pytest.mark.parametrize(
    "key", sorted({*ROOT, *RULE, *WHEN, *THEN, *HANDLING, *WAIVER, *UNSURE, *LIMITS, *SCOPE, *CEILING, *TIME, *NESTED})
)
def test_every_key_is_described(key: str) -> None:
    """Each key of the language stands in the reference as code."""
    assert re.search(rf"`{key}\b", TEXT)


def test_the_example_works(tmp_path: Path) -> None:
    """The complete policy of the reference loads without warnings."""
    (source,) = (block for block in BLOCKS if block.startswith("schema:"))
    (tmp_path / "acme.yaml").write_text(source, "utf-8")
    _, warnings = load(tmp_path / "acme.yaml")
    assert warnings == ()
