"""Table tests: what people write down about requests and expect of decisions, run, measured and reported."""

from __future__ import annotations

from gateway.policy.testing.coverage import Coverage, coverage
from gateway.policy.testing.expected import Mismatch, sent_to
from gateway.policy.testing.files import Case, TestFile, read_tests
from gateway.policy.testing.mutation import Mutation, Suite, mutate
from gateway.policy.testing.running import Result, ScanTexts, prepare, run, run_tests
from gateway.policy.testing.subject import Subject, read_subject

__all__ = [
    "Case",
    "Coverage",
    "Mismatch",
    "Mutation",
    "Result",
    "ScanTexts",
    "Subject",
    "Suite",
    "TestFile",
    "coverage",
    "mutate",
    "prepare",
    "read_subject",
    "read_tests",
    "run",
    "run_tests",
    "sent_to",
]
