"""Promise 8: a decision can be recomputed from its audit record and the policy of that hash, and comes out the same."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.compose import targets_of
from gateway.domain.decision import BudgetState, Facts, Level
from gateway.domain.errors import ConfigurationError
from gateway.domain.finding import Found
from gateway.domain.money import usd
from gateway.domain.record import AuditRecord, Label, RecordKind
from gateway.domain.target import Target
from gateway.identity.keys import KeyTable
from gateway.policy import CannotRecompute, CompiledPolicy, compile_policy, load, recompute
from gateway.policy.archive import load_archived
from gateway.policy.testing.samples import ordinary
from gateway.settings import load_settings
from support.detectors import ListedDetector
from support.evidence import eventually, mac_of, records
from support.exposure import CARD, EMAIL, IBAN, NAME, PHONE, SSN
from support.here import gateway_here
from support.live import Cloud, Setup, cloud_target, local_target
from support.nursery import ForkedGateway, client_of, forked_gateway
from support.situations import Writer, asker_of, reality

POLICY = """\
schema: 1
policy: everything
version: 1
owner: privacy@example.com
mode: enforce
data_types:
  contact: {detect: [PERSON, EMAIL_ADDRESS, PHONE_NUMBER], confidence: 0.40}
  money: {detect: [CREDIT_CARD, IBAN_CODE], confidence: 0.40}
  ids: {detect: [US_SSN], confidence: 0.40}
levels:
  restricted:
    - any_of: [ids]
    - all_of: [money, contact]
  confidential:
    - any_of: [money]
    - any_of: [contact]
      at_least: 3
  internal:
    - any_of: [contact]
handling:
  public: {action: allow}
  internal: {action: redact}
  confidential: {action: redact, regions: [EU]}
  restricted: {action: local_only}
limits:
  latency: {first_token: 2s}
  cost: {per_request: 0.05 USD, per_app_per_day: 0.02 USD, when_spent: local_only}
if_unsure: {detector_fails: local_only, unreadable_content: local_only, redaction_incomplete: local_only,
            no_target_left: block}
rules:
  - {id: jo-stays, why: x, when: {user: [jo@acme.example, Jöran]}, then: {action: local_only}}
  - {id: leads-agreement, why: x, when: {group: leads}, then: {provider_must_have: [baa]}}
  - {id: school, why: x, when: {tenant: school, level: internal or higher}, then: {action: block, tell_user: No.}}
  - {id: ask-first, why: x, when: {app: careful, contains: contact}, then: {action: require_approval}}
  - {id: admins-in-the-eu, why: x, when: {role: admin}, then: {regions: [EU]}}
  - {id: long-is-dear, why: x, when: {prompt_tokens: over 300}, then: {cost_per_request: 0.04 USD, first_token: 1s}}
  - {id: only-here, why: x, when: {model: here}, then: {action: local_only}}
  - {id: hide-money, why: x, when: {app: shop}, then: {redact: [money]}}
  - {id: trial, why: x, mode: audit, until: 2099-01-31, when: {contains: money}, then: {action: block}}
exceptions:
  - {id: EX-1, lifts: leads-agreement, for: {app: shop}, approved_by: dpo, ticket: R-1, expires: 2099-12-31}
