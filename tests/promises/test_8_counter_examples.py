"""Promise 8: what the analysis of a policy shows is so. Each counter-example of a guarantee, made into a real request,
is decided by the gateway as the analysis says, and ends where the guarantee says that it never may."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import date, timedelta
from functools import cache
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from gateway.dialects import openai_chat
from gateway.domain.decision import BudgetState, Decision, Facts, Gate, Level
from gateway.domain.finding import DetectorState, Found
from gateway.domain.money import usd
from gateway.domain.target import Target, Zone
from gateway.identity.keys import ROLES
from gateway.inspection.catalogue import ENTITIES
from gateway.policy import CompiledPolicy, evaluate, facts_of, recompute
from gateway.policy.analysis.expectations import Seen
from gateway.policy.analysis.guarantees import CounterExample, Guarantee, prove
from gateway.policy.evaluate import counted
from gateway.policy.schema import FACT_OF, Policy, When
from gateway.policy.testing.subject import Subject, read_subject
from support.evidence import mac_of
from support.live import DEFAULT_POLICY, REPOSITORY
from support.situations import SOMEBODY, TARGETS, Asked, Asker, Reality, Writer, asker_of, names_in, reality

DAY = date(2026, 11, 3)
NO_REQUEST: Mapping[str, str] = MappingProxyType(
    {
        "detector": "when the detector fails nothing is found, so nothing is found beside it",
        "redaction": "a value can be left over only where one had to be hidden from a cloud",
        "budget": "a budget turns out to be spent only when a cloud is about to be paid",
        "approved": "nothing is approved that needs no approval, or would go nowhere with one",
        "role": "an API key has one of the roles that there are",
        "api": "the gateway speaks no such API",
        "later": "something has ended by then, and the analysis holds everything to be as on the day it is made for",
    }
)
"""Why facts that the analysis looks at, to be on the safe side, are those of no request."""


def no_request_for(policy: CompiledPolicy, facts: Facts, targets: Sequence[Target]) -> str:
    """The key of `NO_REQUEST` that says why no request has these facts; empty where one can."""
    if any(DAY <= last < facts.as_of for last in _last_days(policy.source)):
        return "later"
    if facts.role and facts.role not in ROLES:
        return "role"
    if facts.dialect not in ("", openai_chat.DIALECT):
        return "api"
    if facts.detector is not DetectorState.OK and facts.found:
        return "detector"
    if facts.redaction_incomplete:
        first = evaluate(policy, replace(facts, redaction_incomplete=False), targets)
        hides = any(first.hides(item.entity, item.percent) for item in facts.found if item.distinct)
        if not hides or not _to_a_cloud(first.permitted, targets):
            return "redaction"
    if facts.budget is BudgetState.SPENT:
        first = evaluate(policy, replace(facts, budget=BudgetState.OK), targets)
        if first.day_limit is None or not _to_a_cloud(first.permitted, targets):
            return "budget"
    if facts.approved:
        first = evaluate(policy, replace(facts, approved=False), targets)
        if first.gate is not Gate.REQUIRE_APPROVAL or not evaluate(policy, facts, targets).permitted:
            return "approved"
    return ""


def _last_days(policy: Policy) -> Iterator[date]:
    """Of the exceptions and the trials; no target here has a label that ends."""
    yield from (waiver.expires for waiver in policy.waivers)
    yield from (rule.until for rule in policy.rules if rule.until is not None)


def _to_a_cloud(permitted: frozenset[str], targets: Sequence[Target]) -> bool:
    return any(target.zone is Zone.CLOUD and target.id in permitted for target in targets)


def from_yaml(text: str) -> Any:
    return YAML(typ="safe").load(text)


def softened(tree: dict[str, Any]) -> dict[str, Any]:
    """Every level handled alike, every doubt resolved as loosely as can be, nothing hidden in answers, no limits."""
    handling = {level: {"action": "allow"} for level in tree["handling"]}
    unsure = dict.fromkeys(tree["if_unsure"], "local_only")
    kept = {key: value for key, value in tree.items() if key not in ("answers", "limits")}
    return {**kept, "handling": handling, "if_unsure": unsure}


def shaken(tree: dict[str, Any]) -> dict[str, Any]:
    """Each rule a little looser: it counts later, forbids less, lets more people approve and things be kept longer."""
    return {
        **tree,
        "rules": [{**rule, "when": _later(rule["when"]), "then": _less(rule["then"])} for rule in tree["rules"]],
    }


def _later(when: dict[str, Any]) -> dict[str, Any]:
    line = when.get("contains")
    if not isinstance(line, dict) or "at_least" not in line:
        return when
    return {**when, "contains": {**line, "at_least": line["at_least"] + 2}}


def _less(then: dict[str, Any]) -> dict[str, Any]:
    looser = {"block": "local_only", "local_only": "redact", "require_approval": "require_approval"}
    less = {key: value for key, value in then.items() if key not in ("regions", "provider_must_have", "log_content")}
    if "action" in less:
        less["action"] = looser.get(less["action"], "allow")
    if "approvers" in less:
        less["approvers"] = [*less["approvers"], "hr"]
    if "retain_days" in less:
        less["retain_days"] += 1
    return less or {"tell_user": "Be careful."}


def recorded_only(tree: dict[str, Any]) -> dict[str, Any]:
    """Nothing enforced."""
    return {**tree, "mode": "audit"}


OWN = """\
schema: 1
policy: own
version: 1
owner: privacy@example.com
data_types:
  contact: {detect: [PERSON, EMAIL_ADDRESS], confidence: 0.50}
  cards: {detect: [CREDIT_CARD], confidence: 0.40}
  ids: {detect: [US_SSN], confidence: 0.80}
  perhaps ids: {detect: [US_SSN], confidence: 0.40}
