from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import orjson
import pytest

from gateway.audit.codec import decode, encode
from gateway.domain.decision import Action, BudgetState, Facts
from gateway.domain.finding import Found
from gateway.domain.money import Usage
from gateway.domain.record import AuditRecord, Label, RecordKind
from gateway.policy import CompiledPolicy, evaluate, facts_of
from gateway.policy.replay import Question, Replay, Report, as_lines, as_markdown
from gateway.policy.replay.verdict import Direction
from support.policies import compiled, document, facts, found, rule
from support.traffic import ALL, EU, LOCAL, ROUTES, US, Traffic, served_by

LIMITS = {"latency": {"first_token": "1s"}, "cost": {"per_request": "0.01 USD", "per_app_per_day": "1 USD"}}
OLD_RULES = [
    rule("hr-inside", {"app": "hr"}, {"action": "local_only"}),
    rule("baa-only", {"group": "leads"}, {"provider_must_have": ["baa"]}),
    rule("trial", {"app": "batch"}, {"action": "block"}, mode="audit", until="2026-09-15"),
]
NEW_RULES = [
    rule("baa-only", {"group": "leads"}, {"provider_must_have": ["baa"]}),
    rule("nights", {"time": {"hours": "18:00-08:00", "zone": "Europe/Berlin"}, "app": "batch"}, {"regions": ["EU"]}),
    rule("long", {"prompt_tokens": "over 4000"}, {"action": "local_only"}),
    rule("patients", {"declared": ["patient"]}, {"action": "block"}),
    rule("many", {"contains": {"any_of": ["contact details"], "at_least": 7}}, {"action": "local_only"}),
    rule("trial", {"app": "batch"}, {"action": "block"}, mode="audit", until="2026-09-20"),
]
WAIVER = {
    "id": "EX-1",
    "lifts": "long",
    "for": {"app": "support-bot"},
    "approved_by": "dpo",
    "ticket": "T-1",
    "expires": "2026-09-10",
}


@pytest.fixture(scope="module")
def old() -> CompiledPolicy:
    return compiled(document(rules=OLD_RULES, limits=LIMITS))


@pytest.fixture(scope="module")
def new() -> CompiledPolicy:
    return compiled(document(version=8, rules=NEW_RULES, exceptions=[WAIVER], limits=LIMITS))


def asked(new: CompiledPolicy | Mapping[str, CompiledPolicy], *kept: CompiledPolicy, **changes: Any) -> Question:
    """A question about everything since the beginning; `kept` are the archived policies."""
    policies = {policy.id.hash: policy for policy in kept}
    values: dict[str, Any] = {
        "new": {"": new} if isinstance(new, CompiledPolicy) else new,
        "targets": ALL,
        "routes": ROUTES,
        "decode": decode,
        "since": 0,
        "policy_of": policies.get,
    }
    return Question(**{**values, **changes})


def replayed(question: Question, records: Iterable[AuditRecord]) -> Report:
    replaying = Replay(question)
    replaying.feed([encode(record) for record in records])
    return replaying.report()


def one(policy: CompiledPolicy, request: Facts, to: str = "", **changes: Any) -> list[AuditRecord]:
    """The records of one request that `policy` decided."""
    return list(Traffic(policy, random.Random(1)).request(request, to, **changes))


def who(**changes: Any) -> Facts:
    return facts(tenant="acme", **changes)


