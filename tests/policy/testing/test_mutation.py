from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from time import process_time
from typing import Any, TypeAlias

import pytest

from gateway.domain.finding import Found
from gateway.domain.target import Target
from gateway.policy import load
from gateway.policy.testing import Mutation, Subject, Suite, mutate, prepare, read_subject, read_tests, run
from gateway.policy.testing.mutants import KINDS, mutants
from support.policies import document, rule

Try: TypeAlias = Callable[..., tuple[Subject, Suite]]

RICH: dict[str, Any] = {
    "rules": [
        rule("inside", {"app": ["hr", "payroll"]}, {"action": "local_only"}),
        rule("ask", {"model": "big"}, {"action": "require_approval", "approvers": ["dpo"], "notify": ["privacy"]}),
        rule("count", {"contains": {"any_of": ["contact details"], "at_least": 3}}, {"redact": ["contact details"]}),
        rule("keep", {"declared": ["patient", "vip"]}, {"retain_days": 30, "log_content": "never"}),
        rule("night", {"time": {"hours": "20:00-06:00", "zone": "Europe/Berlin"}}, {"regions": ["EU"]}),
        rule("dear", {"prompt_tokens": "over 4000"}, {"cost_per_request": "0.02 USD", "first_token": "1s"}),
        rule("quiet", {"level": "internal or higher"}, {"hide_in_answers": ["payment data"], "tell_user": "Mind it."}),
        rule("agreed", {"contains": ["health data", "payment data"]}, {"provider_must_have": ["baa"]}),
        rule("trial", {"app": "pilot"}, {"action": "block"}, mode="audit", until="2026-12-31"),
    ],
    "exceptions": [
        {
            "id": "EX-1",
            "lifts": "inside",
            "for": {"app": "hr", "group": "leads"},
            "approved_by": "dpo",
            "ticket": "R-1",
            "expires": "2026-09-30",
        }
    ],
    "limits": {
        "latency": {"first_token": "2s"},
        "cost": {"per_request": "0.05 USD", "per_app_per_day": "20 USD", "when_spent": "block"},
        "scopes": [{"for": {"app": "batch"}, "cost": {"per_app_per_day": "50 USD"}}],
        "ceiling": {"latency": {"first_token": "60s"}},
    },
    "if_unsure": {"detector_fails": "block", "unreadable_content": "local_only"},
    "answers": {"hide": ["health data"]},
}


Weak: TypeAlias = tuple[Subject, Suite, Mutation]


@pytest.fixture(scope="module")
def rich(given: Try) -> Weak:
    """What next to no test leaves alive of a policy with everything in it."""
    return weak(given, **RICH)


def weak(given: Try, head: dict[str, Any] | None = None, **changes: Any) -> Weak:
    """What one test that expects next to nothing leaves alive."""
    subject, suite = given([{"expect": {"level": "public"}}], head, **changes)
    return subject, suite, mutate(subject, [suite])


def read_again(subject: Subject, suite: Suite, tests: Sequence[str]) -> Suite:
    """The same file with other tests, in flow style."""
    head = json.loads(suite.tests.path.read_text())
    lines = [f"  - {{name: t{number}, {test}}}" for number, test in enumerate(tests)]
    targets = json.dumps(head["targets"])
    path = suite.tests.path.with_name("more_test.yaml")
    path.write_text(
        f"policy: acme.yaml\nas_of: {head['as_of']}\ntargets: {targets}\ntests:\n" + "\n".join(lines) + "\n"
    )

    def none(named: Path) -> tuple[Target, ...]:
        raise AssertionError(named)

    def silent(texts: Sequence[str]) -> tuple[Found, ...]:
        raise AssertionError("no test has a text")

    read = read_tests(path, none, lambda _: subject)
    return Suite(read, prepare(read, silent))


def test_the_advice_is_the_test_that_would_notice(rich: Weak) -> None:
    """Whoever pastes the advice for every survivor has tests that pass, and that notice each of them."""
    subject, suite, before = rich
    assert before.percent < 10
    advice = list(dict.fromkeys(left.advice for left in before.survivors))
    more = read_again(subject, suite, advice)
    failed = [result.case.name for result in run(subject.policy, more.prepared) if not result.passed]
    assert failed == []
    after = mutate(subject, [more])
    assert [str(left.mutant) for left in after.survivors] == []
    assert after.percent == 100
    assert after.killed == len(before.survivors) + before.killed
    assert {str(left.mutant) for left in after.equivalent} == {str(left.mutant) for left in before.equivalent}


