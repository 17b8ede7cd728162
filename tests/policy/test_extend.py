"""A policy that extends another can only be stricter: everything looser is an error that shows both lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.documents import DocumentError
from gateway.domain.decision import Action, Level
from gateway.policy import compile_policy, evaluate
from gateway.policy.schema import DataType, Policy
from gateway.policy.sources import read_policies, read_policy
from support.policies import BASE, TARGETS, document, facts, found, rule

PARENT: dict[str, Any] = document(
    handling={
        "public": {"action": "allow"},
        "internal": {"action": "redact", "regions": ["EU", "US"], "provider_must_have": ["baa"]},
        "confidential": {"action": "local_only"},
        "restricted": {
            "action": "require_approval",
            "regions": ["EU"],
            "approvers": ["dpo", "ciso"],
            "approval_lasts": "8h",
        },
    },
    limits={
        "latency": {"first_token": "2s"},
        "cost": {"per_request": "0.05 USD", "per_app_per_day": "20 USD", "when_spent": "block"},
        "scopes": [{"for": {"app": "batch"}, "cost": {"per_app_per_day": "50 USD"}}],
        "ceiling": {"cost": {"per_request": "1 USD", "per_app_per_day": "100 USD"}, "latency": {"first_token": "60s"}},
    },
    if_unsure={**BASE["if_unsure"], "detector_fails": "block"},
    answers={"hide": ["payment data"]},
    rules=[rule("base-rule", {"app": "hr"}, {"action": "local_only"})],
    exceptions=[
        {
            "id": "EX-1",
            "lifts": "base-rule",
            "for": {"app": "hr"},
            "approved_by": "dpo",
            "ticket": "T-1",
            "expires": "2027-01-01",
        }
    ],
)


def child(**sections: Any) -> dict[str, Any]:
    return {"schema": 1, "policy": "child", "version": 3, "owner": "child@acme.example", "extends": "base.yaml"} | {
        key: value for key, value in sections.items() if value is not None
    }


def written(folder: Path, **files: dict[str, Any]) -> Path:
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(json.dumps(content, indent=1))
    return folder


def extended(tmp_path: Path, **sections: Any) -> Policy:
    folder = written(tmp_path, base=PARENT, child=child(**sections))
    return read_policy(folder / "child.yaml").policy


def waiver(name: str, lifts: str) -> dict[str, Any]:
    expiry = {"approved_by": "dpo", "ticket": "T", "expires": "2027-01-01"}
    return {"id": name, "lifts": lifts, "for": {"app": "hr"}, **expiry}


def line_of(path: Path, text: str) -> int:
    """Where this text first stands in a file."""
    return path.read_text().split(text)[0].count("\n") + 1


def handled(level: str, **fields: Any) -> dict[str, Any]:
    return {"handling": {level: fields}}


LOOSER: dict[str, tuple[dict[str, Any], str, str]] = {
    "mode": ({"mode": "audit"}, '"audit"', "nothing of this policy would be enforced; base.yaml:"),
    "data type, entity": (
        {"data_types": {"contact details": {"detect": ["PERSON"], "confidence": 0.5}}},
        '"contact details"',
        "contact details does not count EMAIL_ADDRESS here; base.yaml:",
    ),
    "data type, confidence": (
        {"data_types": {"payment data": {"detect": ["CREDIT_CARD"], "confidence": 0.9}}},
        '"payment data"',
        "payment data counts from a confidence of 0.9 here; base.yaml:",
    ),
    "action": (handled("internal", action="allow"), '"allow"', "internal data has the action allow here; base.yaml:"),
    "action, gate": (
        handled("restricted", action="local_only"),
        '"local_only"',
        "restricted data has the action local_only here; base.yaml:",
    ),
    "regions": (
        handled("internal", action="redact", regions=["CN", "EU"]),
        "[",
        "internal data may go to CN here; base.yaml:",
    ),
    "provider_must_have": (
        handled("internal", action="redact", provider_must_have=["iso"]),
        "[",
        "internal data needs no baa here; base.yaml:",
    ),
    "approvers": (
        handled("restricted", action="require_approval", approvers=["anybody", "dpo"], approval_lasts="1h"),
        "[",
        "anybody may approve restricted data here; base.yaml:",
    ),
    "approval_lasts": (
        handled("restricted", action="require_approval", approvers=["dpo"], approval_lasts="9h"),
        '"9h"',
        "an approval of restricted data lasts 32,400 s here; base.yaml:",
    ),
    "if_unsure": (
        {"if_unsure": {"detector_fails": "local_only"}},
        '"local_only"',
        "detector_fails means local_only here; base.yaml:",
    ),
    "first_token": (
        {"limits": {"latency": {"first_token": "3s"}}},
        '"3s"',
        "first_token is 3 s here; base.yaml:",
    ),
    "per_request": (
        {"limits": {"cost": {"per_request": "0.06 USD"}}},
        '"0.06 USD"',
        "per_request is 0.06 USD here; base.yaml:",
    ),
    "per_app_per_day": (
        {"limits": {"cost": {"per_app_per_day": "21 USD"}}},
        '"21 USD"',
        "per_app_per_day is 21 USD here; base.yaml:",
    ),
    "when_spent": (
        {"limits": {"cost": {"per_app_per_day": "1 USD", "when_spent": "local_only"}}},
        '"local_only"',
        "a spent budget means local_only here; base.yaml:",
    ),
    "scope": (
        {"limits": {"scopes": [{"for": {"app": "other"}, "cost": {"per_app_per_day": "30 USD"}}]}},
        '"30 USD"',
        "per_app_per_day is 30 USD here; base.yaml:",
    ),
    "scope over a scope": (
        {"limits": {"scopes": [{"for": {"app": "batch"}, "cost": {"per_app_per_day": "51 USD"}}]}},
        '"51 USD"',
        "per_app_per_day is 51 USD here; base.yaml:",
    ),
    "ceiling": (
        {"limits": {"ceiling": {"cost": {"per_request": "2 USD"}}}},
        '"2 USD"',
        "per_request is 2 USD here; base.yaml:",
    ),
    "rule of the same id": (
        {"rules": [rule("base-rule", {"app": "hr"}, {"tell_user": "No."})]},
        '"base-rule"',
        "the id 'base-rule' is taken already, in base.yaml:",
    ),
    "rule with the id of an exception": (
        {"rules": [rule("EX-1", {"app": "hr"}, {"tell_user": "No."})]},
        '"EX-1"',
        "the id 'EX-1' is taken already, in base.yaml:",
    ),
    "exception of the same id": (
        {
            "rules": [rule("mine", {"app": "hr"}, {"tell_user": "No."})],
            "exceptions": [waiver("EX-1", "mine")],
        },
        '"EX-1"',
        "the id 'EX-1' is taken already, in base.yaml:",
    ),
    "line that makes a level looser": (
        {"levels": {"restricted": [{"any_of": ["health data"]}]}},
        '{\n    "any_of"',
        "this can make confidential data restricted, which is handled less strictly: clouds, where nothing may leave",
    ),
}


@pytest.mark.parametrize("what", LOOSER)
def test_a_child_that_loosens_is_an_error(tmp_path: Path, what: str) -> None:
    """Each thing by which a child would be looser is an error at its line that names the parent's line."""
    sections, at, words = LOOSER[what]
    with pytest.raises(DocumentError) as refused:
        extended(tmp_path, **sections)
    problems = [problem for problem in refused.value.problems if words in problem.message]
    assert problems, str(refused.value)
    problem = problems[0]
    assert problem.file == str(tmp_path / "child.yaml")
    assert problem.message.endswith("A policy that extends another can only be stricter.")
    assert line_of(tmp_path / "child.yaml", at) <= problem.line <= line_of(tmp_path / "child.yaml", at) + 2
    named = int(problem.message.rpartition("base.yaml:")[2].split()[0].split(".")[0].strip(",:;"))
    assert 1 <= named <= (tmp_path / "base.yaml").read_text().count("\n") + 1
    assert "base.yaml:" in problem.message


