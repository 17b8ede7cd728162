from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.audit import table
from gateway.audit.codec import encode
from gateway.audit.store import AuditStore, open_log
from gateway.cli.common import CliContext
from gateway.cli.policy.replay import replay
from gateway.domain.errors import ConfigurationError
from gateway.domain.record import AuditRecord, Label, RecordKind
from gateway.policy import CompiledPolicy, compile_policy, load
from gateway.policy.archive import keep
from support.detectors import ListedDetector
from support.evidence import mac_of
from support.here import gateway_here
from support.live import Setup, cloud_target, scripted_cloud
from support.policies import document, facts, rule
from support.postgres import database_url
from support.traffic import Traffic

__all__ = ["database_url"]

CONFIG = """\
schema: 1
storage: {folder: state}
policy: old.yaml
targets:
  - {id: local, adapter: openai, zone: local, region: on-premises, provider: own, model: a, base_url: "http://[::1]:9",
     price: {input: 0.10 USD, output: 0.60 USD}, context_tokens: 100000, max_output_tokens: 1000}
  - {id: eu, adapter: openai, zone: cloud, region: EU, provider: cloud-of-EU, model: b, base_url: "http://[::1]:9",
     price: {input: 2.00 USD, output: 8.00 USD}, context_tokens: 100000, max_output_tokens: 1000, labels: [baa]}
  - {id: us, adapter: openai, zone: cloud, region: US, provider: cloud-of-US, model: c, base_url: "http://[::1]:9",
     price: {input: 1.00 USD, output: 4.00 USD}, context_tokens: 100000, max_output_tokens: 1000}
models:
  auto: {targets: [local, eu, us]}
  clouds: {targets: [eu, us]}
  listed: {targets: [us, eu, local], rank: listed}
"""
OLD = document(rules=[rule("hr-inside", {"app": "hr"}, {"action": "local_only"})])
LOOSER = document(version=8)
STRICTER = document(version=9, rules=[*OLD["rules"], rule("bots", {"app": "support-bot"}, {"regions": ["EU"]})])


def run(*arguments: str, config: Path | None = None) -> Result:
    return CliRunner().invoke(replay, list(arguments), obj=CliContext(config=config))


def write(url: str, records: Sequence[AuditRecord]) -> None:
    """As the gateway writes them, through its own store."""

    async def submit() -> None:
        store = AuditStore.open(url)
        for record in records[:-1]:
            store.submit(record)
        await store.append(records[-1])
        await store.aclose()

    asyncio.run(submit())


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CompiledPolicy:
    """A folder with settings, three policies, and the archive of the one that made the log."""
    monkeypatch.chdir(tmp_path)
    Path("bailiwick.yaml").write_text(CONFIG)
    for name, source in (("old", OLD), ("looser", LOOSER), ("stricter", STRICTER)):
        Path(f"{name}.yaml").write_text(json.dumps(source))
    policy = compile_policy(load(Path("old.yaml"))[0])
    keep(Path("state/policies"), policy, {})
    return policy


def lately(records: Iterator[AuditRecord], days: int = 3) -> list[AuditRecord]:
    """The same records, as if they had been made some days ago."""
    found = list(records)
    moved = int((datetime.now(UTC) - timedelta(days=days)).timestamp() * 1e6)
    return [replace(record, at=moved + place) for place, record in enumerate(found)]


@pytest.fixture
def log(old: CompiledPolicy) -> list[AuditRecord]:
    """Some 600 records in the SQLite log of that folder."""
    records = lately(Traffic(old, random.Random(4)).records(320))
    write("sqlite:///state/audit.db", records)
    return records


def test_it_says_what_another_policy_would_have_done(log: list[AuditRecord]) -> None:
    """The whole command on a real log: changes, exposure, cost and times; plain text, exit code 0."""
    result = run("looser.yaml")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "\x1b" not in result.stdout
    lines = result.stdout.splitlines()
    assert lines[0].startswith("Replay of policy acme, version 8, hash ")
    assert "Decisions that change:" in lines
    assert any(line.strip().startswith("hr-inside") and "has none any more" in line for line in lines)
    data = json.loads(run("looser.yaml", "--format", "json").stdout)
    requests = {record.decision for record in log}
    assert (data["evaluated"], data["records"]) == (len(requests), len(log))
    hr = {record.decision for record in log if record.app == "hr"}
    assert 0 < data["changed"]["looser"] <= len(hr)
    assert {group["app"] for group in data["apps"] if group["changed"]} == {"hr"}
    assert all(note["note"] != "limits_not_kept" for note in data["notes"])


def test_it_can_fail_when_a_decision_becomes_looser(log: list[AuditRecord]) -> None:
    """For CI: exit code 6 with --fail-on looser, and 0 where all is as strict or stricter."""
    assert run("looser.yaml", "--fail-on", "looser").exit_code == 6
    assert run("stricter.yaml", "--fail-on", "looser").exit_code == 0
    assert run("old.yaml", "--fail-on", "looser").exit_code == 0