def test_every_part_of_a_policy_has_its_mutants() -> None:
    """Each kind of part, each thing that a rule can ask for and each way to narrow a condition is tried."""
    policy = load(json.dumps(document(**RICH)))[0]
    found = list(mutants(policy))
    assert {mutant.kind for mutant in found} == set(KINDS)
    changes = {str(mutant) for mutant in found}
    assert {
        "data type payment data: CREDIT_CARD not detected",
        "data type payment data: counts from 60 % instead of 50 %",
        "levels.restricted, any_of payment data: dropped",
        "levels.confidential, any_of contact details, at_least 5: at_least 6 instead of 5",
        "handling.restricted: redact instead of local_only",
        "handling.confidential: allow instead of redact",
        "handling.confidential: any region",
        "answers.hide: health data not hidden in answers",
        "limits: per_request removed",
        "limits: per_request doubled",
        "limits for app batch: per_app_per_day doubled",
        "limits.ceiling: first_token removed",
        "limits.when_spent: local_only instead of block",
        "if_unsure.detector_fails: local_only instead of block",
        "rule inside: dropped",
        "rule inside: redact instead of local_only",
        "rule inside: not for app payroll",
        "rule ask: allow instead of require_approval",
        "rule ask: anybody may approve",
        "rule ask: privacy is not notified",
        "rule count: at_least 4 instead of 3",
        "rule keep: not for the label vip",
        "rule keep: kept without a limit",
        "rule keep: encrypted instead of never",
        "rule night: from 21:00 instead of 20:00",
        "rule night: until 05:00 instead of 06:00",
        "rule night: not on mon",
        "rule dear: 0.04 USD instead of 0.02 USD",
        "rule dear: no first_token",
        "rule dear: over 8000 instead of 4000",
        "rule quiet: nothing is told",
        "rule quiet: payment data not hidden in answers",
        "rule quiet: not for level internal",
        "rule agreed: not for payment data",
        "exception EX-1: dropped",
        "exception EX-1: not only for group leads",
        "exception EX-1: expires on 2027-09-30 instead of 2026-09-30",
    } <= changes
    assert len(changes) == len(found), "two mutants with the same words cannot be told apart"
    assert all(mutant.policy != policy for mutant in found)


def test_survivors_have_the_line_of_what_was_changed(rich: Weak) -> None:
    """Every survivor points at the part of the file that was dropped or loosened."""
    _, suite, found = rich
    lines = suite.tests.path.with_name("acme.yaml").read_text().splitlines()
    at = {str(left.mutant): lines[left.place.line - 1] for left in found.survivors}
    assert '"inside"' in at["rule inside: not for app payroll"]
    assert '"EX-1"' in at["exception EX-1: not only for group leads"]
    assert '"local_only"' in at["handling.restricted: redact instead of local_only"]
    assert '"CREDIT_CARD"' in at["data type payment data: CREDIT_CARD not detected"]
    assert '"0.05 USD"' in at["limits: per_request doubled"]
    assert '"50 USD"' in at["limits for app batch: per_app_per_day doubled"]
    assert '"block"' in at["if_unsure.detector_fails: local_only instead of block"]


def test_what_makes_no_difference_is_named_and_not_counted(given: Try) -> None:
    """A rule that asks for what the handling asks for anyway cannot be missed by any test."""
    shadow = rule("shadow", {"level": "restricted"}, {"action": "local_only"})
    _, _, found = weak(given, rules=[shadow])
    equivalent = {str(left.mutant) for left in found.equivalent}
    assert "rule shadow: redact instead of local_only" in equivalent
    assert "handling.restricted: redact instead of local_only" in equivalent
    assert not equivalent & {str(left.mutant) for left in found.survivors}
    assert all("changes no decision" in left.advice for left in found.equivalent)
    counted = found.killed + len(found.survivors)
    assert found.percent == pytest.approx(100 * found.killed / counted)