"""

POLICIES = {
    "first": POLICY,
    "second": POLICY.replace("version: 1", "version: 2").replace("at_least: 3", "at_least: 2"),
    "recording": POLICY.replace("version: 1", "version: 3").replace("mode: enforce", "mode: audit"),
}

CALLERS = {
    "bot": {"tenant": "acme", "app": "support-bot"},
    "lead": {"tenant": "acme", "app": "support-bot", "group": "leads"},
    "shop lead": {"tenant": "acme", "app": "shop", "group": "leads"},
    "pupil": {"tenant": "school", "app": "tutor"},
    "careful": {"tenant": "acme", "app": "careful"},
    "spender": {"tenant": "acme", "app": "spender"},
    "admin": {"tenant": "acme", "app": "console", "role": "admin"},
}

TEXTS = {
    "harmless": "Where is my parcel?",
    "a person": f"Write to {NAME}.",
    "three of contact": f"{NAME}, {EMAIL}, {PHONE}",
    "money": f"Pay {IBAN} by {CARD}.",
    "money and a person": f"{NAME} pays by {CARD}.",
    "an id": f"My number is {SSN}.",
    "long": "Nothing in here is about anybody at all. " * 40,
}

HINTS: dict[str, dict[str, str]] = {
    "none": {},
    "careful": {"x-bailiwick-min-level": "confidential"},
    "very careful": {"x-bailiwick-min-level": "restricted"},
    "cheap": {"x-bailiwick-max-cost": "0.0100000005", "x-bailiwick-max-latency": "0.1234567"},
    "too cheap": {"x-bailiwick-max-cost": "0.000001"},
    "named user": {"x-bailiwick-user": "jo@acme.example"},
    "user beyond ASCII": {"x-bailiwick-user": "Jöran"},
    "other user": {"x-bailiwick-user": "al@acme.example"},
}


@cache
def _compiled(text: str) -> CompiledPolicy:
    return compile_policy(load(text)[0])


@cache
def _archived(folder: Path, policy: str, content: bytes) -> CompiledPolicy:
    """Read anew when the content is another."""
    return load_archived(folder, policy)


@cache
def _targets(config: Path) -> dict[str, tuple[Target, ...]]:
    """The targets of each model."""
    known = {target.id: target for target in targets_of(config)}
    routes = load_settings(config, needs_environment=False).routes
    return {route.name: tuple(known[name] for name in route.targets) for route in routes}


@dataclass(frozen=True)
class Archive:
    """What an auditor has: the settings, and the state folder with the records, the policies and the key of hashes."""

    config: Path
    state: Path

    def policy(self, record: AuditRecord) -> CompiledPolicy:
        folder = self.state / "policies"
        return _archived(folder, record.policy, (folder / f"{record.policy}.json").read_bytes())

    def targets(self, record: AuditRecord) -> tuple[Target, ...]:
        """Those that could have answered: the targets of the model asked for."""
        return _targets(self.config)[record.model]

    def differences(self, record: AuditRecord) -> dict[str, tuple[Any, Any]]:
        """What the record says and what is computed from it now, where they differ."""
        policy = self.policy(record)
        mac = mac_of(self.state)
        users = {mac(name.encode()): name for name in policy.users}
        decision = recompute(policy, record, self.targets(record), users)
        trial = decision.trial
        computed = {
            "level": decision.level.word,
            "action": decision.action.value,
            "because": tuple(reason.rule for reason in decision.reasons),
            "would": tuple(reason.rule for reason in decision.would),
            "permitted": tuple(verdict.target for verdict in decision.targets if verdict.permitted),
            "would_action": trial.action.value if trial else "",
            "would_permitted": tuple(sorted(trial.permitted)) if trial else (),
            "notified": decision.notify,
            "retain_days": decision.retain_days,
            "log_content": decision.log_content.name.lower() if decision.log_content else "",
        }
        said = {name: getattr(record, name) for name in computed}
        return {name: (said[name], computed[name]) for name in computed if said[name] != computed[name]}

    def decided(self) -> list[AuditRecord]:
        """Every record that holds a decision."""
        return [record for record in records(self.state) if record.action]


def _setup(folder: Path, cloud: Cloud, tiny_model: Path, policy: str | Path) -> Setup:
    dear = "{input: 5.00 USD, output: 20.00 USD}"
    targets = [
        cloud_target("eu", cloud.base_url, labels="[baa]", price=dear),
        cloud_target("us", cloud.base_url, region="US", price=dear),
        local_target(file=str(tiny_model), context_tokens="512", max_output_tokens="4"),
    ]
    models = {
        "auto": "{targets: [us, eu, local], rank: listed}",
        "clouds": "{targets: [us, eu]}",
        "american": "{targets: [us]}",
        "here": "{targets: [local, eu], rank: listed}",
    }
    return Setup(folder, targets, models, policy)


@dataclass(frozen=True)
class Ran:
    """A gateway after many requests, and what it answered: the headers by decision, and its key by caller."""

    gateway: ForkedGateway
    archive: Archive
    answers: list[httpx.Response]
    policy: Path


@pytest.fixture(scope="module")
def ran(cloud: Cloud, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """Callers, texts, hints and shapes in many combinations, under three policies in turn."""
    folder = tmp_path_factory.mktemp("promise8")
    policy = folder / "policy.yaml"
    policy.write_text(POLICIES["first"])
    setup = _setup(folder / "gateway", cloud, tiny_model, policy)
    keys = KeyTable.open(f"sqlite:///{setup.folder}/state/identity.db")
    made = {name: keys.create(**caller)[1] for name, caller in CALLERS.items()}
    keys.close()
    answers: list[httpx.Response] = []
    with forked_gateway(setup) as gateway:
        clients = {name: client_of(gateway, key) for name, key in made.items()}
        for text in POLICIES.values():
            policy.with_suffix(".draft").write_text(text)
            policy.with_suffix(".draft").replace(policy)
            short = _compiled(text).id.short

            def asked() -> str:
                return str(gateway.chat("Hello", model="here", max_tokens=1).headers["x-bailiwick-policy"])

            eventually(lambda short=short, asked=asked: asked() == short)  # type: ignore[misc]
            answers += [send(clients[name], body, hints) for name, body, hints in _requests()]
        for client in clients.values():
            client.close()
        archive = Archive(gateway.config, gateway.state)
        told = {answer.headers["x-bailiwick-decision"] for answer in answers}
        eventually(lambda: told <= {record.decision for record in archive.decided()})
        yield Ran(gateway, archive, answers, policy)


def send(client: httpx.Client, body: dict[str, Any], hints: Mapping[str, str]) -> httpx.Response:
    return client.post(
        "/v1/chat/completions", json=body, headers={name.encode(): value.encode() for name, value in hints.items()}
    )


def _requests() -> Iterator[tuple[str, dict[str, Any], Mapping[str, str]]]:
    """Every pair of caller and text, then every hint, then every shape; each part with the others in turn."""
    models = itertools.cycle(("auto", "clouds", "auto", "american", "here", "auto", "clouds"))
    streams = itertools.cycle((False, False, True))
    hints = itertools.cycle(HINTS)

    def body(text: str, **fields: Any) -> dict[str, Any]:
        content = TEXTS[text]
        return {
            "model": next(models),
            "stream": next(streams),
            "max_tokens": 2,
            "messages": [{"role": "user", "content": content}],
            **fields,
        }

    for caller, text in itertools.product(CALLERS, TEXTS):
        yield caller, body(text), HINTS[next(hints)]
    for hint, text in itertools.product(HINTS, ("harmless", "a person", "money")):
        yield "bot", body(text, model="auto"), HINTS[hint]
    for _ in range(12):
        yield "spender", body("long", model="auto", max_tokens=64), {}
    image = [{"type": "image_url", "image_url": {"url": "https://img.example/1.png"}}]
    for fields in (
        {"messages": [{"role": "user", "content": image}]},
        {"messages": [{"role": "user", "content": image}], "model": "clouds"},
        {"user": "jo@acme.example"},
        {"user": "Jöran", "model": "clouds"},
        {"tools": [{"type": "function", "function": {"name": "f", "description": f"for {NAME}"}}]},
        {"metadata": {"card": CARD, "again": CARD.replace(" ", "")}},
        {"max_tokens": 100_000},
        {"n": 3},
    ):
        for caller in ("bot", "lead"):
            yield caller, body("harmless", **fields), {}


def test_every_decision_comes_out_the_same(ran: Ran) -> None:
    """For each request that was decided, level, action, reasons and permitted targets follow from its record and the
    archived policy of its hash, also for policies that are no longer in force."""
    decided = ran.archive.decided()
    wrong = {record.decision: ran.archive.differences(record) for record in decided}
    assert {decision: found for decision, found in wrong.items() if found} == {}
    assert {record.policy for record in decided} == {_compiled(t).id.hash for t in POLICIES.values()}


def test_the_requests_were_of_many_kinds(ran: Ran) -> None:
    """What was recomputed covers every level and action, every rule, spent budgets, hints, unsure states and users."""
    decided = ran.archive.decided()
    assert len(decided) > 250
    assert {r.level for r in decided} == {"public", "internal", "confidential", "restricted"}
    assert {r.action for r in decided} == {"allow", "redact", "local_only", "require_approval", "block"}
    assert {r.kind for r in decided} == {RecordKind.INTENT, RecordKind.REFUSAL}
    reasons = Counter(itertools.chain.from_iterable((*r.because, *r.would) for r in decided))
    rules = {rule.id for rule in load(POLICY)[0].rules} | {"EX-1", "limits.when_spent", "if_unsure.unreadable_content"}
    rules |= {"caller.min_level", "caller.max_cost", "caller.max_first_token", "if_unsure.no_target_left"}
    assert rules <= reasons.keys()
    assert {r.budget for r in decided} == {"ok", "spent"}
    assert {bool(r.user) for r in decided} == {True, False}
    assert any(r.max_first_token_ms == 123 for r in decided)


def test_answers_say_what_the_records_say(ran: Ran) -> None:
    """The headers of each answer name the same level, action, reasons and policy as the last record of the decision."""
    last = {record.decision: record for record in ran.archive.decided()}
    for answer in ran.answers:
        record = last[Label(answer.headers["x-bailiwick-decision"])]
        assert answer.headers["x-bailiwick-level"] == record.level
        assert answer.headers["x-bailiwick-action"] == record.action
        assert answer.headers["x-bailiwick-because"] == ", ".join(record.because)
        assert record.policy.startswith(answer.headers["x-bailiwick-policy"])


TAMPERED: dict[str, tuple[Callable[[AuditRecord], bool], Callable[[AuditRecord], AuditRecord]]] = {
    "nothing was found": (lambda r: r.level == "restricted" and not r.min_level, lambda r: replace(r, found=())),
    "something was found": (
        lambda r: r.level == "public" and not r.found and not r.min_level,
        lambda r: replace(r, found=(Found("US_SSN", 85, 1),)),
    ),
    "another app": (lambda r: "ask-first" in r.because, lambda r: replace(r, app=Label("shop"))),
    "another group": (lambda r: "leads-agreement" in r.because, lambda r: replace(r, group=Label("default"))),
    "another tenant": (lambda r: "school" in r.because, lambda r: replace(r, tenant=Label("acme"))),
    "another role": (lambda r: "admins-in-the-eu" in r.because, lambda r: replace(r, role=Label("user"))),
    "another user": (lambda r: "jo-stays" in r.because, lambda r: replace(r, user=Label("0" * 32))),
    "another model": (lambda r: "only-here" in r.because, lambda r: replace(r, model=Label("auto"))),
    "a shorter prompt": (lambda r: "long-is-dear" in r.because, lambda r: replace(r, prompt_tokens=300)),
    "a full budget": (lambda r: r.budget == "spent", lambda r: replace(r, budget=Label("ok"))),
    "a readable request": (lambda r: r.unreadable, lambda r: replace(r, unreadable=False)),
    "a detector that failed": (lambda r: r.detector == "ok", lambda r: replace(r, detector=Label("failed"))),
    "no hint": (lambda r: "caller.min_level" in r.because, lambda r: replace(r, min_level=Label(""))),
    "no cap": (lambda r: "caller.max_cost" in r.because, lambda r: replace(r, max_cost=None)),
    "another day": (lambda r: "EX-1" in r.because, lambda r: replace(r, as_of=date(2100, 1, 1))),
    "another level": (lambda r: r.level == "restricted", lambda r: replace(r, level=Label("public"))),
    "another action": (lambda r: r.action == "local_only", lambda r: replace(r, action=Label("allow"))),
    "no reason": (lambda r: len(r.because) > 1, lambda r: replace(r, because=r.because[1:])),
    "one more target": (lambda r: "us" not in r.permitted, lambda r: replace(r, permitted=(*r.permitted, Label("us")))),
    "another rule on trial": (lambda r: bool(r.would), lambda r: replace(r, would=())),
}


@pytest.mark.parametrize("change", TAMPERED)
def test_a_tampered_record_does_not_come_out_the_same(ran: Ran, change: str) -> None:
    """A fact or a decision that was changed in a record shows when it is recomputed."""
    applies, tamper = TAMPERED[change]
    enforced = _compiled(POLICIES["first"]).id.hash
    concerned = [r for r in ran.archive.decided() if applies(r) and r.policy == enforced][:25]
    assert concerned
    assert all(ran.archive.differences(tamper(record)) for record in concerned)


def test_another_policy_is_not_taken_for_it(ran: Ran) -> None:
    """A record is not recomputed with a policy of another hash, nor with an archived file that somebody has edited."""
    record = next(r for r in ran.archive.decided() if r.level == "restricted")
    now = compile_policy(load(ran.policy)[0])
    assert record.policy != now.id.hash
    with pytest.raises(CannotRecompute, match="was made by policy"):
        recompute(now, record, ran.archive.targets(record), {})
    kept = ran.archive.state / "policies" / f"{record.policy}.json"
    text = kept.read_text()
    edited = text.replace("local_only", "allow", 1)
    assert edited != text
    try:
        kept.write_text(edited)
        with pytest.raises(ConfigurationError, match="has been changed"):
            ran.archive.differences(record)
    finally:
        kept.write_text(text)


@pytest.mark.anyio
async def test_unsure_states_are_recomputed_too(
    cloud: Cloud, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A detector that fails and a value that could not be hidden are facts in the record, and give the same again."""
    model = "scripted-echo"  # the provider's name of the model: as a person's name it cannot be hidden from the request
    finder = ListedDetector({"PERSON": model, "CREDIT_CARD": CARD, "US_SSN": SSN})
    setup = _setup(tmp_path, cloud, tiny_model, POLICY)
    async with gateway_here(setup, monkeypatch, finder) as here:

        async def ask(text: str, name: str = "auto") -> httpx.Response:
            body = {"model": name, "max_tokens": 2, "messages": [{"role": "user", "content": text}]}
            return await here.client.post("/v1/chat/completions", json=body)

        leak = await ask(f"Who is {model}?")
        finder.error = RuntimeError("it broke")
        failed, nowhere = await ask("Hello"), await ask("Hello", "clouds")
    archive = Archive(setup.folder / "bailiwick.yaml", setup.folder / "state")
    assert "if_unsure.redaction_incomplete" in leak.headers["x-bailiwick-because"]
    assert "if_unsure.detector_fails" in failed.headers["x-bailiwick-because"]
    assert nowhere.status_code == 403
    decided = archive.decided()
    assert {r.redaction_incomplete for r in decided} == {True, False}
    assert {r.detector for r in decided} == {"ok", "failed"}
    assert [archive.differences(record) for record in decided] == [{}] * len(decided)
    incomplete = next(record for record in decided if record.redaction_incomplete)
    assert archive.differences(replace(incomplete, redaction_incomplete=False))
    blind = next(record for record in decided if record.detector == "failed")
    assert archive.differences(replace(blind, detector=Label("ok")))


