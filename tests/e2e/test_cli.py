"""The command line as its users call it: on a gateway that runs, on files that are right and wrong, and the demo."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from gateway import __version__
from gateway.cli import main
from support.evidence import eventually, records
from support.live import DEFAULT_POLICY, DEMO_MODEL, REPOSITORY, Process
from support.nursery import ForkedGateway
from support.sdk import Sdk

INSTALLED = Path(sys.executable).with_name("bailiwick")


def run(*arguments: str) -> Result:
    """A command in this process."""
    return CliRunner().invoke(main, list(arguments))


def of(gateway: ForkedGateway, *arguments: str) -> Result:
    return run("--config", str(gateway.config), *arguments)


def said(result: Result) -> str:
    """What a command printed that succeeded."""
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def gateway(sdk: Sdk) -> ForkedGateway:
    return sdk.gateway


# ---- help


def _commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _commands(found, (*path, name))


def test_the_program_tells_what_it_can() -> None:
    """As a process of its own: the commands with a line for each, and the version."""
    shown = {}
    for option in ("--help", "--version"):
        done = subprocess.run(
            [sys.executable, "-m", "gateway", option], capture_output=True, text=True, cwd=REPOSITORY, check=True
        )
        assert done.stderr == ""
        shown[option] = done.stdout
    for command in ("serve", "demo", "policy", "audit", "trace", "keys", "models", "doctor"):
        assert re.search(rf"^  {command} +\w", shown["--help"], re.MULTILINE)
    assert shown["--version"] == f"bailiwick, version {__version__}\n"


@pytest.mark.parametrize("path", [" ".join(path) for path in _commands(main)])
def test_each_command_explains_itself(path: str) -> None:
    """Every command has a help text, and so has each of its options."""
    output = said(run(*path.split(), "--help"))
    assert output.startswith("Usage: ")
    assert "-h" in output
    command: click.Command = main
    for name in path.split():
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    assert command.help
    assert [option.name for option in command.params if isinstance(option, click.Option) and not option.help] == []


def test_wrong_usage() -> None:
    """An unknown command, a missing settings file and a wrong one are exit code 2 and a message, never a traceback."""
    assert run("serv").exit_code == 2
    missing = run("--config", "/nowhere/bailiwick.yaml", "models", "list")
    assert missing.exit_code == 2
    assert "/nowhere/bailiwick.yaml: cannot be read: No such file or directory" in missing.stderr
    wrong = run("--config", str(DEFAULT_POLICY), "models", "list")
    assert wrong.exit_code == 2
    assert "default.yaml:" in wrong.stderr
    assert "unknown key" in wrong.stderr


# ---- keys


def test_keys_come_and_go(gateway: ForkedGateway) -> None:
    """A key that is made works, one that is revoked does not, both within a second; the log says who and when."""
    named = ("--tenant", "acme", "--app", "probe", "--note", "x")
    made = json.loads(said(of(gateway, "keys", "create", *named, "--json")))
    headers = {"authorization": f"Bearer {made['key']}"}

    def works() -> bool:
        return gateway.client.get("/v1/models", headers=headers).status_code == 200

    began = time.monotonic()
    eventually(works)
    listed = [json.loads(line) for line in said(of(gateway, "keys", "list", "--json")).splitlines()]
    (shown,) = [key for key in listed if key["id"] == made["id"]]
    assert (shown["tenant"], shown["app"], shown["note"], shown["revoked"]) == ("acme", "probe", "x", None)
    assert made["key"].rsplit("_")[-1] not in said(of(gateway, "keys", "list", "--all"))
    said(of(gateway, "keys", "revoke", made["id"]))
    eventually(lambda: not works())
    assert time.monotonic() - began < 4  # 0.3 s each on a quiet machine
    assert made["id"] not in said(of(gateway, "keys", "list"))
    assert made["id"] in said(of(gateway, "keys", "list", "--all"))
    events = [record.event for record in records(gateway.state) if record.key == made["id"]]
    assert events == ["key.created", "key.revoked"]
    assert of(gateway, "keys", "revoke", "nokey0000000").exit_code == 1
    assert of(gateway, "keys", "create", "--tenant", "Acme Ltd", "--app", "x").exit_code == 2


# ---- audit


@pytest.fixture
def decision(gateway: ForkedGateway) -> str:
    """The id of a decision whose outcome is in the log."""
    identifier = str(gateway.chat("Hello", model="gpt-x").headers["x-bailiwick-decision"])
    eventually(lambda: len(records(gateway.state, identifier)) == 2)
    return identifier


def test_the_audit_log_can_be_read(gateway: ForkedGateway, decision: str) -> None:
    """`tail` shows the last records, for people and for programs, and `show` everything of a decision."""
    lines = said(of(gateway, "audit", "tail", "-n", "2")).splitlines()
    assert lines[0].split("\t")[:4] == ["time", "kind", "decision", "app"]
    assert [line.split("\t")[1:4] for line in lines[1:]] == [
        ["intent", decision, "support-bot"],
        ["outcome", decision, "support-bot"],
    ]
    trees = [json.loads(line) for line in said(of(gateway, "audit", "tail", "-n", "2", "--json")).splitlines()]
    assert [tree["record"]["decision"] for tree in trees] == [decision, decision]
    shown = said(of(gateway, "audit", "show", decision))
    for words in (
        "target     cloud (cloud), attempt 1",
        "outcome    completed",
        "because    handling.public",
        "policy",
    ):
        assert words in shown
    unknown = of(gateway, "audit", "show", "d000")
    assert unknown.exit_code == 1
    assert "no decision 'd000'" in unknown.stderr


def test_an_untouched_log_verifies(gateway: ForkedGateway, decision: str) -> None:
    """`verify` says how many records form the chain, and its head is found again later."""
    result = json.loads(said(of(gateway, "audit", "verify", "--json")))
    assert result["ok"]
    assert result["records"] == len(records(gateway.state))
    assert gateway.chat("More", model="gpt-x").status_code == 200
    assert "one unbroken chain" in said(of(gateway, "audit", "verify", "--head", result["head"]["hash"]))


TAMPERING = {
    "a body": ("UPDATE audit_records SET body = CAST(replace(body, 'schema', 'scheme') AS BLOB) WHERE seq = 4", 4),
    "a figure": ("UPDATE audit_records SET body = CAST(replace(body, '\"at\":', '\"at\":1') AS BLOB) WHERE seq = 5", 5),
    "a column": ("UPDATE audit_records SET app = 'other' WHERE seq = 4", 4),
    "a hash": ("UPDATE audit_records SET hash = zeroblob(32) WHERE seq = 5", 5),
    "taken out": ("DELETE FROM audit_records WHERE seq = 4", 4),
    "a first one taken out": ("DELETE FROM audit_records WHERE seq = 1", 1),
    "swapped": ("UPDATE audit_records SET seq = 9000 - seq WHERE seq IN (4, 5)", 4),
    "put in": ("INSERT INTO audit_records SELECT 0, decision, kind, at, tenant, app, previous, hash, body "
               "FROM audit_records WHERE seq = 4", 1),
}  # fmt: skip


def _copy(gateway: ForkedGateway, folder: Path) -> Path:
    """The gateway's audit log as somebody with the file and without our triggers would have it."""
    folder.mkdir()
    with (
        closing(sqlite3.connect(f"file:{gateway.state}/audit.db?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(folder / "audit.db")) as copy,
    ):
        source.backup(copy)
        for (name,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            copy.execute(f"DROP TRIGGER {name}")
        copy.commit()
    return folder


@pytest.mark.parametrize("change", TAMPERING)
def test_a_log_that_was_tampered_with_does_not_verify(
    gateway: ForkedGateway, decision: str, change: str, tmp_path: Path
) -> None:
    """Whatever is changed in the file by hand, `verify` ends with 1 and names the record."""
    state = _copy(gateway, tmp_path / "copy")
    statement, seq = TAMPERING[change]
    with closing(sqlite3.connect(state / "audit.db")) as database:
        assert database.execute(statement).rowcount > 0
        database.commit()
    result = of(gateway, "--data", str(state), "audit", "verify")
    assert result.exit_code == 1
    assert result.stdout.startswith("BROKEN: ")
    assert f"record {seq}" in result.stdout
    problem = json.loads(of(gateway, "--data", str(state), "audit", "verify", "--json").stdout)["problem"]
    assert problem["seq"] == seq


def test_a_tail_that_was_cut_off_is_found_by_its_head(gateway: ForkedGateway, decision: str, tmp_path: Path) -> None:
    """Records that were removed at the end are missed by who has noted the head."""
    head = json.loads(said(of(gateway, "audit", "verify", "--json")))["head"]["hash"]
    state = _copy(gateway, tmp_path / "copy")
    with closing(sqlite3.connect(state / "audit.db")) as database:
        database.execute("DELETE FROM audit_records WHERE seq = (SELECT max(seq) FROM audit_records)")
        database.commit()
    said(of(gateway, "--data", str(state), "audit", "verify"))
    cut = of(gateway, "--data", str(state), "audit", "verify", "--head", head)
    assert cut.exit_code == 1
    assert "the end was cut off" in cut.stdout


# ---- traces


def test_traces_can_be_read(gateway: ForkedGateway, decision: str) -> None:
    """`list` shows the latest requests, `show` the steps of one, by its decision or its trace."""
    eventually(lambda: decision in of(gateway, "trace", "list").stdout)
    header, first, *_ = said(of(gateway, "trace", "list", "-n", "5")).splitlines()
    assert header.split("\t") == ["time", "decision", "model", "target", "ms", "status"]
    assert first.split("\t")[1:4] == [decision, "gpt-x", "cloud"]
    shown = said(of(gateway, "trace", "show", decision))
    for step in ("chat gpt-x", "parse", "inspect", "decide", "guard", "dispatch", "restore", "record"):
        assert step in shown
    tree: dict[str, Any] = json.loads(said(of(gateway, "trace", "show", decision, "--json")))
    assert tree["decision"] == decision
    assert records(gateway.state, decision)[0].trace == tree["trace_id"]
    assert said(of(gateway, "trace", "show", tree["trace_id"])) == shown
    assert of(gateway, "trace", "show", "d000").exit_code == 1


# ---- policy


def test_policy_check(tmp_path: Path) -> None:
    """The shipped policy is well (0); a wrong one is told with every fault in its place (3); a missing one too."""
    assert "ok — policy default, version 2" in said(run("policy", "check", str(DEFAULT_POLICY)))
    wrong = tmp_path / "policy.yaml"
    text = DEFAULT_POLICY.read_text()
    wrong.write_text(text.replace("action: local_only", "action: lokal_only").replace("owner:", "ownr:"))
    result = run("policy", "check", str(wrong))
    assert result.exit_code == 3
    places = re.findall(rf"^{re.escape(str(wrong))}:(\d+):\d+: ", result.stderr, re.MULTILINE)
    assert len(places) >= 3
    assert "did you mean 'local_only'?" in result.stderr
    assert "did you mean 'owner'?" in result.stderr
    assert run("policy", "check", str(tmp_path / "none.yaml")).exit_code == 3
    assert run("policy", "check").exit_code == 2


def test_policy_test(tmp_path: Path) -> None:
    """The shipped tests pass (0); one that is not kept is told with what came instead (4)."""
    passed = subprocess.run(
        [sys.executable, "-m", "gateway", "policy", "test", "policies/default_test.yaml"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=False,
    )
    assert passed.returncode == 0, passed.stdout
    assert re.search(r"^\d\d passed, 0 failed", passed.stdout, re.MULTILINE)
    shutil.copy(DEFAULT_POLICY, tmp_path / "default.yaml")
    cases = tmp_path / "cases.yaml"
    cases.write_text(
        "policy: default.yaml\nas_of: 2026-11-01\ntargets: [{id: a, zone: local, region: x}]\ntests:\n"
        "  - {name: wrong, given: {found: {CREDIT_CARD: 1}}, expect: {level: public}}\n"
    )
    failed = run("policy", "test", str(cases))
    assert failed.exit_code == 4
    assert "✗ wrong" in failed.stdout
    assert "level: expected public, got restricted" in failed.stdout
    cases.write_text(cases.read_text().replace("expect:", "expects:"))
    assert run("policy", "test", str(cases)).exit_code == 3


def test_policy_explain() -> None:
    """`explain` says what is decided about facts and why, for each of our targets."""
    targets = str(REPOSITORY / "bailiwick.yaml")
    arguments = ("policy", "explain", str(DEFAULT_POLICY), "--targets", targets, "--app", "support-bot")
    output = said(run(*arguments, "--facts", "{found: {CREDIT_CARD: 1}}"))
    assert "Level restricted" in output
    assert re.search(r"permitted +local-demo", output)
    assert re.search(r"rejected +cloud-nano", output)
    tree = json.loads(said(run(*arguments, "--facts", "{found: {PERSON: 1}}", "--json")))
    assert json.dumps(tree).count("cloud-nano") >= 1
    assert run("policy", "explain", str(DEFAULT_POLICY), "--facts", "{fond: 1}").exit_code == 3


# ---- models


def test_models_commands(gateway: ForkedGateway, tmp_path: Path) -> None:
    """The local models that are configured, and what is in a file."""
    assert "here" in said(of(gateway, "models", "list"))
    checked = said(run("models", "check", str(DEMO_MODEL)))
    assert re.search(r"chat template +yes", checked)
    (tmp_path / "x.gguf").write_bytes(b"not a model")
    refused = run("models", "check", str(tmp_path / "x.gguf"))
    assert refused.exit_code == 1
    assert "is not a usable GGUF file" in refused.stderr


# ---- the demo


def _shell(lines: str, folder: Path, environ: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-c", lines], capture_output=True, text=True, cwd=folder, env=environ, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _without_colours(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.skipif(not INSTALLED.exists() or shutil.which("curl") is None, reason="needs the command, and curl")
def test_the_demo_does_what_it_says(tmp_path: Path) -> None:
    """In a fresh copy: what the demo prints works when it is pasted as it stands, and shows what it says it shows."""
    for name in ("bailiwick.yaml", "policies"):
        source = REPOSITORY / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    (tmp_path / "models").mkdir()
    shutil.copy(DEMO_MODEL, tmp_path / "models")
    dropped = {"OPENAI_API_KEY", "BAILIWICK_CONFIG", "BAILIWICK_DATA"}
    environ = {n: v for n, v in os.environ.items() if n not in dropped and not n.lower().endswith("_proxy")}
    begun = Process(
        [str(INSTALLED), "--config", str(tmp_path / "bailiwick.yaml"), "demo", "--port", "0"],
        re.compile("What was decided and why: (.*)"),
        environ,
        90,
    )
    try:
        printed = _without_colours(begun.output)
        curl = re.search(r"^curl -si (?:.*\\\n)*.*$", printed, re.MULTILINE)
        python = re.search(r"^from openai import OpenAI\n(?:.+\n)+", printed, re.MULTILINE)
        looked = re.search(r"^ +(curl -s 'http.*received.*)$", printed, re.MULTILINE)
        assert curl, printed
        assert python, printed
        assert looked, printed

        answer = _shell(curl[0], tmp_path, environ)
        assert answer.startswith("HTTP/1.1 200 OK")
        assert "x-bailiwick-target: local-demo" in answer.lower()
        assert "x-bailiwick-level: restricted" in answer.lower()
        (tmp_path / "snippet.py").write_text(python[0])
        told = _shell(f"{sys.executable} snippet.py", tmp_path, environ)
        assert "Anna Kowalski (anna.kowalski@example.com)" in told
        reached = _shell(looked[1], tmp_path, environ)
        assert "PERSON_" in reached
        assert "Kowalski" not in reached
        assert "4242" not in reached
        shown = ""
        for line in begun.matched[1].split(" · ") if begun.matched else ():
            words = line.split()[1:]  # the program's name, which is relative to where it was started
            shown += said(run("--config", str(tmp_path / "bailiwick.yaml"), *words))
        assert "local-demo" in shown
        assert "one unbroken chain" in shown
    finally:
        assert begun.stop() == 0
    assert (tmp_path / ".state" / "demo-key").stat().st_mode & 0o077 == 0
