from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from gateway.audit.store import AuditStore
from gateway.cli.common import CliContext
from gateway.cli.policy.explain import explain
from gateway.domain.record import AuditRecord, Label, RecordKind
from gateway.policy import compile_policy, evaluate, load
from gateway.policy import explain as explain_decision
from support.detectors import ListedDetector
from support.evidence import eventually, records
from support.here import gateway_here
from support.live import Cloud, Setup, cloud_target, scripted_cloud
from support.policies import TARGETS, compiled, document, facts, rule

CARD = "4111 1111 1111 1111"
RULES = [
    rule("jo-asks", {"user": "jo@acme.example"}, {"regions": ["EU"]}),
    rule("trial", {"app": "support-bot"}, {"action": "block"}, mode="audit", until="2199-01-01"),
]
PLAIN = "Is it raining?"


def run(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(explain, list(arguments), obj=CliContext(config=config))


@dataclass(frozen=True)
class Ran:
    """A gateway that has answered and stopped: its settings, its state, and the decision id of each request."""

    config: Path
    state: Path
    ids: dict[str, str]

    def explained(self, name: str, *options: str) -> dict[str, Any]:
        result = run(self.config, "--record", self.ids[name], "--json", *options)
        assert result.exit_code == 0, result.output
        data: dict[str, Any] = json.loads(result.stdout)
        return data


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Requests through a real gateway: harmless, with a card number, by a user whom a rule names, failed over."""
    folder = tmp_path_factory.mktemp("recorded")
    with scripted_cloud() as cloud, pytest.MonkeyPatch.context() as monkeypatch:
        setup = Setup(
            folder,
            [cloud_target("eu", cloud.base_url), cloud_target("us", cloud.base_url, region="US")],
            {"auto": "{targets: [us, eu], rank: listed}"},
            json.dumps(document(rules=RULES)),
        )
        answers = asyncio.run(_asked(setup, cloud, monkeypatch))
    config = folder / "bailiwick.yaml"
    ids = {name: str(answer.headers["x-bailiwick-decision"]) for name, answer in answers.items()}
    eventually(lambda: set(ids.values()) <= {record.decision for record in records(folder / "state")})
    return Ran(config, folder / "state", ids)


async def _asked(setup: Setup, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> dict[str, httpx.Response]:
    finder = ListedDetector({"CREDIT_CARD": CARD})
    async with gateway_here(setup, monkeypatch, finder) as here:

        async def ask(text: str, **headers: str) -> httpx.Response:
            body = {"model": "auto", "max_tokens": 5, "messages": [{"role": "user", "content": text}]}
            return await here.client.post("/v1/chat/completions", json=body, headers=headers)

        answers = {"plain": await ask(PLAIN), "card": await ask(f"Pay by {CARD}")}
        answers["jo"] = await ask(PLAIN, **{"x-bailiwick-user": "jo@acme.example"})
        cloud.script("503", retry_after=30)
        answers["failed over"] = await ask(PLAIN)
        answers["unknown model"] = await here.client.post(
            "/v1/chat/completions", json={"model": "none", "messages": [{"role": "user", "content": PLAIN}]}
        )
        return answers


def test_it_has_the_keys_of_every_explanation(ran: Ran) -> None:
    """The same object as from `explain` on facts and from the admin API, with what was recorded beside it."""
    policy = compiled(document(rules=RULES))
    usual = explain_decision(policy, facts(), evaluate(policy, facts(), TARGETS)).as_json()
    data = ran.explained("plain")
    assert set(data) == {*usual, "found", "record"}
    for name in ("rules", "targets"):
        assert data[name][0].keys() == usual[name][0].keys()  # type: ignore[index, union-attr, call-overload]
    assert data["policy"]["name"] == "acme"


def test_a_decision_comes_out_as_it_was_recorded(ran: Ran) -> None:
    """From the record and the archived policy alone: level, rules, targets, what was tried and what came of it."""
    data = ran.explained("plain")
    record = data["record"]
    assert record["comes_out_the_same"] is True
    assert (data["level"], record["decision"], record["app"]) == ("public", ran.ids["plain"], "support-bot")
    (attempt,) = record["attempts"]
    assert (attempt["target"], attempt["outcome"], attempt["cost_basis"]) == ("us", "completed", "usage")
    limits = record["limits"]
    assert float(limits["cost_usd"]) == float(attempt["cost_usd"]) <= float(attempt["reserved_usd"])
    assert limits["first_token_ms"] is not None
    assert limits["cost_per_app_per_day_usd"] == "20"
    assert float(limits["day_spent_usd"]) >= float(limits["cost_usd"])
    assert (record["trial"], data["would"][0]["id"]) == ({"action": "block", "permitted": []}, "trial")


def test_it_reads_like_a_report(ran: Ran) -> None:
    """Plain lines: it comes out the same, why, what was tried, what was left of each limit, what a trial would do."""
    result = run(ran.config, "--record", ran.ids["plain"])
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert "It comes out the same from its record and the policy of its hash." in lines
    assert any(line.startswith("  1. us (cloud): completed, first token after ") for line in lines)
    assert "  Permitted and not tried: eu." in lines
    assert any(line.startswith("  0.05 USD for the request: ") and line.endswith(" left.") for line in lines)
    assert any(line.startswith("  20 USD for the app that day: it was not spent then; now ") for line in lines)
    assert "If what is in audit mode were enforced: action block, permitted no target." in lines
    assert PLAIN not in result.output


def test_every_try_is_told(ran: Ran) -> None:
    """The first target failed and another one answered: both, in order, with what came of each."""
    first, second = ran.explained("failed over")["record"]["attempts"]
    assert (first["target"], first["outcome"], first["cost_usd"]) == ("us", "failed", "0")
    assert first["error"]
    assert (second["target"], second["outcome"], second["attempt"]) == ("eu", "completed", 2)


def test_a_refused_decision_is_explained_too(ran: Ran) -> None:
    """A card number that no local target could take: refused, and why."""
    data = ran.explained("card")
    assert (data["level"], data["found"][0]["entity"]) == ("restricted", "CREDIT_CARD")
    assert data["record"]["attempts"] == []
    assert data["record"]["refused"]["error"] == "blocked_by_policy"
    assert all(not target["permitted"] and target["reason"] for target in data["targets"])
    assert CARD not in run(ran.config, "--record", ran.ids["card"]).output


def test_users_are_known_by_the_key_of_the_log(ran: Ran) -> None:
    """The rule that names a user had its say, although the record holds a keyed hash; without the secret it is said."""
    assert "jo-asks" in {item["id"] for item in ran.explained("jo")["rules"]}
    secret = ran.state / "secret.key"
    hidden = secret.rename(ran.state / "put-away")
    try:
        result = run(ran.config, "--record", ran.ids["jo"])
        assert result.exit_code == 1
        assert "the policy names users" in result.stderr
        assert not secret.exists()
    finally:
        hidden.rename(secret)


def test_another_policy_may_decide_it(ran: Ran, tmp_path: Path) -> None:
    """With a FILE: what that policy would have decided about the recorded facts, beside what was recorded."""
    other = tmp_path / "other.yaml"
    other.write_text(json.dumps(document(version=8, rules=[rule("eu", {"app": "support-bot"}, {"regions": ["EU"]})])))
    result = run(ran.config, str(other), "--record", ran.ids["plain"])
    assert result.exit_code == 0
    assert "Another policy decides it here, and otherwise than was recorded:" in result.stdout
    assert "  permitted: recorded us, eu, now eu" in result.stdout


def test_what_was_not_decided_cannot_be_explained(ran: Ran) -> None:
    """A request without facts, an id that is not in the log, and options that make no sense are errors in words."""
    result = run(ran.config, "--record", ran.ids["unknown model"])
    assert result.exit_code == 1
    assert "no facts were recorded" in result.stderr
    result = run(ran.config, "--record", "d0")
    assert result.exit_code == 2
    assert "the audit log has no decision 'd0'" in result.stderr
    result = run(ran.config, "--record", "d0", "--app", "x", "--text", "y")
    assert result.exit_code == 2
    assert "leave out --text, --app" in result.stderr
    assert run(ran.config).exit_code == 2


def append(state: Path, record: AuditRecord) -> None:
    async def submit() -> None:
        store = AuditStore.open(f"sqlite:///{state}/audit.db")
        await store.append(record)
        await store.aclose()

    asyncio.run(submit())


def test_a_changed_record_does_not_come_out_the_same(ran: Ran) -> None:
    """Loudly, on standard error too, with what differs and exit code 3."""
    (said,) = [item for item in records(ran.state, ran.ids["card"]) if item.kind is RecordKind.REFUSAL]
    append(ran.state, replace(said, decision=Label("d-forged"), level=Label("public"), found=()))
    result = run(ran.config, "--record", "d-forged")
    assert result.exit_code == 3
    assert "IT DOES NOT COME OUT THE SAME" in result.stdout
    assert "  action: recorded block, now allow" in result.stdout
    assert "does not come out as it was recorded" in result.stderr


def test_a_policy_that_is_not_what_its_hash_says_is_not_used(ran: Ran) -> None:
    """An archive that was tampered with, or is not there: an error that names it, exit code 3."""
    digest = ran.explained("plain")["policy"]["hash"]
    (kept,) = [file for file in (ran.state / "policies").glob(f"{digest}.*") if file.suffix in (".json", ".yaml")]
    text = kept.read_text()
    try:
        kept.write_text(text.replace("0.5", "0.6").replace("50", "60"))
        result = run(ran.config, "--record", ran.ids["plain"])
        assert (result.exit_code, "has been changed" in result.stderr) == (3, True)
        kept.unlink()
        result = run(ran.config, "--record", ran.ids["plain"])
        assert (result.exit_code, "holds no policy of the hash" in result.stderr) == (3, True)
    finally:
        kept.write_text(text)
    assert compile_policy(load(json.dumps(document(rules=RULES)))[0]).id.hash == digest