LATER = """\
schema: 1
policy: later
version: 1
owner: privacy@example.com
data_types:
  contact: {detect: [PERSON, EMAIL_ADDRESS], confidence: 0.40}
  money: {detect: [CREDIT_CARD, IBAN_CODE], confidence: 0.40}
levels:
  restricted:
    - any_of: [money]
  internal:
    - any_of: [contact]
handling:
  public: {action: allow}
  internal: {action: redact}
  confidential: {action: redact, regions: [EU]}
  restricted: {action: require_approval, approvers: [dpo], approval_lasts: 1h, regions: [EU]}
limits:
  cost: {per_request: 0.02 USD, per_app_per_day: 1 USD, when_spent: block}
  scopes:
    - {for: {app: nightly}, cost: {per_request: 0.01 USD, per_app_per_day: 2 USD}}
  ceiling: {cost: {per_app_per_day: 2 USD}}
if_unsure: {detector_fails: local_only, unreadable_content: local_only, redaction_incomplete: local_only,
            no_target_left: block}
rules:
  - {id: nights, why: x, when: {time: {hours: "20:00-06:00", zone: Europe/Berlin}}, then: {action: local_only}}
  - {id: weekend, why: x, when: {app: nightly, time: {days: [sat, sun], zone: UTC}}, then: {action: block}}
  - {id: patients, why: x, when: {declared: [patient, file]}, then: {provider_must_have: [baa], retain_days: 30}}
  - {id: many, why: x, when: {contains: {any_of: [contact], at_least: 3}}, then: {notify: [team], log_content: never}}
  - {id: kept, why: x, when: {level: internal or higher}, then: {retain_days: 90, log_content: encrypted}}
  - {id: trial, why: x, mode: audit, until: 2027-01-31, when: {contains: contact}, then: {action: local_only}}
"""

