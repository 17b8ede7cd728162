"""The policy that ships with the gateway keeps what it says about itself."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from gateway.domain.decision import Action
from gateway.domain.finding import Found
from gateway.domain.target import Target
from gateway.inspection.catalogue import ENTITIES
from gateway.policy import compile_policy, evaluate, load
from gateway.policy.cases import Case, read_tests
from gateway.policy.testing import run_tests
from support.policies import TARGETS, facts, found

ROOT = Path(__file__).parents[2]
POLICY = compile_policy(load(ROOT / "policies/default.yaml")[0])


def no_settings(path: Path) -> tuple[Target, ...]:
    raise AssertionError(f"the default tests list their targets, but asked for {path}")


TESTS = read_tests(ROOT / "policies/default_test.yaml", no_settings)


def test_it_has_no_problem_and_no_warning() -> None:
    """Checked with the built-in detector's entities, on the day it was written, without a word of complaint."""
    assert load(ROOT / "policies/default.yaml", detectable=ENTITIES, today=date(2026, 11, 1))[1] == ()
    assert TESTS.policy == ROOT / "policies/default.yaml"


@pytest.mark.parametrize("case", [case for case in TESTS.cases if case.text is None], ids=lambda case: case.name)
def test_its_own_tests_pass(case: Case) -> None:
    """Every test of default_test.yaml passes; those with a text are for the real detector."""
    (result,) = (result for result in run_tests(POLICY, TESTS, lambda _: ()) if result.case == case)
    assert result.mismatches == ()


@pytest.mark.parametrize("kind", ["official ids", "payment data", "secrets"])
def test_ids_cards_and_secrets_never_leave(kind: str) -> None:
    """One value of any of these entities, found just confidently enough, stays inside."""
    (data_type,) = (item for item in POLICY.source.data_types if item.name == kind)
    for entity in data_type.detect:
        decision = evaluate(POLICY, facts(found=(Found(entity, data_type.percent, 1),)), TARGETS)
        assert (decision.action, decision.permitted) == (Action.LOCAL_ONLY, {"local"})


def test_names_are_hidden_wherever_they_may_go() -> None:
    """Contact details reach a cloud only with every data type of the policy hidden."""
    decision = evaluate(POLICY, facts(found=found(PERSON=1)), TARGETS)
    assert decision.action is Action.REDACT
    assert {hidden.entity for hidden in decision.redact} == set(POLICY.entities)