class BruteForce:
    """The same sums from each record in full, decided one by one, without any of the replay's ways to be fast."""

    def __init__(self, new: CompiledPolicy, records: Sequence[AuditRecord]) -> None:
        self.new = new
        self.changed = 0
        self.reach: Counter[tuple[str, str, str]] = Counter()
        self.paid = [0, 0]
        by_decision: dict[str, list[AuditRecord]] = {}
        for record in records:
            by_decision.setdefault(record.decision, []).append(record)
        self.requests = len(by_decision)
        for some in by_decision.values():
            self._count(some)

    def _count(self, records: list[AuditRecord]) -> None:
        record = [item for item in records if item.detector][-1]
        served = served_by(record.model)
        decision = evaluate(self.new, facts_of(self.new, record), served)
        said = (record.level, record.action, frozenset(record.permitted))
        self.changed += said != (decision.level.word, decision.action.value, decision.permitted)
        level = max((record.level, decision.level.word), key=["public", "internal", "confidential", "restricted"].index)
        intents = [item for item in records if item.kind is RecordKind.INTENT]
        outcomes = {item.attempt: item for item in records if item.kind is RecordKind.OUTCOME}
        done = next((item for item in intents if outcomes.get(item.attempt, record).outcome == "completed"), None)
        kept = [item for item in intents if item.target in decision.permitted]
        left = [item for item in served if item.id in decision.permitted - {item.target for item in kept}]
        for side, some in (("before", intents), ("after", kept)):
            for item in some:
                self.reach[side, level, item.target] += item.sent_bytes
                if item.zone == "cloud" and item.attempt in outcomes:
                    self.paid[side == "after"] += outcomes[item.attempt].cost
        if (done not in kept if done else intents and not kept) and left:
            usage = Usage(outcomes[done.attempt].input_tokens, outcomes[done.attempt].output_tokens) if done else None
            ranked = usage or Usage(record.prompt_tokens, 256)
            best = left[0] if record.model == "listed" else min(left, key=lambda item: item.price.cost(ranked))
            self.reach["after", level, best.id] += intents[-1].sent_bytes
            if usage and best is not LOCAL:
                self.paid[1] += best.price.cost(usage)
        elif not intents and not record.permitted and left:
            ranked = Usage(record.prompt_tokens, 256)
            best = left[0] if record.model == "listed" else min(left, key=lambda item: item.price.cost(ranked))
            self.reach["after", level, best.id] += record.body_bytes


def test_it_counts_what_deciding_each_record_anew_gives(old: CompiledPolicy, new: CompiledPolicy) -> None:
    """Over 20,000 records: as many requests, changes, bytes at each target and money as without memory or shortcuts."""
    records = list(Traffic(old, random.Random(7)).records(11_200))
    assert len(records) >= 20_000
    report = replayed(asked(new, old), records)
    expected = BruteForce(new, records)
    assert (report.evaluated, report.not_evaluated, report.records) == (expected.requests, 0, len(records))
    assert report.changed == expected.changed > 1000
    assert (report.cost[0].paid, report.cost[1].paid) == tuple(expected.paid)
    places = {(item.zone.value, item.region, item.provider): item.id for item in ALL}
    reach = {}
    for row in report.exposure:
        name = places[row.zone, row.region, row.provider]
        reach["before", row.level.word, name] = row.before[1]
        reach["after", row.level.word, name] = row.after[1]
    assert {key: size for key, size in reach.items() if size} == dict(expected.reach)
    assert sum(group.changed for group in report.apps) == report.changed
    assert sum(kind.count for kind in report.kinds) == report.changed == sum(report.directions.values())
    assert all(report.directions[way] > 0 for way in (Direction.LOOSER, Direction.STRICTER))


def test_the_same_policy_changes_nothing(old: CompiledPolicy) -> None:
    """Replaying what a policy decided against itself finds no change, the same exposure, cost and times."""
    report = replayed(asked(old, old), Traffic(old, random.Random(3)).records(2000))
    assert (report.changed, report.bounds, report.moved, report.kinds) == (0, 0, 0, ())
    assert all(row.before == row.after for row in report.exposure)
    assert report.cost[0] == report.cost[1]
    assert report.latency[0] == report.latency[1]
    assert report.latency[0].missed > 0
    assert report.nowhere[0] == report.nowhere[1] > 0
    assert "decided_otherwise" not in report.notes


def test_against_another_policy_both_sides_are_decided_anew(old: CompiledPolicy, new: CompiledPolicy) -> None:
    """With `against` it makes no difference which policy wrote the log: the comparison is between the two given."""
    records = list(Traffic(old, random.Random(5)).records(1500))
    same = replayed(asked(new, against={"": new}), records)
    assert (same.changed, same.cost[0]) == (0, same.cost[1])
    assert same.against == (new.id,)
    there = replayed(asked(new, against={"": old}), records)
    back = replayed(asked(old, against={"": new}), records)
    assert there.changed == back.changed > 0
    assert there.directions[Direction.LOOSER] == back.directions[Direction.STRICTER]
    assert [row.before for row in there.exposure] == [row.after for row in back.exposure]


MOVES: dict[str, tuple[dict[str, Any], dict[str, Any], str, Direction, set[str]]] = {
    "a region more": ({"regions": ["EU"]}, {}, "us", Direction.LOOSER, {"eu", "local", "us"}),
    "a region less": ({}, {"regions": ["EU"]}, "us", Direction.STRICTER, {"eu", "local"}),
    "another region": ({"regions": ["EU"]}, {"regions": ["US"]}, "us", Direction.BOTH, {"us", "local"}),
    "to inside": ({}, {"action": "local_only"}, "eu", Direction.STRICTER, {"local"}),
    "to nowhere": ({}, {"action": "block"}, "eu", Direction.STRICTER, set()),
    "to an approval": (
        {"action": "block"},
        {"action": "require_approval", "approvers": ["dpo"], "approval_lasts": "1h"},
        "",
        Direction.LOOSER,
        set(),
    ),
}