ORDINARY = replace(ordinary(date(2026, 9, 1)), minute=12 * 60)
ONE, THREE = (Found("EMAIL_ADDRESS", 100, 1),), (Found("EMAIL_ADDRESS", 100, 3),)
CARDS = (Found("CREDIT_CARD", 100, 1),)
SITUATIONS = (
    ORDINARY,
    *(replace(ORDINARY, minute=minute) for minute in (3 * 60 + 59, 4 * 60, 17 * 60 + 59, 18 * 60)),
    replace(ORDINARY, app="nightly"),
    replace(ORDINARY, app="nightly", budget=BudgetState.SPENT),
    replace(ORDINARY, app="nightly", as_of=date(2026, 9, 5)),
    replace(ORDINARY, labels=("patient",)),
    replace(ORDINARY, labels=("another", "file")),
    replace(ORDINARY, history_level=Level.RESTRICTED),
    replace(ORDINARY, history_level=Level.CONFIDENTIAL, found=ONE),
    replace(ORDINARY, found=ONE),
    replace(ORDINARY, found=THREE),
    replace(ORDINARY, found=CARDS),
    replace(ORDINARY, found=CARDS, approved=True),
    replace(ORDINARY, found=CARDS, approved=True, labels=("patient",)),
)


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Archive, list[tuple[Facts, AuditRecord]]]]:
    """Each of the situations, with the last record of its decision; on a clock that can be set."""
    policy = _compiled(LATER)
    folder = tmp_path_factory.mktemp("later") / "gateway"
    askers = [asker_of(policy.source, facts, f"tenant-{number}") for number, facts in enumerate(SITUATIONS)]
    extra = "notify: {team: {url: 'http://127.0.0.1:9/', timeout: 1s}}"
    with reality(folder, LATER, askers, extra=extra) as real:
        writer = Writer(policy.source)
        pairs = zip(SITUATIONS, askers, strict=True)
        made = [(facts, real.ask(facts, writer.write(facts).text, asker).record) for facts, asker in pairs]
        yield Archive(folder / "bailiwick.yaml", folder / "state"), made


