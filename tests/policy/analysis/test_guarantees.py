"""Guarantees: read, proved, broken with the smallest example."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.documents import DocumentError, parse
from gateway.domain.decision import Level
from gateway.domain.finding import DetectorState, Found
from gateway.policy import CompiledPolicy, evaluate
from gateway.policy.analysis.guarantees import CounterExample, Guarantee, Proof, names_of, prove, read_guarantees
from gateway.policy.schema import UNSURE
from support.policies import AS_OF, CLOUD_EU, TARGETS, compiled, rule

ACME = compiled()


def guarantees(policy: CompiledPolicy, *promises: dict[str, Any]) -> tuple[Guarantee, ...]:
    node = parse(json.dumps([{"say": "A promise", **promise} for promise in promises]), "promises.yaml")
    found = read_guarantees(node, names_of(policy.source))
    node.problems.check()
    return found


def proof(policy: CompiledPolicy, **promise: Any) -> Proof:
    return prove(policy, guarantees(policy, promise), TARGETS, AS_OF)[0]


def broken(policy: CompiledPolicy, **promise: Any) -> CounterExample:
    example = proof(policy, **promise).counter_example
    assert example is not None
    return example


def test_restricted_data_never_leaves() -> None:
    """It is proved over every situation there is, and it says over how many."""
    found = proof(ACME, when={"level": "restricted"}, never={"sent_to": "cloud"})
    assert found.holds
    assert found.situations > 100
    assert found.broken == 0


def test_the_smallest_counter_example() -> None:
    """Of all situations in which it fails, the one with the fewest unusual facts, in words, with who is responsible."""
    policy = compiled(rules=[rule("no-keys", {"app": "chat", "contains": "payment data"}, {"action": "block"})])
    example = broken(policy, when={"app": ["chat", "other"]}, always={"has_target": True})
    assert (example.facts.app, example.facts.found) == ("chat", (Found("CREDIT_CARD", 100, 1),))
    assert example.facts.detector is DetectorState.OK
    assert example.situation == "A request from app 'chat', CREDIT_CARD once found."
    assert example.broken == ("always.has_target",)
    assert ("rule", "no-keys") in [part.subject for part in example.responsible]
    assert evaluate(policy, example.facts, TARGETS) == example.decision


def test_conditions_beyond_those_of_a_rule() -> None:
    """Detector, budget, unreadable parts and what the caller asks for can be said as well."""
    policy = compiled(handling={**{w: {"action": "allow"} for w in ("public", "internal", "confidential")},
                                "restricted": {"action": "local_only"}})  # fmt: skip
    assert proof(policy, when={"detector": "failed"}, never={"sent_to": "cloud"}).holds
    assert proof(policy, when={"unreadable": True}, never={"sent_to": "cloud"}).holds
    assert proof(policy, when={"redaction_incomplete": True}, never={"sent_to": "cloud"}).holds
    assert proof(policy, when={"budget": "spent"}, never={"sent_to": "cloud"}).holds
    assert proof(policy, when={"min_level": "restricted"}, always={"level": "restricted"}).holds
    assert not proof(policy, when={"detector": "ok"}, never={"sent_to": "cloud"}).holds
    assert not proof(policy, never={"sent_to": "cloud"}).holds


def test_the_example_is_at_the_time_that_breaks_it() -> None:
    """A rule for weekends: the example is on one, and is decided so on that day."""
    policy = compiled(
        rules=[rule("weekend", {"time": {"days": ["sat", "sun"], "zone": "Europe/Berlin"}}, {"action": "block"})]
    )
    example = broken(policy, always={"has_target": True})
    assert not evaluate(policy, example.facts, TARGETS).permitted
    assert "on Friday" in example.situation or "on Saturday" in example.situation


def test_in_clear_is_about_what_was_found() -> None:
    """A cloud may have a request without such data; with it, only where it is hidden."""
    policy = compiled()
    assert proof(policy, never={"in_clear": ["health data"]}).holds
    assert not proof(policy, never={"in_clear": ["contact details"]}).holds


def test_regions_and_labels_of_clouds() -> None:
    """`regions` under always: clouds only there. `provider_without`: some permitted cloud lacks one of the labels."""
    policy = compiled()
    assert proof(policy, when={"level": "confidential"}, always={"regions": ["EU"]}).holds
    assert proof(policy, when={"level": "confidential"}, never={"provider_without": ["baa"]}).holds
    assert broken(policy, never={"provider_without": ["baa"]}).decision.level is Level.PUBLIC
    assert broken(policy, never={"regions": ["US"]}).decision.permitted == {"local", "cloud-eu", "cloud-us"}


def test_labels_that_have_ended_do_not_count() -> None:
    """On the day, not on any day."""
    targets = (CLOUD_EU,)
    assert prove(ACME, guarantees(ACME, {"never": {"provider_without": ["baa"]}}), targets, AS_OF)[0].holds


def test_about_nothing() -> None:
    """A guarantee whose `when` never holds says so: no situation at all."""
    policy = compiled(levels={"restricted": [{"any_of": ["payment data"]}]})
    found = proof(policy, when={"level": "public", "contains": "payment data"}, never={"sent_to": "cloud"})
    assert (found.holds, found.situations) == (True, 0)


def test_a_set_cannot_take_the_place_of_a_region() -> None:
    """A policy that calls a set of regions US could else empty what others promise of the US."""
    policy = compiled(region_sets={"US": ["MX"]})
    with pytest.raises(DocumentError, match="a set of regions called 'US', and a target is in a region of that name"):
        proof(policy, never={"regions": ["US"]})
    assert not proof(compiled(region_sets={"THERE": ["US"]}), never={"regions": ["THERE"]}).holds


@pytest.mark.parametrize(
    ("promise", "said"),
    [
        ({"when": {"level": "public"}}, "a guarantee needs never or always"),
        ({"never": {"sent": "cloud"}}, "did you mean 'sent_to'"),
        ({"never": {"sent_to": "clouds"}}, "did you mean 'cloud'"),
        ({"always": {"in_clear": ["health data"]}}, "'in_clear' can only stand under never"),
        ({"never": {"retain_days": 3}}, "'retain_days' can only stand under always"),
        ({"never": {"in_clear": ["health"]}}, "did you mean 'health data'"),
        ({"when": {"contains": "health"}, "never": {"sent_to": "cloud"}}, "unknown data type 'health'"),
        ({"when": {"detector": "broken"}, "never": {"sent_to": "cloud"}}, "'broken' is not one of"),
    ],
)
def test_mistakes_are_told(promise: dict[str, Any], said: str) -> None:
    """Each with its place and, where there is one, what was probably meant."""
    with pytest.raises(DocumentError) as problem:
        guarantees(ACME, promise)
    assert said in str(problem.value)


def test_read_before_its_policy() -> None:
    """Read without a policy, data types are checked when the guarantee is proved."""
    node = parse(json.dumps([{"say": "x", "when": {"contains": "health"}, "never": {"sent_to": "cloud"}}]), "t.yaml")
    read = read_guarantees(node)
    node.problems.check()
    with pytest.raises(DocumentError, match=r"t\.yaml:1:2: unknown data type 'health'.*did you mean 'health data'"):
        prove(ACME, read, TARGETS, AS_OF)


def test_whoever_asks_for_the_lowest_level_has_asked() -> None:
    """A condition on `min_level: public` holds for requests that ask for just that, and they count."""
    inside = {"action": "local_only"}
    handling = {"public": {"action": "allow"}, "internal": inside, "confidential": inside, "restricted": inside}
    policy = compiled(handling=handling)
    example = broken(policy, when={"min_level": "public"}, never={"sent_to": "cloud"})
    assert example.facts.min_level is Level.PUBLIC
    assert evaluate(policy, example.facts, TARGETS) == example.decision


def test_each_model_has_its_own_targets() -> None:
    """A model that may use some of the targets only is proved with those; the example asks for it."""
    inside = compiled(handling={level.word: {"action": "local_only"} for level in Level})
    (answered,) = guarantees(inside, {"always": {"has_target": True}, "when": {"unreadable": False}})
    assert prove(inside, [answered], TARGETS, AS_OF)[0].holds
    models = {"auto": TARGETS, "big": (CLOUD_EU,)}
    (proof,) = prove(inside, [answered], TARGETS, AS_OF, models=models)
    assert proof.counter_example is not None
    assert proof.counter_example.facts.model == "big"
    assert evaluate(inside, proof.counter_example.facts, models["big"]) == proof.counter_example.decision


def test_a_promise_about_one_model_is_about_its_targets() -> None:
    """What is said of one model is not broken by another one, and a model that nobody can ask for fits nothing."""
    models = {"auto": TARGETS, "big": (CLOUD_EU,)}
    said = [{"when": {"model": name}, "always": {"targets": ["local"]}} for name in ("auto", "other")]
    plain = compiled(if_unsure=dict.fromkeys(UNSURE, "local_only"))
    about, nobody = prove(plain, guarantees(plain, *said), TARGETS, AS_OF, models=models)
    assert about.holds
    assert about.situations > 0
    assert (nobody.holds, nobody.situations) == (True, 0)


def test_models_with_the_same_targets_are_no_question() -> None:
    """Where all models may use the same targets, it is proved as if there were no models."""
    (promise,) = guarantees(ACME, {"when": {"level": "restricted"}, "never": {"sent_to": "cloud"}})
    models = {"auto": TARGETS, "mini": TARGETS}
    assert prove(ACME, [promise], TARGETS, AS_OF, models=models) == prove(ACME, [promise], TARGETS, AS_OF)