@pytest.mark.parametrize("change", MOVES)
def test_each_change_has_a_direction(change: str) -> None:
    """What a request may reach under either policy says whether the change is looser, stricter or both."""
    before, after, to, direction, permitted = MOVES[change]
    public = {"app": "support-bot"}
    old = compiled(document(rules=[rule("r", public, before)] if before else None))
    new = compiled(document(rules=[rule("r", public, after)] if after else None))
    sent_to = to if to in evaluate(old, who(), ALL).permitted else ""
    report = replayed(asked(new, old), one(old, who(), sent_to))
    assert report.changed == 1
    assert report.directions == {direction: 1}
    assert evaluate(new, who(), ALL).permitted == permitted
    assert report.loosened == (direction in (Direction.LOOSER, Direction.BOTH))
    assert report.kinds[0].example == one(old, who(), sent_to)[0].decision


def test_less_hidden_from_a_cloud_is_looser() -> None:
    """The same targets and the same word, and a data type that is no longer hidden: that is looser, in both ways."""
    old = compiled(document(rules=[rule("r", {"app": "support-bot"}, {"redact": ["contact details", "health data"]})]))
    new = compiled(document(rules=[rule("r", {"app": "support-bot"}, {"redact": ["health data"]})]))
    request = who(found=found(PERSON=1))
    report = replayed(asked(new, old), one(old, request, "eu"))
    assert report.directions == {Direction.LOOSER: 1}
    back = replayed(asked(old, new), one(new, request, "eu"))
    assert back.directions == {Direction.STRICTER: 1}
    nothing_found = replayed(asked(new, old), one(old, who(found=found(MEDICATION=0)), "eu"))
    assert nothing_found.directions.get(Direction.LOOSER, 0) == 0


def test_what_stays_keeps_its_cost_and_what_moves_is_priced() -> None:
    """A request whose target stays permitted costs what was recorded; one that moves costs its recorded tokens at the
    cheapest permitted target, or at the first of a route that lists them."""
    plain = compiled(document())
    eu_only = compiled(document(rules=[rule("r", {"app": "support-bot"}, {"regions": ["EU"]})]))
    inside = compiled(document(rules=[rule("r", {"app": "support-bot"}, {"action": "local_only"})]))
    moved = one(plain, who(model="clouds"), "us")
    usage = Usage(moved[-1].input_tokens, moved[-1].output_tokens)
    report = replayed(asked(eu_only, plain), moved)
    assert (report.cost[0].paid, report.cost[1].paid) == (US.price.cost(usage), EU.price.cost(usage))
    stays = replayed(asked(eu_only, plain), one(plain, who(model="clouds"), "eu"))
    assert stays.cost[0] == stays.cost[1]
    report = replayed(asked(inside, plain), one(plain, who(model="auto"), "us"))
    assert (report.cost[1].paid, report.cost[1].own) == (0, LOCAL.price.cost(usage))
    listed = replayed(asked(eu_only, plain), one(plain, who(model="listed"), "us"))
    assert [row.region for row in listed.exposure if row.after[0]] == ["EU"]
    cheapest = replayed(asked(eu_only, plain), one(plain, who(model="auto"), "us"))
    assert [row.region for row in cheapest.exposure if row.after[0]] == ["on-premises"]


def test_times_are_recorded_or_expected() -> None:
    """Late answers are counted against each policy's own limit; what moves is as fast as its new target was."""
    old = compiled(document(limits={"latency": {"first_token": "1s"}}))
    eu_only = {"rules": [rule("r", {"app": "batch"}, {"regions": ["EU"]})]}
    new = compiled(document(**eu_only, limits={"latency": {"first_token": "300ms"}}))
    traffic = Traffic(old, random.Random(1))
    records = []
    for to, app, first_ms in (("eu", "web", 200), ("eu", "web", 400), ("us", "web", 1200), ("us", "batch", 100)):
        intent, outcome = traffic.request(who(model="clouds", app=app), to)
        records += [intent, replace(outcome, first_token_ms=first_ms)]
    before, after = (report := replayed(asked(new, old), records)).latency
    assert (before.requests, before.limited, before.missed) == (4, 4, 1)
    assert before.mean == (200 + 400 + 1200 + 100) / 4
    assert report.moved == 1
    assert after.missed == pytest.approx(1 + 1 + 0.5)  # 400, 1200, and half of what was measured at eu
    assert after.mean == pytest.approx((200 + 400 + 1200 + 300) / 4)


