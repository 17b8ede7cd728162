from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from gateway.policy.testing import Subject, Suite, run
from gateway.policy.testing.expected import EXPECT, WOULD
from support.policies import rule

Try: TypeAlias = Callable[..., tuple[Subject, Suite]]

RULES = [
    rule(
        "ask", {"app": "lawyer"}, {"action": "require_approval", "approvers": ["dpo", "ciso"], "approval_lasts": "1h"}
    ),
    rule("tell", {"app": "chat"}, {"tell_user": "Mind what you paste.", "notify": ["privacy", "security"]}),
    rule("keep", {"app": "lab"}, {"retain_days": 30, "log_content": "never", "hide_in_answers": ["payment data"]}),
    rule("cheap", {"app": "batch"}, {"cost_per_request": "0.01 USD", "first_token": "1s", "regions": ["NORDIC"]}),
    rule("hide", {"app": "desk"}, {"redact": ["contact details"]}),
    rule("trial", {"app": "pilot"}, {"action": "block"}, mode="audit", until="2026-12-31"),
]
SETS = {"NORDIC": ["SE", "NO", "DK"]}

MET = [
    ("lawyer", {"approvers": ["ciso", "dpo"]}),
    ("chat", {"tell_user": "Mind what you paste."}),
    ("chat", {"tell_user": ["Mind what you paste."]}),
    ("chat", {"notify": ["security", "privacy"]}),
    ("lab", {"retain_days": 30}),
    ("lab", {"log_content": "never"}),
    ("lab", {"hidden_in_answers": ["payment data", "CREDIT_CARD"]}),
    ("batch", {"cost_per_request": "0.01 USD"}),
    ("batch", {"cost_per_app_per_day": "20 USD"}),
    ("batch", {"first_token": "1s"}),
    ("batch", {"regions": ["DK", "NO", "SE"]}),
    ("batch", {"regions": ["NORDIC"]}),
    ("desk", {"hidden": ["contact details"]}),
    ("desk", {"hidden": ["PERSON"]}),
    ("pilot", {"would": {"action": "block", "sent_to": "nobody", "targets": [], "because": ["trial"]}}),
    ("pilot", {"action": "allow"}),
    ("other", {"regions": "any"}),
    ("other", {"retain_days": "none"}),
    ("other", {"would": "nothing"}),
    ("other", {"would": {"action": "allow"}}),
    ("other", {"approvers": [], "notify": [], "tell_user": [], "hidden": [], "hidden_in_answers": []}),
    ("other", {"log_content": "unsaid"}),
]
MISSED = [
    ("lawyer", {"approvers": ["dpo"]}, "approvers: dpo, ciso, dpo"),
    ("chat", {"tell_user": "Something else."}, "tell_user: Something else., Mind what you paste."),
    ("chat", {"tell_user": []}, "tell_user: none, Mind what you paste."),
    ("chat", {"notify": ["privacy"]}, "notify: privacy, privacy, security"),
    ("lab", {"retain_days": 31}, "retain_days: 31, 30"),
    ("lab", {"retain_days": "none"}, "retain_days: none, 30"),
    ("lab", {"log_content": "encrypted"}, "log_content: encrypted, never"),
    ("lab", {"hidden_in_answers": ["health data"]}, "hidden_in_answers: health data, CREDIT_CARD, payment data"),
    ("lab", {"hidden_in_answers": []}, "hidden_in_answers: none, CREDIT_CARD, payment data"),
    ("batch", {"cost_per_request": "0.02 USD"}, "cost_per_request: 0.02 USD, 0.01 USD"),
    ("batch", {"cost_per_app_per_day": "none"}, "cost_per_app_per_day: none, 20 USD"),
    ("batch", {"first_token": "1500ms"}, "first_token: 1.5s, 1s"),
    ("batch", {"regions": "any"}, "regions: any, DK, NO, SE"),
    ("other", {"regions": ["EU"]}, "regions: EU, any"),
    ("desk", {"hidden": ["payment data"]}, "hidden: payment data, EMAIL_ADDRESS, PERSON, contact details"),
    ("pilot", {"would": "nothing"}, "would: nothing, something"),
    ("pilot", {"would": {"action": "allow"}}, "would.action: allow, block"),
    ("pilot", {"would": {"sent_to": "cloud"}}, "would.sent_to: cloud, nobody"),
    ("other", {"would": {"because": ["trial"]}}, "would.because: trial, none"),
]


