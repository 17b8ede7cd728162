"""Reading what people write down about a request: facts given, targets, and whole test files."""

from __future__ import annotations

from gateway.policy.testing.facts import read_facts
from gateway.policy.testing.files import Case, TestFile, read_tests
from gateway.policy.testing.targets import TargetsOf, inline_targets, read_targets, simple_target

__all__ = [
    "Case",
    "TargetsOf",
    "TestFile",
    "inline_targets",
    "read_facts",
    "read_targets",
    "read_tests",
    "simple_target",
]