def test_what_moves_to_a_target_without_figures_is_not_guessed() -> None:
    """No measurement of a target, no recorded tokens: both are counted and left out of the sums."""
    plain = compiled(document())
    inside = compiled(document(rules=[rule("r", {"app": "support-bot"}, {"action": "local_only"})]))
    report = replayed(asked(inside, plain), one(plain, who(), "us"))
    assert (report.unmeasured, report.latency[1].requests) == (1, 0)
    blocked = compiled(document(rules=[rule("r", {"app": "support-bot"}, {"action": "block"})]))
    report = replayed(asked(plain, blocked), one(blocked, who()))
    assert (report.unpriced, report.cost[1].paid, report.nowhere) == (1, 0, (1, 0))


def refusal(**changes: Any) -> AuditRecord:
    return AuditRecord(kind=RecordKind.REFUSAL, at=1, decision=Label("d0"), **changes)


def test_what_cannot_be_evaluated_is_counted_and_named() -> None:
    """Each reason has its count and a decision as an example; none of them is in any other figure."""
    plain = compiled(document())
    users = compiled(document(rules=[rule("jo", {"user": "jo@acme.example"}, {"action": "block"})]))
    good = one(plain, who(), "us")
    cases: dict[str, tuple[list[AuditRecord], CompiledPolicy]] = {
        "no_facts": ([refusal(error=Label("invalid_request"))], plain),
        "unknown_model": (one(plain, who(), "us", model=Label("unknown")), plain),
        "target_gone": ([replace(record, target=Label("sold")) for record in good], plain),
        "user_unknown": (one(plain, who(), "us", user=Label("0" * 32)), users),
        "unknown_word": (one(plain, who(), "us", detector=Label("asleep")), plain),
    }
    for reason, (records, policy) in cases.items():
        report = replayed(asked(policy, plain), records)
        assert [(item.reason, item.count) for item in report.refused] == [(reason, 1)], reason
        assert report.refused[0].example == records[0].decision
        assert (report.evaluated, report.exposure, report.cost[0].paid) == (0, (), 0)
        assert any("1 not evaluated" in line for line in as_lines(report))


def test_users_are_known_by_the_key_of_the_log() -> None:
    """Names in the policy are compared with the recorded hashes where the key is at hand."""
    plain = compiled(document())
    new = compiled(document(rules=[rule("jo", {"user": "jo@acme.example"}, {"action": "block"})]))
    records = one(plain, who(), "us", user=Label("a" * 32))
    report = replayed(asked(new, plain, mac=lambda name: "a" * 32), records)
    assert (report.evaluated, report.changed) == (1, 1)
    report = replayed(asked(new, plain, mac=lambda name: "b" * 32), records)
    assert (report.evaluated, report.changed) == (1, 0)
    assert replayed(asked(plain, plain), records).evaluated == 1  # nobody asks who it was


def test_bodies_that_are_no_records_are_counted() -> None:
    """Somebody wrote something else into the log: it is counted, and the rest is evaluated."""
    plain = compiled(document())
    replaying = Replay(asked(plain, plain))
    broken = orjson.dumps({**orjson.loads(encode(one(plain, who(), "us")[0])), "found": 5, "decision": "x"})
    replaying.feed([b"not JSON", b"[]", b'{"kind": "intent"}', broken, *map(encode, one(plain, who(), "us"))])
    report = replaying.report()
    assert (report.unreadable, report.evaluated) == (3, 1)
    assert [(item.reason, item.count) for item in report.refused] == [("unreadable", 1)]


def test_the_period_counts_when_a_request_came() -> None:
    """An answer after the end belongs to its request; a request before the beginning does not count at all."""
    plain = compiled(document())
    records = one(plain, who(), "us")
    at, ended = records[0].at, records[1].at
    for since, until, number in ((at, ended, 1), (at, at, 0), (at + 1, None, 0), (0, at + 1, 1)):
        report = replayed(asked(plain, plain, since=since, until=until), records)
        assert report.evaluated == number
        assert report.latency[0].requests == number