levels:
  restricted:
    - any_of: [cards]
    - all_of: [ids, contact]
      at_least: 2
  confidential:
    - any_of: [contact]
      at_least: 3
    - any_of: [ids]
  internal:
    - any_of: [contact]
handling:
  public: {action: allow}
  internal: {action: redact}
  confidential: {action: redact, regions: [EU]}
  restricted: {action: require_approval, approvers: [dpo], regions: [EU, US]}
limits:
  latency: {first_token: 9s}
  cost: {per_request: 0.01 USD, per_app_per_day: 1 USD, when_spent: local_only}
  scopes:
    - {for: {app: nightly}, cost: {per_app_per_day: 3 USD, per_request: 0.50 USD}}
  ceiling: {cost: {per_app_per_day: 3 USD}}
if_unsure: {detector_fails: local_only, unreadable_content: local_only, redaction_incomplete: local_only,
            no_target_left: block}
rules:
  - id: nights
    why: x
    when: {app: clinic, time: {hours: "20:00-06:00", zone: Europe/Berlin}}
    then: {action: local_only}
  - id: weekends
    why: x
    when: {group: staff, time: {days: [sat, sun], zone: America/New_York}}
    then: {action: block, tell_user: Enjoy the weekend.}
  - {id: patients, why: x, when: {declared: [patient, file]}, then: {regions: [EU], provider_must_have: [baa]}}
  - {id: lists, why: x, when: {contains: {any_of: [contact], at_least: 6}}, then: {action: block}}
  - {id: long, why: x, when: {prompt_tokens: over 500}, then: {action: local_only}}
  - {id: jo, why: x, when: {user: [jo@acme.example, Jöran]}, then: {action: local_only}}
  - {id: dear, why: x, when: {model: dear}, then: {regions: [US], retain_days: 90, log_content: encrypted}}
  - {id: lawyers, why: x, when: {declared: contract}, then: {action: require_approval, approvers: [law, dpo]}}
  - {id: admins, why: x, when: {role: admin, level: internal or higher}, then: {regions: [EU]}}
  - {id: trial, why: x, mode: audit, until: 2027-12-31, when: {contains: contact}, then: {action: local_only}}
  - {id: shown, why: x, when: {tenant: lab}, then: {provider_must_have: [dpa], hide_in_answers: [cards]}}
exceptions:
  - {id: EX-1, lifts: patients, for: {app: research}, approved_by: dpo, ticket: R-1, expires: 2027-12-31}
