"""The analysis is complete: compared with any number of requests, it has missed none."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gateway.domain.decision import Action, BudgetState, Decision, Facts, Level
from gateway.domain.finding import DetectorState, Found
from gateway.policy import CompiledPolicy, compile_policy
from gateway.policy.analysis.causes import Causes
from gateway.policy.analysis.changes import compare
from gateway.policy.analysis.clauses import Condition
from gateway.policy.analysis.differences import difference
from gateway.policy.analysis.expectations import Expectation, Seen
from gateway.policy.analysis.findings import analyse
from gateway.policy.analysis.guarantees import Guarantee, prove
from gateway.policy.analysis.situations import Decider, situations
from gateway.policy.schema import When
from support.policies import TARGETS, compiled

AS_OF = date(2026, 9, 1)
few = settings(
    deadline=None,
    max_examples=6,
    # Shrinking such policies takes minutes; the seed that Hypothesis prints is enough to look closer.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

_APPS, _GROUPS = ("hr", "batch"), ("leads", "staff")
_LABELS = ("patient", "minor")
_LEVELS = tuple(level.word for level in Level)
_TYPES = ("contact details", "names", "payment data", "health data")
_ENTITIES = ("PERSON", "EMAIL_ADDRESS", "CREDIT_CARD", "MEDICATION", "OTHER")
_KINDS = {
    "contact details": {"detect": ["PERSON", "EMAIL_ADDRESS"], "confidence": 0.5},
    "names": {"detect": ["PERSON"], "confidence": 0.8},
    "payment data": {"detect": ["CREDIT_CARD"], "confidence": 0.5},
    "health data": {"detect": ["MEDICATION", "PERSON"], "confidence": 0.9},
}


def _some(words: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(words), min_size=1, max_size=2, unique=True)


def _part(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields).filter(bool)


_LINE = st.builds(
    lambda how, types, least: {how: types, "at_least": least},
    st.sampled_from(["any_of", "all_of"]),
    _some(_TYPES),
    st.integers(1, 4),
)
_WHO = {"app": _some(_APPS), "group": _some(_GROUPS)}
_WHEN = _part(
    **_WHO,
    level=st.one_of(_some(_LEVELS), st.sampled_from(_LEVELS).map(lambda word: f"{word} or higher")),
    contains=st.one_of(_some(_TYPES), _LINE),
    prompt_tokens=st.sampled_from(["over 10", "over 4000"]),
    declared=_some(_LABELS),
    time=st.sampled_from(
        [
            {"days": ["sat", "sun"], "zone": "Europe/Berlin"},
            {"hours": "22:00-06:00", "zone": "America/New_York"},
            {"days": ["mon-fri"], "hours": "08:00-18:00", "zone": "Asia/Kolkata"},
        ]
    ),
)
_THEN = _part(
    action=st.sampled_from(["redact", "local_only", "block"]),
    regions=_some(("EU", "US", "CH")),
    provider_must_have=_some(("baa", "iso")),
    cost_per_request=st.sampled_from(["0.01 USD", "0.1 USD"]),
    redact=_some(_TYPES),
    notify=_some(("dpo", "soc")),
    retain_days=st.sampled_from([3, 30]),
    tell_user=st.sampled_from(["No.", "Sorry."]),
).filter(lambda then: not ("redact" in then and then.get("action") == "redact"))
_APPROVE = st.just({"action": "require_approval", "approvers": ["dpo"], "approval_lasts": "1h"})
_MODE = st.sampled_from(
    [{}, {}, {}, {"mode": "audit", "until": "2026-09-03"}, {"mode": "audit", "until": "2026-08-01"}]
)
_SCOPE = st.builds(lambda who, cost: {"for": who, "cost": {"per_request": cost}}, _part(**_WHO), st.just("0.02 USD"))


@st.composite
def policies(draw: st.DrawFn, most: int = 4) -> CompiledPolicy:
    """Any policy of a small language: it has every kind of condition."""
    bodies = draw(st.lists(st.tuples(_WHEN, st.one_of(_THEN, _APPROVE), _MODE), max_size=most))
    rules = [{"id": f"r{place}", "why": "x", "when": w, "then": t, **m} for place, (w, t, m) in enumerate(bodies)]
    lines = st.lists(_LINE, min_size=1, max_size=2)
    levels = draw(_part(restricted=lines, confidential=lines, internal=lines))
    exceptions = [
        {"id": f"EX-{one['id']}", "lifts": one["id"], "for": draw(_part(**_WHO)), "approved_by": "x", "ticket": "T",
         "expires": draw(st.sampled_from(["2026-08-01", "2026-09-02", "2027-01-01"]))}
        for one in rules
        if draw(st.booleans())
    ]  # fmt: skip
    limits = {"cost": {"per_request": "0.05 USD", "per_app_per_day": "20 USD"}}
    scope = draw(st.one_of(st.none(), _SCOPE))
    return compiled(
        data_types=_KINDS,
        levels=levels,
        limits=limits | ({"scopes": [scope]} if scope else {}),
        rules=rules,
        exceptions=exceptions,
        mode=draw(st.sampled_from(["enforce", "enforce", "audit"])),
        answers=draw(st.sampled_from([None, {"hide": ["names"]}])),
    )


_FOUND = st.lists(
    st.builds(Found, st.sampled_from(_ENTITIES), st.sampled_from([0, 50, 79, 80, 95, 100]), st.integers(0, 5)),
    max_size=4,
).map(tuple)
requests = st.builds(
    Facts,
    tenant=st.sampled_from(["", "acme"]),
    app=st.sampled_from((*_APPS, "other")),
    group=st.sampled_from((*_GROUPS, "")),
    role=st.just("x"),
    user=st.just(""),
    dialect=st.just("openai_chat"),
    model=st.just("auto"),
    found=_FOUND,
    detector=st.sampled_from(DetectorState),
    unreadable=st.booleans(),
    prompt_tokens=st.sampled_from([0, 10, 11, 5000]),
    as_of=st.integers(0, 300).map(lambda days: AS_OF + timedelta(days=days)),
    budget=st.sampled_from(BudgetState),
    redaction_incomplete=st.booleans(),
    min_level=st.one_of(st.none(), st.sampled_from(Level)),
    minute=st.integers(0, 1439),
    labels=st.lists(st.sampled_from((*_LABELS, "other")), unique=True, max_size=2).map(tuple),
    history_level=st.one_of(st.none(), st.sampled_from(Level)),
    approved=st.booleans(),
)


class Deciding:
    """What is decided about facts, as texts that are equal for equal decisions, whatever their order."""

    def __init__(self, policy: CompiledPolicy) -> None:
        self._decide = Decider(policy, TARGETS, AS_OF)
        self._told: dict[int, tuple[Decision, str]] = {}

    def __call__(self, facts: Facts) -> str:
        made = self._decide(facts)
        if id(made) not in self._told:
            reasons, would = (tuple(sorted(map(repr, some))) for some in (made.reasons, made.would))
            verdicts = tuple(verdict.permitted for verdict in made.targets)  # their words name reasons in some order
            self._told[id(made)] = made, repr(replace(made, reasons=reasons, would=would, targets=verdicts))
        return self._told[id(made)][1]


@few
@given(policy=policies(), asked=st.lists(requests, min_size=5, max_size=40))
def test_every_request_is_decided_like_some_situation(policy: CompiledPolicy, asked: list[Facts]) -> None:
    """Whatever is asked, there is a situation that is decided the same: level, action, targets, reasons, everything."""
    decide = Deciding(policy)
    known = {decide(one.facts) for one in situations([policy], as_of=AS_OF)}
    for facts in asked:
        assert decide(facts) in known


@few
@given(old=policies(2), new=policies(2), asked=st.lists(requests, min_size=5, max_size=40))
def test_two_policies_together(old: CompiledPolicy, new: CompiledPolicy, asked: list[Facts]) -> None:
    """Whatever is asked, there is a situation that both policies decide the same as this."""
    first, second = Deciding(old), Deciding(new)
    known = {(first(one.facts), second(one.facts)) for one in situations([old, new], as_of=AS_OF)}
    for facts in asked:
        assert (first(facts), second(facts)) in known


_PROMISES = st.one_of(
    st.sampled_from(["local", "cloud", "nobody"]).map(lambda place: (True, ("sent_to", frozenset({place})))),
    st.sampled_from(Action).map(lambda action: (True, ("action", frozenset({action})))),
    st.sampled_from(_TYPES).map(lambda name: (True, ("in_clear", frozenset({name})))),
    st.sampled_from(["EU", "US"]).map(lambda region: (False, ("regions", frozenset({region})))),
    st.just((True, ("provider_without", frozenset({"baa"})))),
    st.just((False, ("has_target", True))),
    st.just((False, ("notify", frozenset({"dpo"})))),
    st.just((False, ("retain_days", 30))),
    st.just((False, ("cost_per_request", 30_000_000))),
    st.just((False, ("hide_in_answers", frozenset({"names"})))),
    st.just((False, ("tell_user", True))),
    st.just((False, ("approvers", frozenset({"nobody"})))),
)
_CONDITIONS = st.builds(
    Condition,
    when=st.builds(
        When,
        names=st.sampled_from([(), (("app", ("hr",)),)]),
        levels=st.sampled_from([(), (Level.RESTRICTED,), (Level.PUBLIC, Level.INTERNAL)]),
        contains=st.sampled_from([(), ("names",), ("payment data", "health data")]),
    ),
    detector=st.sampled_from([None, None, False]),
    approved=st.sampled_from([None, None, True]),
)


def _holds(condition: Condition, facts: Facts, decision: Decision, there: frozenset[str]) -> bool:
    when = condition.when
    return (
        all(getattr(facts, name) in accepted for name, accepted in when.names)
        and (not when.levels or decision.level in when.levels)
        and (not when.contains or not there.isdisjoint(when.contains))
        and (condition.detector is None or condition.detector is (facts.detector is not DetectorState.OK))
        and (condition.approved is None or condition.approved is facts.approved)
    )


def _there(facts: Facts) -> frozenset[str]:
    return frozenset(
        name
        for name, kind in _KINDS.items()
        if any(f.distinct and f.entity in kind["detect"] and f.percent >= kind["confidence"] * 100 for f in facts.found)
    )


@few
@given(policy=policies(), promise=_PROMISES, when=_CONDITIONS, asked=st.lists(requests, min_size=20, max_size=60))
def test_no_request_breaks_what_was_proved(
    policy: CompiledPolicy, promise: tuple[bool, Any], when: Condition, asked: list[Facts]
) -> None:
    """A guarantee that was proved is broken by no request; a counter-example is one, and nothing simpler is."""
    never, wanted = promise
    expectation = Expectation(never, (wanted,))
    guarantee = Guarantee("x", when, expectation if never else None, None if never else expectation)
    proof = prove(policy, [guarantee], TARGETS, AS_OF)[0]
    decide = Decider(policy, TARGETS, AS_OF)

    def breaks(facts: Facts) -> bool:
        made, there = decide(facts), _there(facts)
        return _holds(when, facts, made, there) and bool(guarantee.broken_by(Seen(policy, made, TARGETS, there)))

    if proof.holds:
        assert not [facts for facts in asked if breaks(facts)]
        assert proof.broken == 0
    else:
        assert proof.counter_example is not None
        assert breaks(proof.counter_example.facts)
        assert decide(proof.counter_example.facts) == proof.counter_example.decision
        assert 0 < proof.broken <= proof.situations


@few
@given(old=policies(3), new=policies(3), asked=st.lists(requests, min_size=20, max_size=60), same=st.booleans())
def test_no_request_changes_otherwise_than_was_told(
    old: CompiledPolicy, new: CompiledPolicy, asked: list[Facts], same: bool
) -> None:
    """Whatever changes for a request, in the direction and for the causes that it does, the comparison has told."""
    if same:  # one rule more or less, all else the same: what people really compare
        new = compile_policy(replace(old.source, rules=old.source.rules[1:], waivers=()))
    changes = compare(old, new, TARGETS, AS_OF)
    told = {(change.kind, frozenset(cause.id for cause in change.causes)) for change in changes.all}
    causes, decide = Causes(old, new), (Decider(old, TARGETS, AS_OF), Decider(new, TARGETS, AS_OF))
    for facts in asked:
        was, now = decide[0](facts), decide[1](facts)
        for facet, what in difference(was, now, TARGETS).items():
            assert (what.kind, causes.of(facet, facts, was, now)) in told
    for change in changes.all:
        assert (change.old, change.new) == (decide[0](change.facts), decide[1](change.facts))
        assert change.kind in {what.kind for what in difference(change.old, change.new, TARGETS).values()}


@few
@given(policy=policies())
def test_a_policy_compared_with_itself(policy: CompiledPolicy) -> None:
    """Nothing changes."""
    assert compare(policy, compile_policy(policy.source), TARGETS, AS_OF).all == ()


@few
@given(policy=policies(5), asked=st.lists(requests, min_size=20, max_size=60))
def test_what_is_told_to_have_no_effect_has_none(policy: CompiledPolicy, asked: list[Facts]) -> None:
    """Without a rule that never matches or changes nothing, no request is decided differently."""
    policy = compile_policy(replace(policy.source, audit=False))
    codes = ("unreachable-rule", "rule-without-effect", "rule-without-effect-here")
    idle = {found.subject[1] for found in analyse(policy, TARGETS, AS_OF) if found.code in codes}
    for name in idle:
        rules = tuple(rule for rule in policy.source.rules if rule.id != name)
        waivers = tuple(waiver for waiver in policy.source.waivers if waiver.lifts != name)
        without = compile_policy(replace(policy.source, rules=rules, waivers=waivers))
        decide = Decider(policy, TARGETS, AS_OF), Decider(without, TARGETS, AS_OF)
        for facts in asked:
            facets = difference(decide[0](facts), decide[1](facts), TARGETS, in_words=False)
            assert not facets.keys() - {"trial"}