def test_it_compares_with_a_file_or_with_a_policy_of_the_archive(log: list[AuditRecord], old: CompiledPolicy) -> None:
    """--against takes a path, a hash or the first digits of one; what is in no archive is an error."""
    for other in ("old.yaml", old.id.hash, old.id.short):
        data = json.loads(run("stricter.yaml", "--against", other, "--format", "json").stdout)
        assert data["against"][0]["hash"] == old.id.hash
        assert data["changed"]["stricter"] > 0
        assert data["changed"]["looser"] == 0
    result = run("old.yaml", "--against", "0" * 64)
    assert result.exit_code == 3
    assert "holds no policy of the hash" in result.stderr
    assert run("old.yaml", "--against", "gone.yaml").exit_code == 3


def test_the_period_is_a_span_or_days(old: CompiledPolicy) -> None:
    """30 days without an option; --since and --until take spans back from now and days, the end not included."""
    traffic = Traffic(old, random.Random(4))
    for days in (40, 20, 2):
        write("sqlite:///state/audit.db", lately(traffic.request(facts(tenant="acme"), "us"), days))
    today = datetime.now(UTC).date()
    cases: dict[tuple[str, ...], int] = {
        (): 2,
        ("--since", "41d"): 3,
        ("--since", "6w"): 3,
        ("--since", "24h"): 0,
        ("--since", "41d", "--until", "30d"): 1,
        ("--since", str(today - timedelta(days=25)), "--until", str(today - timedelta(days=10))): 1,
    }
    for options, number in cases.items():
        assert json.loads(run("old.yaml", "--format", "json", *options).stdout)["evaluated"] == number, options
    for wrong in (("--since", "lately"), ("--since", "2d", "--until", "3d"), ("--since", "999999w")):
        assert run("old.yaml", *wrong).exit_code == 2


def test_markdown_is_for_pull_requests(log: list[AuditRecord]) -> None:
    """Headings and tables, nothing else."""
    lines = run("stricter.yaml", "--format", "markdown").stdout.splitlines()
    assert lines[0].startswith("## Replay of policy acme")
    assert "| zone | region | provider | level | requests before | after | bytes before | after |" in lines


def test_what_is_wrong_is_told(log: list[AuditRecord]) -> None:
    """A bad policy: exit code 3 with its problems. No settings, no log: an error that names them."""
    Path("bad.yaml").write_text("schema: 2\n")
    result = run("bad.yaml")
    assert result.exit_code == 3
    assert "bad.yaml:1" in result.stderr
    assert isinstance(run("old.yaml", config=Path("gone.yaml")).exception, ConfigurationError)
    Path("elsewhere.yaml").write_text(CONFIG.replace("folder: state", "folder: empty"))
    error = run("old.yaml", config=Path("elsewhere.yaml")).exception
    assert "there is no database" in str(error)
    assert not Path("empty/secret.key").exists()


def test_users_are_known_where_the_secret_is(old: CompiledPolicy) -> None:
    """The names in a policy are turned into the hashes of this log; without the secret such requests are counted."""
    Path("users.yaml").write_text(json.dumps(document(rules=[rule("jo", {"user": "jo@acme"}, {"action": "block"})])))
    traffic = Traffic(old, random.Random(1))
    mac = mac_of(Path("state"))
    for name in ("jo@acme", "al@acme"):
        records = traffic.request(facts(tenant="acme"), "us", user=Label(mac(name.encode())))
        write("sqlite:///state/audit.db", lately(records))
    data = json.loads(run("users.yaml", "--format", "json").stdout)
    assert (data["evaluated"], data["kinds"][0]["after"], data["kinds"][0]["count"]) == (2, "block", 1)
    Path("state/secret.key").unlink()
    data = json.loads(run("users.yaml", "--format", "json").stdout)
    assert [(item["reason"], item["count"]) for item in data["not_evaluated"]["reasons"]] == [("user_unknown", 2)]
    assert not Path("state/secret.key").exists()


def test_a_folder_has_a_policy_for_each_tenant(log: list[AuditRecord]) -> None:
    """A folder of policies is replayed as the gateway would use it: each tenant by its own."""
    Path("policies").mkdir()
    everybody = {**document(), "rules": OLD["rules"]}
    Path("policies/all.yaml").write_text(json.dumps(everybody))
    extra = {
        **document(policy="for-lab"),
        "for": {"tenant": ["lab"]},
        "rules": [rule("no", {"app": "batch"}, {"action": "block"})],
    }
    Path("policies/lab.yaml").write_text(json.dumps(extra))
    data = json.loads(run("policies", "--format", "json").stdout)
    assert {(group["tenant"], group["app"]) for group in data["apps"] if group["changed"]} == {("lab", "batch")}
    assert len(data["policies"]) == 2