def test_the_error_names_the_responsible_lines(tmp_path: Path) -> None:
    """The words, the child's line and the parent's are those that a reader would point at."""
    base = document()
    (tmp_path / "base.yaml").write_text(json.dumps(base, indent=1))
    (tmp_path / "hospital.yaml").write_text(
        "schema: 1\npolicy: hospital\nversion: 1\nowner: a@b.c\nextends: base.yaml\n"
        "handling:\n  confidential: {action: redact, regions: [EU, US]}\n"
    )
    with pytest.raises(DocumentError) as refused:
        read_policy(tmp_path / "hospital.yaml")
    (problem,) = refused.value.problems
    at = line_of(tmp_path / "base.yaml", '"regions": [\n    "EU"\n')
    assert problem.message == (
        f"confidential data may go to US here; base.yaml:{at} permits only EU. "
        "A policy that extends another can only be stricter."
    )
    assert (problem.line, problem.source_line) == (7, "  confidential: {action: redact, regions: [EU, US]}")


def test_everything_looser_is_told_at_once(tmp_path: Path) -> None:
    """A child with many faults gets many errors, not one after the other."""
    with pytest.raises(DocumentError) as refused:
        extended(
            tmp_path,
            if_unsure={"detector_fails": "local_only"},
            limits={"latency": {"first_token": "3s"}, "cost": {"per_request": "9 USD"}},
            handling={"public": {"action": "allow"}, "internal": {"action": "allow", "regions": ["CN"]}},
        )
    assert len(refused.value.problems) == 5