guarantees:
  - {say: Nothing leaves the clinic, when: {app: clinic}, never: {sent_to: cloud}}
  - {say: At the weekend staff get an answer, when: {group: staff}, always: {has_target: true}}
  - {say: Patients stay in the EU, when: {declared: patient}, always: {regions: [EU]}}
  - {say: Four people stay here, when: {contains: {any_of: [contact], at_least: 4}}, never: {sent_to: cloud}}
  - {say: Six people get an answer, when: {contains: {any_of: [contact], at_least: 6}}, always: {has_target: true}}
  - {say: Long prompts stay here, when: {prompt_tokens: over 400}, never: {sent_to: cloud}}
  - {say: Jo may use clouds, when: {user: Jöran}, never: {sent_to: local}}
  - {say: The dear model is in the EU, when: {model: dear}, always: {regions: [EU]}}
  - {say: What the dear model is told is never kept, when: {model: dear}, always: {log_content: never}}
  - {say: Cards never leave, when: {contains: cards, approved: true}, never: {sent_to: cloud}}
  - {say: Cards get an answer, when: {contains: cards}, always: {has_target: true}}
  - {say: Contracts with cards never leave, when: {contains: cards, declared: contract, approved: true},
     never: {sent_to: cloud}}
  - {say: Only the officer approves, always: {approvers: [dpo]}}
  - {say: Who has spent all gets no answer, when: {budget: spent}, always: {sent_to: nobody}}
  - {say: Nor at night, when: {budget: spent, app: nightly}, always: {sent_to: nobody}}
  - {say: Nor with a list of people, when: {budget: spent, level: confidential}, always: {sent_to: nobody}}
  - {say: What was not searched goes nowhere, when: {detector: failed}, always: {sent_to: nobody}}
  - {say: What was not searched holds no cards, when: {detector: failed, contains: cards}, always: {sent_to: nobody}}
  - {say: Pictures go nowhere, when: {unreadable: true}, always: {sent_to: nobody}}
  - {say: What is left over goes nowhere, when: {redaction_incomplete: true}, always: {sent_to: nobody}}
  - {say: Nor does a name, when: {redaction_incomplete: true, contains: contact}, always: {sent_to: nobody}}
  - {say: What somebody calls confidential stays here, when: {min_level: confidential}, never: {sent_to: cloud}}
  - {say: No cloud sees what may be an id, never: {in_clear: [perhaps ids]}}
  - {say: Two people with ids stay here, when: {contains: {all_of: [ids, contact], at_least: 2}, approved: true},
     never: {sent_to: cloud}}
  - {say: Admins use only documented clouds, when: {role: admin, contains: contact},
     never: {provider_without: [technical-documentation]}}
  - {say: Pupils stay here, when: {role: pupil}, never: {sent_to: cloud}}
  - {say: Another API stays here, when: {api: other_api}, never: {sent_to: cloud}}
  - {say: No request costs more than a cent, always: {cost_per_request: 0.01 USD}}
  - {say: The lab is told everything, when: {tenant: lab}, never: {targets: [eu-bound]}}
"""

ENDED = """\
schema: 1
policy: ended
version: 1
owner: privacy@example.com
data_types: {contact: {detect: [PERSON], confidence: 0.50}}
levels: {internal: [{any_of: [contact]}]}
handling: {public: {action: allow}, internal: {action: redact}, confidential: {action: redact},
           restricted: {action: local_only}}
limits: {cost: {per_app_per_day: 1 USD, when_spent: block}}
if_unsure: {detector_fails: block, unreadable_content: block, redaction_incomplete: block, no_target_left: block}
rules:
  - {id: inside, why: x, when: {app: shop}, then: {action: local_only}}
  - {id: lunch, why: x, when: {time: {days: [sat], hours: "12:00-13:00", zone: Asia/Tokyo}}, then: {tell_user: Lunch.}}
exceptions:
  - {id: EX-1, lifts: inside, for: {app: shop}, approved_by: dpo, ticket: R-1, expires: 2026-11-03}
guarantees:
  - {say: The shop stays inside, when: {app: shop}, never: {sent_to: cloud}}
  - {say: At lunch too, when: {app: shop, time: {days: [sat], hours: "12:00-13:00", zone: Asia/Tokyo}},
     never: {sent_to: cloud}}
  - {say: Others are answered in silence, when: {app: bakery}, never: {tell_user: true}}
  - {say: Whatever is spent there is an answer, when: {budget: spent}, always: {has_target: true}}
  - {say: What was not searched is answered, when: {detector: failed}, always: {has_target: true}}
  - {say: What is left over is answered, when: {redaction_incomplete: true, contains: contact},
     always: {has_target: true}}