def test_time_labels_history_approvals_and_obligations_are_recorded(
    later: tuple[Archive, list[tuple[Facts, AuditRecord]]],
) -> None:
    """What a decision may depend on beside its content is in its record: minute, labels, the level of the conversation,
    the approval; and so is what it asks for, and what it would have been if all were enforced."""
    _, made = later
    for facts, record in made:
        assert (record.as_of, record.minute, record.labels) == (facts.as_of, facts.minute, facts.labels)
        assert record.history_level == ("" if facts.history_level is None else facts.history_level.word)
        assert (bool(record.approval) and "approval" in record.because) == facts.approved
        assert record.budget == facts.budget.value
    said = dict(made)
    obliged = said[replace(ORDINARY, found=THREE)]
    assert (obliged.notified, obliged.retain_days, obliged.log_content) == (("team",), 90, "never")
    assert (obliged.action, obliged.would_action, obliged.would_permitted) == ("redact", "local_only", ("local",))
    assert said[replace(ORDINARY, labels=("patient",))].retain_days == 30
    waiting, approved = said[replace(ORDINARY, found=CARDS)], said[replace(ORDINARY, found=CARDS, approved=True)]
    assert waiting.approval
    assert (waiting.action, waiting.permitted) == ("require_approval", ())
    assert (approved.action, set(approved.permitted)) == ("allow", {"eu", "eu-bound", "local"})