def test_what_is_not_said_is_taken_over(tmp_path: Path) -> None:
    """A child with nothing but a head means what its parent means; name, version and owner are its own."""
    parent = read_policy(written(tmp_path, base=PARENT) / "base.yaml").policy
    policy = extended(tmp_path)
    assert (policy.name, policy.version, policy.owner) == ("child", 3, "child@acme.example")
    for part in ("data_types", "levels", "handling", "limits", "unsure", "rules", "waivers", "answers", "audit"):
        assert getattr(policy, part) == getattr(parent, part), part


def test_a_smaller_budget_is_spent_as_the_parents(tmp_path: Path) -> None:
    """A child that only lowers the budget keeps what happens when it is spent; it may also make that stricter."""
    folder = written(tmp_path, base=document(), child=child(limits={"cost": {"per_app_per_day": "1 USD"}}))
    limits = read_policy(folder / "child.yaml").policy.limits
    assert (limits.per_app_per_day, limits.when_spent) == (10**9, Action.LOCAL_ONLY)
    stricter = child(limits={"cost": {"per_app_per_day": "1 USD", "when_spent": "block"}})
    assert read_policy(written(folder, child=stricter) / "child.yaml").policy.limits.when_spent is Action.BLOCK


def test_what_is_stricter_is_joined(tmp_path: Path) -> None:
    """Everything that a child adds or tightens is in the result, beside what it takes over."""
    policy = extended(
        tmp_path,
        data_types={
            "case numbers": {"detect": ["CASE"], "confidence": 0.5},
        },
        levels={"internal": [{"any_of": ["case numbers"]}]},
        handling={
            "internal": {"action": "local_only"},
            "restricted": {"action": "require_approval", "approvers": ["dpo"], "approval_lasts": "1h"},
        },
        limits={"cost": {"per_app_per_day": "10 USD"}, "latency": {"first_token": "1s"}},
        if_unsure={"no_target_left": "block", "unreadable_content": "block"},
        rules=[rule("mine", {"contains": "case numbers"}, {"action": "block"})],
        exceptions=[waiver("EX-2", "mine")],
        answers={"hide": ["case numbers"]},
    )
    assert policy.handling[Level.INTERNAL].action is Action.LOCAL_ONLY
    assert policy.handling[Level.INTERNAL].provider_must_have == ("baa",)
    approval = policy.handling[Level.RESTRICTED].approval
    assert approval is not None
    assert (approval.approvers, approval.seconds) == (("dpo",), 3600)
    assert policy.handling[Level.RESTRICTED].regions == ("EU",)
    assert dict(policy.unsure)["unreadable_content"] is Action.BLOCK
    assert policy.answers == ("case numbers", "payment data")
    assert [each.id for each in policy.rules] == ["base-rule", "mine"]
    assert [each.id for each in policy.waivers] == ["EX-1", "EX-2"]
    decided = compile_policy(policy)
    assert evaluate(decided, facts(app="batch"), TARGETS).day_limit == 10 * 10**9
    assert evaluate(decided, facts(found=found(CASE=1)), TARGETS).action is Action.BLOCK


def test_a_data_type_may_count_more(tmp_path: Path) -> None:
    """A child may add entities to a data type of its parent and let them count earlier."""
    wider = {"detect": ["EMAIL_ADDRESS", "PERSON", "PHONE_NUMBER"], "confidence": 0.3}
    folder = written(tmp_path, base=document(), child=child(data_types={"contact details": wider}))
    policy = read_policy(folder / "child.yaml").policy
    assert DataType("contact details", ("EMAIL_ADDRESS", "PERSON", "PHONE_NUMBER"), 30) in policy.data_types
    decision = evaluate(compile_policy(policy), facts(found=found(PHONE_NUMBER=1)), TARGETS)
    assert decision.level is Level.INTERNAL


def test_an_approval_of_what_had_to_stay_inside_lets_nothing_out(tmp_path: Path) -> None:
    """local_only with require_approval on top is both: who approves does not open a way to the cloud."""
    policy = extended(
        tmp_path,
        handling={"confidential": {"action": "require_approval", "approvers": ["dpo"], "approval_lasts": "1h"}},
    )
    request = facts(found=found(MEDICATION=1))
    assert evaluate(compile_policy(policy), request, TARGETS).permitted == frozenset()
    approved = facts(found=found(MEDICATION=1), approved=True)
    assert evaluate(compile_policy(policy), approved, TARGETS).permitted == {"local"}


