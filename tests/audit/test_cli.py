"""gateway.cli.audit: the audit commands as a person and as a program see them."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.audit import AuditStore
from gateway.cli.audit import audit
from gateway.cli.common import CliContext
from gateway.domain.errors import ConfigurationError
from gateway.domain.record import AuditRecord, Label, RecordKind
from support.records import decision, intent, outcome


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder of a gateway that has sent two requests; the second has no outcome yet."""
    monkeypatch.chdir(tmp_path)  # away from any settings file

    async def write() -> None:
        store = AuditStore.open(f"sqlite:///{tmp_path}/audit.db")
        store.submit(AuditRecord(kind=RecordKind.EVENT, at=1, decision=Label(""), event=Label("started")))
        await store.append(intent(1))
        store.submit(outcome(1, input_tokens=512, output_tokens=64, first_token_ms=210, total_ms=1900))
        await store.append(intent(2))
        await store.aclose()

    asyncio.run(write())
    return tmp_path


def run(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(audit, arguments, obj=CliContext(data_override=data))


def tamper(data: Path, statement: str) -> None:
    connection = sqlite3.connect(data / "audit.db")
    connection.execute("DROP TRIGGER audit_records_no_update")
    connection.execute("DROP TRIGGER audit_records_no_delete")
    with connection:
        connection.execute(statement)
    connection.close()


def test_tail_for_programs(data: Path) -> None:
    """Without a terminal: a header and one line of tab-separated cells per record, costs in dollars."""
    lines = [line.split("\t") for line in run(data, "tail").output.splitlines()]
    assert lines[0] == [
        "time", "kind", "decision", "app", "level", "action", "target", "cost USD", "outcome", "because"
    ]  # fmt: skip
    assert [line[1] for line in lines[1:]] == ["event", "intent", "outcome", "intent"]
    assert lines[2][2:] == [
        decision(1), "support-bot", "internal", "redact", "gpt-5-eu", "<= 0.0015", "",
        "handling.internal, mail-is-hidden",
    ]  # fmt: skip
    assert lines[3][3] == "support-bot"  # looked up: the outcome does not repeat it
    assert lines[3][7:9] == ["0.001234567", "completed"]
    assert lines[1][8] == "started"


def test_tail_shows_the_last_ones(data: Path) -> None:
    """-n limits the number of records to the newest; the app of an outcome is found even if its intent is not shown."""
    lines = run(data, "tail", "-n", "2").output.splitlines()
    assert [line.split("\t")[1] for line in lines[1:]] == ["outcome", "intent"]
    assert lines[1].split("\t")[3] == "support-bot"


def test_tail_as_json_has_the_stored_bytes(data: Path) -> None:
    """--json prints seq, hash and the record as it is stored."""
    lines = [json.loads(line) for line in run(data, "tail", "--json").output.splitlines()]
    assert [line["seq"] for line in lines] == [1, 2, 3, 4]
    assert lines[2]["record"]["cost"] == 1_234_567
    assert len(lines[0]["hash"]) == 64


def test_show_tells_everything(data: Path) -> None:
    """All records of the decision, in words and in dollars."""
    shown = run(data, "show", decision(1)).output
    for words in (
        f"decision {decision(1)}",
        "record 2: intent",
        "acme/support-bot, group default, role user, key k3y000000000",
        "2 EMAIL_ADDRESS (100 %), 1 PERSON (85 %)",
        "level internal, action redact",
        "gpt-5-eu (cloud), attempt 1, 2,100 bytes",
        "0.0015 USD",
        "record 3: outcome",
        "512 in, 64 out",
        "0.001234567 USD, by usage",
        "first token 210 ms, total 1,900 ms",
    ):
        assert words in shown


def test_show_of_an_unknown_decision(data: Path) -> None:
    """A decision that is not in the log is an error, not an empty answer."""
    result = run(data, "show", "d0")
    assert result.exit_code == 1
    assert "no decision" in result.output


def test_verify_an_intact_log(data: Path) -> None:
    """Exit code 0, the head to note, and the intent that has no outcome."""
    result = run(data, "verify")
    assert result.exit_code == 0
    assert "4 records form one unbroken chain" in result.output
    assert decision(2) in result.output
    head = json.loads(run(data, "verify", "--json").output)["head"]["hash"]
    assert head in result.output
    assert run(data, "verify", "--head", head).exit_code == 0


def test_verify_a_changed_record(data: Path) -> None:
    """Exit code 1, and the first bad record is named."""
    tamper(data, "UPDATE audit_records SET body = replace(body, '1234567', '7') WHERE seq = 3")
    result = run(data, "verify")
    assert result.exit_code == 1
    assert "BROKEN: record 3 was changed" in result.output
    found = json.loads(run(data, "verify", "--json").output)
    assert (found["ok"], found["records"], found["problem"]["seq"]) == (False, 2, 3)


def test_verify_a_cut_tail(data: Path) -> None:
    """Records taken off the end are noticed with the noted head, and only then."""
    head = json.loads(run(data, "verify", "--json").output)["head"]["hash"]
    tamper(data, "DELETE FROM audit_records WHERE seq = 4")
    assert run(data, "verify").exit_code == 0
    result = run(data, "verify", "--head", head)
    assert result.exit_code == 1
    assert "cut off" in result.output


def test_a_changed_record_can_be_looked_at(data: Path) -> None:
    """tail and show say which record cannot be read, and go on with the others."""
    tamper(data, "UPDATE audit_records SET body = 'nonsense' WHERE seq = 3")
    assert "record 3 cannot be read" in run(data, "tail").output
    shown = run(data, "show", decision(1)).output
    assert "record 3 cannot be read" in shown
    assert "record 2: intent" in shown
    assert json.loads(run(data, "tail", "--json").output.splitlines()[2])["record"] is None


@pytest.mark.parametrize("head", ["", "abc", "zz" * 32, "ab" * 31])
def test_verify_with_a_wrong_hash_is_a_usage_error(data: Path, head: str) -> None:
    """What is not a hash is refused with exit code 2, before anything is read."""
    assert run(data, "verify", "--head", head).exit_code == 2


def test_a_folder_without_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking at a log that is not there is an error and makes none."""
    monkeypatch.chdir(tmp_path)
    result = run(tmp_path, "verify")
    assert isinstance(result.exception, ConfigurationError)
    assert list(tmp_path.iterdir()) == []