def test_what_only_some_targets_show_is_told_with_them(given: Try) -> None:
    """Where a local target is always left, nothing can be left only for a test with other targets."""
    change = "if_unsure.no_target_left: local_only instead of block"
    _, _, found = weak(given)
    assert change in {str(left.mutant) for left in found.equivalent}
    clouds = {"targets": ["cloud-us"], "expect": {"level": "public"}}
    subject, suite = given([clouds])
    found = mutate(subject, [suite])
    advice = {str(left.mutant): left.advice for left in found.survivors}[change]
    assert advice.startswith("targets: [cloud-us], given: {")
    more = read_again(subject, suite, [advice])
    assert [result.mismatches for result in run(subject.policy, more.prepared)] == [()]
    assert change not in {str(left.mutant) for left in mutate(subject, [more]).survivors}


def test_a_guarantee_notices_what_no_example_does(given: Try) -> None:
    """A promise about every situation kills the mutants that break it, whether it stands with the tests or in the
    policy."""
    promise = {"say": "Cards stay", "when": {"level": "restricted"}, "never": {"sent_to": "cloud"}}
    change = "handling.restricted: redact instead of local_only"
    _, _, without = weak(given)
    _, _, beside = weak(given, {"guarantees": [promise]})
    _, _, within = weak(given, guarantees=[promise])
    assert change in {str(left.mutant) for left in without.survivors}
    for found in (beside, within):
        assert change not in {str(left.mutant) for left in found.survivors}
        assert found.killed > without.killed


def test_an_exception_that_lasts_longer_is_noticed_after_its_day_only(rich: Weak) -> None:
    """Whether an exception ends is looked at on the day after, whatever the day of the tests."""
    _, _, found = rich
    left = {str(item.mutant): item.advice for item in found.survivors}
    advice = left["exception EX-1: expires on 2027-09-30 instead of 2026-09-30"]
    assert 'at: "2026-10-01T' in advice
    assert "app: hr" in advice


def test_progress_is_told_after_each_mutant(given: Try) -> None:
    """Who waits is told how far it is."""
    subject, suite = given([{"expect": {"level": "public"}}])
    told: list[int] = []
    found = mutate(subject, [suite], told.append)
    total = found.killed + len(found.survivors) + len(found.equivalent)
    assert told == [total] * total


def test_several_files_are_judged_together(given: Try) -> None:
    """A mutant that one file misses may be noticed by another."""
    subject, weakest = given([{"expect": {"level": "public"}}])
    strong = read_again(subject, weakest, ["given: {found: {CREDIT_CARD: 1}}, expect: {sent_to: local}"])
    alone, together = mutate(subject, [weakest]), mutate(subject, [weakest, strong])
    assert together.killed > alone.killed
    change = "handling.restricted: redact instead of local_only"
    assert change in {str(left.mutant) for left in alone.survivors}
    assert change not in {str(left.mutant) for left in together.survivors}


def test_many_rules_and_tests_take_seconds(tmp_path: Path) -> None:
    """60 rules and 60 tests are done in a fraction of the time that anybody would wait for."""
    rules = [rule(f"r{n}", {"app": f"app-{n}"}, {"action": "local_only"}) for n in range(60)]
    (tmp_path / "acme.yaml").write_text(json.dumps(document(rules=rules)))
    tests = [{"name": f"t{n}", "given": {"app": f"app-{n}"}, "expect": {"sent_to": "local"}} for n in range(60)]
    targets = [{"id": "l", "zone": "local", "region": "x"}, {"id": "c", "zone": "cloud", "region": "EU"}]
    file = {"policy": "acme.yaml", "as_of": "2026-09-01", "targets": targets, "tests": tests}
    (tmp_path / "acme_test.yaml").write_text(json.dumps(file))
    subject = read_subject(tmp_path / "acme.yaml")
    read = read_tests(tmp_path / "acme_test.yaml", lambda path: (), lambda _: subject)
    began = process_time()
    found = mutate(subject, [Suite(read, prepare(read, lambda texts: ()))])
    assert process_time() - began < 15
    assert not [left for left in found.survivors if left.mutant.kind == "rule"]
