"""Several policy files at once: strictest wins, for every tenant, and nothing is joined by guessing."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.documents import DocumentError
from gateway.domain.decision import Action, Decision, Facts, Gate, Level
from gateway.domain.finding import DetectorState, Found
from gateway.policy import compile_policy, evaluate, load
from gateway.policy.join import EVERYBODY, File, joined
from gateway.policy.join_limits import TooManyScopes, joined_limits
from gateway.policy.load import load_file
from gateway.policy.schema import Amounts, Approval, Limits, LimitScope, Outcome, When
from gateway.policy.sources import read_policies
from gateway.policy.strictness import joined_outcome, looser
from gateway.policy.written import written
from support.policies import BASE, TARGETS, compiled, document, facts, found, rule


def files(folder: Path, **documents: dict[str, Any]) -> Path:
    for name, content in documents.items():
        (folder / f"{name}.yaml").write_text(json.dumps(content, indent=1))
    return folder


def own(name: str, **changes: Any) -> dict[str, Any]:
    """A whole policy with a name of its own."""
    return document(policy=name, **changes)


def for_tenants(*tenants: str) -> dict[str, Any]:
    return {"for": {"tenant": list(tenants)}}


def test_each_tenant_gets_what_applies_to_it(tmp_path: Path) -> None:
    """A tenant that a file names gets that file with those for everybody; all others get only the latter."""
    folder = files(
        tmp_path,
        all=own("all", rules=[rule("common", {"app": "x"}, {"action": "block"})]),
        school=own("school", **for_tenants("school-eu"), rules=[rule("pupils", {"app": "y"}, {"action": "block"})]),
        lab=own("lab", **for_tenants("lab", "school-eu"), rules=[rule("lab", {"app": "z"}, {"action": "block"})]),
    )
    policies = read_policies(folder).policies
    assert {tenant: [each.id for each in found.policy.rules] for tenant, found in policies.items()} == {
        EVERYBODY: ["common"],
        "lab": ["common", "lab"],
        "school-eu": ["common", "lab", "pupils"],
    }
    assert policies[EVERYBODY].policy.tenants == ()
    assert policies["lab"].policy.tenants == ("lab",)
    assert policies["lab"].policy.name == "all+lab"
    assert policies["lab"].policy.version == 14


def test_the_strictest_of_every_part_wins(tmp_path: Path) -> None:
    """Levels, handling, limits, unsure cases and answers of two files are joined, never replaced."""
    other = own(
        "other",
        levels={"restricted": [{"any_of": ["health data"]}], "internal": [{"any_of": ["contact details"]}]},
        handling={
            "public": {"action": "allow", "regions": ["EU", "CH"]},
            "internal": {"action": "allow", "provider_must_have": ["baa"]},
            "confidential": {"action": "local_only"},
            "restricted": {"action": "block"},
        },
        limits={"latency": {"first_token": "1s"}, "cost": {"per_app_per_day": "30 USD", "when_spent": "block"}},
        if_unsure={**BASE["if_unsure"], "unreadable_content": "block"},
        answers={"hide": ["payment data"]},
    )
    policy = read_policies(files(tmp_path, a=own("a"), b=other)).everybody.policy
    public, internal, confidential, restricted = policy.handling
    assert public.regions == ("CH", "EU")
    assert (internal.regions, internal.provider_must_have) == (("EU", "US"), ("baa",))
    assert (confidential.action, restricted.action) == (Action.LOCAL_ONLY, Action.BLOCK)
    assert policy.limits == Limits(1.0, compiled().source.limits.per_request, 20 * 10**9, Action.BLOCK)
    assert dict(policy.unsure)["unreadable_content"] is Action.BLOCK
    assert policy.answers == ("payment data",)
    decision = evaluate(compile_policy(policy), facts(found=found(MEDICATION=1)), TARGETS)
    assert (decision.level, decision.gate) == (Level.RESTRICTED, Gate.BLOCK)


def test_the_order_of_the_files_never_matters() -> None:
    """The same files in another order give the same policy and hash."""
    documents = [own("a"), own("b", **for_tenants("t")), own("c", answers={"hide": ["health data"]})]
    loaded = [File(each["policy"], written(load_file(json.dumps(each), each["policy"]))) for each in documents]
    first, _ = joined(loaded)
    second, _ = joined(loaded[::-1])
    for tenant, each in first.items():
        assert compile_policy(each.policy).id == compile_policy(second[tenant].policy).id


def test_one_file_alone_is_unchanged(tmp_path: Path) -> None:
    """A folder with one file means what the file means, to the hash."""
    folder = files(tmp_path, only=document())
    assert read_policies(folder).everybody.policy == load(folder / "only.yaml")[0]


# ---- what cannot be joined


def problems(folder: Path) -> list[str]:
    with pytest.raises(DocumentError) as refused:
        read_policies(folder)
    return [f"{Path(problem.file).name}:{problem.line}: {problem.message}" for problem in refused.value.problems]


def line_of(folder: Path, name: str, text: str) -> int:
    return (folder / f"{name}.yaml").read_text().split(text)[0].count("\n") + 1


def test_two_files_with_the_same_rule_id(tmp_path: Path) -> None:
    """An id that two files define is an error that names both lines, although no tenant gets both files."""
    folder = files(
        tmp_path,
        all=own("all"),
        a=own("a", **for_tenants("a"), rules=[rule("same", {"app": "x"}, {"action": "block"})]),
        b=own("b", **for_tenants("b"), rules=[rule("same", {"app": "y"}, {"tell_user": "No."})]),
    )
    at = {name: line_of(folder, name, '"same"') for name in "ab"}
    assert problems(folder) == [
        f"b.yaml:{at['b']}: the id 'same' is taken already, in a.yaml:{at['a']}; ids must be unique"
    ]


def test_two_files_with_the_same_name(tmp_path: Path) -> None:
    """Records tell policies apart by name, so a copied file that kept it is an error."""
    folder = files(tmp_path, a=own("acme"), b=own("acme", **for_tenants("b")))
    assert problems(folder) == ["b.yaml:3: the policy in a.yaml:3 is called 'acme' too; give one of them another name"]


def test_a_data_type_with_two_meanings(tmp_path: Path) -> None:
    """The same word for something else in two files that are joined is an error that names both lines."""
    types = {**BASE["data_types"], "payment data": {"detect": ["CREDIT_CARD"], "confidence": 0.9}}
    folder = files(tmp_path, a=own("a"), b=own("b", data_types=types))
    (said,) = problems(folder)
    at = line_of(folder, "a", '"payment data"')
    assert f"'payment data' means something else in a.yaml:{at}" in said


def test_no_file_for_everybody(tmp_path: Path) -> None:
    """Without a file for everybody the other callers would have no policy, so nothing starts."""
    folder = files(tmp_path, a=own("a", **for_tenants("a")), b=own("b", **for_tenants("b")))
    said = problems(folder)
    assert len(said) == 2
    assert all("all other callers would have no policy" in each for each in said)


def test_approvals_that_nobody_may_give(tmp_path: Path) -> None:
    """Two files that ask different people to approve the same are an error, not a block in disguise."""

    def asking(name: str, group: str) -> dict[str, Any]:
        handling = {**BASE["handling"], "restricted": {"action": "require_approval", "approvers": [group]}}
        return own(name, handling=handling)

    folder = files(tmp_path, a=asking("a", "dpo"), b=asking("b", "ciso"))
    (said,) = problems(folder)
    assert "nobody may approve restricted data both here and by a.yaml:" in said


def test_a_line_that_takes_data_out_of_anothers_rule(tmp_path: Path) -> None:
    """A level raised by one file must not take a rule of another file out of force."""
    folder = files(
        tmp_path,
        a=own("a", rules=[rule("exactly", {"level": "internal"}, {"action": "block"})]),
        b=own("b", levels={"confidential": [{"any_of": ["contact details"]}]}),
    )
    assert any("to which the rule 'exactly' of a.yaml:" in said for said in problems(folder))


# ---- audit mode


def test_a_file_in_audit_mode_weakens_nothing(tmp_path: Path) -> None:
    """Beside files in force, what an audit-mode file asks for is recorded, and nothing else changes."""
    trial = own(
        "trial",
        mode="audit",
        data_types={**BASE["data_types"], "parcels": {"detect": ["PARCEL"], "confidence": 0.5}},
        handling={**BASE["handling"], "public": {"action": "allow"}, "internal": {"action": "block"}},
        rules=[rule("try-me", {"contains": "parcels"}, {"action": "block"})],
        answers={"hide": ["payment data"]},
    )
    both = read_policies(files(tmp_path, a=own("a"), trial=trial)).everybody.policy
    assert not both.audit
    for request in (
        facts(found=found(PERSON=1)),
        facts(found=found(PERSON=1, PARCEL=1)),
        facts(found=found(CREDIT_CARD=1)),
        facts(found=found(MEDICATION=1, PARCEL=2)),
        facts(),
    ):
        alone = evaluate(compiled(policy="a"), request, TARGETS)
        decision = evaluate(compile_policy(both), request, TARGETS)
        for part in ("level", "action", "gate", "redact", "regions", "permitted", "hide_in_answers", "cost_cap"):
            assert getattr(decision, part) == getattr(alone, part), (part, request.found)
        assert "trial.answers.hide" in [reason.rule for reason in decision.would]
    decision = evaluate(compile_policy(both), facts(found=found(PERSON=1, PARCEL=1)), TARGETS)
    assert [reason.rule for reason in decision.would] == ["trial.answers.hide", "trial.handling.internal", "try-me"]
    assert decision.trial is not None
    assert decision.trial.action is Action.BLOCK


def test_a_level_cannot_be_tried_out(tmp_path: Path) -> None:
    """A request has one level, so a new line in an audit-mode file beside enforced ones is an error that says why."""
    levels = copy.deepcopy(BASE["levels"])
    levels["restricted"].append({"any_of": ["health data"]})
    folder = files(tmp_path, a=own("a"), trial=own("trial", mode="audit", levels=levels))
    (said,) = problems(folder)
    assert "trial.yaml:" in said
    assert "a level cannot be tried out beside policies that are enforced" in said


def test_files_that_are_all_in_audit_mode(tmp_path: Path) -> None:
    """Nothing is enforced then, as with one file; both are recorded."""
    policy = read_policies(files(tmp_path, a=own("a", mode="audit"), b=own("b", mode="audit"))).everybody.policy
    assert policy.audit


# ---- properties

_EU_US_CH = ("EU", "US", "CH")


def _some(words: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(words), min_size=1, unique=True)


@st.composite
def _handled(draw: st.DrawFn) -> dict[str, Any]:
    action = draw(st.sampled_from([action.value for action in Action]))
    fields: dict[str, Any] = {"action": action}
    if draw(st.booleans()):
        fields["regions"] = draw(_some(_EU_US_CH))
    if draw(st.booleans()):
        fields["provider_must_have"] = draw(_some(("baa", "iso")))
    if action == "require_approval":
        fields["approvers"] = draw(_some(("dpo", "ciso", "legal")))
        fields["approval_lasts"] = draw(st.sampled_from(["1h", "8h"]))
    return fields


_LINE = st.fixed_dictionaries({"any_of": _some(tuple(BASE["data_types"]))}, optional={"at_least": st.integers(1, 5)})
_SCOPE_FOR = st.fixed_dictionaries(
    {},
    optional={
        "tenant": _some(("acme", "lab")),
        "app": _some(("batch", "hr", "support-bot")),
        "group": _some(("leads", "staff")),
    },
).filter(bool)
_COST = st.fixed_dictionaries({"per_request": st.sampled_from(["0.01 USD", "0.05 USD", "0.2 USD"])})
_LIMITS = st.fixed_dictionaries(
    {"cost": _COST},
    optional={
        "latency": st.fixed_dictionaries({"first_token": st.sampled_from(["1s", "3s"])}),
        "scopes": st.lists(
            st.fixed_dictionaries({"for": _SCOPE_FOR, "cost": _COST}),
            min_size=1,
            max_size=3,
            unique_by=lambda scope: tuple(sorted(scope["for"])),
        ),
    },
)
_WHENS = st.sampled_from(
    [{"app": "batch"}, {"level": "internal or higher"}, {"contains": "health data"}, {"group": "staff"}]
)
_THENS = st.sampled_from(
    [{"action": "block"}, {"regions": ["EU"]}, {"redact": ["contact details"]}, {"hide_in_answers": ["payment data"]}]
)


@st.composite
def _document(draw: st.DrawFn, name: str) -> dict[str, Any]:
    rules = draw(st.lists(st.tuples(_WHENS, _THENS), max_size=3))
    return own(
        name,
        mode=draw(st.sampled_from(["enforce", "enforce", "enforce", "audit"])),
        levels=draw(
            st.fixed_dictionaries(
                {},
                optional={
                    word: st.lists(_LINE, min_size=1, max_size=2) for word in ("restricted", "confidential", "internal")
                },
            ).filter(bool)
        ),
        handling={level.word: draw(_handled()) for level in Level},
        limits=draw(_LIMITS),
        answers=draw(st.sampled_from([None, {"hide": ["health data"]}])),
        if_unsure={**BASE["if_unsure"], "detector_fails": draw(st.sampled_from(["block", "local_only"]))},
        rules=[rule(f"{name}-{place}", when, then) for place, (when, then) in enumerate(rules)],
    )


_REQUESTS = st.lists(
    st.builds(
        facts,
        tenant=st.sampled_from(["acme", "lab", ""]),
        app=st.sampled_from(["batch", "hr", "other"]),
        group=st.sampled_from(["leads", "staff", ""]),
        found=st.lists(
            st.builds(Found, st.sampled_from(["PERSON", "CREDIT_CARD", "MEDICATION"]), st.just(100), st.integers(1, 6)),
            max_size=3,
            unique_by=lambda item: item.entity,
        ).map(tuple),
        detector=st.sampled_from(DetectorState),
        approved=st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


def _at_most(tight: float | None, loose: float | None) -> bool:
    return loose is None or (tight is not None and tight <= loose)


def no_looser(tight: Decision, loose: Decision) -> bool:
    """Does the first permit nothing that the second forbids?"""
    leaves = tight.gate is Gate.ALLOW and tight.cloud and tight.regions != frozenset()
    return (
        tight.level >= loose.level
        and tight.gate >= loose.gate
        and tight.permitted <= loose.permitted
        and (loose.cloud or not leaves)
        and _at_most(tight.cost_cap, loose.cost_cap)
        and _at_most(tight.first_token, loose.first_token)
        and _at_most(tight.day_limit, loose.day_limit)
        and (not leaves or all(tight.hides(item.entity, item.percent) for item in loose.redact))
        and (
            tight.gate is Gate.BLOCK
            or all(tight.hides_in_answer(item.entity, item.percent) for item in loose.hide_in_answers)
        )
    )


@settings(deadline=None, max_examples=40)
@given(one=_document("one"), other=_document("other"), requests=_REQUESTS)
def test_a_join_is_no_looser_than_any_of_its_files(
    one: dict[str, Any], other: dict[str, Any], requests: list[Facts]
) -> None:
    """For every request the joined policy is at least as strict as each file that is in force by itself, or the files
    are refused."""
    loaded = [File(f"{place}.yaml", written(load_file(json.dumps(each)))) for place, each in enumerate((one, other))]
    policies, wrong = joined(loaded)
    if wrong:
        return
    both = compile_policy(policies[EVERYBODY].policy)
    enforced = [file for file in loaded if not file.written.policy.audit]
    for file in enforced or loaded:
        alone = compile_policy(file.written.policy)
        for request in requests:
            assert no_looser(evaluate(both, request, TARGETS), evaluate(alone, request, TARGETS))


@settings(deadline=None, max_examples=60)
@given(one=_LIMITS, other=_LIMITS, requests=_REQUESTS)
def test_joined_limits_grant_exactly_the_smaller_amount(
    one: dict[str, Any], other: dict[str, Any], requests: list[Facts]
) -> None:
    """Whoever asks, whatever scopes overlap: not more than either policy grants, and not less."""
    policies = []
    for limits in (one, other):
        try:
            policies.append(load(json.dumps(own("x", limits=limits)))[0])
        except DocumentError:
            return
    both = replace(policies[0], limits=joined_limits(policies[0].limits, policies[1].limits))
    for request in requests:
        caps, tokens = [], []
        for policy in policies:
            decision = evaluate(compile_policy(policy), request, TARGETS)
            caps.append(decision.cost_cap)
            tokens.append(decision.first_token)
        decision = evaluate(compile_policy(both), request, TARGETS)
        assert decision.cost_cap == min(cap for cap in caps if cap is not None)
        assert decision.first_token == min((each for each in tokens if each is not None), default=None)


@settings(deadline=None, max_examples=300)
@given(one=_handled(), other=_handled())
def test_joined_outcomes_are_at_least_as_strict_as_both(one: dict[str, Any], other: dict[str, Any]) -> None:
    """The join of two outcomes is no looser than either, in whatever order."""
    first, second = (_outcome(each) for each in (one, other))
    both = joined_outcome(first, second)
    assert looser(both, first) == ""
    assert looser(both, second) == ""
    assert joined_outcome(second, first) == both


def _outcome(handled: dict[str, Any]) -> Outcome:
    action = Action(handled["action"])
    return Outcome(
        action=action,
        regions=tuple(sorted(handled["regions"])) if "regions" in handled else None,
        provider_must_have=tuple(sorted(handled.get("provider_must_have", ()))),
        redact=None if action is Action.REDACT else (),
        approval=Approval(tuple(sorted(handled["approvers"])), 3600) if "approvers" in handled else None,
    )


def test_limits_that_overlap_beyond_measure_are_refused() -> None:
    """Joining scopes has a bound, so no policy can make the start take for ever."""

    def many(condition: str) -> Limits:
        names = [When(names=((condition, (f"{condition}-{number}",)),)) for number in range(60)]
        return Limits(scopes=tuple(LimitScope(who, Amounts(first_token=1.0)) for who in names))

    with pytest.raises(TooManyScopes):
        joined_limits(many("app"), many("group"))


def test_many_names_do_not_slow_a_join_down() -> None:
    """Lists that nothing tells apart stay together."""
    everyone = tuple(f"app-{number}" for number in range(1_000, 3_000))
    limits = Limits(scopes=(LimitScope(When(names=(("app", everyone),)), Amounts(first_token=1.0)),))
    assert joined_limits(limits, Limits(first_token=5.0)).scopes == limits.scopes