def test_they_recompute_to_the_same_decision(later: tuple[Archive, list[tuple[Facts, AuditRecord]]]) -> None:
    """Every record of these decisions comes out the same: level, action, reasons, targets, obligations and trial."""
    archive, made = later
    decided = archive.decided()
    assert {record.decision for _, record in made} <= {record.decision for record in decided}
    assert [archive.differences(record) for record in decided] == [{}] * len(decided)
    reasons = set(itertools.chain.from_iterable((*record.because, *record.would) for record in decided))
    assert {rule.id for rule in _compiled(LATER).source.rules} <= reasons
    assert {"approval", "conversation.level", "limits.when_spent"} <= reasons


def test_limits_for_somebody_are_recomputed_too(later: tuple[Archive, list[tuple[Facts, AuditRecord]]]) -> None:
    """From who asked, which a record says, follows what the request and the app could spend, and no more was."""
    archive, made = later
    for facts, record in made:
        decision = recompute(archive.policy(record), record, archive.targets(record))
        limits = (usd("0.01"), usd(2)) if facts.app == "nightly" else (usd("0.02"), usd(1))
        assert (decision.cost_cap, decision.day_limit) == limits
        assert record.reserved <= limits[0]


TAMPERED_LATER: dict[str, tuple[Callable[[AuditRecord], bool], dict[str, Any]]] = {
    "another minute": (lambda r: "nights" in r.because, {"minute": 720}),
    "another weekday": (lambda r: "weekend" in r.because, {"as_of": date(2026, 9, 4)}),
    "no label": (lambda r: bool(r.labels), {"labels": ()}),
    "another label": (lambda r: bool(r.labels), {"labels": (Label("harmless"),)}),
    "no history": (lambda r: "conversation.level" in r.because, {"history_level": Label("")}),
    "a worse history": (lambda r: r.level == "internal", {"history_level": Label("restricted")}),
    "no approval": (lambda r: "approval" in r.because, {"approval": Label("")}),
    "nobody notified": (lambda r: bool(r.notified), {"notified": ()}),
    "kept for longer": (lambda r: r.retain_days is not None, {"retain_days": 91}),
    "kept in clear": (lambda r: bool(r.log_content), {"log_content": Label("")}),
    "another trial": (lambda r: bool(r.would_action), {"would_action": Label("block"), "would_permitted": ()}),
    "no trial": (lambda r: bool(r.would_action), {"would_action": Label("")}),
    "one more target in a trial": (lambda r: bool(r.would_action), {"would_permitted": (Label("cn"), Label("local"))}),
}


@pytest.mark.parametrize("change", TAMPERED_LATER)
def test_tampering_with_them_shows(later: tuple[Archive, list[tuple[Facts, AuditRecord]]], change: str) -> None:
    """A minute, a label, a history, an approval, an obligation or a trial that was changed in a record shows."""
    archive, made = later
    applies, changes = TAMPERED_LATER[change]
    concerned = [record for _, record in made if applies(record)]
    assert concerned
    assert all(archive.differences(replace(record, **changes)) for record in concerned)