def test_a_rule_for_a_lower_level_only_keeps_a_child_from_raising_it(tmp_path: Path) -> None:
    """A line that lifts data out of a parent's rule loosens it, although the line itself looks stricter."""
    base = document(rules=[rule("internal-stays", {"level": "internal"}, {"action": "block"})])
    folder = written(tmp_path, base=base, child=child(levels={"confidential": [{"any_of": ["contact details"]}]}))
    with pytest.raises(DocumentError, match=r"to which the rule 'internal-stays' of base\.yaml:") as refused:
        read_policy(folder / "child.yaml")
    assert "say 'level: internal or higher' there" in str(refused.value)
    base["rules"][0]["when"] = {"level": "internal or higher"}
    assert read_policy(written(folder, base=base) / "child.yaml").policy.name == "child"


def test_a_data_type_that_counts_more_raises_levels_too(tmp_path: Path) -> None:
    """Widening a data type of a line is judged as a new line is."""
    base = document(rules=[rule("public-only", {"level": "public"}, {"regions": ["EU"]})])
    types = {"payment data": {"detect": ["CREDIT_CARD", "IBAN_CODE"], "confidence": 0.5}}
    folder = written(tmp_path, base=base, child=child(data_types=types))
    with pytest.raises(DocumentError, match="this can make public data restricted"):
        read_policy(folder / "child.yaml")


def test_a_child_cannot_lift_a_rule_of_its_parent(tmp_path: Path) -> None:
    """Not even by an exception that is signed off in the child."""
    with pytest.raises(DocumentError, match="'base-rule' is a rule of the policy that this one extends"):
        extended(tmp_path, exceptions=[waiver("EX-2", "base-rule")])


def test_grandchildren(tmp_path: Path) -> None:
    """What a grandparent says binds a grandchild, and the error names the grandparent's line."""
    folder = written(
        tmp_path,
        base=PARENT,
        child=child(rules=[rule("mine", {"app": "x"}, {"action": "block"})]),
        grand=child(policy="grand", extends="child.yaml", if_unsure={"detector_fails": "block"}),
    )
    policy = read_policy(folder / "grand.yaml").policy
    assert [each.id for each in policy.rules] == ["base-rule", "mine"]
    bad = child(policy="grand", extends="child.yaml", if_unsure={"detector_fails": "local_only"})
    with pytest.raises(DocumentError, match=r"detector_fails means local_only here; base\.yaml:"):
        read_policy(written(folder, grand=bad) / "grand.yaml")


def test_an_enforced_child_of_an_audit_mode_parent_is_enforced(tmp_path: Path) -> None:
    """Enforcing is stricter, so it is possible; and without a word of its own the child is enforced."""
    folder = written(tmp_path, base={**PARENT, "mode": "audit"}, child=child())
    assert read_policy(folder / "base.yaml").policy.audit
    assert not read_policy(folder / "child.yaml").policy.audit


def test_a_rule_of_a_file_in_force_and_of_a_trial_is_in_force(tmp_path: Path) -> None:
    """Two files that extend the same one share its rules; a trial never takes one of them out of force."""
    trial = child(policy="trial", mode="audit")
    folder = written(tmp_path, base={**PARENT, "mode": "audit"}, child=child(mode="enforce"), trial=trial)
    both = read_policies(folder).everybody.policy
    assert not both.audit
    assert [each.audit for each in both.rules if each.id == "base-rule"] == [False]


def test_a_folder_with_a_child_that_loosens_is_refused(tmp_path: Path) -> None:
    """What is an error of one file stops all of them."""
    bad = child(if_unsure={"detector_fails": "local_only"}) | {"for": {"tenant": ["lab"]}}
    with pytest.raises(DocumentError, match="can only be stricter"):
        read_policies(written(tmp_path, base=PARENT, child=bad))


def test_a_child_may_say_how_one_level_is_handled(tmp_path: Path) -> None:
    """Also where the next level is then handled less strictly: that is a warning at the line that the child has."""
    inside = {"action": "local_only"}
    free = {"action": "allow"}
    handling = {"public": free, "internal": free, "confidential": free, "restricted": inside}
    folder = written(tmp_path, base=document(handling=handling), all=child(handling={"internal": inside}))
    policies = read_policies(folder)
    assert policies.everybody.policy.handling[Level.INTERNAL].action is Action.LOCAL_ONLY
    assert any("confidential data is handled less strictly" in each.message for each in policies.warnings)
