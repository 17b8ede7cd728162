"""How fast ``bailiwick policy replay`` works through an audit log.

``python -m benchmarks.replay [RECORDS]`` writes a log of so many records (1,000,000 if not given) of varied requests to
a new SQLite file in a temporary folder: apps of two tenants, forty groups of findings, prompts of any length, three
policies in turn over thirty days, retries, refusals, spent budgets. It then replays that log in a process of its own,
with a policy that changes much, and prints records a second and the largest memory. Writing takes longer than reading.
"""

from __future__ import annotations

import gc
import json
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gateway.audit.chain import GENESIS, link
from gateway.audit.codec import encode
from gateway.audit.store import open_log
from gateway.domain.decision import BudgetState, Facts, Level
from gateway.domain.finding import DetectorState, Found
from gateway.domain.money import NanoUsd
from gateway.domain.record import AuditRecord, Label, RecordKind
from gateway.domain.target import Target
from gateway.policy import CompiledPolicy, compile_policy, evaluate, load
from gateway.policy.archive import keep

CONFIG = """\
schema: 1
storage: {{folder: {folder}/state}}
policy: {folder}/policy.yaml
targets:
  - {{id: local, adapter: openai, zone: local, region: on-premises, model: qwen, base_url: "http://127.0.0.1:9",
     price: {{input: 0.1 USD, output: 0.6 USD}}, context_tokens: 32000, max_output_tokens: 1000}}
  - {{id: eu, adapter: openai, zone: cloud, region: EU, model: gpt-eu, base_url: "http://127.0.0.1:9",
     price: {{input: 2 USD, output: 8 USD}}, context_tokens: 200000, max_output_tokens: 4000, labels: [baa]}}
  - {{id: us, adapter: openai, zone: cloud, region: US, model: gpt-us, base_url: "http://127.0.0.1:9",
     price: {{input: 1 USD, output: 4 USD}}, context_tokens: 200000, max_output_tokens: 4000}}
models:
  auto: {{targets: [local, eu, us]}}
  cloud: {{targets: [eu, us]}}
"""
POLICY = """\
schema: 1
policy: benchmark
version: {version}
owner: privacy@example.com
data_types:
  contact details: {{detect: [PERSON, EMAIL_ADDRESS, PHONE_NUMBER, LOCATION], confidence: 0.5}}
  payment data: {{detect: [CREDIT_CARD, IBAN_CODE], confidence: 0.5}}
  secrets: {{detect: [API_KEY, PASSWORD], confidence: 0.3}}
levels:
  restricted: [{{any_of: [payment data, secrets]}}]
  confidential: [{{any_of: [contact details], at_least: {least}}}]
  internal: [{{any_of: [contact details]}}]
handling:
  public: {{action: allow}}
  internal: {{action: redact, regions: [EU, US]}}
  confidential: {{action: redact, regions: [{region}]}}
  restricted: {{action: {restricted}}}
limits:
  latency: {{first_token: {first_token}}}
  cost: {{per_request: 0.05 USD, per_app_per_day: 20 USD, when_spent: local_only}}
if_unsure: {{detector_fails: local_only, unreadable_content: local_only, redaction_incomplete: local_only,
            no_target_left: block}}
rules:
  - {{id: hr-inside, why: agreement, when: {{app: hr}}, then: {{action: local_only}}}}
  - {{id: long-is-dear, why: money, when: {{prompt_tokens: over 4000}}, then: {{cost_per_request: 0.02 USD}}}}
{more}"""
OLD = tuple(
    POLICY.format(version=number, least=least, region="EU", restricted="local_only", first_token="2s", more="")
    for number, least in ((1, 5), (2, 4), (3, 3))
)
NEW = POLICY.format(
    version=4,
    least=3,
    region="EU, US",
    restricted="local_only",
    first_token="500ms",
    more='  - {id: nights, why: quiet, when: {app: bot, time: {hours: "22:00-06:00", zone: Europe/Berlin}},\n'
    "     then: {action: local_only}}\n",
)
_ENTITIES = ("PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "LOCATION", "CREDIT_CARD", "API_KEY")
_DAYS = 30


def main() -> None:
    """Write the log, replay it, print the figures."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory(prefix="replay-") as name:
        folder = Path(name)
        began = time.perf_counter()
        prepare(folder, count)
        print(f"written: {count:,} records in {time.perf_counter() - began:.0f} s")
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.replay", "--run", str(folder)],
            capture_output=True,
            text=True,
            check=True,
        )
        seconds = time.perf_counter() - began
        found = json.loads(done.stdout)
        print(f"replayed: {found['records']:,} records, {found['evaluated']:,} requests, {found['changed']:,} changed")
        print(f"whole command: {seconds:.1f} s, {found['records'] / seconds:,.0f} records a second")
        print(f"reading and deciding: {found['seconds']:.1f} s, {found['records'] / found['seconds']:,.0f} a second")
        print(f"processor time of that: {found['cpu']:.1f} s, {found['records'] / found['cpu']:,.0f} a second")
        print(
            f"largest memory: {found['memory'] / 1024:.0f} MiB, {found['before'] / 1024:.0f} MiB of it before it began"
        )


def run(folder: Path) -> None:
    """The command's own work, in a process of its own."""
    import gateway.compose.tools as tools
    from gateway.audit.codec import decode
    from gateway.policy.replay import Question, Replay, as_lines
    from gateway.settings import load_settings

    settings = load_settings(folder / "bailiwick.yaml")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, cpu = time.perf_counter(), time.process_time()
    with tools.open_history(settings) as history:
        gc.freeze()
        gc.set_threshold(100_000, 50, 100)
        replaying = Replay(
            Question(
                new={"": compile_policy(load(folder / "new.yaml")[0])},
                targets=history.targets,
                routes=history.routes,
                decode=decode,
                since=0,
                policy_of=history.policy,
                mac=history.mac,
            )
        )
        for _, bodies in history.bodies(history.stretch(0, None)):
            replaying.feed(bodies)
        report = replaying.report()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    print("\n".join(as_lines(report)), file=sys.stderr)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures = {"records": report.records, "evaluated": report.evaluated, "changed": report.changed}
    print(json.dumps({**figures, "seconds": seconds, "cpu": cpu, "memory": memory, "before": before}))


def prepare(folder: Path, count: int, seed: int = 1) -> None:
    """Settings, policies and a log of `count` records in this folder."""
    from gateway.compose import targets_of

    (folder / "bailiwick.yaml").write_text(CONFIG.format(folder=folder))
    (folder / "policy.yaml").write_text(OLD[-1])
    (folder / "new.yaml").write_text(NEW)
    policies = []
    for text in OLD:
        policy = compile_policy(load(text)[0])
        keep(folder / "state" / "policies", policy, {})
        policies.append(policy)
    targets = targets_of(folder / "bailiwick.yaml")
    open_log(f"sqlite:///{folder}/state/audit.db").dispose()
    _write(folder / "state" / "audit.db", made(policies, targets, count, seed), count)


def made(policies: list[CompiledPolicy], targets: tuple[Target, ...], count: int, seed: int) -> Iterator[AuditRecord]:
    """Records as a gateway with these policies would have made them; more than `count`."""
    rng = random.Random(seed)
    start = datetime.now(UTC) - timedelta(days=_DAYS)
    step = _DAYS * 86_400 / max(1, count)
    situations = [_found(rng) for _ in range(40)]
    number = 0
    while True:
        number += 1
        when = start + timedelta(seconds=number * step * 1.9)
        share = min(0.999, number * 1.9 / count)
        policy = policies[int(share * len(policies))]
        yield from _request(rng, number, when, policy, targets, rng.choice(situations))


def _found(rng: random.Random) -> tuple[Found, ...]:
    entities = rng.sample(_ENTITIES[:4], rng.randrange(4)) if rng.random() < 0.8 else rng.sample(_ENTITIES, 3)
    return tuple(sorted(Found(name, rng.choice((60, 85, 100)), rng.choice((1, 1, 2, 7))) for name in entities))


def _request(
    rng: random.Random, number: int, when: datetime, policy: CompiledPolicy, all_targets: tuple[Target, ...],
    found: tuple[Found, ...],
) -> Iterator[AuditRecord]:  # fmt: skip
    tenant, app = rng.choice((("acme", "bot"), ("acme", "hr"), ("acme", "batch"), ("lab", "bot"), ("lab", "web")))
    model = rng.choice(("auto", "auto", "cloud"))
    facts = Facts(
        tenant=tenant, app=app, group=rng.choice(("default", "leads")), role="user", user="", dialect="openai_chat",
        model=model, found=found, detector=DetectorState.OK, unreadable=rng.random() < 0.01,
        prompt_tokens=int(rng.lognormvariate(6, 1.2)), as_of=when.date(), minute=when.hour * 60 + when.minute,
        budget=BudgetState.SPENT if rng.random() < 0.01 else BudgetState.OK,
        min_level=Level.INTERNAL if rng.random() < 0.02 else None,
    )  # fmt: skip
    served = all_targets if model == "auto" else all_targets[1:]
    decision = evaluate(policy, facts, served)
    at = int(when.timestamp() * 1_000_000)
    common = AuditRecord(
        kind=RecordKind.INTENT, at=at, decision=Label(f"d{at // 1000:011x}{number:014x}"), tenant=Label(tenant),
        app=Label(app), group=Label(facts.group), role=Label("user"), key=Label("k3y000000000"),
        user=Label(f"{rng.getrandbits(128):032x}"), dialect=Label("openai_chat"), model=Label(model),
        body_bytes=facts.prompt_tokens * 4 + 200, body_mac=Label(f"{rng.getrandbits(128):032x}"), found=found,
        detector=Label("ok"), unreadable=facts.unreadable, prompt_tokens=facts.prompt_tokens, as_of=facts.as_of,
        budget=Label(facts.budget.value), minute=facts.minute, policy=Label(policy.id.hash),
        min_level=Label("internal" if facts.min_level else ""),
        level=Label(decision.level.word), action=Label(decision.action.value),
        because=tuple(Label(reason.rule) for reason in decision.reasons),
        permitted=tuple(Label(name.target) for name in decision.targets if name.permitted),
        trace=Label(f"{rng.getrandbits(128):032x}"),
    )  # fmt: skip
    permitted = [target for target in served if target.id in decision.permitted]
    if not permitted:
        yield replace(common, kind=RecordKind.REFUSAL, outcome=Label("refused"), error=Label("blocked_by_policy"))
        return
    if rng.random() < 0.02:
        yield from _attempt(rng, common, 1, permitted[-1], answered=False)
        yield from _attempt(rng, common, 2, permitted[0], answered=True)
        return
    yield from _attempt(rng, common, 1, rng.choice(permitted), answered=True)


def _attempt(
    rng: random.Random, common: AuditRecord, number: int, target: Target, *, answered: bool
) -> Iterator[AuditRecord]:
    where = {"target": Label(target.id), "zone": Label(target.zone.value), "attempt": number}
    size = common.body_bytes + 60
    yield replace(common, **where, sent_bytes=size, sent_mac=common.body_mac, reserved=NanoUsd(20_000_000))
    output = rng.randrange(10, 800)
    figures = {
        "outcome": Label("completed"), "input_tokens": common.prompt_tokens, "output_tokens": output,
        "cost": NanoUsd((target.price.input * common.prompt_tokens + target.price.output * output) // 1000),
        "cost_basis": Label("usage"), "first_token_ms": int(rng.lognormvariate(6, 0.5)), "total_ms": 4000,
    } if answered else {"outcome": Label("failed"), "error": Label("target_unavailable"), "total_ms": 900}  # fmt: skip
    yield AuditRecord(
        kind=RecordKind.OUTCOME, at=common.at + 2_000_000, decision=common.decision, trace=common.trace, **where,
        **figures,  # type: ignore[arg-type]
    )  # fmt: skip


def _write(path: Path, records: Iterator[AuditRecord], count: int) -> None:
    """With a good chain, but in large transactions and past the writer, or it would take minutes."""
    previous = GENESIS
    rows = []
    with closing(sqlite3.connect(path)) as database:
        for seq, record in zip(range(1, count + 1), records, strict=False):
            body = encode(record)
            digest = link(previous, body)
            rows.append((seq, record.decision, record.kind.value, record.at, record.tenant, record.app, previous,
                         digest, body))  # fmt: skip
            previous = digest
            if len(rows) == 10_000 or seq == count:
                database.executemany("INSERT INTO audit_records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
                database.commit()
                rows.clear()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        run(Path(sys.argv[2]))
    else:
        main()