def test_a_tenant_is_decided_by_its_own_policy(old: CompiledPolicy) -> None:
    """With policies by tenant each request meets its own; who has none is not evaluated."""
    blocks = compiled(document(policy="lab", rules=[rule("r", {"app": "support-bot"}, {"action": "block"})]))
    records = one(old, who(), "us") + one(old, facts(tenant="lab"), "us", decision=Label("d-lab"))
    records[-1] = replace(records[-1], decision=Label("d-lab"))
    report = replayed(asked({"": old, "lab": blocks}, old), records)
    assert {(group.tenant, group.changed) for group in report.apps} == {("acme", 0), ("lab", 1)}
    assert {policy.name for policy in report.policies} == {"acme", "lab"}
    report = replayed(asked({"lab": blocks}, old), records)
    assert [(item.reason, item.count) for item in report.refused] == [("other_tenant", 1)]


NOTES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "limits_not_kept": ({}, {}, {"policy_of": lambda digest: None}),
    "budget_spent": ({"budget": BudgetState.SPENT}, {}, {}),
    "redaction_incomplete": ({"redaction_incomplete": True}, {"redaction_incomplete": True}, {}),
    "decided_otherwise": ({}, {"level": Label("confidential")}, {}),
    "permitted_gone": ({}, {"permitted": (Label("local"), Label("eu"), Label("us"), Label("sold"))}, {}),
    "reserved_over_cap": ({}, {"reserved": 10**9}, {}),
    "unfinished": ({}, {}, {}),
}


@pytest.mark.parametrize("note", NOTES)
def test_what_the_figures_do_not_tell_is_said(note: str) -> None:
    """Each caveat is counted and printed."""
    fact, member, question = NOTES[note]
    plain = compiled(document(limits=LIMITS))
    records = one(plain, who(**fact), "local" if fact else "eu")
    records[0] = replace(records[0], **member)
    if note == "unfinished":
        records.pop()
    report = replayed(asked(plain, plain, **question), records)
    assert report.notes[note] == 1
    assert report.as_json()["notes"]
    assert "What this report does not know:" in list(as_lines(report))


def test_money_over_a_new_limit_is_counted() -> None:
    """Requests dearer than the new limit, and days of an app that would cost more than its new budget."""
    old = compiled(document())
    poor = {"cost": {"per_request": "0.000001 USD", "per_app_per_day": "0.000001 USD", "when_spent": "block"}}
    new = compiled(document(limits=poor))
    report = replayed(asked(new, old), one(old, who(), "us"))
    assert (report.notes["cost_over_cap"], report.notes["days_over_budget"]) == (1, 1)
    assert replayed(asked(old, old), one(old, who(), "us")).notes == {}


def test_entities_and_targets_that_no_record_names_are_told() -> None:
    """The detector may not have looked for them then, the target may be new: nobody can know, so it is said."""
    plain = compiled(document())
    records = one(plain, who(found=found(PERSON=1)), "us")
    report = replayed(asked(plain, plain, detectable=frozenset({"PERSON", "CREDIT_CARD", "EMAIL_ADDRESS"})), records)
    assert report.unseen_entities == ("CREDIT_CARD", "EMAIL_ADDRESS", "MEDICATION")
    assert report.undetectable == ("MEDICATION",)
    inside = compiled(document(rules=[rule("r", {"app": "support-bot"}, {"action": "local_only"})]))
    report = replayed(asked(plain, inside), one(inside, who(), "local"))
    assert report.unseen_targets == ("eu", "us")
    assert any("eu, us as permitted" in line for line in as_lines(report))


def test_what_was_not_sent_for_another_reason_stays_unsent() -> None:
    """Permitted, and refused all the same (no target in time, the caller left): no policy would have sent it."""
    old = compiled(document(rules=[rule("r", {"app": "support-bot"}, {"regions": ["EU"]})]))
    plain = compiled(document())
    intent = one(old, who(), "eu")[0]
    records = [replace(intent, kind=RecordKind.REFUSAL, error=Label("overloaded"), target=Label(""), sent_bytes=0)]
    report = replayed(asked(plain, old), records)
    assert (report.unsent, report.nowhere, report.exposure) == ((("overloaded", 1),), (1, 1), ())