def test_what_a_real_gateway_recorded_is_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests through a whole gateway, then the command on its settings: the sums are those of its own answers."""
    with scripted_cloud() as cloud:
        targets = [cloud_target("eu", cloud.base_url), cloud_target("us", cloud.base_url, region="US")]
        setup = Setup(tmp_path, targets, {"auto": "{targets: [us, eu], rank: listed}"}, json.dumps(OLD))

        async def ask() -> list[int]:
            finder = ListedDetector({"PERSON": "Ann Lee", "CREDIT_CARD": "4111 1111 1111 1111"})
            async with gateway_here(setup, monkeypatch, finder) as here:
                texts = ["Hello"] * 4 + ["I am Ann Lee"] * 3 + ["Pay by 4111 1111 1111 1111"] * 2
                bodies = [{"model": "auto", "messages": [{"role": "user", "content": text}]} for text in texts]
                answers = [await here.client.post("/v1/chat/completions", json=body) for body in bodies]
                return [answer.status_code for answer in answers]

        assert asyncio.run(ask()) == [200] * 7 + [403] * 2
    (tmp_path / "new.yaml").write_text(json.dumps(STRICTER))
    result = run(str(tmp_path / "new.yaml"), "--format", "json", "--since", "1h", config=tmp_path / "bailiwick.yaml")
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert (data["evaluated"], data["not_evaluated"]["count"], data["changed"]["stricter"]) == (9, 0, 7)
    reach = {(row["region"], row["level"]): row for row in data["exposure"]}
    sizes = {level: reach["US", level]["before"] for level in ("public", "internal")}
    assert {level: size["requests"] for level, size in sizes.items()} == {"public": 4, "internal": 3}
    for level, size in sizes.items():
        assert reach["EU", level] == {**reach["EU", level], "before": {"requests": 0, "bytes": 0}, "after": size}
        assert reach["US", level]["after"] == {"requests": 0, "bytes": 0}
    assert data["sent_nowhere"] == {"before": 2, "after": 2}
    assert data["cost"]["before"] == data["cost"]["after"]  # both ask the same price
    assert data["cost"]["moved"] == 7
    assert data["latency"]["before"]["requests"] == 7
    assert data["latency"]["not_measured"] == 7  # nobody has ever asked the other target


AT = 1_790_000_000_000_000


def numbered(number: int, at: int) -> AuditRecord:
    return AuditRecord(kind=RecordKind.EVENT, at=at, decision=Label(f"d{number}"))


def test_records_of_a_time_are_found_without_reading_all(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On both databases: every record of the period is in the stretch, also one that was written late, and most of the
    others are not; blocks give each body once, in order."""
    monkeypatch.setattr(table, "_MARGIN", 100)
    monkeypatch.setattr(table, "_BODIES_AT_ONCE", 64)
    times = [AT + 1000 * place for place in range(1000)]
    times[520] = times[490]
    write(database_url, [numbered(place, at) for place, at in enumerate(times)])
    engine = open_log(database_url, create=False)
    try:
        for since, until in ((490, 510), (0, 5), (990, None), (0, None), (2000, None), (300, 301)):
            begin, end = AT + 1000 * since, None if until is None else AT + 1000 * until
            stretch = table.stretch(engine, begin, end)
            wanted = [place for place, at in enumerate(times) if at >= begin and (end is None or at < end)]
            assert {place + 1 for place in wanted} <= set(stretch)
            assert len(stretch) <= len(wanted) + 400
        everything = [found for _, block in table.bodies(engine, range(1, 1001)) for found in block]
        assert [bytes(found) for found in everything] == [encode(numbered(*item)) for item in enumerate(times)]
        assert sum(covered for covered, _ in table.bodies(engine, range(1, 1001))) == 1000
    finally:
        engine.dispose()


def test_an_empty_log_has_no_stretch(database_url: str) -> None:
    """Nothing was ever recorded: nothing to read."""
    engine = open_log(database_url)
    try:
        assert len(table.stretch(engine, 0)) == 0
        assert list(table.bodies(engine, table.stretch(engine, 0))) == []
    finally:
        engine.dispose()


def test_reading_does_not_hold_up_the_writer(old: CompiledPolicy) -> None:
    """While a replay is in the middle of the log, records are written and become durable."""
    url = "sqlite:///state/audit.db"
    write(url, [numbered(place, AT) for place in range(300)])
    engine = open_log(url, create=False)
    try:
        blocks: Any = table.bodies(engine, range(1, 301))
        next(blocks)
        write(url, [numbered(1000, AT)])
        assert len(list(blocks)) == 0
    finally:
        engine.dispose()