"""
"""With an exception that ends on the day that the analysis is made for, and blocks where others stay inside."""

DEFAULT = """\
- {say: HR uses the EU only, when: {app: hr-assistant}, always: {regions: [EU]}}
- {say: Payment data never leaves, when: {contains: payment data}, never: {sent_to: cloud}}
- {say: Health data needs an agreement, when: {contains: health data}, never: {provider_without: [baa]}}
- {say: Secrets in a chat are told, when: {app: team-chat, contains: secrets}, always: {tell_user: true}}
- {say: Lists of people never leave, when: {level: confidential}, never: {sent_to: cloud}}
- {say: Names are never seen, never: {in_clear: [contact details]}}
- {say: Long prompts are cheap, when: {prompt_tokens: over 4000}, always: {cost_per_request: 0.01 USD}}
- {say: Pictures are answered in the cloud, when: {unreadable: true}, never: {sent_to: local}}
"""
"""More guarantees for the policy that the gateway comes with."""

PACKS = sorted(path.parent.name for path in (REPOSITORY / "policies" / "packs").glob("*/policy.yaml"))
CHANGES: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = MappingProxyType(
    {"softened": softened, "shaken": shaken, "recorded only": recorded_only}
)
POLICIES = [
    "own",
    "ended",
    *(f"default, {change}" for change in CHANGES),
    *(f"{name}, shaken" for name in PACKS),
    "hipaa, softened",
    "school, softened",
    "gdpr, recorded only",
]
"""Policies with guarantees that they break."""


def policy_text(name: str) -> str:
    if name == "own":
        return OWN
    if name == "ended":
        return ENDED
    pack, _, change = name.partition(", ")
    path = REPOSITORY / "policies" / "packs" / pack / "policy.yaml"
    tree = from_yaml((DEFAULT_POLICY if pack == "default" else path).read_text())
    if pack == "default":
        tree["guarantees"] = [*tree.get("guarantees", []), *from_yaml(DEFAULT)]
    return json.dumps(CHANGES[change](tree), default=str)  # JSON is YAML


LEFT_OUT: Mapping[str, str] = MappingProxyType(
    {
        "What could not be hidden goes nowhere": "redaction",
        "What is left over goes nowhere": "redaction",
        "What was not searched holds no cards": "detector",
        "Pupils stay here": "role",
        "Another API stays here": "api",
        "At lunch too": "later",
        "Others are answered in silence": "later",
        "HR always gets an answer": "budget",
    }
)
"""The guarantees whose smallest counter-example has the facts of no request, with the reason, see `NO_REQUEST`."""


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Subject]:
    """A policy of `POLICIES` with its guarantees, as the tools read them."""
    folder = tmp_path_factory.mktemp("policies")

    @cache
    def read(name: str) -> Subject:
        path = folder / f"{name}.yaml"
        path.write_text(policy_text(name))
        return read_subject(path)

    return read


@dataclass(frozen=True)
class Try:
    """A counter-example with who asks and what they write. `first` is a permitted cloud that should not be, if there is
    one; `value` the first value in the text that counts."""

    guarantee: Guarantee
    example: CounterExample
    asker: Asker
    text: str
    first: str
    value: str


def tries_of(subject: Subject) -> tuple[list[Try], dict[str, str]]:
    """The counter-examples of the guarantees that do not hold, and those of them that are left out, with the reason."""
    policy, writer = subject.policy, Writer(subject.policy.source)
    tries, left_out = [], {}
    for number, proof in enumerate(prove(policy, subject.guarantees, TARGETS, DAY, entities=ENTITIES)):
        example = proof.counter_example
        if example is None:
            continue
        if reason := no_request_for(policy, example.facts, TARGETS):
            left_out[proof.guarantee.say] = reason
            continue
        written = writer.write(example.facts)
        asker = asker_of(policy.source, example.facts, f"tenant-{number}")
        first = next(iter(offenders(policy, proof.guarantee, example)), TARGETS[0].id)
        tries.append(Try(proof.guarantee, example, asker, written.text, first, next(iter(written.values), "")))
    return tries, left_out


def offenders(policy: CompiledPolicy, guarantee: Guarantee, example: CounterExample) -> list[str]:
    """The permitted clouds each of which alone breaks the guarantee."""
    present = types_in(policy, example.facts)
    decision = example.decision
    return [
        target.id
        for target in TARGETS
        if target.zone is Zone.CLOUD
        and target.id in decision.permitted
        and guarantee.broken_by(received_by(policy, decision, [target], present))
    ]


def received_by(policy: CompiledPolicy, decision: Decision, targets: Sequence[Target], present: frozenset[str]) -> Seen:
    """The decision as it looks to whoever sees only where the request really went."""
    ids = {target.id for target in targets}
    verdicts = tuple(verdict for verdict in decision.targets if verdict.permitted and verdict.target in ids)
    return Seen(policy, replace(decision, targets=verdicts), targets, present)


def types_in(policy: CompiledPolicy, facts: Facts) -> frozenset[str]:
    return frozenset(kind.name for kind in policy.source.data_types if amounts_in(policy, facts)[kind.name])


def amounts_in(policy: CompiledPolicy, facts: Facts) -> dict[str, int]:
    """How many distinct values of each data type were found."""
    return {
        kind.name: counted(facts.found, dict.fromkeys(kind.detect, kind.percent)) for kind in policy.source.data_types
    }


def as_told_apart(policy: CompiledPolicy, facts: Facts, when: When) -> dict[str, Any]:
    """The facts, so far as the policy and another condition tell them apart."""
    whens = [when, *(rule.when for rule in policy.source.rules)]
    known = names_in(policy.source)
    known |= {FACT_OF[word]: known[FACT_OF[word]].union(names) for word, names in when.names}
    return {
        **{name: value if (value := getattr(facts, name)) in known[name] else "" for name in FACT_OF.values()},
        "found": amounts_in(policy, facts),
        "over_tokens": {
            over for when in whens if (over := when.over_tokens) is not None and over < facts.prompt_tokens
        },
        **{name: getattr(facts, name) for name in LITERALLY},
    }


LITERALLY = (
    *("detector", "unreadable", "as_of", "minute", "budget", "redaction_incomplete", "min_level", "max_cost"),
    *("max_first_token", "labels", "history_level", "approved"),
)


def in_order(decision: Decision) -> Decision:
    """With the verdicts in the order of `TARGETS`: a route may list them in another."""
    order = [target.id for target in TARGETS]
    return replace(decision, targets=tuple(sorted(decision.targets, key=lambda verdict: order.index(verdict.target))))


def again(real: Reality, asked: Asked) -> tuple[Facts, Decision]:
    """The facts in the record, and the decision recomputed from it."""
    mac = mac_of(real.folder / "state")
    users = {mac(name.encode()): name for name in real.policy.users}
    decision = recompute(real.policy, asked.record, TARGETS, users)
    return facts_of(real.policy, asked.record, users), decision


def differences(real: Reality, one: Try, asked: Asked) -> dict[str, Any]:
    """Where what really happened is not what the analysis said."""
    policy, example = real.policy, one.example
    facts, decision = again(real, asked)
    said, was = (as_told_apart(policy, some, one.guarantee.when.when) for some in (example.facts, facts))
    found: dict[str, Any] = {name: (said[name], was[name]) for name in said if said[name] != was[name]}
    for field in fields(Decision):
        if getattr(decision, field.name) != getattr(example.decision, field.name):
            found[field.name] = (getattr(example.decision, field.name), getattr(decision, field.name))
    record = asked.record
    permitted = tuple(verdict.target for verdict in in_order(decision).targets if verdict.permitted)
    recorded = (record.level, record.action, set(record.permitted), set(record.because), record.policy)
    because = {reason.rule for reason in example.decision.reasons}
    if recorded != (decision.level.word, decision.action.value, set(permitted), because, policy.id.hash):
        found["record"] = recorded
    receivers = [name for name, _ in asked.arrived]
    if set(receivers) - set(permitted) or bool(receivers) != bool(permitted):
        found["receivers"] = receivers
    last = [target for target in TARGETS if target.id in receivers[-1:]]
    if not one.guarantee.broken_by(received_by(policy, decision, last, types_in(policy, facts))):
        found["kept"] = receivers
    if "never.in_clear" in example.broken and one.value not in asked.arrived[-1][1]:
        found["hidden"] = receivers
    return found


@pytest.mark.parametrize("name", POLICIES)
def test_each_counter_example_comes_about(name: str, subjects: Callable[[str], Subject], tmp_path: Path) -> None:
    """For each guarantee that is broken: the request has the facts of the counter-example, is decided as it says, by
    the gateway and again from the record, and really ends where the guarantee forbids."""
    subject = subjects(name)
    tries, left_out = tries_of(subject)
    assert left_out.items() <= LEFT_OUT.items()
    assert tries
    wrong = {}
    for leak in sorted({one.value if one.example.facts.redaction_incomplete else "" for one in tries}):
        now = [one for one in tries if (one.value if one.example.facts.redaction_incomplete else "") == leak]
        askers, models = {one.asker for one in now}, {one.example.facts.model for one in now} - {""}
        folder = tmp_path / (leak.replace(" ", "-") or "gateway")
        with reality(folder, policy_text(name), askers, models=models, leak=leak) as real:
            for one in now:
                asked = real.ask(one.example.facts, one.text, one.asker, one.first)
                if found := differences(real, one, asked):
                    wrong[one.guarantee.say] = (one.example.situation, found)
    assert wrong == {}


CALLERS = [
    Asker(*names)
    for names in product(
        (SOMEBODY, "lab"), (SOMEBODY, "clinic", "nightly", "research"), (SOMEBODY, "staff"), ("user", "admin")
    )
]
FINDINGS = (
    ("CREDIT_CARD", 100, 2),
    ("EMAIL_ADDRESS", 100, 7),
    ("PERSON", 100, 4),
    ("US_SSN", 85, 2),
    ("US_SSN", 50, 1),
)
"""Entities at a confidence that the recognisers have of some sentence, and how many values there may be."""


@st.composite
def requests(draw: st.DrawFn) -> tuple[Facts, Asker]:
    """Facts that a request can have under the policy `own`, and who asks."""
    asker = draw(st.sampled_from(CALLERS))
    failed = draw(st.integers(0, 7)) == 7
    found = [] if failed else [Found(name, sure, draw(st.integers(0, most))) for name, sure, most in FINDINGS]
    higher = (None, None, *list(Level)[1:])  # a conversation that was public is like a new one
    facts = Facts(
        **asdict(asker),
        user=draw(st.sampled_from(("", "jo@acme.example", "Jöran", "al@acme.example"))),
        dialect=openai_chat.DIALECT,
        model=draw(st.sampled_from(("", "", "dear"))),
        found=tuple(sorted(item for item in found if item.distinct)),
        detector=DetectorState.FAILED if failed else DetectorState.OK,
        unreadable=draw(st.integers(0, 7)) == 7,
        prompt_tokens=draw(st.sampled_from((0, 0, 501))),
        as_of=DAY + timedelta(days=draw(st.integers(0, 6))),
        min_level=draw(st.sampled_from((*higher, Level.PUBLIC))),
        max_cost=draw(st.sampled_from((None, usd("0.005")))),
        max_first_token=draw(st.sampled_from((None, 2.5))),
        minute=draw(st.sampled_from((0, 239, 240, 299, 300, 720, 1139, 1140))),
        labels=tuple(sorted(draw(st.sets(st.sampled_from(("contract", "file", "patient", "other")), max_size=2)))),
        history_level=draw(st.sampled_from(higher)),
    )
    return facts, asker


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Reality, Writer]]:
    with reality(tmp_path_factory.mktemp("own") / "gateway", OWN, CALLERS, models=["dear"]) as real:
        yield real, Writer(real.policy.source)


@settings(max_examples=40, deadline=None)
@given(requests())
def test_whatever_is_asked_is_decided_as_the_policy_says(
    own: tuple[Reality, Writer], request_of: tuple[Facts, Asker]
) -> None:
    """Random facts, made into a real request: the gateway finds just these facts, and decides as `evaluate` does, also
    where the request is approved, if it can be."""
    real, writer = own
    facts, asker = request_of
    approved = replace(facts, approved=True)
    # A request of a conversation that is sent again, with its approval, has itself in its history.
    if facts.history_level is None and not no_request_for(real.policy, approved, TARGETS):
        facts = approved
    asked = real.ask(facts, writer.write(facts).text, asker)
    was, decision = again(real, asked)
    assert as_told_apart(real.policy, was, When()) == as_told_apart(real.policy, facts, When())
    assert in_order(decision) == evaluate(real.policy, facts, TARGETS)
    assert {name for name, _ in asked.arrived} <= decision.permitted
    assert bool(asked.arrived) == bool(decision.permitted)