@pytest.mark.parametrize(("app", "expect"), MET)
def test_what_is_so_passes(given: Try, app: str, expect: dict[str, Any]) -> None:
    """Every obligation, bound, hidden type and trial can be expected, and a test of what is so passes."""
    subject, suite = given([{"given": {"app": app}, "expect": expect}], rules=RULES, region_sets=SETS)
    (result,) = run(subject.policy, suite.prepared)
    assert result.mismatches == ()


@pytest.mark.parametrize(("app", "expect", "words"), MISSED)
def test_what_is_not_so_fails(given: Try, app: str, expect: dict[str, Any], words: str) -> None:
    """A test of what is not so fails, and says both what was expected and what came."""
    subject, suite = given([{"given": {"app": app}, "expect": expect}], rules=RULES, region_sets=SETS)
    (result,) = run(subject.policy, suite.prepared)
    (missed,) = result.mismatches
    assert f"{missed.what}: {missed.expected}, {missed.got}" == words


def test_every_key_is_tried_here_both_ways() -> None:
    """No key of `expect` is without a test that it can pass and that it can fail, here or in test_cases."""
    elsewhere = {"level", "action", "sent_to", "targets", "because", "redacted"}
    assert {key for _, expect in MET for key in expect} | elsewhere == {*EXPECT, "would"}
    assert {key for _, expect, _ in MISSED for key in expect} | elsewhere == {*EXPECT, "would"}
    trials = [expect["would"] for _, expect in MET if isinstance(expect.get("would"), dict)]
    assert {key for trial in trials for key in trial} == set(WOULD)


def test_an_approval_that_was_given_opens_the_way(given: Try) -> None:
    """`approved` is the other half of a test about approvals."""
    waiting = {"given": {"app": "lawyer"}, "expect": {"action": "require_approval", "sent_to": "nobody"}}
    approved = {"given": {"app": "lawyer", "approved": True}, "expect": {"sent_to": "cloud", "because": ["approval"]}}
    subject, suite = given([waiting, approved], rules=RULES, region_sets=SETS)
    assert [result.mismatches for result in run(subject.policy, suite.prepared)] == [(), ()]


def test_a_label_counts_up_to_its_last_day(given: Try) -> None:
    """A target listed in the test may have labels that end; the day after, the provider is out."""
    cloud = {"id": "c", "zone": "cloud", "region": "EU", "labels": ["iso", {"name": "baa", "expires": "2026-09-30"}]}
    tests = [
        {"given": {"at": "2026-09-30T23:59Z"}, "expect": {"targets": ["c"]}},
        {"given": {"at": "2026-10-01T00:00Z"}, "expect": {"targets": []}},
    ]
    needs = [rule("agreement", {"level": "public"}, {"provider_must_have": ["baa", "iso"]})]
    subject, suite = given(tests, {"targets": [cloud]}, rules=needs)
    assert [result.mismatches for result in run(subject.policy, suite.prepared)] == [(), ()]


def test_a_time_of_the_week_can_be_tested(given: Try) -> None:
    """A rule for nights and weekends matches at the times that its clock says, in its own zone."""
    night = rule("night", {"time": {"hours": "18:00-08:00", "zone": "Europe/Berlin"}}, {"action": "local_only"})
    tests = [
        {"given": {"time": "17:59"}, "expect": {"sent_to": "cloud"}},
        {"given": {"time": "18:00"}, "expect": {"sent_to": "local", "because": ["night"]}},
        {"given": {"at": "2026-09-02T07:59"}, "expect": {"sent_to": "local"}},
        {"expect": {"sent_to": "cloud"}},
    ]
    subject, suite = given(tests, {"zone": "Europe/Berlin"}, rules=[night])
    assert [result.mismatches for result in run(subject.policy, suite.prepared)] == [()] * 4