def test_a_request_that_never_ended_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many are waited for; the oldest is counted without its end."""
    monkeypatch.setattr("gateway.policy.replay.requests._LONGEST_OPEN", 10)
    plain = compiled(document())
    traffic = Traffic(plain, random.Random(1))
    intents = [next(iter(traffic.request(who(), "us"))) for _ in range(50)]
    report = replayed(asked(plain, plain), intents)
    assert (report.evaluated, report.notes["unfinished"]) == (50, 50)


def test_forgetting_situations_changes_no_figure(
    old: CompiledPolicy, new: CompiledPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there are too many distinct situations, those that were decided are summed up and forgotten."""
    records = list(Traffic(old, random.Random(9)).records(1500))
    remembered = replayed(asked(new, old), records).as_json()
    monkeypatch.setattr("gateway.policy.replay.judge._MOST_KEPT", 20)
    forgotten = replayed(asked(new, old), records).as_json()
    for data in (remembered, forgotten):
        for kind in data["kinds"]:  # type: ignore[union-attr]
            del kind["example"]  # type: ignore[union-attr, index, arg-type, call-overload]
        for group in ("kinds", "levels"):
            data[group] = sorted(data[group], key=str)  # type: ignore[arg-type]
        data["rules"] = {way: sorted(data["rules"][way], key=str) for way in ("added", "dropped")}  # type: ignore[index, call-overload, arg-type]
    assert remembered == forgotten


def test_dates_and_sizes_are_told_apart_where_a_policy_asks() -> None:
    """A waiver's last day, a threshold of tokens and a time of day each divide requests that are otherwise the same."""
    plain = compiled(document())
    new = compiled(document(rules=[NEW_RULES[1], NEW_RULES[2]], exceptions=[WAIVER]))
    traffic = Traffic(plain, random.Random(1))
    cases = [
        (who(prompt_tokens=4000, as_of=date(2026, 9, 10)), False),
        (who(prompt_tokens=4001, as_of=date(2026, 9, 10)), False),
        (who(prompt_tokens=4001, as_of=date(2026, 9, 11)), True),
        (who(prompt_tokens=4000, as_of=date(2026, 9, 11)), False),
        (who(app="batch", minute=6 * 60 - 1, as_of=date(2026, 9, 11)), True),
        (who(app="batch", minute=6 * 60, as_of=date(2026, 9, 11)), False),
        (who(app="batch", minute=16 * 60, as_of=date(2026, 9, 11)), True),
    ]
    for request, changes in cases:
        records = [record for _ in range(2) for record in traffic.request(request, "us")]
        assert replayed(asked(new, plain), records).changed == (2 if changes else 0), request
    together = [record for request, _ in cases for record in traffic.request(request, "us")]
    assert replayed(asked(new, plain), together).changed == sum(changes for _, changes in cases)


def test_the_report_holds_no_content_and_is_complete_in_every_format(old: CompiledPolicy, new: CompiledPolicy) -> None:
    """JSON has stable keys; text and Markdown have the same sections; all of them serialise."""
    report = replayed(asked(new, old), Traffic(old, random.Random(2)).records(800))
    data = report.as_json()
    assert set(data) >= {"policies", "against", "changed", "kinds", "apps", "data_types", "rules", "exposure", "cost",
                         "latency", "not_evaluated", "notes"}  # fmt: skip
    orjson.dumps(data)
    text, markdown = list(as_lines(report)), list(as_markdown(report))
    for title in ("Decisions that change", "By app", "By data type", "What reaches whom", "Cost"):
        assert f"{title}:" in text
        assert f"### {title}" in markdown
    rows = [line for line in markdown if line.startswith("|")]
    assert all(line.count("|") >= 3 for line in rows)
    assert any(line.strip().startswith("acme/support-bot") for line in text)


def test_levels_are_compared_with_one_yardstick() -> None:
    """A policy that calls card numbers public does not make what leaves look harmless: the higher level counts."""
    old = compiled(document())
    levels = {"restricted": [], "confidential": [], "internal": [{"any_of": ["contact details"]}]}
    levels = {name: lines for name, lines in levels.items() if lines}
    new = compiled(document(levels={**document()["levels"], **levels, "restricted": [{"any_of": ["health data"]}]}))
    request = who(found=(Found("CREDIT_CARD", 100, 1),), model="clouds")
    assert (
        evaluate(old, request, (EU, US)).action is Action.BLOCK or evaluate(old, request, (EU, US)).permitted == set()
    )
    report = replayed(asked(new, old), one(old, request))
    assert [(row.level.word, row.before[0], row.after[0]) for row in report.exposure] == [("restricted", 0, 1)]
    assert [(was.word, now.word) for was, now, _ in report.levels] == [("restricted", "public")]
